//! The session: what is known of the client and its mail, and the order in which a line is looked at.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::allowlist::Test;
use crate::id::Id;
use crate::policy::{ClientNames, Effects, Facts, TlsFacts};
use crate::screen::Screened;
use crate::smtp::address::PathSyntax;
use crate::smtp::command::{Command, Verb};
use crate::smtp::envelope::{Helo, Mail, Protocol, Rcpt};
use crate::smtp::line::{Line, first_word};
use crate::smtp::reply::Reply;

use super::commands;
use super::deep::DeepTests;
use super::errors::{Class, Errors};
use super::finding::{After, Finding, RefusedBy};
use super::settings::{Offer, Settings};
use super::step::{Awaited, Pending, Step, Waiting};

/// Who talks with whom.
#[derive(Debug)]
pub struct Peer {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The address and port that it connected to.
    pub server: SocketAddr,
    /// The client's names.
    pub names: ClientNames,
    /// The connection's id, unique in the life of the process.
    pub id: Id,
}

/// One client's dialogue, from the greeting to the hand-off, and again behind a message where every transaction is
/// inspected.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) peer: Peer,
    pub(super) offer: Offer,
    /// What every recipient is told, once a test was failed.
    pub(super) standing: Option<Reply>,
    pub(super) deep: DeepTests,
    pub(super) errors: Errors,
    /// What every command is told, once the client list has refused the connection.
    pub(super) denied: Option<Reply>,
    pub(super) after: After,
    /// The last verb was AUTH: what is none may be a password (RFC 4954 §4).
    pub(super) confides: bool,
    /// Commands since a recipient was last accepted or put off, or part of a message taken, without those RCPTs that
    /// another limit counts.
    pub(super) commands: u32,
    /// Recipients that were put off since one was last accepted.
    pub(super) put_off: usize,
    pub(super) helo: Option<Arc<Helo>>,
    pub(super) protocol: Protocol,
    pub(super) pipelining: Offered,
    pub(super) pipelined: bool,
    pub(super) tls: Option<TlsFacts>,
    pub(super) transaction: Option<Transaction>,
    pub(super) transactions: u64,
    pub(super) findings: Vec<Finding>,
    /// The recipient of the command at hand.
    pub(super) at_hand: Option<Arc<Rcpt>>,
    /// Keywords that EHLO does not show.
    pub(super) discarded: Vec<String>,
    /// Its errors would have ended it, had they not merely been observed.
    would_end: bool,
    pub(super) screened: Screened,
}

/// Whether the last EHLO offered PIPELINING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    No,
    Yes,
}

/// What MAIL has begun.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) number: u64,
    pub(super) mail: Arc<Mail>,
    /// Whether a chunk of its content was permitted.
    pub(super) chunked: bool,
    /// Recipients that the backend has accepted, and the last of them.
    pub(super) accepted: usize,
    pub(super) last: Option<Arc<Rcpt>>,
    /// Recipients that were put off.
    pub(super) put_off: usize,
    pub(super) overshoot: usize,
    /// Whose doing it is that there may be no recipient.
    pub(super) fault: Option<Fault>,
    pub(super) effects: Effects,
}

/// Whose doing it is that a recipient was not accepted; the gravest comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// Nobody's: it could not be asked about, or the backend or a policy server puts it off.
    Nobody,
    /// The backend refused it for good, or there is no such recipient.
    Backend,
    /// A test or restriction refused it.
    Client,
}

impl Fault {
    /// The class of error that it is.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Self::Nobody => None,
            Self::Backend => Some(Class::Recipient),
            Self::Client => Some(Class::Client),
        }
    }
}

impl Transaction {
    pub(super) fn new(number: u64, mail: Arc<Mail>, effects: Effects) -> Self {
        let (chunked, last, fault) = (false, None, None);
        Self { number, mail, chunked, accepted: 0, last, put_off: 0, overshoot: 0, fault, effects }
    }
}

impl Session {
    /// A session with a client that has been screened; nothing is said yet.
    pub fn new(settings: Arc<Settings>, peer: Peer, screened: Screened, offer: Offer) -> Self {
        Self {
            standing: screened.standing().cloned(),
            deep: DeepTests::new(screened.deep(), screened.proven()),
            errors: Errors::new(settings.errors),
            denied: None,
            after: After::Connect,
            confides: false,
            commands: 0,
            put_off: 0,
            helo: None,
            protocol: Protocol::Smtp,
            pipelining: Offered::No,
            pipelined: false,
            tls: None,
            transaction: None,
            transactions: 0,
            findings: Vec::new(),
            at_hand: None,
            discarded: settings
                .tables
                .discarded(peer.client.ip())
                .unwrap_or_else(|| settings.discard_ehlo_keywords.clone()),
            would_end: false,
            screened,
            settings,
            peer,
            offer,
        }
    }

    /// How the session begins: with a judgement of the client, then the greeting.
    pub fn greet(&mut self) -> Step {
        if self.standing.is_some() {
            return self.say(self.greeting());
        }
        Step::Judge(Pending { command: Awaited::Connect })
    }

    /// The 220 reply. Where the teaser `220-` has been sent, it completes it.
    pub fn greeting(&self) -> Reply {
        Reply::new(220, self.settings.banner.clone())
    }

    /// Takes one line. `waiting` is what the buffer holds behind it.
    pub fn line(&mut self, line: &Line, waiting: Waiting<'_>) -> Step {
        let (word, _) = first_word(&line.text);
        let verb = std::str::from_utf8(word).ok().and_then(Verb::of);
        self.at_hand = None;
        self.confides = verb.map_or(self.confides, |verb| verb == Verb::Auth);
        if let Some(step) = self.deep_tests(line, verb, waiting) {
            return step;
        }
        let after = std::mem::replace(&mut self.after, verb.map_or(After::Unimplemented, After::Verb));
        if verb == Some(Verb::Quit) {
            return self.quit();
        }
        if verb.is_some_and(commands::is_junk) {
            self.errors.count_junk();
        }
        self.commands = self.commands.saturating_add(1);
        if self.commands > self.settings.command_count_limit {
            self.findings.push(Finding::CountLimit { after });
            return self.close(vec![self.try_again_later()]);
        }
        if let Some(reply) = self.denied.clone() {
            return self.client_error(after, reply);
        }
        let strictly = Command::parse(&line.text, self.settings.strict_rfc821_envelopes);
        let parsed = match (strictly, self.observes()) {
            (Err(error), true) => Command::parse(&line.text, PathSyntax::Lenient).inspect(|_| {
                let envelope = self.envelope(verb.map_or("UNKNOWN", Verb::as_str), None, None);
                self.would_reject(envelope, error.reply(), RefusedBy::Limit);
            }),
            (parsed, _) => parsed,
        };
        match parsed {
            Ok(command) => self.command(command, after, waiting),
            Err(error) => self.syntax_error(&error, after),
        }
    }

    /// The client sent a line beyond `line_length_limit`.
    pub fn too_long(&mut self) -> Step {
        self.findings.push(Finding::LengthLimit { after: self.after });
        self.close(vec![self.try_again_later()])
    }

    /// The client did not send a whole line within `command_time_limit`.
    pub fn timed_out(&mut self) -> Step {
        self.findings.push(Finding::TimeLimit { after: self.after });
        self.close(vec![self.by_host(421, "4.4.2", "Error: timeout exceeded")])
    }

    /// The server is about to end; said at a command boundary.
    pub fn shutting_down(&mut self) -> Step {
        self.close(vec![self.by_host(421, "4.3.2", "Service shutting down")])
    }

    /// The TLS handshake has succeeded: what was said in clear is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self, tls: TlsFacts) {
        self.tls = Some(tls);
        self.helo = None;
        self.protocol = Protocol::Smtp;
        self.pipelining = Offered::No;
        self.transaction = None;
    }

    /// Who talks with whom.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the tests before the greeting said.
    pub fn screened(&self) -> &Screened {
        &self.screened
    }

    /// HELO or EHLO, if said.
    pub fn helo(&self) -> Option<&Helo> {
        self.helo.as_deref()
    }

    /// SMTP, or ESMTP once EHLO was said.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What every recipient is told, where the client has failed a test, before the greeting or since.
    pub fn standing(&self) -> Option<&Reply> {
        self.standing.as_ref()
    }

    /// Deep tests that the client has passed so far. None, if it has failed any test: a pass is of the whole.
    pub fn passed(&self) -> Vec<Test> {
        if self.has_failed() { Vec::new() } else { self.deep.passed() }
    }

    /// Whether the client has failed a test, before the greeting or since, be it under `ignore`: it earns nothing,
    /// and loses what it had.
    pub fn has_failed(&self) -> bool {
        self.standing.is_some() || self.screened.failed() || self.deep.failed()
    }

    /// What was found out since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// What the restriction lists may know, apart from the command at hand.
    pub(super) fn facts(&self) -> Facts<'_> {
        let transaction = self.transaction.as_ref();
        let accepted = transaction.map_or(0, |transaction| transaction.accepted);
        Facts {
            client: self.peer.client,
            server: self.peer.server,
            names: &self.peer.names,
            helo: self.helo.as_deref(),
            mail: transaction.map(|transaction| &*transaction.mail),
            rcpt: transaction.filter(|_| accepted == 1).and_then(|transaction| transaction.last.as_deref()),
            etrn: None,
            accepted,
            tls: self.tls.as_ref(),
            pipelined: self.pipelined,
            id: self.peer.id,
            transaction: self.transactions,
        }
    }

    /// A reply that costs the client nothing.
    pub(super) fn say(&mut self, reply: Reply) -> Step {
        let reply = self.dress(reply);
        self.pass_on(reply, None)
    }

    /// An error of the client's own making.
    pub(super) fn client_error(&mut self, after: After, reply: Reply) -> Step {
        self.findings.push(Finding::ProtocolError { after, reply: self.soften(reply.clone()) });
        let reply = self.dress(reply);
        self.pass_on(reply, Some(Class::Client))
    }

    /// Says `reply` as it is, counts it, and ends the session where the budget is used up: first the error's own
    /// reply, then 421, as Postfix does.
    pub(super) fn pass_on(&mut self, reply: Reply, class: Option<Class>) -> Step {
        let delay = self.errors.delay();
        if let Some(class) = class {
            self.errors.count(class);
        }
        if reply.closes() {
            return Step::Close { replies: vec![reply], delay };
        }
        if !self.errors.exhausted() {
            return Step::Reply { reply, delay };
        }
        if self.observes() {
            if !std::mem::replace(&mut self.would_end, true) {
                self.findings.push(Finding::WouldEnd { after: self.after });
            }
            return Step::Reply { reply, delay };
        }
        self.findings.push(Finding::TooManyErrors { after: self.after });
        let goodbye = self.dress(self.by_host(421, "4.7.0", "Error: too many errors"));
        Step::Close { replies: vec![reply, goodbye], delay }
    }

    pub(super) fn close(&self, replies: Vec<Reply>) -> Step {
        let replies = replies.into_iter().map(|reply| self.dress(reply)).collect();
        Step::Close { replies, delay: self.errors.delay() }
    }

    pub(super) fn by_host(&self, code: u16, status: &str, text: &str) -> Reply {
        Reply::new(code, format!("{status} {} {text}", self.settings.hostname))
    }

    fn try_again_later(&self) -> Reply {
        Reply::new(421, format!("{} Service unavailable - try again later", self.settings.hostname))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Judgement;
    use crate::screen::Action;
    use crate::smtp::line::LineBuffer;
    use crate::tls::Starttls;

    use crate::dialogue::{Auth, Checked, Encryption};

    fn session(standing: Option<Reply>, deep: &[(Test, Action)]) -> Session {
        let peer = Peer {
            client: "192.0.2.1:4242".parse().unwrap(),
            server: "198.51.100.1:25".parse().unwrap(),
            names: ClientNames::default(),
            id: "000000000001".parse().unwrap(),
        };
        let (capabilities, encryption) = (Arc::default(), Encryption::Optional);
        let offer = Offer { capabilities, starttls: Starttls::Off, auth: Auth::Hide, encryption };
        let screened = Screened::for_test(standing, deep.to_vec(), false);
        Session::new(Arc::default(), peer, screened, offer)
    }

    fn say(session: &mut Session, text: &str) -> Step {
        let mut buffer = LineBuffer::new();
        buffer.push(text.as_bytes());
        let line = buffer.next_line(2048).unwrap().unwrap();
        session.line(&line, Waiting::of(buffer.as_slice()))
    }

    /// Says lines that every list permits, up to a recipient.
    fn checked(session: &mut Session) -> Checked {
        let greeting = session.greet();
        let mut step = permit(session, greeting);
        for line in ["EHLO x\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n"] {
            assert!(matches!(step, Step::Reply { .. }), "{step:?}");
            step = say(session, line);
            step = permit(session, step);
        }
        match step {
            Step::Forward(checked) => checked,
            step => panic!("{step:?}"),
        }
    }

    fn permit(session: &mut Session, step: Step) -> Step {
        match step {
            Step::Judge(pending) => session.decided(pending, Judgement::default()),
            step => step,
        }
    }

    #[test]
    fn a_pass_needs_a_recipient_in_sequence() {
        let mut session = session(None, &[(Test::Pipelining, Action::Enforce)]);
        let step = session.greet();
        permit(&mut session, step);
        assert_eq!(session.passed(), []);
        let _ = say(&mut session, "RCPT TO:<c@d>\r\n");
        assert_eq!(session.passed(), []);
    }

    #[test]
    fn a_failure_later_takes_the_pass_back() {
        let mut session =
            session(None, &[(Test::Pipelining, Action::Enforce), (Test::BareNewline, Action::Ignore)]);
        let checked = checked(&mut session);
        assert_eq!(session.passed(), [Test::Pipelining, Test::BareNewline]);
        let _ = session.answered(checked, Reply::new(250, "2.1.5 Ok"));
        let _ = say(&mut session, "RSET\nNOOP\r\n");
        assert_eq!(session.passed(), []);
        assert!(session.standing().is_some());
    }

    #[test]
    fn another_mail_is_another_transaction() {
        let mut session = session(None, &[]);
        let first = checked(&mut session);
        assert_eq!(first.transaction(), 1);
        let _ = session.answered(first, Reply::new(250, "2.1.5 Ok"));
        let _ = session.delivered(Reply::new(250, "2.0.0 Ok: queued"));
        let step = say(&mut session, "MAIL FROM:<a@b>\r\n");
        permit(&mut session, step);
        let step = say(&mut session, "RCPT TO:<c@d>\r\n");
        let Step::Forward(second) = permit(&mut session, step) else { panic!() };
        assert_eq!(second.transaction(), 2);
    }

    #[test]
    fn findings_are_taken_once() {
        let mut session = session(Some(Reply::new(550, "5.7.1 x")), &[]);
        let _ = session.greet();
        let _ = session.too_long();
        assert_eq!(session.take_findings(), [Finding::LengthLimit { after: After::Connect }]);
        assert_eq!(session.take_findings(), []);
    }
}
