//! One message in a session that comes back behind it (`relay.inspect = "transaction"`).

use std::time::Duration;

use super::{Ended, Visit};
use crate::dialogue::{ContentCommand, Released, Session, Step};
use crate::handoff::{Begun, Handoff};
use crate::relay::{self, Forwarded};
use crate::report::Outcome;
use crate::wire::Then;

/// How long a backend that spoke in the middle of a message may take to finish what it says.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Visit<'_> {
    /// Forwards one message, or one chunk of it, and goes back to the dialogue.
    pub(super) async fn message(
        &mut self,
        session: &mut Session,
        handoff: &mut Handoff,
        released: &Released,
    ) -> Result<Step, Ended> {
        let (command, settings) = (released.command(), &self.site.relay);
        match handoff.begin(released).await {
            Ok(Begun::Go(None)) => {}
            Ok(Begun::Go(Some(reply))) => self.say(&[reply], None, Then::Listen).await?,
            Ok(Begun::Refused(reply)) => return Ok(session.continued(command, reply)),
            Err(_) => return Ok(session.undeliverable(command)),
        }
        let backend = handoff.backend().ok_or(Ended(Outcome::Unavailable))?;
        match relay::message(&mut self.stream, &mut self.input, backend, command, settings).await {
            Forwarded::Whole => self.ended(session, handoff, command).await,
            Forwarded::Noted => {
                session.suspected();
                self.ended(session, handoff, command).await
            }
            Forwarded::BareNewline => Ok(session.smuggled()),
            Forwarded::Interrupted => Self::interrupted(handoff, command).await,
            Forwarded::ClientGone => Err(Ended(Outcome::HungUp)),
            Forwarded::Idle => Err(Ended(Outcome::TimedOut)),
        }
    }

    /// The backend's word on what it was sent. Without one nobody knows whether the message was taken, so the client
    /// is told nothing either.
    async fn ended(
        &self,
        session: &mut Session,
        handoff: &mut Handoff,
        command: ContentCommand,
    ) -> Result<Step, Ended> {
        let reply = handoff.end(command, self.site.relay.idle_timeout).await;
        let reply = reply.map_err(|_| Ended(Outcome::Unavailable))?;
        Ok(if command.is_last() { session.delivered(reply) } else { session.continued(command, reply) })
    }

    /// The backend has spoken before the end. Its refusal is passed on; nothing else makes sense there.
    async fn interrupted(handoff: &mut Handoff, command: ContentCommand) -> Result<Step, Ended> {
        match handoff.end(command, LAST_WORDS).await {
            Ok(reply) if !reply.is_positive() => Ok(Step::Close { replies: vec![reply], delay: None }),
            _ => Err(Ended(Outcome::Unavailable)),
        }
    }
}
