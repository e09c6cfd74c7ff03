//! One client's hand-off, from the first recipient to the relay.

use std::sync::Arc;
use std::time::Duration;

use super::backend::{Backend, Greeting, Outcome, is_done};
use super::backends::Backends;
use super::content::{Begun, Ready};
use super::introduction::Client;
use super::server::Server;
use super::trouble::Unavailable;
use crate::dialogue::{Checked, ContentCommand, Passthrough, Released};
use crate::id::Id;
use crate::policy::{Names, TlsFacts};
use crate::proxy_protocol::Endpoints;
use crate::smtp::envelope::Helo;
use crate::smtp::reply::Reply;

/// One client's hand-off: opens the backend late, at the first recipient, and keeps it in step from then on.
///
/// A backend that breaks off is replaced, once for each recipient, as long as it has accepted none of the
/// transaction. Afterwards its promises are lost with it, and the rest of the transaction is [`Unavailable`]. Dropped
/// before the relay, it takes leave of the backend.
#[derive(Debug)]
pub struct Handoff {
    backends: Arc<Backends>,
    ends: Endpoints,
    id: Id,
    names: Option<Names>,
    tls: Option<TlsFacts>,
    backend: Option<Box<Backend>>,
    /// The last transaction of which a recipient was accepted.
    promised: Option<u64>,
    /// The transaction whose promises are lost, and how.
    broken: Option<(u64, Unavailable)>,
    /// Messages that the backend has accepted while we looked.
    messages: u64,
}

impl Handoff {
    /// Nothing is opened yet. `id` names the connection to the server, where the identity can tell it.
    pub fn new(backends: Arc<Backends>, ends: Endpoints, id: Id) -> Self {
        Self {
            backends,
            ends,
            id,
            names: None,
            tls: None,
            backend: None,
            promised: None,
            broken: None,
            messages: 0,
        }
    }

    /// What DNS says that the client is called; to be told before the first recipient where
    /// [`Backends::wants_names`].
    pub fn named(&mut self, names: &Names) {
        self.names = Some(names.clone());
    }

    /// The client speaks TLS from here on, and begins anew; so does the backend.
    pub fn secured(&mut self, tls: TlsFacts) {
        self.tls = Some(tls);
        if let Some(backend) = self.backend.take() {
            backend.quit();
        }
    }

    /// The server that is open, as configured.
    pub fn server(&self) -> Option<&Arc<str>> {
        self.backend.as_ref().map(|backend| backend.server())
    }

    /// Asks the backend for a recipient: its reply is the answer, its farewell (421) included.
    pub async fn recipient(&mut self, checked: &Checked) -> Result<Reply, Unavailable> {
        let transaction = checked.transaction();
        self.unbroken(transaction)?;
        let answer = match self.ask(checked, None).await {
            Err(Lost { from: Some(server), unavailable, .. })
                if self.promised != Some(transaction) && self.backends.may_replace(&unavailable) =>
            {
                self.ask(checked, Some(&server)).await
            }
            answer => answer,
        };
        answer.or_else(|lost| {
            if self.promised == Some(transaction) {
                self.broken = Some((transaction, lost.unavailable.clone()));
            }
            lost.farewell.ok_or(lost.unavailable)
        })
    }

    /// Hands over at DATA or BDAT; `rest` is what the client has sent behind the line.
    pub async fn content(&mut self, released: &Released, rest: &[u8]) -> Result<Ready, Unavailable> {
        let transaction = released.transaction();
        self.unbroken(transaction)?;
        let backend = self.backend.take().filter(|backend| backend.has_open(transaction));
        let backend = backend.ok_or_else(Unavailable::nowhere)?;
        let server = Arc::clone(&backend.server);
        self.noted(&server, backend.content(released, rest).await)
    }

    /// Begins a message in a session that comes back behind it; its content goes to [`backend`](Self::backend). Where
    /// that fails, so has the transaction: another backend has not heard of its recipients.
    pub async fn begin(&mut self, released: &Released) -> Result<Begun, Unavailable> {
        let transaction = released.transaction();
        self.unbroken(transaction)?;
        let backend = self.backend.take().filter(|backend| backend.has_open(transaction));
        let mut backend = backend.ok_or_else(Unavailable::nowhere)?;
        let begun = backend.begin(released).await;
        let begun = self.kept(backend, begun);
        if let Err(unavailable) = &begun {
            self.broken = Some((transaction, unavailable.clone()));
        }
        begun
    }

    /// The backend's reply to a message, or to a chunk of one, within `limit`.
    pub async fn end(&mut self, command: ContentCommand, limit: Duration) -> Result<Reply, Unavailable> {
        let mut backend = self.backend.take().ok_or_else(Unavailable::nowhere)?;
        let ended = backend.end(command, limit).await;
        self.messages += u64::from(command.is_last() && ended.as_ref().is_ok_and(is_done));
        self.kept(backend, ended)
    }

    /// How many messages the backend has accepted in a session that came back behind them.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The backend that a message goes to.
    pub(crate) fn backend(&mut self) -> Option<&mut Backend> {
        self.backend.as_deref_mut()
    }

    /// Hands over at STARTTLS or AUTH; `rest` is what the client has sent behind the line.
    pub async fn passthrough(
        &mut self,
        passthrough: &Passthrough,
        rest: &[u8],
    ) -> Result<Ready, Unavailable> {
        let backend = self.take_or_connect(passthrough.helo(), None).await?;
        let server = Arc::clone(&backend.server);
        self.noted(&server, backend.passthrough(passthrough, rest).await)
    }

    /// One try, with the backend that is open or a new one.
    async fn ask(&mut self, checked: &Checked, avoid: Option<&Arc<Server>>) -> Result<Reply, Lost> {
        let connected = self.take_or_connect(checked.helo(), avoid).await;
        let mut backend =
            connected.map_err(|unavailable| Lost { unavailable, from: None, farewell: None })?;
        match backend.recipient(checked).await {
            Ok(reply) => {
                if is_done(&reply) {
                    self.promised = Some(checked.transaction());
                }
                self.backend = Some(backend);
                Ok(reply)
            }
            Err(failure) => Err(Lost {
                unavailable: self.backends.unavailable(&backend.server, &failure),
                from: Some(backend.server),
                farewell: failure.farewell(),
            }),
        }
    }

    async fn take_or_connect(
        &mut self,
        helo: Option<&Helo>,
        avoid: Option<&Arc<Server>>,
    ) -> Result<Box<Backend>, Unavailable> {
        if let Some(backend) = self.backend.take() {
            return Ok(backend);
        }
        let client = Client {
            ends: Some(self.ends),
            names: self.names.as_ref(),
            helo,
            id: Some(self.id),
            tls: self.tls.as_ref(),
            hostname: self.backends.hostname(),
        };
        self.backends.connect(client, Greeting::Read, avoid).await
    }

    fn unbroken(&self, transaction: u64) -> Result<(), Unavailable> {
        match &self.broken {
            Some((broken, unavailable)) if *broken == transaction => Err(unavailable.clone()),
            _ => Ok(()),
        }
    }

    /// Keeps a backend that is in step.
    fn kept<T>(&mut self, backend: Box<Backend>, outcome: Outcome<T>) -> Result<T, Unavailable> {
        let server = Arc::clone(&backend.server);
        if outcome.is_ok() {
            self.backend = Some(backend);
        }
        self.noted(&server, outcome)
    }

    fn noted<T>(&self, server: &Server, outcome: Outcome<T>) -> Result<T, Unavailable> {
        outcome.map_err(|failure| self.backends.unavailable(server, &failure))
    }
}

impl Drop for Handoff {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            backend.quit();
        }
    }
}

/// A try that came to nothing.
struct Lost {
    unavailable: Unavailable,
    /// The server that had been open.
    from: Option<Arc<Server>>,
    /// What it said last, where the client shall hear it.
    farewell: Option<Reply>,
}
