//! Asking a server whether it would take mail for an address: `reject_unverified_recipient` and its sister.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::backend::{Backend, Greeting, Outcome, is_done};
use super::backends::Backends;
use super::introduction::Client;
use super::trouble::{Phase, Unavailable};
use crate::policy::{Probed, Verifier};
use crate::proxy_protocol::Endpoints;
use crate::smtp::address::{Address, ReversePath};
use crate::smtp::reply::Reply;

/// Asks the backends about addresses, on our own behalf: connects, offers a message that never comes, and leaves.
#[derive(Debug)]
pub struct AddressProbe {
    backends: Arc<Backends>,
    sender: ReversePath,
    client: Option<Endpoints>,
}

impl AddressProbe {
    /// `sender` is in whose name they are asked.
    pub fn new(backends: Arc<Backends>, sender: ReversePath) -> Self {
        Self { backends, sender, client: None }
    }

    /// Asks as if for a client: what would it be told?
    #[must_use]
    pub fn on_behalf_of(self, client: Endpoints) -> Self {
        Self { client: Some(client), ..self }
    }

    async fn ask(&self, address: &Address) -> Probed {
        let Ok(mut backend) = self.connect().await else { return Probed::Failed };
        match self.converse(&mut backend, address).await {
            Ok(probed) => {
                backend.quit();
                probed
            }
            Err(failure) => {
                let _ = self.backends.unavailable(&backend.server, &failure);
                Probed::Failed
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<Box<Backend>, Unavailable> {
        let client = Client { ends: self.client, ..Client::ourselves(self.backends.hostname()) };
        self.backends.connect(client, Greeting::Read, None).await
    }

    /// Up to the reply to RCPT.
    pub(super) async fn converse(&self, backend: &mut Backend, address: &Address) -> Outcome<Probed> {
        let hello = backend.ask(Phase::Helo, &format!("EHLO {}", self.backends.hostname())).await?;
        if !is_done(&hello) {
            return Ok(Probed::Deferred(said(backend, &hello, "EHLO")));
        }
        // RFC 6531 §3.4: an address in other than ASCII needs a message that may hold such.
        let utf8 = if address.as_str().is_ascii() { "" } else { " SMTPUTF8" };
        let mail = backend.ask(Phase::Envelope, &format!("MAIL FROM:{}{utf8}", self.sender)).await?;
        if !is_done(&mail) {
            // Whatever it has against us says nothing of the address.
            return Ok(Probed::Deferred(said(backend, &mail, "MAIL FROM")));
        }
        let rcpt = backend.ask(Phase::Envelope, &format!("RCPT TO:<{address}>")).await?;
        Ok(match rcpt.code() {
            200..300 => Probed::Deliverable,
            500.. => Probed::Undeliverable(said(backend, &rcpt, "RCPT TO")),
            _ => Probed::Deferred(said(backend, &rcpt, "RCPT TO")),
        })
    }
}

impl Verifier for AddressProbe {
    fn probe<'a>(&'a self, address: &'a Address) -> Pin<Box<dyn Future<Output = Probed> + Send + 'a>> {
        Box::pin(self.ask(address))
    }
}

/// The server's words, as Postfix's bounces quote them.
pub(super) fn said(backend: &Backend, reply: &Reply, command: &str) -> String {
    format!("host {} said: {reply} (in reply to {command} command)", backend.server())
}
