//! What each command does until it is judged: order, syntax, limits.

use std::sync::Arc;

use crate::smtp::command::{Command, Verb};
use crate::smtp::envelope::{Helo, Mail, Parameter, Protocol, Rcpt};
use crate::smtp::excerpt::excerpt;
use crate::smtp::reply::Reply;
use crate::smtp::syntax::SyntaxError;
use crate::tls::Starttls;

use super::ehlo::{self, Place, Unusable};
use super::errors::Class;
use super::finding::{After, Finding, RefusedBy};
use super::session::{Fault, Session};
use super::settings::Encryption;
use super::step::{Awaited, ContentCommand, HandOver, Pending, Step, Waiting};

impl Session {
    /// Does what `command` says, or asks whether it may.
    pub(super) fn command(&mut self, command: Command, after: After, waiting: Waiting<'_>) -> Step {
        if let Some(step) = self.in_clear(&command, after) {
            return step;
        }
        match command {
            Command::Helo(argument) => self.helo_command(Protocol::Smtp, &argument),
            Command::Ehlo(argument) => self.helo_command(Protocol::Esmtp, &argument),
            Command::Mail(mail) => self.mail_command(mail, after),
            Command::Rcpt(rcpt) => self.rcpt_command(rcpt, after),
            Command::Data => self.content_command(ContentCommand::Data, after),
            Command::Bdat { size, last } => self.content_command(ContentCommand::Bdat { size, last }, after),
            Command::Rset => {
                self.transaction = None;
                self.say(ok())
            }
            Command::Noop => self.say(ok()),
            Command::Vrfy { rcpt, argument } => self.vrfy_command(rcpt, argument, after),
            Command::Etrn(domain) => self.etrn_command(domain, after),
            Command::StartTls => self.starttls_command(after, waiting),
            Command::Auth(argument) => self.auth_command(&argument, after),
            Command::Help => self.say(help()),
            Command::Quit => self.quit(),
            Command::Unknown { .. } => {
                self.client_error(after, Reply::new(500, "5.5.2 Error: command not recognized"))
            }
        }
    }

    /// A line that is no command; an error of order goes before one of syntax.
    pub(super) fn syntax_error(&mut self, error: &SyntaxError, after: After) -> Step {
        match error.verb() {
            Some(Verb::Data) if self.accepted() == 0 => self.no_recipient(Verb::Data, after),
            Some(verb) => {
                let reply = self.out_of_order(verb).unwrap_or_else(|| error.reply());
                self.client_error(after, reply)
            }
            None => self.client_error(after, error.reply()),
        }
    }

    pub(super) fn quit(&mut self) -> Step {
        self.close(vec![Reply::new(221, "2.0.0 Bye")])
    }

    /// Once EHLO was said, HELO does not take ESMTP back: it would forbid the pipelining that was offered.
    fn helo_command(&mut self, protocol: Protocol, argument: &str) -> Step {
        let spoken = if self.protocol == Protocol::Esmtp { Protocol::Esmtp } else { protocol };
        let helo = Arc::new(Helo::new(spoken, argument));
        self.judge(match protocol {
            Protocol::Smtp => Awaited::Helo(helo),
            Protocol::Esmtp => Awaited::Ehlo(helo),
        })
    }

    fn mail_command(&mut self, mail: Mail, after: After) -> Step {
        if self.observes() && self.settings.helo_required && self.helo.is_none() {
            let envelope = self.envelope(Verb::Mail.as_str(), Some(&mail), None);
            self.would_reject(envelope, need_helo(), RefusedBy::Limit);
        }
        if let Some(reply) =
            self.out_of_order(Verb::Mail).or_else(|| self.unusable(Place::Mail, &mail.parameters))
        {
            return self.client_error(after, reply);
        }
        self.transactions += 1;
        let limit = self.settings.message_size_limit;
        if limit > 0 && mail.size().is_some_and(|size| size > limit) {
            let envelope = self.envelope(Verb::Mail.as_str(), Some(&mail), None);
            let reply = Reply::new(552, "5.3.4 Message size exceeds fixed limit");
            if !self.observes() {
                return self.refuse(envelope, reply, RefusedBy::Limit, Some(Class::Client));
            }
            self.would_reject(envelope, reply, RefusedBy::Limit);
        }
        self.judge(Awaited::Mail(Arc::new(mail)))
    }

    /// The first RCPT that comes in sequence is where the deep tests are passed.
    fn rcpt_command(&mut self, rcpt: Rcpt, after: After) -> Step {
        if let Some(reply) = self.out_of_order(Verb::Rcpt) {
            return self.client_error(after, reply);
        }
        let rcpt = Arc::new(rcpt);
        self.at_hand = Some(Arc::clone(&rcpt));
        let Some(transaction) = &mut self.transaction else {
            return self.client_error(after, need_mail());
        };
        if rcpt.recipient.needs_smtputf8() && !transaction.mail.smtputf8() {
            let reply = SyntaxError::Recipient(Verb::Rcpt).reply();
            return self.client_error(after, reply);
        }
        if transaction.accepted + transaction.put_off >= self.settings.recipient_limit {
            transaction.overshoot += 1;
            self.commands = self.commands.saturating_sub(1);
            let class =
                (transaction.overshoot > self.settings.recipient_overshoot_limit).then_some(Class::Client);
            let envelope = self.envelope(Verb::Rcpt.as_str(), None, Some(&rcpt));
            let reply = Reply::new(452, "4.5.3 Error: too many recipients");
            return self.refuse(envelope, reply, RefusedBy::Limit, class);
        }
        if let Some(reply) = self.unusable(Place::Rcpt, &rcpt.parameters) {
            return self.client_error(after, reply);
        }
        if let Some(step) = self.standing_refusal(Verb::Rcpt, &rcpt) {
            return step;
        }
        let passed = self.deep.pass();
        if !passed.is_empty() {
            self.findings.push(Finding::Passed(passed));
        }
        self.judge(Awaited::Rcpt(rcpt))
    }

    /// DATA or BDAT. Content that nobody wants cannot be told from commands: behind BDAT it is under way already,
    /// so there a refusal ends the session. As in Postfix the lists judge a message, and not each chunk of it.
    fn content_command(&mut self, command: ContentCommand, after: After) -> Step {
        let verb = command.verb();
        if let Some(reply) = self.out_of_order(verb) {
            return self.client_error(after, reply);
        }
        if self.accepted() == 0 {
            return self.no_recipient(verb, after);
        }
        if let Some(reply) = self.standing.clone() {
            return self.close(vec![reply]);
        }
        if self.is_chunked() {
            return self.permitted(Pending { command: Awaited::Data(command) });
        }
        self.judge(Awaited::Data(command))
    }

    fn vrfy_command(&mut self, rcpt: Rcpt, argument: String, after: After) -> Step {
        if let Some(reply) = self.out_of_order(Verb::Vrfy) {
            return self.client_error(after, reply);
        }
        if let Some(step) = self.standing_refusal(Verb::Vrfy, &rcpt) {
            return step;
        }
        self.judge(Awaited::Vrfy { rcpt: Arc::new(rcpt), argument })
    }

    fn etrn_command(&mut self, domain: String, after: After) -> Step {
        match self.out_of_order(Verb::Etrn) {
            Some(reply) => self.client_error(after, reply),
            None => self.judge(Awaited::Etrn(domain)),
        }
    }

    /// Bytes behind STARTTLS would be read inside TLS as if the client had sent them there (CVE-2011-0411): they end
    /// the session.
    fn starttls_command(&mut self, after: After, waiting: Waiting<'_>) -> Step {
        if self.tls.is_some() {
            return self.client_error(after, Reply::new(554, "5.5.1 Error: TLS already active"));
        }
        let starttls = self.starttls();
        if starttls == Starttls::Off {
            return self.client_error(after, Reply::new(502, "5.5.1 Error: command not implemented"));
        }
        if let Waiting::Bytes(waiting) = waiting {
            self.findings.push(Finding::InjectedBehindStartTls { waiting: excerpt(waiting) });
            return self.close(vec![Reply::new(554, "5.5.0 Error: SMTP protocol synchronization")]);
        }
        if starttls == Starttls::Terminate {
            return Step::StartTls(Reply::new(220, "2.0.0 Ready to start TLS"));
        }
        self.hand_over(HandOver::StartTls)
    }

    fn auth_command(&mut self, argument: &str, after: After) -> Step {
        if let Some(reply) = self.out_of_order(Verb::Auth) {
            return self.client_error(after, reply);
        }
        self.hand_over(HandOver::Auth(argument.to_owned()))
    }

    /// Leaves the session to the backend if the lists permit, unless the client has failed a test: behind this,
    /// nobody could tell it.
    fn hand_over(&mut self, command: HandOver) -> Step {
        match self.standing.clone() {
            Some(reply) => self.close(vec![reply]),
            None => self.judge(Awaited::HandOver(command)),
        }
    }

    /// What a client that must use STARTTLS is told to any other command but those that lead there (RFC 3207 §4). It
    /// is an invitation, and no error yet; where there is no STARTTLS for want of a backend, that is our fault.
    fn in_clear(&mut self, command: &Command, after: After) -> Option<Step> {
        if self.offer.encryption == Encryption::Optional || self.tls.is_some() {
            return None;
        }
        let is_chunk = match command {
            Command::Helo(_)
            | Command::Ehlo(_)
            | Command::StartTls
            | Command::Noop
            | Command::Help
            | Command::Quit
            | Command::Unknown { .. } => return None,
            Command::Bdat { .. } => true,
            _ => false,
        };
        let reply = self.dress(match self.starttls() {
            Starttls::Off => Reply::new(454, "4.7.0 TLS not available due to local problem"),
            Starttls::Terminate | Starttls::Passthrough => {
                Reply::new(530, "5.7.0 Must issue a STARTTLS command first")
            }
        });
        self.findings.push(Finding::ProtocolError { after, reply: reply.clone() });
        // The chunk is under way already, and cannot be told from commands.
        Some(if is_chunk {
            Step::Close { replies: vec![reply], delay: None }
        } else {
            self.pass_on(reply, None)
        })
    }

    /// Asks the restriction lists; a client that has failed a test is past asking, and only learns it at RCPT.
    fn judge(&mut self, command: Awaited) -> Step {
        let pending = Pending { command };
        if self.standing.is_some() { self.permitted(pending) } else { Step::Judge(pending) }
    }

    /// The refusal that stands over every recipient of a client that has failed a test. It was decided before, so
    /// it is no error of this command.
    fn standing_refusal(&mut self, verb: Verb, rcpt: &Rcpt) -> Option<Step> {
        let reply = self.standing.clone()?;
        let envelope = self.envelope(verb.as_str(), None, Some(rcpt));
        if verb == Verb::Rcpt {
            self.blame(Fault::Client);
        }
        Some(self.refuse(envelope, reply, RefusedBy::Test, None))
    }

    /// DATA or BDAT without an accepted recipient. A client that pipelines sends DATA before it knows that the
    /// backend wants none of its recipients, so whose error this is depends on who refused them.
    fn no_recipient(&mut self, verb: Verb, after: After) -> Step {
        self.findings.push(Finding::WithoutRecipient { command: verb.as_str() });
        let (reply, class) = match &self.transaction {
            None => (Reply::new(503, "5.5.1 Error: need RCPT command"), Some(Class::Client)),
            Some(transaction) => {
                let class = transaction.fault.unwrap_or(Fault::Client).class();
                (Reply::new(554, "5.5.1 Error: no valid recipients"), class)
            }
        };
        if verb == Verb::Bdat || self.standing.is_some() {
            return self.close(vec![reply]);
        }
        match class {
            Some(Class::Client) => self.client_error(after, reply),
            class => {
                let reply = self.dress(reply);
                self.pass_on(reply, class)
            }
        }
    }

    /// The reply to a command that may not come now.
    fn out_of_order(&self, verb: Verb) -> Option<Reply> {
        let needs_helo = self.settings.helo_required && self.helo.is_none() && !self.observes();
        let in_transaction = self.transaction.is_some();
        match verb {
            Verb::Mail if needs_helo => Some(need_helo()),
            Verb::Mail if in_transaction => Some(Reply::new(503, "5.5.1 Error: nested MAIL command")),
            Verb::Rcpt if !in_transaction => Some(need_mail()),
            // RFC 3030 §2. Behind one of these Exim takes nothing but RSET, and the next chunk for commands.
            Verb::Rcpt | Verb::Data if self.is_chunked() => {
                Some(Reply::new(503, format!("5.5.1 Error: {} after BDAT", verb.as_str())))
            }
            Verb::Etrn if needs_helo => Some(Reply::new(503, "Error: send HELO/EHLO first")),
            Verb::Etrn if in_transaction => Some(Reply::new(503, "Error: MAIL transaction in progress")),
            Verb::Vrfy if self.settings.disable_vrfy_command => {
                Some(Reply::new(502, "5.5.1 VRFY command is disabled"))
            }
            Verb::Bdat if !self.offers_chunking() => {
                Some(Reply::new(521, "5.5.1 Error: command not implemented"))
            }
            Verb::Auth if !self.offers_auth() => {
                Some(Reply::new(503, "5.5.1 Error: authentication not enabled"))
            }
            Verb::Auth if in_transaction => {
                Some(Reply::new(503, "5.5.1 Error: MAIL transaction in progress"))
            }
            _ => None,
        }
    }

    /// The reply to a parameter that cannot be replayed.
    fn unusable(&self, place: Place, parameters: &[Parameter]) -> Option<Reply> {
        parameters.iter().find_map(|parameter| {
            match ehlo::check(place, parameter, &self.discarded, &self.offer.capabilities) {
                Ok(()) => None,
                Err(Unusable::DsnDisabled) => Some(Reply::new(501, "5.7.1 DSN support is disabled")),
                Err(Unusable::Unsupported) => {
                    Some(Reply::new(555, format!("5.5.4 Unsupported option: {parameter}")))
                }
            }
        })
    }

    /// Whether the lists have permitted a chunk of this message: they judge a message, and not each chunk of it.
    pub(super) fn is_chunked(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.chunked)
    }

    fn accepted(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.accepted)
    }
}

/// Whether a verb brings no mail nearer; such commands are free only up to `junk_command_limit`.
pub(super) fn is_junk(verb: Verb) -> bool {
    matches!(verb, Verb::Helo | Verb::Ehlo | Verb::Rset | Verb::Noop | Verb::Vrfy | Verb::Etrn)
}

fn ok() -> Reply {
    Reply::new(250, "2.0.0 Ok")
}

fn need_helo() -> Reply {
    Reply::new(503, "5.5.1 Error: send HELO/EHLO first")
}

fn need_mail() -> Reply {
    Reply::new(503, "5.5.1 Error: need MAIL command")
}

fn help() -> Reply {
    let mut verbs = Verb::ALL.map(Verb::as_str);
    verbs.sort_unstable();
    Reply::new(214, format!("2.0.0 Commands: {}", verbs.join(" ")))
}
