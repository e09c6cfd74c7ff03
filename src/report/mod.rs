//! What happened to one connection; its log line.
//!
//! A [`Report`] is filled while the connection lives and read when it has ended: by the metrics, and by the log,
//! which shows it as one sentence, one JSON object, or the lines that postscreen would have written meanwhile.
//! It decides nothing but what the connection came to, and it keeps no more of what a client has sent than a log
//! shows.

mod facts;
mod heard;
mod id;
mod json;
mod line;
mod live;
pub mod log;
mod notice;
mod outcome;
mod sentence;
pub(crate) mod text;

pub use facts::{HandOff, Judge, Refusal, TestResult, Verdict};
pub use heard::{Decided, Heard, Refused, Refuser};
pub use id::Id;
pub use live::Live;
pub use outcome::Outcome;

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use tracing::{Level, enabled, info};

use crate::allowlist::{Record, Test};
use crate::dialogue::{self, Checked, Envelope};
use crate::limits::{Full, State};
use crate::policy::{Names, TlsFacts};
use crate::proxy_protocol::Endpoints;
use crate::rate::Exceeded;
use crate::relay::Transfer;
use crate::screen::{self, History, Score, Screened};
use crate::smtp::command::Verb;
use crate::smtp::envelope::Protocol;

use line::{Client, Line};
use log::Format;

/// Findings that a report keeps; a connection that brings more is told by the first of them, and a number.
const FINDINGS: usize = 32;
/// Recipients that a report keeps.
const RECIPIENTS: usize = 16;

/// What happened to one connection.
///
/// Thousands wait at any time with little to report, so that little is all they keep.
#[derive(Debug)]
pub struct Report {
    live: Live,
    findings: Vec<(Duration, Finding)>,
    untold: u32,
    tests: [Option<TestResult>; Test::ALL.len()],
    score: Option<Box<Score>>,
    waited: Option<Duration>,
    offence: Option<Outcome>,
    would: Option<Outcome>,
    history: Option<History>,
    ended: Option<(Outcome, Duration)>,
    object: OnceLock<Box<str>>,
    talk: Option<Box<Talk>>,
    heard: Option<Box<Heard>>,
}

/// What comes to light once somebody talks.
#[derive(Debug, Default)]
struct Talk {
    name: Option<String>,
    verdicts: Vec<(Verdict, u64)>,
    envelope: Option<Envelope>,
    recipients: Vec<String>,
    accepted: u32,
    tls: Option<TlsFacts>,
    handoff: Option<HandOff>,
    transfer: Option<Transfer>,
}

/// Something that was found out about the client, wherever that was.
#[derive(Clone, Debug)]
enum Finding {
    Screen(screen::Finding),
    /// Boxed: they are larger, and come once somebody is talking.
    Dialogue(Box<dialogue::Finding>),
    Exceeded(Exceeded),
}

impl Report {
    /// A connection that was accepted at `now`.
    pub fn new(ends: Endpoints, now: SystemTime) -> Self {
        Self {
            live: Live::new(Id::new(now), Instant::now(), ends),
            findings: Vec::new(),
            untold: 0,
            tests: [None; Test::ALL.len()],
            score: None,
            waited: None,
            offence: None,
            would: None,
            history: None,
            ended: None,
            object: OnceLock::new(),
            talk: None,
            heard: None,
        }
    }

    /// Keeps all that a second policy must know to judge this connection, too. To be called before anything has
    /// happened in it.
    pub fn listen(&mut self) {
        self.heard = Some(Box::default());
    }

    /// The allowlist knew this of the client when it came.
    pub fn remembered(&mut self, record: Option<&Record>) {
        if let (Some(heard), Some(record)) = (&mut self.heard, record) {
            heard.remembered = *record;
        }
    }

    /// The dialogue begins, and watches for this.
    pub fn watched(&mut self, screened: &Screened) {
        if let Some(heard) = &mut self.heard {
            let held = screened.deep().iter().map(|(test, _)| *test);
            heard.watched = held.chain(screened.proven().iter().copied()).collect();
        }
    }

    /// Restrictions, as configured, have asked others about the command at hand.
    pub fn consulted(&mut self, restrictions: Vec<Box<str>>) {
        if let Some(heard) = &mut self.heard {
            heard.consulted(restrictions);
        }
    }

    /// A PROXY header has named the real ends. To be called before [`admitted`](Self::admitted).
    pub fn announced(&mut self, ends: Endpoints) {
        self.live.announced(ends);
    }

    /// Its ends are known, and its story begins.
    pub fn admitted(&mut self) {
        let ends = self.ends();
        let (client, server) = (line::Bracketed(ends.client), line::Bracketed(ends.server));
        say(|| vec![line::postscreen(format!("CONNECT from {client} to {server}"))]);
    }

    /// A limit was exceeded.
    pub fn exceeded(&mut self, exceeded: Exceeded) {
        self.refused(Judge::Rate(exceeded.limit), Refusal::Defer);
        if let Some(heard) = &mut self.heard {
            heard.exceeded();
        }
        self.note(Finding::Exceeded(exceeded));
    }

    /// A limit was exceeded, and that is only told.
    pub fn tolerated(&mut self, exceeded: Exceeded) {
        self.refused(Judge::Rate(exceeded.limit), Refusal::Warn);
        self.let_off(Outcome::Rejected);
        self.note(Finding::Exceeded(exceeded));
    }

    /// The client's names, where somebody has asked for it.
    pub fn named(&mut self, names: Option<&Names>) {
        if let Some(name) = names.and_then(|names| names.name.as_deref()) {
            self.talk_mut().name = Some(text::printable(name));
        }
        if let (Some(heard), Some(names)) = (&mut self.heard, names)
            && heard.names.is_none()
        {
            heard.names = Some(names.clone());
        }
    }

    /// All tests that it was held to are passed.
    pub fn passed(&mut self, history: History) {
        if self.history.is_none() {
            self.history = Some(history);
            let word = match history {
                History::New => "NEW",
                History::Old => "OLD",
            };
            say(|| vec![line::postscreen(format!("PASS {word}{}", self.client().alone()))]);
        }
    }

    /// It goes on to another stage of its life.
    pub fn reached(&mut self, stage: State) {
        self.live.reached(stage);
    }

    /// The session runs in TLS from here on.
    pub fn secured(&mut self, tls: TlsFacts) {
        self.talk_mut().tls = Some(tls);
    }

    /// The backend has accepted a recipient.
    pub fn accepted(&mut self, checked: &Checked) {
        let (helo, recipient) = (checked.helo(), checked.rcpt().recipient.as_str());
        let envelope = Envelope {
            command: Verb::Rcpt.as_str(),
            sender: Some(checked.mail().sender.as_str().to_owned()),
            recipient: Some(recipient.to_owned()),
            protocol: helo.map_or(Protocol::Smtp, |helo| helo.protocol),
            helo: helo.map(|helo| helo.name.clone()),
        };
        if let Some(heard) = &mut self.heard {
            heard.accepted(&envelope);
        }
        let talk = self.talk_mut();
        talk.accepted += 1;
        talk.envelope = Some(envelope);
        if talk.recipients.len() < RECIPIENTS {
            talk.recipients.push(text::printable(recipient));
        }
    }

    /// A backend has taken the client on, or none would. What came about first stays; a success outweighs failures.
    pub fn handed_over(&mut self, handoff: HandOff) {
        let talk = self.talk_mut();
        if talk.handoff.as_ref().is_none_or(|before| before.server.is_none()) {
            talk.handoff = Some(handoff);
        }
    }

    /// The relay has ended.
    pub fn relayed(&mut self, transfer: Transfer) {
        self.talk_mut().transfer = Some(transfer);
    }

    /// The connection has ended: says so in the log. A second call does nothing.
    ///
    /// `outcome` says how it ended. Where that is only how the client left, and something was held against it, that
    /// is the better word, and becomes the outcome.
    pub fn end(&mut self, outcome: Outcome) {
        if self.ended.is_some() {
            return;
        }
        self.farewell(outcome);
        self.ended = Some((outcome.given(self.offence), self.live.age()));
        if enabled!(target: Format::Text.target(), Level::INFO) {
            info!(target: Format::Text.target(), "{}", sentence::of(self));
        }
        if enabled!(target: Format::Json.target(), Level::INFO) {
            info!(target: Format::Json.target(), "{}", self.object());
        }
    }

    /// What postscreen says when a connection ends.
    fn farewell(&self, outcome: Outcome) {
        let (it, from) = (self.client().alone(), self.client().from());
        let last = match outcome {
            Outcome::Busy(Full::Screening) => {
                Some(format!("NOQUEUE: reject: CONNECT{from}: all screening ports busy"))
            }
            Outcome::Busy(Full::Backend) => {
                Some(format!("NOQUEUE: reject: CONNECT{from}: all server ports busy"))
            }
            Outcome::TooManyConnections => {
                Some(format!("NOQUEUE: reject: CONNECT{from}: too many connections"))
            }
            Outcome::HungUp if self.stage() != State::Screen => {
                Some(line::hangup(self.live.age(), self.client(), "tests after SMTP handshake"))
            }
            _ => None,
        };
        say(|| last.map(line::postscreen).into_iter().collect());
        if !outcome.reached_backend() {
            say(|| vec![line::postscreen(format!("DISCONNECT{it}"))]);
        }
    }

    fn note(&mut self, finding: Finding) {
        say(|| line::lines(&finding, self.client()));
        if line::lines(&finding, Client::Understood).is_empty() {
            return;
        }
        if self.findings.len() < FINDINGS {
            // Most have none, and of the others most have one: a Vec left to itself makes room for four.
            self.findings.reserve_exact(1);
            self.findings.push((self.live.age(), finding));
        } else {
            self.untold += 1;
        }
    }

    fn client(&self) -> Client<'_> {
        let name = self.talk.as_ref().and_then(|talk| talk.name.as_deref());
        Client::Named(self.ends().client, name)
    }

    fn talk_mut(&mut self) -> &mut Talk {
        self.talk.get_or_insert_default()
    }
}

/// What can be asked of a report.
impl Report {
    /// The connection's name.
    pub fn id(&self) -> Id {
        self.live.id()
    }

    /// What others may know of it while it lives.
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// It as one JSON object: every fact, bounded, as the log has it in `json`. To be asked of a connection that has
    /// ended, because it is written once.
    pub fn object(&self) -> &str {
        self.object.get_or_init(|| json::of(self).into())
    }

    /// Its two ends.
    pub fn ends(&self) -> Endpoints {
        self.live.ends()
    }

    /// What the connection came to; `None` while it lives.
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.map(|(outcome, _)| outcome)
    }

    /// What the connection would have come to, had everything been enforced that was only observed: under `mode =
    /// "observe"`, by a test that is ignored, or under `warn_if_reject`. `None` where nothing was.
    pub fn would_have(&self) -> Option<Outcome> {
        self.would
    }

    /// How long it lived; `None` while it does.
    pub fn duration(&self) -> Option<Duration> {
        self.ended.map(|(_, duration)| duration)
    }

    /// How far it came.
    pub fn stage(&self) -> State {
        self.live.stage()
    }

    /// What the tests came to that were held in this connection.
    pub fn tests(&self) -> impl Iterator<Item = (Test, TestResult)> + '_ {
        Test::ALL.into_iter().zip(self.tests).filter_map(|(test, result)| Some((test, result?)))
    }

    /// What DNS lists made of the client, if they were asked.
    pub fn score(&self) -> Option<&Score> {
        self.score.as_deref()
    }

    /// How long the client was kept waiting before the greeting, if it was.
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Whether it had been here before, if it has passed.
    pub fn history(&self) -> Option<History> {
        self.history
    }

    /// What was refused, by whom and how often.
    pub fn verdicts(&self) -> &[(Verdict, u64)] {
        self.talk.as_ref().map_or(&[], |talk| &talk.verdicts)
    }

    /// How the hand-off went, if one was tried.
    pub fn handoff(&self) -> Option<&HandOff> {
        self.talk.as_ref()?.handoff.as_ref()
    }

    /// What was relayed, if anything was.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.talk.as_ref()?.transfer.as_ref()
    }

    /// What was held against the client, and refused because of it.
    pub fn offence(&self) -> Option<Outcome> {
        self.offence
    }

    /// What a second policy must know, where it was [kept](Self::listen).
    pub fn heard(&self) -> Option<&Heard> {
        self.heard.as_deref()
    }

    /// What TLS it ran in at the end.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.talk.as_ref()?.tls.as_ref()
    }
}

/// A connection whose task is dropped leaves a report, too.
impl Drop for Report {
    fn drop(&mut self) {
        self.end(Outcome::Cut);
    }
}

/// Writes postscreen's lines, if these are what the log shows.
fn say(lines: impl FnOnce() -> Vec<Line>) {
    if !enabled!(target: Format::Postscreen.target(), Level::INFO) {
        return;
    }
    for Line { program, text } in lines() {
        info!(target: Format::Postscreen.target(), program = program.as_str(), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::log::Level as Least;
    use super::log::tests::logged;
    use super::*;
    use crate::dialogue::{After, Finding as Said, RefusedBy};
    use crate::dns::{Answer, Trouble};
    use crate::relay::{How, Moved, Side};
    use crate::screen::{Action, Finding as Noticed, Opinion, dnsbl};
    use crate::smtp::reply::Reply;

    const WAIT: Duration = Duration::from_millis(520);

    fn report() -> Report {
        let (client, server) =
            ("[::ffff:192.0.2.7]:4711".parse().unwrap(), "198.51.100.2:25".parse().unwrap());
        Report::new(Endpoints { client, server }, SystemTime::now())
    }

    fn envelope() -> Envelope {
        Envelope {
            command: "RCPT",
            sender: Some("a@example.net".to_owned()),
            recipient: Some("b@example.org".to_owned()),
            protocol: Protocol::Esmtp,
            helo: Some("host".to_owned()),
        }
    }

    fn listed() -> Score {
        Score {
            total: 3,
            hits: Vec::new(),
            unanswered: vec!["slow.test".into()],
            opinion: Opinion::Listed { by: "bl.test".into() },
            ttl: None,
        }
    }

    fn answered(answer: Answer<std::net::Ipv4Addr>) -> Noticed {
        Noticed::Answered(dnsbl::Reply { list: "bl.test".into(), answer, took: Duration::from_millis(7) })
    }

    /// Without time, host and program.
    fn messages(story: impl FnOnce(&mut Report)) -> Vec<String> {
        let lines = logged(Format::Postscreen, Least::Info, || story(&mut report()));
        lines.into_iter().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect()
    }

    fn object(story: impl FnOnce(&mut Report)) -> Value {
        let lines = logged(Format::Json, Least::Info, || story(&mut report()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).unwrap()
    }

    fn a_listed_client(report: &mut Report) {
        report.admitted();
        let records = vec!["127.0.0.2".parse().unwrap(), "127.255.255.254".parse().unwrap()];
        report.screen(answered(Answer::Found { records, ttl: WAIT }));
        report.screen(Noticed::Scored(listed()));
        report.screen(Noticed::Failed { test: Some(Test::Dnsbl), action: Action::Enforce });
        report.screen(Noticed::Waited(WAIT));
        report.reached(State::Dialogue);
        let reply = Reply::new(550, "5.7.1 Service unavailable; client [192.0.2.7] blocked using bl.test");
        report.dialogue(Said::Reject { envelope: envelope(), reply, by: RefusedBy::Test });
        report.dialogue(Said::TooManyErrors { after: After::Verb(Verb::Rcpt) });
        report.end(Outcome::Quit);
    }

    #[test]
    fn a_listed_client_in_postscreens_lines() {
        assert_eq!(
            messages(a_listed_client),
            [
                "CONNECT from [192.0.2.7]:4711 to [198.51.100.2]:25",
                "addr 192.0.2.7 listed by domain bl.test as 127.0.0.2",
                "DNSBL rank 3 for [192.0.2.7]:4711",
                "NOQUEUE: reject: RCPT from [192.0.2.7]:4711: 550 5.7.1 Service unavailable; client [192.0.2.7] \
                 blocked using bl.test; from=<a@example.net>, to=<b@example.org>, proto=ESMTP, helo=<host>",
                "too many errors after RCPT from unknown[192.0.2.7]",
                "DISCONNECT [192.0.2.7]:4711",
            ]
        );
    }

    #[test]
    fn a_listed_client_in_one_object() {
        let object = object(a_listed_client);
        assert_eq!(object["outcome"], "dnsbl");
        assert_eq!((&object["client"], &object["port"]), (&"192.0.2.7".into(), &4711.into()));
        assert_eq!(object["stage"], "dialogue");
        assert_eq!(object["tests"]["dnsbl"], "failed");
        assert_eq!((&object["dnsbl"]["score"], &object["waited"]), (&3.into(), &0.52.into()));
        assert_eq!((&object["from"], &object["helo"]), (&"a@example.net".into(), &"host".into()));
        let events = object["events"].as_array().unwrap();
        assert_eq!(events[0]["what"], "addr listed by domain bl.test as 127.0.0.2");
        assert!(events.iter().any(|event| event["by"] == "test" && event["command"] == "RCPT"), "{events:?}");
    }

    #[test]
    fn a_listed_client_in_one_sentence() {
        let lines = logged(Format::Text, Least::Info, || a_listed_client(&mut report()));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        for part in
            [" dnsbl [192.0.2.7]:4711 after 0 s", "to=<b@example.org>", "DNSBL rank 3", "reject: RCPT: 550"]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn an_early_talker_that_hangs_up() {
        let story = |report: &mut Report| {
            report.admitted();
            let text = [b"\x16\x03\x01".as_slice(), &[b'x'; 97]].concat();
            report.screen(Noticed::Pregreet { count: 517, after: Duration::from_millis(83), text });
            report.screen(Noticed::Failed { test: Some(Test::Pregreet), action: Action::Ignore });
            report.screen(Noticed::HungUp { after: Duration::from_millis(1_940) });
            report.end(Outcome::HungUp);
        };
        let lines = messages(story);
        let shown = format!("\\026\\003\\001{}", "x".repeat(88));
        assert_eq!(lines[1], format!("PREGREET 517 after 0.08 from [192.0.2.7]:4711: {shown}"));
        assert_eq!(lines[2], "HANGUP after 1.9 from [192.0.2.7]:4711 in tests before SMTP handshake");
        assert_eq!(lines[3], "DISCONNECT [192.0.2.7]:4711");
        let object = object(story);
        assert_eq!((&object["outcome"], &object["tests"]["pregreet"]), (&"hangup".into(), &"ignored".into()));
    }

    #[test]
    fn a_good_client_has_no_disconnect_and_tells_of_its_mail() {
        let story = |report: &mut Report| {
            report.admitted();
            report.screen(Noticed::Passed(Test::Pregreet));
            report.screen(answered(Answer::NotFound { ttl: None }));
            report.reached(State::Dialogue);
            report.dialogue(Said::Passed(vec![Test::Pipelining, Test::BareNewline]));
            report.passed(History::New);
            report.handed_over(HandOff { server: None, took: WAIT });
            report.handed_over(HandOff { server: Some("127.0.0.1:10025".to_owned()), took: WAIT });
            report.handed_over(HandOff { server: Some("later".to_owned()), took: WAIT });
            report.reached(State::Relay);
            let up = Moved { copied: 10, spliced: 4_000 };
            let ended = How::Finished { first: Side::Client };
            report.relayed(Transfer { up, down: Moved { copied: 70, spliced: 0 }, ended });
            report.end(Outcome::Relayed);
            report.end(Outcome::HungUp);
        };
        assert_eq!(
            messages(story),
            ["CONNECT from [192.0.2.7]:4711 to [198.51.100.2]:25", "PASS NEW [192.0.2.7]:4711"]
        );
        let object = object(story);
        assert_eq!((&object["outcome"], &object["passed"]), (&"relayed".into(), &"new".into()));
        assert_eq!(object["handoff"]["server"], "127.0.0.1:10025");
        assert_eq!(object["relay"]["to_backend"]["spliced"], 4_000);
        assert_eq!(object["tests"].as_object().unwrap().len(), 3);
        let lines = logged(Format::Text, Least::Info, || story(&mut report()));
        assert!(lines[0].contains("4010 bytes to the backend, 70 back, 4000 of them spliced"), "{lines:?}");
    }

    #[test]
    fn limits_at_the_door_have_postscreens_lines() {
        for (outcome, expected) in [
            (Outcome::TooManyConnections, "too many connections"),
            (Outcome::Busy(Full::Screening), "all screening ports busy"),
            (Outcome::Busy(Full::Backend), "all server ports busy"),
        ] {
            let lines = messages(|report| report.end(outcome));
            assert_eq!(lines[0], format!("NOQUEUE: reject: CONNECT from [192.0.2.7]:4711: {expected}"));
        }
    }

    #[test]
    fn the_gravest_offence_names_the_outcome() {
        let mut report = report();
        let reply = Reply::new(502, "5.5.2 Error: command not recognized");
        report.dialogue(Said::ProtocolError { after: After::Connect, reply });
        report.dialogue(Said::Failed { test: Test::BareNewline, action: Action::Enforce });
        report.dialogue(Said::Failed { test: Test::Pipelining, action: Action::Drop });
        report.end(Outcome::HungUp);
        assert_eq!(report.outcome(), Some(Outcome::Failed(Test::BareNewline)));
        assert_eq!(report.tests().count(), 2);
    }

    #[test]
    fn a_backend_that_does_not_answer_is_nobodys_offence_but_names_the_outcome() {
        let mut report = report();
        report.dialogue(Said::Unavailable { envelope: envelope() });
        report.end(Outcome::Quit);
        assert_eq!(report.outcome(), Some(Outcome::Unavailable));
        assert_eq!(report.verdicts(), [(Verdict { by: Judge::NoBackend, action: Refusal::Defer }, 1)]);
    }

    #[test]
    fn a_report_is_bounded_and_counts_on() {
        let mut report = report();
        for _ in 0..10_000 {
            let reply = Reply::new(550, "5.1.1 <x>: User unknown".repeat(100));
            report.dialogue(Said::BackendReject { envelope: envelope(), reply });
        }
        assert_eq!((report.findings.len(), report.untold as usize), (FINDINGS, 10_000 - FINDINGS));
        assert_eq!(report.verdicts()[0].1, 10_000);
        let text = json::of(&report);
        assert!(text.len() < 64 * 1024, "{}", text.len());
        assert!(sentence::of(&report).len() < 8 * 1024);
    }

    #[test]
    fn a_connection_that_is_cut_off_leaves_its_report() {
        let lines = messages(Report::admitted);
        assert_eq!(lines[1], "DISCONNECT [192.0.2.7]:4711");
        let lines = logged(Format::Json, Least::Info, || drop(report()));
        assert!(lines[0].contains("\"outcome\":\"cut\""), "{lines:?}");
    }

    #[test]
    fn lists_that_cannot_be_asked_are_told_of() {
        let lines = messages(|report| report.screen(answered(Answer::Temporary(Trouble::Timeout))));
        assert_eq!(lines[0], "warning: dnsblog_query: lookup error for DNS query bl.test: timeout");
    }
}
