//! What a second policy must know of a connection to judge it, too.
//!
//! Kept only for connections that somebody listens to: it holds what clients say of themselves and of their mail, in
//! full. It says what was decided here, and what was never learnt is not in it.

use crate::allowlist::{Record, Test};
use crate::dialogue::{Envelope, Finding, RefusedBy};
use crate::policy::{Cause, Names};
use crate::smtp::command::Verb;
use crate::smtp::reply::Reply;

use super::Refusal;

/// Decisions that are kept of one connection.
const DECISIONS: usize = 64;

/// What was heard of a client, and decided about it, in one connection.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// What the allowlist knew of the client when it came.
    pub remembered: Record,
    /// Deep tests that the client was held to, or had passed before: what it did not fail of these it has passed when
    /// it comes to a recipient, even where another failure keeps that from being told.
    pub watched: Vec<Test>,
    /// The client's names, if anybody has asked for them.
    pub names: Option<Names>,
    /// What was decided, in order: about each recipient, or about the command that kept one from being named.
    pub decisions: Vec<Decided>,
    /// Further decisions, of which nothing is kept.
    pub unkept: usize,
    /// Restrictions since the last decision that have asked others.
    consulted: Vec<Box<str>>,
    /// A limit on rates was exceeded since.
    exceeded: bool,
}

/// What was decided about one command.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The command, and what was said before it.
    pub envelope: Envelope,
    /// Who refused it; none if it was permitted. What the backend makes of it is another matter.
    pub refused: Option<Refused>,
    /// Restrictions that have asked others about it, as configured.
    pub consulted: Vec<Box<str>>,
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refused {
    /// How.
    pub how: Refusal,
    /// By whom.
    pub by: Refuser,
    /// What the client was told; empty where it was hung up on.
    pub reply: String,
}

/// Who refuses a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refuser {
    /// A test that the client has failed before.
    Test,
    /// A restriction.
    Restriction(Cause),
    /// A limit on sizes and numbers.
    Limit,
    /// A limit on what one client may do in a time.
    Rate,
}

impl Heard {
    /// Restrictions have asked others.
    pub(super) fn consulted(&mut self, restrictions: Vec<Box<str>>) {
        self.consulted.extend(restrictions);
        self.consulted.truncate(DECISIONS);
    }

    /// The client is over a limit on rates, and will be refused for it.
    pub(super) fn exceeded(&mut self) {
        self.exceeded = true;
    }

    /// A recipient was permitted, and the backend has accepted it.
    pub(super) fn accepted(&mut self, envelope: &Envelope) {
        self.decide(envelope, None);
    }

    /// Takes note of what `finding` says of a decision.
    pub(super) fn note(&mut self, finding: &Finding) {
        let (envelope, refused) = match finding {
            Finding::Reject { envelope, reply, by } => {
                let (how, reply) = (Refusal::by_reply(reply), Reply::to_string(reply));
                let by = if std::mem::take(&mut self.exceeded) { Refuser::Rate } else { refuser(by) };
                (envelope, Some(Refused { how, by, reply }))
            }
            Finding::HungUpOn { envelope, cause } => {
                let by = Refuser::Restriction(cause.clone());
                (envelope, Some(Refused { how: Refusal::HangUp, by, reply: String::new() }))
            }
            // Permitted here, whatever the backend made of it.
            Finding::BackendReject { envelope, .. } | Finding::Unavailable { envelope } => (envelope, None),
            _ => return,
        };
        let is_about_mail = ["CONNECT", Verb::Helo.as_str(), Verb::Ehlo.as_str(), Verb::Mail.as_str()];
        if envelope.command == Verb::Rcpt.as_str()
            || (refused.is_some() && is_about_mail.contains(&envelope.command))
        {
            self.decide(envelope, refused);
        }
    }

    fn decide(&mut self, envelope: &Envelope, refused: Option<Refused>) {
        let consulted = std::mem::take(&mut self.consulted);
        if self.decisions.len() < DECISIONS {
            self.decisions.push(Decided { envelope: envelope.clone(), refused, consulted });
        } else {
            self.unkept += 1;
        }
    }
}

fn refuser(by: &RefusedBy) -> Refuser {
    match by {
        RefusedBy::Test => Refuser::Test,
        RefusedBy::Restriction(cause) => Refuser::Restriction(cause.clone()),
        RefusedBy::Limit => Refuser::Limit,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::envelope;
    use super::*;
    use crate::policy::List;

    #[test]
    fn what_the_backend_refuses_was_permitted_here() {
        let mut heard = Heard::default();
        heard.accepted(&envelope("RCPT"));
        let reply = Reply::new(550, "5.1.1 unknown");
        heard.note(&Finding::BackendReject { envelope: envelope("RCPT"), reply: reply.clone() });
        heard.note(&Finding::Reject {
            envelope: envelope("RCPT"),
            reply: reply.clone(),
            by: RefusedBy::Test,
        });
        heard.note(&Finding::Reject { envelope: envelope("VRFY"), reply, by: RefusedBy::Test });
        let refused: Vec<_> = heard.decisions.iter().map(|decided| decided.refused.is_some()).collect();
        assert_eq!(refused, [false, false, true]);
    }

    #[test]
    fn whom_a_decision_has_asked_belongs_to_it_alone() {
        let mut heard = Heard::default();
        heard.consulted(vec!["check_policy_service unix:x".into()]);
        heard.accepted(&envelope("RCPT"));
        let cause = Cause {
            list: List::Recipient,
            verb: "reject",
            restriction: "reject".to_owned(),
            table: None,
            key: None,
            unanswered: false,
        };
        heard.note(&Finding::HungUpOn { envelope: envelope("RCPT"), cause });
        let consulted: Vec<_> = heard.decisions.iter().map(|decided| decided.consulted.len()).collect();
        assert_eq!(consulted, [1, 0]);
    }

    #[test]
    fn it_is_bounded() {
        let mut heard = Heard::default();
        (0..1_000).for_each(|_| heard.accepted(&envelope("RCPT")));
        assert_eq!((heard.decisions.len(), heard.unkept), (DECISIONS, 1_000 - DECISIONS));
    }
}
