//! STARTTLS: ended here, or handed over to the backend, as AUTH may be.

use std::time::Instant;

use super::{Ended, Visit};
use crate::dialogue::{Encryption, Offer, Passthrough, Session};
use crate::handoff::{Handoff, Ready, Unavailable};
use crate::limits::State;
use crate::policy::{ClientNames, TlsFacts};
use crate::report::{HandOff, Outcome};
use crate::smtp::line::LineBuffer;
use crate::tls::Stream;

impl Visit<'_> {
    /// What EHLO may offer to this client, and what it must do.
    pub(super) async fn offer(&self, names: &ClientNames) -> Offer {
        Offer {
            capabilities: self.site.backends.capabilities(),
            starttls: self.site.starttls,
            auth: self.site.auth,
            encryption: self.encryption(names).await,
        }
    }

    /// A list that cannot be asked requires nothing: that is no fault of the client's, and it may have no TLS.
    async fn encryption(&self, names: &ClientNames) -> Encryption {
        let (list, client) = (self.site.tls_required.current(), self.client());
        let name = match list.has_names() {
            true => self.site.policy.names(names, client).await.name.as_deref(),
            false => None,
        };
        match list.matches_client(name, client) {
            Ok(true) => Encryption::Required,
            Ok(false) => Encryption::Optional,
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(error, "tls.required cannot be looked up, so nothing is required");
                Encryption::Optional
            }
        }
    }

    /// The TLS handshake. Whatever goes wrong with it ends this connection.
    pub(super) async fn secured(
        self: Box<Self>,
        session: &mut Session,
        handoff: &mut Handoff,
    ) -> Result<Box<Self>, Ended> {
        let (Some(acceptor), Stream::Plain(socket)) = (&self.site.tls, self.stream) else {
            return Err(Ended(Outcome::BadTls));
        };
        let stream = acceptor.accept(socket).await.map_err(|_| Ended(Outcome::BadTls))?;
        if let Some((protocol, cipher, bits)) = stream.agreed() {
            let facts = TlsFacts { protocol, cipher, bits };
            self.report.secured(facts.clone());
            handoff.secured(facts.clone());
            session.secured(facts);
        }
        // A new buffer: whatever was said in clear, nothing of it can be read inside TLS.
        Ok(Box::new(Self { stream, input: LineBuffer::new(), ..*self }))
    }

    /// Leaves the session to a backend; `rest` is what the client has sent behind its command.
    pub(super) async fn pass_through(
        &mut self,
        handoff: &mut Handoff,
        passthrough: &Passthrough,
        names: &ClientNames,
        rest: &[u8],
    ) -> Result<Ready, Unavailable> {
        if self.seat.state() != State::Relay && self.seat.relay(&self.site.limits).is_err() {
            return Err(Unavailable::full());
        }
        if let Some(names) = self.names_for_backend(names).await {
            handoff.named(names);
        }
        let begun = Instant::now();
        let ready = handoff.passthrough(passthrough, rest).await;
        let server = ready.as_ref().ok().map(|ready| ready.server.clone());
        self.report.handed_over(HandOff { server, took: begun.elapsed() });
        ready
    }
}
