//! The last step: a backend that is ready for the relay, at the command behind which the client's own bytes go on.

use std::sync::Arc;
use std::time::Duration;

use super::Link;
use super::backend::{Backend, Outcome, is_done};
use super::lockstep::Lost;
use super::server::Place;
use super::trouble::{Failure, Phase, Trouble};
use crate::dialogue::{ContentCommand, Passthrough, Released};
use crate::smtp::command::Verb;
use crate::smtp::reply::Reply;

/// A backend that is ready for the relay.
#[derive(Debug)]
pub struct Ready {
    /// The server, as configured.
    pub server: Arc<str>,
    /// The way to it.
    pub link: Link,
    /// What it is sent first: the command at which the client is handed over, and what followed it.
    pub to_backend: Vec<u8>,
    /// What the client is sent first: a reply that is already there.
    pub to_client: Vec<u8>,
    /// The client's place at the server, to be kept until the relay has ended.
    pub place: Option<Place>,
}

/// A message that has begun, in a session that comes back behind it.
#[derive(Debug)]
pub enum Begun {
    /// The content may come; to DATA the server says so.
    Go(Option<Reply>),
    /// The server does not want it.
    Refused(Reply),
}

impl Backend {
    /// Tells the server what the lists give the message, and hands over at DATA or BDAT. `rest` is what the client
    /// has sent behind it.
    pub(super) async fn content(mut self: Box<Self>, released: &Released, rest: &[u8]) -> Outcome<Ready> {
        let header = self.header(released).await?;
        let line = released.command().line() + "\r\n";
        match released.command() {
            ContentCommand::Data if !header.is_empty() => match Box::pin(self.data()).await? {
                Begun::Refused(reply) => self.ready(&[rest], Some(reply)).await,
                Begun::Go(reply) => self.ready(&[header.as_bytes(), rest], reply).await,
            },
            ContentCommand::Data => self.ready(&[line.as_bytes(), rest], None).await,
            ContentCommand::Bdat { .. } => {
                Box::pin(self.chunk(&header)).await?;
                self.ready(&[line.as_bytes(), rest], None).await
            }
        }
    }

    /// Tells the server what the lists give the message, and says DATA or BDAT. The reply to BDAT comes behind its
    /// chunk.
    pub(super) async fn begin(&mut self, released: &Released) -> Outcome<Begun> {
        let header = self.header(released).await?;
        let limit = self.settings.command_timeout;
        let (begun, sent) = match released.command() {
            ContentCommand::Data => match self.data().await? {
                Begun::Refused(reply) => return Ok(Begun::Refused(reply)),
                begun => {
                    self.conversation.promise();
                    (begun, self.conversation.send(header.as_bytes(), limit).await)
                }
            },
            command @ ContentCommand::Bdat { .. } => {
                self.chunk(&header).await?;
                (Begun::Go(None), self.conversation.say(&command.line(), &[], limit).await)
            }
        };
        sent.map_err(|lost| lost.at(Phase::Envelope))?;
        Ok(begun)
    }

    /// The server's reply to a message, or to a chunk of one, its farewell (421) included.
    pub(super) async fn end(&mut self, command: ContentCommand, limit: Duration) -> Outcome<Reply> {
        let reply = match self.conversation.reply(limit).await {
            Err(Lost { farewell: Some(farewell), .. }) => farewell,
            reply => reply.map_err(|lost| lost.at(Phase::Envelope))?,
        };
        if (300..400).contains(&reply.code()) {
            let (phase, trouble) = (Phase::Envelope, Trouble::Malformed);
            return Err(Failure { phase, trouble, reply: Some(reply) });
        }
        if command.is_last() {
            // Where a transaction stands behind a refused chunk, servers disagree (RFC 3030 §4.2).
            (self.transaction, self.needs_rset) = (None, !is_done(&reply));
        }
        Ok(reply)
    }

    /// Names the recipients that the lists add, each once, and returns the header lines, until the server has taken
    /// them. Behind a first chunk it takes no recipient any more.
    async fn header(&mut self, released: &Released) -> Outcome<String> {
        if self.told == Some(released.transaction()) {
            return Ok(String::new());
        }
        let effects = released.effects();
        for address in effects.bcc.iter().skip(self.named) {
            Box::pin(self.bcc(address)).await?;
            self.named += 1;
        }
        Ok(effects.prepend.iter().map(|line| printable(line) + "\r\n").collect())
    }

    /// Names a recipient whom the lists add. The client has not asked for it, so a refusal is not told.
    async fn bcc(&mut self, address: &str) -> Outcome<()> {
        let reply = self.ask(Phase::Envelope, &format!("RCPT TO:<{}>", printable(address))).await?;
        if !is_done(&reply) {
            let said = reply.to_string();
            tracing::warn!(server = &*self.server.name, address, said, "the backend refuses a BCC recipient");
        }
        Ok(())
    }

    /// Says DATA. The header goes behind the 354.
    async fn data(&mut self) -> Outcome<Begun> {
        let phase = Phase::Envelope;
        let reply = self.ask_with(phase, "DATA", &[]).await?;
        match reply.code() {
            354 => {
                self.told = self.transaction;
                Ok(Begun::Go(Some(reply)))
            }
            400.. => Ok(Begun::Refused(reply)),
            _ => Err(Failure { phase, trouble: Trouble::Malformed, reply: Some(reply) }),
        }
    }

    /// Sends the header as a chunk of its own, whose reply the client has not asked for (RFC 3030 §2). If it is
    /// refused, so is the client's chunk behind it.
    async fn chunk(&mut self, header: &str) -> Outcome<()> {
        let chunk = format!("BDAT {}", header.len());
        if header.is_empty() || is_done(&self.ask_with(Phase::Envelope, &chunk, header.as_bytes()).await?) {
            self.told = self.transaction;
        }
        Ok(())
    }

    /// Introduces the client and hands over at the command that it has sent, `rest` behind it. A server that will not
    /// do the TLS that it offers is not left alone with the client: in clear, the envelope is ours to judge.
    pub(super) async fn passthrough(
        mut self: Box<Self>,
        passthrough: &Passthrough,
        rest: &[u8],
    ) -> Outcome<Ready> {
        self.forget_transaction().await?;
        if let Some(refusal) = self.introduce(passthrough.helo()).await? {
            return Err(Failure::rejected(Phase::Helo, refusal));
        }
        if passthrough.verb() == Verb::Auth {
            let line = format!("{}\r\n", passthrough.line());
            return self.ready(&[line.as_bytes(), rest], None).await;
        }
        let reply = self.ask(Phase::Helo, &passthrough.line()).await?;
        if reply.code() != 220 {
            return Err(Failure::rejected(Phase::Helo, reply));
        }
        self.ready(&[rest], Some(reply)).await
    }

    /// A server that is out of step now would answer every later command of the client with an earlier one's reply.
    async fn ready(mut self: Box<Self>, to_backend: &[&[u8]], reply: Option<Reply>) -> Outcome<Ready> {
        self.conversation.overhear().await.map_err(|lost| lost.at(Phase::Envelope))?;
        let server = Arc::clone(&self.server.name);
        let (link, _) = self.conversation.into_parts();
        let to_client = reply.map(|reply| reply.to_wire()).unwrap_or_default();
        Ok(Ready { server, link, to_backend: to_backend.concat(), to_client, place: self.place })
    }
}

/// What a table gave as one line of a header or an address, without anything that could end the line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
