//! What happened to one connection; its log line.
//!
//! A [`Report`] is filled while the connection lives and read when it has ended: by the metrics, and by the log,
//! which shows it as one sentence, one JSON object, or the lines that postscreen would have written meanwhile.
//! It decides nothing but what the connection came to, and it keeps no more of what a client has sent than a log
//! shows.

mod facts;
mod heard;
mod json;
mod line;
mod live;
pub mod log;
mod notice;
mod outcome;
mod sentence;
mod size;
pub(crate) mod text;

pub use facts::{HandOff, Judge, Rank, Refusal, TestResult, Verdict};
pub use heard::{Decided, Heard, Refused, Refuser};
pub use live::Live;
pub use outcome::Outcome;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{Level, enabled, info};

use crate::allowlist::{Record, Test};
use crate::dialogue::{self, Checked, Envelope};
use crate::id::Id;
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
use sentence::Sentence;

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
    /// Whether the access list permits the client, and the dialogue is held all the same.
    is_permitted: bool,
    /// Whether DNS lists were asked.
    is_scored: bool,
    /// What came of it, where that is more than that nobody lists the client.
    score: Option<Arc<Score>>,
    /// In milliseconds.
    waited: Option<u32>,
    offence: Option<Outcome>,
    would: Option<Outcome>,
    history: Option<History>,
    end: Option<Box<End>>,
    talk: Option<Box<Talk>>,
    joined: Option<Box<Joined>>,
    heard: Option<Box<Heard>>,
}

/// The connection has ended.
#[derive(Debug)]
struct End {
    outcome: Outcome,
    duration: Duration,
    is_told: bool,
}

/// What comes to light once somebody talks.
#[derive(Debug, Default)]
struct Talk {
    name: Option<String>,
    verdicts: Vec<(Verdict, u64)>,
    envelope: Option<Arc<Envelope>>,
    recipients: Vec<String>,
    accepted: u32,
    tls: Option<Box<TlsFacts>>,
}

/// What comes of client and backend together.
#[derive(Debug, Default)]
struct Joined {
    handoff: Option<HandOff>,
    /// Boxed: while a relay lasts there is none.
    transfer: Option<Box<Transfer>>,
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
            is_permitted: false,
            is_scored: false,
            score: None,
            waited: None,
            offence: None,
            would: None,
            history: None,
            end: None,
            talk: None,
            joined: None,
            heard: None,
        }
    }

    /// Keeps all that a second policy must know to judge this connection, too. To be called before anything has
    /// happened in it.
    pub fn listen(&mut self) {
        self.heard = Some(Box::default());
    }

    /// The access list permits the client for good, which is talked to all the same.
    pub fn permitted(&mut self) {
        self.is_permitted = true;
    }

    /// Whether that is so.
    pub(crate) fn is_permitted(&self) -> bool {
        self.is_permitted
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

    /// The client's names, where somebody has asked for them. They are told again and again, and stay the same.
    pub fn named(&mut self, names: Option<&Names>) {
        let Some(names) = names else { return };
        if let Some(heard) = &mut self.heard {
            heard.names.get_or_insert_with(|| names.clone());
        }
        if let Some(name) = &names.name {
            self.talk_mut().name.get_or_insert_with(|| text::printable(name).into_owned());
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
        self.talk_mut().tls = Some(Box::new(tls));
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
        talk.envelope = Some(Arc::new(envelope));
        if talk.recipients.len() < RECIPIENTS {
            push(&mut talk.recipients, text::printable(recipient).into_owned());
        }
    }

    /// A backend has taken the client on, or none would. What came about first stays; a success outweighs failures.
    pub fn handed_over(&mut self, handoff: HandOff) {
        let joined = self.joined.get_or_insert_default();
        if joined.handoff.as_ref().is_none_or(|before| before.server.is_none()) {
            joined.handoff = Some(handoff);
        }
    }

    /// The relay has ended.
    pub fn relayed(&mut self, transfer: Transfer) {
        self.joined.get_or_insert_default().transfer = Some(Box::new(transfer));
    }

    /// The connection has ended. A second call does nothing.
    ///
    /// `outcome` says how it ended. Where that is only how the client left, and something was held against it, that
    /// is the better word, and becomes the outcome.
    pub fn end(&mut self, outcome: Outcome) {
        if self.end.is_none() {
            self.farewell(outcome);
            let (outcome, duration) = (outcome.given(self.offence), self.live.age());
            self.end = Some(Box::new(End { outcome, duration, is_told: false }));
        }
    }

    /// Says in the log what the connection came to; of one that has not [ended](Self::end), that it was cut off. A
    /// second call does nothing.
    pub fn tell(&mut self) {
        self.end(Outcome::Cut);
        if self.end.as_mut().is_none_or(|end| std::mem::replace(&mut end.is_told, true)) {
            return;
        }
        if enabled!(target: Format::Text.target(), Level::INFO) {
            info!(target: Format::Text.target(), "{}", Sentence(self));
        }
        if enabled!(target: Format::Json.target(), Level::INFO) {
            let object = serde_json::to_string(self).unwrap_or_default();
            info!(target: Format::Json.target(), message = object);
        }
    }

    /// What postscreen says when a connection ends.
    fn farewell(&self, outcome: Outcome) {
        say(|| {
            let busy = |why| Some(format!("NOQUEUE: reject: CONNECT{}: {why}", self.client().from()));
            let last = match outcome {
                Outcome::Busy(Full::Screening) => busy("all screening ports busy"),
                Outcome::Busy(Full::Backend) => busy("all server ports busy"),
                Outcome::TooManyConnections => busy("too many connections"),
                Outcome::HungUp if self.stage() != State::Screen => {
                    Some(line::hangup(self.live.age(), self.client(), "tests after SMTP handshake"))
                }
                _ => None,
            };
            let farewell = || format!("DISCONNECT{}", self.client().alone());
            let farewell = (!outcome.reached_backend()).then(farewell);
            last.into_iter().chain(farewell).map(line::postscreen).collect()
        });
    }

    fn note(&mut self, finding: Finding) {
        if !line::is_told(&finding) {
            return;
        }
        say(|| line::lines(&finding, self.client()));
        if self.findings.len() < FINDINGS {
            push(&mut self.findings, (self.live.age(), finding));
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

    /// Its two ends.
    pub fn ends(&self) -> Endpoints {
        self.live.ends()
    }

    /// What the connection came to; `None` while it lives.
    pub fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| end.outcome)
    }

    /// What the connection would have come to, had everything been enforced that was only observed: under `mode =
    /// "observe"`, by a test that is ignored, or under `warn_if_reject`. `None` where nothing was.
    pub fn would_have(&self) -> Option<Outcome> {
        self.would
    }

    /// How long it lived; `None` while it does.
    pub fn duration(&self) -> Option<Duration> {
        self.end.as_ref().map(|end| end.duration)
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
    pub fn score(&self) -> Option<Rank<'_>> {
        self.is_scored.then(|| self.score.as_deref().map(Rank::of).unwrap_or_default())
    }

    /// How long the client was kept waiting before the greeting, if it was.
    pub fn waited(&self) -> Option<Duration> {
        self.waited.map(|milliseconds| Duration::from_millis(milliseconds.into()))
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
        self.joined.as_ref()?.handoff.as_ref()
    }

    /// What was relayed, if anything was.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.joined.as_ref()?.transfer.as_deref()
    }

    /// What was held against the client, and refused because of it.
    pub fn offence(&self) -> Option<Outcome> {
        self.offence
    }

    /// What a second policy must know, where it was [kept](Self::listen); from here on it is not.
    pub fn take_heard(&mut self) -> Option<Heard> {
        self.heard.take().map(|heard| *heard)
    }

    /// What TLS it ran in at the end.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.talk.as_ref()?.tls.as_deref()
    }
}

/// A connection whose task is dropped leaves a report, too.
impl Drop for Report {
    fn drop(&mut self) {
        self.tell();
    }
}

/// One more. Most reports have none, and of the others most have one: a Vec left to itself makes room for four.
fn push<T>(to: &mut Vec<T>, item: T) {
    to.reserve_exact(1);
    to.push(item);
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
mod tests;
