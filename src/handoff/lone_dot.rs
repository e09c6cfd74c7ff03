//! Asking a server what it takes for the end of a message. That takes a message, so it is only sent to whom the operator
//! names.

use std::time::Duration;

use super::backend::{Backend, Outcome};
use super::lockstep::Lost;
use super::trouble::{Phase, Trouble};
use super::verify::{AddressProbe, said};
use crate::policy::Probed;
use crate::smtp::address::Address;
use crate::smtp::reply::Reply;

/// What a server makes of a dot behind a bare LF, `<LF>.<CR><LF>` (SMTP smuggling, CVE-2023-51764).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoneDot {
    /// It is the end of the message to it: who finds a server that sends such, can smuggle.
    Taken,
    /// The message is refused, in these words.
    Refused(String),
    /// It is content.
    Content,
    /// It did not come to that.
    Unknown(String),
}

/// The message, up to the dot that is none. What stands behind it, is a blank to whoever takes it for an end.
const MESSAGE: &str = "Subject: prescreen preflight\r\n\r\nSent by prescreen preflight --to, in order to see what the \
                       server takes for the end of a message.\n.\r\n";

/// How long a server has to say that it takes the dot for an end.
const HESITATION: Duration = Duration::from_secs(2);

impl AddressProbe {
    /// Sends a message to `address`, which must be willing, with a lone dot in it.
    pub async fn lone_dot(&self, address: &Address) -> LoneDot {
        let mut backend = match self.connect().await {
            Ok(backend) => backend,
            Err(unavailable) => return LoneDot::Unknown(unavailable.to_string()),
        };
        let asked = match self.converse(&mut backend, address).await {
            Ok(Probed::Deliverable) => backend.lone_dot().await,
            Ok(Probed::Undeliverable(words) | Probed::Deferred(words)) => Ok(LoneDot::Unknown(words)),
            Ok(Probed::Failed) => Ok(LoneDot::Unknown("nobody answers".to_owned())),
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(made) => {
                backend.quit();
                made
            }
            Err(failure) => {
                LoneDot::Unknown(format!("{} at {}", failure.trouble.as_str(), failure.phase.as_str()))
            }
        }
    }
}

impl Backend {
    async fn lone_dot(&mut self) -> Outcome<LoneDot> {
        let (phase, limit) = (Phase::Envelope, self.settings.command_timeout);
        let reply = self.ask_with(phase, "DATA", &[]).await?;
        if reply.code() != 354 {
            return Ok(LoneDot::Unknown(said(self, &reply, "DATA")));
        }
        let lost = |lost: Lost| lost.at(phase);
        self.conversation.promise();
        self.conversation.send(MESSAGE.as_bytes(), limit).await.map_err(lost)?;
        match self.conversation.reply(HESITATION.min(limit)).await {
            Ok(reply) if reply.is_positive() => return Ok(LoneDot::Taken),
            Ok(reply) | Err(Lost { farewell: Some(reply), .. }) => return Ok(self.refused(&reply)),
            Err(Lost { trouble: Trouble::Timeout, .. }) => {}
            // Some hang up without a word.
            Err(Lost { trouble: Trouble::Closed, .. }) => {
                return Ok(LoneDot::Refused("it hangs up".to_owned()));
            }
            Err(other) => return Err(lost(other)),
        }
        self.conversation.send(b".\r\n", limit).await.map_err(lost)?;
        match self.conversation.reply(limit).await {
            Ok(reply) if reply.is_positive() => {}
            Ok(reply) | Err(Lost { farewell: Some(reply), .. }) => return Ok(self.refused(&reply)),
            Err(other) => return Err(lost(other)),
        }
        // A server that hesitated longer has answered the first dot now, and takes the second for a command.
        match self.ask(phase, "RSET").await {
            Ok(reply) if reply.is_positive() => Ok(LoneDot::Content),
            Ok(_) => Ok(LoneDot::Taken),
            Err(failure) if failure.trouble == Trouble::Malformed => Ok(LoneDot::Taken),
            Err(failure) => Err(failure),
        }
    }

    fn refused(&self, reply: &Reply) -> LoneDot {
        LoneDot::Refused(said(self, reply, "end of data"))
    }
}
