//! Findings in the words that log tools match: postscreen's, dnsblog's for what DNS lists answer, and smtpd's for
//! what restrictions decide.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Finding;
use crate::dialogue::{self, Envelope, RefusedBy};
use crate::dns::Answer;
use crate::policy::{Cause, Note, NoteKind};
use crate::screen::{self, Listing};
use crate::smtp::excerpt::EXCERPT;
use crate::smtp::reply::Reply;

use super::text::{Delay, REPLY, escape, excerpt, printable, printable_up_to};

/// A line, and the Postfix program that would write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) program: Program,
    pub(super) text: String,
}

/// A program of Postfix's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Postscreen,
    Dnsblog,
    Smtpd,
}

impl Program {
    /// `postscreen`, `dnsblog`, `smtpd`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Postscreen => "postscreen",
            Self::Dnsblog => "dnsblog",
            Self::Smtpd => "smtpd",
        }
    }

    fn says(self, text: String) -> Line {
        Line { program: self, text }
    }
}

/// The client as lines name it. `from` is empty where the line stands beside its name anyway.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client<'a> {
    /// `[192.0.2.1]:4711`, or `name[192.0.2.1]` where smtpd would say so.
    Named(SocketAddr, Option<&'a str>),
    /// Not named.
    Understood,
}

impl Client<'_> {
    /// ` [192.0.2.1]:4711`
    pub(super) fn alone(self) -> String {
        match self {
            Self::Named(address, _) => format!(" {}", Bracketed(address)),
            Self::Understood => String::new(),
        }
    }

    /// ` from [192.0.2.1]:4711`, as postscreen has it.
    pub(super) fn from(self) -> String {
        self.behind(" from")
    }

    /// ` for [192.0.2.1]:4711`
    fn for_it(self) -> String {
        self.behind(" for")
    }

    fn behind(self, word: &str) -> String {
        match self {
            Self::Named(..) => word.to_owned() + &self.alone(),
            Self::Understood => String::new(),
        }
    }

    /// ` 192.0.2.1`
    fn address(self) -> String {
        match self {
            Self::Named(address, _) => format!(" {}", address.ip().to_canonical()),
            Self::Understood => String::new(),
        }
    }

    /// ` from mx.example.org[192.0.2.1]`, as smtpd has it.
    fn by_name(self) -> String {
        match self {
            Self::Named(..) => format!(" from {}", self.name_and_address()),
            Self::Understood => String::new(),
        }
    }

    /// `mx.example.org[192.0.2.1]`
    fn name_and_address(self) -> String {
        match self {
            Self::Named(address, name) => {
                format!("{}[{}]", printable(name.unwrap_or("unknown")), address.ip().to_canonical())
            }
            Self::Understood => "it".to_owned(),
        }
    }
}

/// `[192.0.2.1]:4711`
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracketed(pub(super) SocketAddr);

impl fmt::Display for Bracketed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]:{}", self.0.ip().to_canonical(), self.0.port())
    }
}

/// A line of postscreen's own.
pub(super) fn postscreen(text: String) -> Line {
    Program::Postscreen.says(text)
}

/// Whether there is a line for a finding, without putting it into words.
pub(super) fn is_told(finding: &Finding) -> bool {
    use dialogue::Finding as D;
    use screen::Finding as S;
    match finding {
        Finding::Screen(S::Answered(reply)) => match &reply.answer {
            Answer::Found { records, .. } => records.iter().any(is_listing),
            Answer::Temporary(_) => true,
            Answer::NotFound { .. } => false,
        },
        Finding::Screen(S::Scored(score)) => score.is_listed(),
        Finding::Screen(finding) => !matches!(finding, S::Waited(_) | S::Passed(_) | S::Failed { .. }),
        Finding::Dialogue(finding) => {
            !matches!(**finding, D::ProtocolError { .. } | D::Passed(_) | D::Failed { .. })
        }
        Finding::Exceeded(_) => true,
    }
}

/// The lines for a finding; none where no program of Postfix's would write one.
pub(super) fn lines(finding: &Finding, client: Client<'_>) -> Vec<Line> {
    match finding {
        Finding::Screen(screen::Finding::Answered(reply)) => answered(reply, client),
        Finding::Screen(finding) => screened(finding, client).map(postscreen).into_iter().collect(),
        Finding::Dialogue(finding) => dialogue(finding, client).into_iter().collect(),
        Finding::Exceeded(exceeded) => {
            let who = client.name_and_address();
            vec![Program::Smtpd.says(format!("warning: {}", exceeded.log_text(&who, "smtp")))]
        }
    }
}

fn screened(finding: &screen::Finding, client: Client<'_>) -> Option<String> {
    use screen::Finding as F;
    let (it, from) = (client.alone(), client.from());
    Some(match finding {
        F::Permitted => format!("ALLOWLISTED{it}"),
        F::Rejected => format!("DENYLISTED{it}"),
        F::Known => format!("PASS OLD{it}"),
        F::Pregreet { count, after, text } => {
            let text: String = escape(text).chars().take(EXCERPT).collect();
            format!("PREGREET {count} after {}{from}: {text}", Delay(*after))
        }
        F::Scored(score) if score.is_listed() => format!("DNSBL rank {}{}", score.total, client.for_it()),
        F::HungUp { after } => hangup(*after, client, "tests before SMTP handshake"),
        F::Scored(_) | F::Answered(_) | F::Waited(_) | F::Passed(_) | F::Failed { .. } => return None,
    })
}

/// `HANGUP after 0.3 from [192.0.2.1]:4711 in tests before SMTP handshake`
pub(super) fn hangup(after: Duration, client: Client<'_>, phase: &str) -> String {
    format!("HANGUP after {}{} in {phase}", Delay(after), client.from())
}

/// What a DNS list said: a line for each code, and one for a list that could not be asked.
fn answered(reply: &screen::dnsbl::Reply, client: Client<'_>) -> Vec<Line> {
    let list = &reply.list;
    match &reply.answer {
        Answer::Found { records, .. } => {
            let told = records.iter().filter(|code| is_listing(code));
            let address = client.address();
            told.map(|code| Program::Dnsblog.says(format!("addr{address} listed by domain {list} as {code}")))
                .collect()
        }
        Answer::Temporary(trouble) => {
            let text = format!("dnsblog_query: lookup error for DNS query {list}: {}", trouble.as_str());
            vec![Program::Dnsblog.says(format!("warning: {text}"))]
        }
        Answer::NotFound { .. } => Vec::new(),
    }
}

fn is_listing(code: &Ipv4Addr) -> bool {
    Listing::of(*code) == Listing::Listed
}

fn dialogue(finding: &dialogue::Finding, client: Client<'_>) -> Option<Line> {
    use dialogue::Finding as F;
    let from = client.from();
    let text = match finding {
        F::NonSmtpCommand { after, word, rest } => {
            format!("NON-SMTP COMMAND{from} after {}: {} {}", after.as_str(), sent(word), excerpt(rest))
        }
        F::Pipelining { verb, waiting } => {
            format!("COMMAND PIPELINING{from} after {}: {}", sent(verb), excerpt(waiting))
        }
        F::InjectedBehindStartTls { waiting } => {
            format!("COMMAND PIPELINING{from} after STARTTLS: {}", excerpt(waiting))
        }
        F::BareNewline { line } => format!("BARE NEWLINE{from} after {}", excerpt(line)),
        F::TimeLimit { after } => format!("COMMAND TIME LIMIT{from} after {}", after.as_str()),
        F::CountLimit { after } => format!("COMMAND COUNT LIMIT{from} after {}", after.as_str()),
        F::LengthLimit { after } => format!("COMMAND LENGTH LIMIT{from} after {}", after.as_str()),
        F::WithoutRecipient { command } => format!("{command} without valid RCPT{from}"),
        F::Reject { envelope, reply, by: RefusedBy::Test } => {
            of_envelope("reject", envelope, client, &from, &said(reply), with_commas)
        }
        F::TooManyErrors { after } => {
            let from = client.by_name();
            return Some(Program::Smtpd.says(format!("too many errors after {}{from}", after.as_str())));
        }
        F::Reject { envelope, reply, .. } => return Some(about("reject", envelope, client, &said(reply))),
        F::WouldReject { envelope, reply, .. } => {
            return Some(about(NoteKind::RejectWarning.as_str(), envelope, client, &said(reply)));
        }
        F::WouldEnd { after } => {
            let from = client.by_name();
            let text = format!("warning: too many errors after {}{from}, and let go on", after.as_str());
            return Some(Program::Smtpd.says(text));
        }
        F::BackendReject { envelope, reply } => {
            return Some(about("backend-reject", envelope, client, &said(reply)));
        }
        F::Unavailable { envelope } => return Some(about("defer", envelope, client, "no backend answers")),
        F::HungUpOn { envelope, cause } => return Some(about("hangup", envelope, client, &of(cause))),
        F::Note { envelope, note } => return Some(noted(envelope, client, note)),
        F::ProtocolError { .. } | F::Passed(_) | F::Failed { .. } => return None,
    };
    Some(postscreen(text))
}

/// A line as smtpd writes it.
fn about(action: &str, envelope: &Envelope, client: Client<'_>, text: &str) -> Line {
    Program::Smtpd.says(of_envelope(action, envelope, client, &client.by_name(), text, with_spaces))
}

/// What was done with a command, and to what. Where the client is understood, so is the envelope.
fn of_envelope(
    action: &str,
    envelope: &Envelope,
    client: Client<'_>,
    from: &str,
    text: &str,
    attributes: fn(&Envelope) -> String,
) -> String {
    let command = envelope.command;
    match client {
        Client::Named(..) => format!("NOQUEUE: {action}: {command}{from}: {text}; {}", attributes(envelope)),
        Client::Understood => format!("{action}: {command}: {text}"),
    }
}

fn noted(envelope: &Envelope, client: Client<'_>, note: &Note) -> Line {
    let text = printable_up_to(REPLY, &note.text);
    match note.kind {
        NoteKind::Trouble => Program::Smtpd.says(format!("warning: {}: {text}", of(&note.cause))),
        kind => about(kind.as_str(), envelope, client, &text),
    }
}

/// Why, as configured.
fn of(cause: &Cause) -> String {
    match &cause.table {
        Some(table) => printable(&format!("{} {table}", cause.restriction)).into_owned(),
        None => printable(&cause.restriction).into_owned(),
    }
}

/// What postscreen says of an envelope: all of it, with commas.
fn with_commas(envelope: &Envelope) -> String {
    format!(
        "from=<{}>, to=<{}>, proto={}, helo=<{}>",
        optional(envelope.sender.as_deref()),
        optional(envelope.recipient.as_deref()),
        envelope.protocol.as_str(),
        optional(envelope.helo.as_deref()),
    )
}

/// What smtpd says of an envelope: what is there, without commas.
fn with_spaces(envelope: &Envelope) -> String {
    let attribute = |name: &str, value: Option<&str>| value.map(|v| format!("{name}=<{}> ", printable(v)));
    let front =
        [attribute("from", envelope.sender.as_deref()), attribute("to", envelope.recipient.as_deref())];
    let helo = envelope.helo.as_deref().map(|name| format!(" helo=<{}>", printable(name)));
    let front: String = front.into_iter().flatten().collect();
    format!("{front}proto={}{}", envelope.protocol.as_str(), helo.unwrap_or_default())
}

fn optional(text: Option<&str>) -> Cow<'_, str> {
    text.map(printable).unwrap_or_default()
}

/// The first line of a reply.
pub(super) fn said(reply: &Reply) -> String {
    printable_up_to(REPLY, &reply.to_string()).into_owned()
}

/// A word as it was sent, `?` for what does not print.
fn sent(word: &[u8]) -> String {
    let word = word.get(..EXCERPT).unwrap_or(word);
    word.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::envelope;
    use super::*;
    use crate::allowlist::Test;
    use crate::dialogue::{After, Finding as F};
    use crate::policy::List;
    use crate::smtp::command::Verb;
    use crate::smtp::envelope::Protocol;

    fn client() -> Client<'static> {
        Client::Named("192.0.2.7:4711".parse().unwrap(), None)
    }

    fn line(finding: dialogue::Finding) -> String {
        let lines = lines(&Finding::Dialogue(Box::new(finding)), client());
        lines.into_iter().map(|line| line.text).collect()
    }

    fn cause() -> Cause {
        Cause {
            list: List::Recipient,
            verb: "check_client_access",
            restriction: "check_client_access cidr:clients".to_owned(),
            table: None,
            key: None,
            unanswered: false,
        }
    }

    #[test]
    fn a_failed_test_is_told_in_postscreens_words() {
        let after = After::Verb(Verb::Ehlo);
        let (word, rest) = (b"GET".to_vec(), b"/ HTTP/1.1".to_vec());
        for (finding, expected) in [
            (
                F::NonSmtpCommand { after: After::Connect, word, rest },
                "NON-SMTP COMMAND from [192.0.2.7]:4711 after CONNECT: GET / HTTP/1.1",
            ),
            (
                F::NonSmtpCommand { after: After::Unimplemented, word: b"Subject:".to_vec(), rest: vec![] },
                "NON-SMTP COMMAND from [192.0.2.7]:4711 after UNIMPLEMENTED: Subject: ",
            ),
            (
                F::Pipelining { verb: b"eh\x01lo".to_vec(), waiting: b"MAIL FROM:<a\\b>\r\n".to_vec() },
                r"COMMAND PIPELINING from [192.0.2.7]:4711 after eh?lo: MAIL FROM:<a\\b>\r\n",
            ),
            (
                F::BareNewline { line: b"EHLO \xff".to_vec() },
                r"BARE NEWLINE from [192.0.2.7]:4711 after EHLO \377",
            ),
            (F::TimeLimit { after }, "COMMAND TIME LIMIT from [192.0.2.7]:4711 after EHLO"),
            (F::CountLimit { after }, "COMMAND COUNT LIMIT from [192.0.2.7]:4711 after EHLO"),
            (F::LengthLimit { after }, "COMMAND LENGTH LIMIT from [192.0.2.7]:4711 after EHLO"),
            (F::WithoutRecipient { command: "DATA" }, "DATA without valid RCPT from [192.0.2.7]:4711"),
        ] {
            assert_eq!(line(finding), expected);
        }
    }

    #[test]
    fn what_a_test_costs_at_rcpt_is_told_with_commas() {
        let reply = Reply::new(550, "5.7.1 Service unavailable; client [192.0.2.7] blocked using bl.test");
        let reject = F::Reject { envelope: envelope("RCPT"), reply, by: RefusedBy::Test };
        assert_eq!(
            line(reject),
            "NOQUEUE: reject: RCPT from [192.0.2.7]:4711: 550 5.7.1 Service unavailable; client [192.0.2.7] \
             blocked using bl.test; from=<a@example.net>, to=<b@example.org>, proto=ESMTP, helo=<host>"
        );
    }

    #[test]
    fn what_a_restriction_says_is_told_as_smtpd_tells_it() {
        let reply = Reply::new(554, "5.7.1 <b@example.org>: Relay access denied");
        let by = RefusedBy::Restriction(cause());
        let reject = F::Reject { envelope: envelope("RCPT"), reply, by };
        assert_eq!(
            line(reject),
            "NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 <b@example.org>: Relay access denied; \
             from=<a@example.net> to=<b@example.org> proto=ESMTP helo=<host>"
        );
        let note = Note { kind: NoteKind::Warn, cause: cause(), text: "look at this".to_owned() };
        let protocol = Protocol::Esmtp;
        let bare = Envelope { command: "CONNECT", sender: None, recipient: None, protocol, helo: None };
        let named = Client::Named("[2001:db8::1]:25".parse().unwrap(), Some("mx.example.net"));
        assert_eq!(
            dialogue(&F::Note { envelope: bare.into(), note }, named).unwrap().text,
            "NOQUEUE: warn: CONNECT from mx.example.net[2001:db8::1]: look at this; proto=ESMTP"
        );
    }

    #[test]
    fn a_client_cannot_write_a_line_of_its_own() {
        let mut evil = Arc::unwrap_or_clone(envelope("RCPT"));
        evil.helo = Some("x>\r\nNov 22 host postfix/postscreen[1]: PASS NEW [198.51.100.1]:25".to_owned());
        evil.sender = Some("\u{1b}[2J\u{202e}@example".to_owned());
        for by in [RefusedBy::Test, RefusedBy::Limit] {
            let text = line(F::Reject {
                envelope: evil.clone().into(),
                reply: Reply::new(550, "5.5.1 Protocol error\r\nmore"),
                by,
            });
            assert!(text.chars().all(super::super::text::is_printable), "{text}");
        }
    }

    #[test]
    fn without_a_client_a_line_is_a_phrase() {
        let limit = F::TimeLimit { after: After::Connect };
        assert_eq!(dialogue(&limit, Client::Understood).unwrap().text, "COMMAND TIME LIMIT after CONNECT");
        assert_eq!(dialogue(&F::Passed(vec![Test::Pipelining]), client()), None);
    }
}
