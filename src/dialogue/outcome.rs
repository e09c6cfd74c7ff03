//! What a command comes to once it was judged, or a recipient once the backend has answered.

use std::sync::Arc;

use crate::allowlist::Test;
use crate::policy::{Cause, Decision, Effects, Judgement};
use crate::screen::Mode;
use crate::smtp::command::Verb;
use crate::smtp::envelope::{Helo, Mail, Rcpt};
use crate::smtp::reply::Reply;

use super::ehlo::{self, Pipelining};
use super::errors::Class;
use super::finding::{Envelope, Finding, RefusedBy};
use super::session::{Fault, Offered, Session, Transaction};
use super::step::{Awaited, Checked, Passthrough, Pending, Released, Step};

impl Session {
    /// The restriction lists have spoken: the command takes effect, or it is refused.
    pub fn decided(&mut self, pending: Pending, judgement: Judgement) -> Step {
        let Judgement { decision, effects, notes, .. } = judgement;
        let envelope = || self.envelope_of(&pending.command);
        let notes: Vec<_> =
            notes.into_iter().map(|note| Finding::Note { envelope: envelope(), note }).collect();
        self.findings.extend(notes);
        match decision {
            Decision::Permit => self.permitted_with(pending, effects),
            Decision::Refuse { reply, cause } if self.observes() => {
                self.would_reject(self.envelope_of(&pending.command), reply, RefusedBy::Restriction(cause));
                self.permitted(pending)
            }
            Decision::HangUp { cause } if self.observes() => {
                let reply = Reply::new(421, "4.7.0 Connection closed");
                self.would_reject(self.envelope_of(&pending.command), reply, RefusedBy::Restriction(cause));
                self.permitted(pending)
            }
            Decision::Refuse { reply, cause } => self.refused(&pending.command, reply, cause),
            Decision::HangUp { cause } => {
                let envelope = self.envelope_of(&pending.command);
                self.findings.push(Finding::HungUpOn { envelope, cause });
                Step::Close { replies: Vec::new(), delay: None }
            }
        }
    }

    /// The client does this more often than it may: `reply` says so, and it is an error of the client's own making.
    pub fn limited(&mut self, pending: &Pending, reply: Reply) -> Step {
        let envelope = self.envelope_of(&pending.command);
        if matches!(pending.command, Awaited::Rcpt(_)) {
            self.blame(Fault::Client);
        }
        self.refuse(envelope, reply, RefusedBy::Limit, Some(Class::Client))
    }

    /// The backend's answer to a recipient is the answer, in its own words. A refusal is no error of the client's
    /// own making; one for now is none at all, for it may come again each time: 452 behind the backend's own limit
    /// asks for nothing but another transaction (RFC 5321 §4.5.3.1.10).
    pub fn answered(&mut self, checked: Checked, reply: Reply) -> Step {
        let Checked { rcpt, effects, .. } = checked;
        match reply.code() {
            200..300 => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.accepted += 1;
                    transaction.last = Some(rcpt);
                    merge(&mut transaction.effects, effects);
                }
                self.commands = 0;
                self.put_off = 0;
                self.pass_on(reply, None)
            }
            400..600 => {
                let fault = if reply.is_transient() { Fault::Nobody } else { Fault::Backend };
                let class = self.not_accepted(fault);
                let envelope = self.envelope(Verb::Rcpt.as_str(), None, Some(&rcpt));
                self.findings.push(Finding::BackendReject { envelope, reply: reply.clone() });
                self.pass_on(reply, class)
            }
            // 354 to RCPT makes no sense, and a client that believed it would send its message to nobody.
            _ => self.not_asked(&rcpt),
        }
    }

    /// No backend could be asked for the recipient: 451, and no error of the client's.
    pub fn unavailable(&mut self, checked: Checked) -> Step {
        self.not_asked(&checked.rcpt)
    }

    fn not_asked(&mut self, rcpt: &Rcpt) -> Step {
        let class = self.not_accepted(Fault::Nobody);
        let envelope = self.envelope(Verb::Rcpt.as_str(), None, Some(rcpt));
        self.findings.push(Finding::Unavailable { envelope });
        let reply = self.dress(Reply::new(451, "4.3.0 Service temporarily unavailable"));
        self.pass_on(reply, class)
    }

    /// The command takes effect.
    pub(super) fn permitted(&mut self, pending: Pending) -> Step {
        self.permitted_with(pending, Effects::default())
    }

    fn permitted_with(&mut self, pending: Pending, effects: Effects) -> Step {
        match pending.command {
            Awaited::Connect => self.say(self.greeting()),
            Awaited::Helo(helo) => {
                self.introduce(helo);
                self.say(Reply::new(250, self.settings.hostname.clone()))
            }
            Awaited::Ehlo(helo) => {
                self.introduce(helo);
                let reply = self.offers();
                self.say(reply)
            }
            Awaited::Mail(mail) => {
                self.transaction = Some(Transaction::new(self.transactions, mail, effects));
                self.say(Reply::new(250, "2.1.0 Ok"))
            }
            Awaited::Rcpt(rcpt) => self.forward(rcpt, effects),
            Awaited::Data(command) => {
                let Some(transaction) = &mut self.transaction else { return self.say(no_transaction()) };
                merge(&mut transaction.effects, effects);
                transaction.chunked |= command.verb() == Verb::Bdat;
                let effects = transaction.effects.clone();
                Step::Relay(Released { command, transaction: transaction.number, effects })
            }
            Awaited::HandOver(command) => Step::Passthrough(Passthrough { helo: self.helo.clone(), command }),
            Awaited::Vrfy { argument, .. } => self.say(Reply::new(252, format!("2.0.0 {argument}"))),
            Awaited::Etrn(_) => {
                let reply = self.dress(Reply::new(458, "Unable to queue messages"));
                self.pass_on(reply, Some(Class::Client))
            }
        }
    }

    /// A list refuses the command.
    fn refused(&mut self, command: &Awaited, reply: Reply, cause: Cause) -> Step {
        let envelope = self.envelope_of(command);
        let fault = fault(&reply, &cause);
        let by = RefusedBy::Restriction(cause);
        match command {
            Awaited::Connect => self.refuse_connection(envelope, reply, by),
            Awaited::Data(command) if command.verb() == Verb::Bdat => {
                self.findings.push(Finding::Reject { envelope, reply: self.soften(reply.clone()), by });
                self.close(vec![reply])
            }
            Awaited::Rcpt(_) => {
                let class = self.not_accepted(fault);
                self.refuse(envelope, reply, by, class)
            }
            _ => self.refuse(envelope, reply, by, fault.class()),
        }
    }

    /// A recipient is refused, or put off: for the limits the latter is as good as one that was accepted. More of them
    /// than a message may have, and none accepted in between, is no message any more: the rest are errors, as
    /// recipients that the backend refuses.
    fn not_accepted(&mut self, fault: Fault) -> Option<Class> {
        self.blame(fault);
        if fault != Fault::Nobody {
            self.commands = self.commands.saturating_sub(1);
            return fault.class();
        }
        self.commands = 0;
        self.put_off += 1;
        if let Some(transaction) = &mut self.transaction {
            transaction.put_off += 1;
        }
        (self.put_off > self.settings.recipient_limit).then_some(Class::Recipient)
    }

    /// With `delay_reject = no` the refusal takes the greeting's place. Behind the teaser `220-` it cannot, since
    /// all lines of a reply have one code: the greeting is completed, and the first command is told.
    fn refuse_connection(&mut self, envelope: Arc<Envelope>, reply: Reply, by: RefusedBy) -> Step {
        if self.screened.teased() {
            self.findings.push(Finding::Reject { envelope, reply: self.soften(reply.clone()), by });
            self.denied = Some(reply);
            return self.say(self.greeting());
        }
        let name = self.peer.names.found().and_then(|names| names.name.as_deref()).unwrap_or("unknown");
        let address = self.peer.client.ip().to_canonical();
        self.denied = Some(Reply::new(503, format!("5.7.0 Error: access denied for {name}[{address}]")));
        self.refuse(envelope, reply, by, Some(Class::Client))
    }

    /// Whether refusals are only told of.
    pub(super) fn observes(&self) -> bool {
        self.settings.mode == Mode::Observe
    }

    /// Tells of a refusal that nobody shall feel.
    pub(super) fn would_reject(&mut self, envelope: Arc<Envelope>, reply: Reply, by: RefusedBy) {
        let reply = self.soften(reply);
        self.findings.push(Finding::WouldReject { envelope, reply, by });
    }

    /// Refuses a command, and tells of it.
    pub(super) fn refuse(
        &mut self,
        envelope: Arc<Envelope>,
        reply: Reply,
        by: RefusedBy,
        class: Option<Class>,
    ) -> Step {
        self.findings.push(Finding::Reject { envelope, reply: self.soften(reply.clone()), by });
        let reply = self.dress(reply);
        self.pass_on(reply, class)
    }

    /// Notes whose doing it is that a recipient was not accepted.
    pub(super) fn blame(&mut self, fault: Fault) {
        if let Some(transaction) = &mut self.transaction {
            transaction.fault = transaction.fault.max(Some(fault));
        }
    }

    fn forward(&mut self, rcpt: Arc<Rcpt>, effects: Effects) -> Step {
        let Some(transaction) = &self.transaction else { return self.say(no_transaction()) };
        Step::Forward(Checked {
            transaction: transaction.number,
            helo: self.helo.clone(),
            mail: Arc::clone(&transaction.mail),
            rcpt,
            effects,
        })
    }

    /// HELO and EHLO begin anew (RFC 5321 §4.1.4).
    fn introduce(&mut self, helo: Arc<Helo>) {
        self.protocol = helo.protocol;
        self.helo = Some(helo);
        self.transaction = None;
    }

    fn offers(&mut self) -> Reply {
        let pipelining =
            if self.deep.awaits(Test::Pipelining) { Pipelining::UnderTest } else { Pipelining::Allowed };
        let lines = ehlo::lines(&self.settings, &self.discarded, &self.offer, pipelining, self.channel());
        let offered = lines.iter().any(|line| line == "PIPELINING");
        let reply = Reply::multiline(250, lines);
        self.pipelining = if offered { Offered::Yes } else { Offered::No };
        reply
    }

    fn envelope_of(&self, command: &Awaited) -> Arc<Envelope> {
        match command {
            Awaited::Connect => self.envelope("CONNECT", None, None),
            Awaited::Helo(helo) => self.envelope_with(Verb::Helo, helo),
            Awaited::Ehlo(helo) => self.envelope_with(Verb::Ehlo, helo),
            Awaited::Mail(mail) => self.envelope(Verb::Mail.as_str(), Some(mail), None),
            Awaited::Rcpt(rcpt) => self.envelope(Verb::Rcpt.as_str(), None, Some(rcpt)),
            Awaited::Data(command) => self.envelope(command.verb().as_str(), None, None),
            Awaited::Vrfy { rcpt, .. } => self.envelope(Verb::Vrfy.as_str(), None, Some(rcpt)),
            Awaited::Etrn(_) => self.envelope(Verb::Etrn.as_str(), None, None),
            Awaited::HandOver(command) => self.envelope(command.verb().as_str(), None, None),
        }
    }

    fn envelope_with(&self, verb: Verb, helo: &Helo) -> Arc<Envelope> {
        Arc::new(Envelope {
            command: verb.as_str(),
            sender: None,
            recipient: None,
            protocol: helo.protocol,
            helo: Some(helo.name.clone()),
        })
    }

    /// The envelope as a log line shows it; `mail` where MAIL has not taken effect yet.
    pub(super) fn envelope(
        &self,
        command: &'static str,
        mail: Option<&Mail>,
        rcpt: Option<&Rcpt>,
    ) -> Arc<Envelope> {
        let begun = self.transaction.as_ref().map(|transaction| &*transaction.mail);
        Arc::new(Envelope {
            command,
            sender: mail.or(begun).map(|mail| mail.sender.as_str().to_owned()),
            recipient: rcpt.map(|rcpt| rcpt.recipient.as_str().to_owned()),
            protocol: self.protocol,
            helo: self.helo.as_ref().map(|helo| helo.name.clone()),
        })
    }
}

/// Whose doing it is that a list refuses.
///
/// Greylisting asks for nothing but patience, and so does an address that nobody could be asked about: a client that
/// is dropped for it has its other recipients put off another time, when it comes back to ask about them. That there
/// is no such recipient is what the backend would have said.
fn fault(reply: &Reply, cause: &Cause) -> Fault {
    if reply.is_transient() && (cause.unanswered || cause.is_policy_service()) {
        Fault::Nobody
    } else if cause.is_unknown_recipient() {
        Fault::Backend
    } else {
        Fault::Client
    }
}

/// Adds what is not there yet: lists that are judged for each recipient give the same line each time.
fn merge(effects: &mut Effects, more: Effects) {
    for (lines, more) in [(&mut effects.prepend, more.prepend), (&mut effects.bcc, more.bcc)] {
        for line in more {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
}

/// A judgement for a transaction that has ended meanwhile: the caller has mixed up its steps, the client has not.
fn no_transaction() -> Reply {
    Reply::new(451, "4.3.0 Service temporarily unavailable")
}
