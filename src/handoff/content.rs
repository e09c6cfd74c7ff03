//! The last step: a backend that is ready for the relay, at the command behind which the client's own bytes go on.

use super::backend::{Backend, Outcome, is_done};
use super::trouble::{Failure, Phase, Trouble};
use crate::dialogue::{ContentCommand, Passthrough, Released};
use crate::smtp::reply::Reply;
use crate::wire::Socket;

/// A backend that is ready for the relay.
#[derive(Debug)]
pub struct Ready {
    /// The connection to it.
    pub socket: Socket,
    /// What it is sent first: the command at which the client is handed over, and what followed it.
    pub to_backend: Vec<u8>,
    /// What the client is sent first: a reply that is already there.
    pub to_client: Vec<u8>,
}

impl Backend {
    /// Tells the server what the lists give the message, and hands over at DATA or BDAT. `rest` is what the client
    /// has sent behind it.
    pub(super) async fn content(mut self, released: &Released, rest: &[u8]) -> Outcome<Ready> {
        let effects = released.effects();
        for address in &effects.bcc {
            let reply = self.ask(Phase::Envelope, &format!("RCPT TO:<{}>", printable(address))).await?;
            if !is_done(&reply) {
                let said = reply.to_string();
                tracing::warn!(
                    server = self.server.name,
                    address,
                    said,
                    "the backend refuses a BCC recipient"
                );
            }
        }
        let header: String = effects.prepend.iter().map(|line| printable(line) + "\r\n").collect();
        let line = released.command().line() + "\r\n";
        match released.command() {
            _ if header.is_empty() => self.ready(&[line.as_bytes(), rest], None).await,
            ContentCommand::Data => {
                let reply = self.ask_with(Phase::Envelope, "DATA", &[]).await?;
                match reply.code() {
                    354 => self.ready(&[header.as_bytes(), rest], Some(reply)).await,
                    400.. => self.ready(&[rest], Some(reply)).await,
                    _ => Err(Failure {
                        phase: Phase::Envelope,
                        trouble: Trouble::Malformed,
                        reply: Some(reply),
                    }),
                }
            }
            // A chunk of our own, whose reply the client has not asked for (RFC 3030 §2). If it is refused, so is
            // the client's chunk behind it.
            ContentCommand::Bdat { .. } => {
                let chunk = format!("BDAT {}", header.len());
                self.ask_with(Phase::Envelope, &chunk, header.as_bytes()).await?;
                self.ready(&[line.as_bytes(), rest], None).await
            }
        }
    }

    /// Introduces the client and hands over at the line that it has sent, `rest` behind it.
    pub(super) async fn passthrough(mut self, passthrough: &Passthrough, rest: &[u8]) -> Outcome<Ready> {
        self.forget_transaction().await?;
        if let Some(refusal) = self.introduce(passthrough.helo()).await? {
            return Err(Failure::rejected(Phase::Helo, refusal));
        }
        let line = format!("{}\r\n", passthrough.line());
        self.ready(&[line.as_bytes(), rest], None).await
    }

    /// A server that is out of step now would answer every later command of the client with an earlier one's reply.
    async fn ready(mut self, to_backend: &[&[u8]], reply: Option<Reply>) -> Outcome<Ready> {
        self.conversation.overhear().await.map_err(|lost| lost.at(Phase::Envelope))?;
        let (socket, _) = self.conversation.into_parts();
        let to_client = reply.map(|reply| reply.to_wire()).unwrap_or_default();
        Ok(Ready { socket, to_backend: to_backend.concat(), to_client })
    }
}

/// What a table gave as one line of a header or an address, without anything that could end the line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
