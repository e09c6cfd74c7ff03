//! What happened to one connection; its log line.
//!
//! A [`Report`] is filled while the connection lives and read when it has ended: by the metrics, and by the log,
//! which shows it as one sentence, one JSON object, or the lines that postscreen would have written meanwhile.
//! It decides nothing, and holds no more of what a client has sent than a log line shows.

mod id;
pub mod log;
mod outcome;
#[allow(dead_code)] // the lines follow
mod text;

pub use id::Id;
pub use outcome::Outcome;

use std::time::{Duration, Instant, SystemTime};

use crate::limits::State;
use crate::policy::TlsFacts;
use crate::proxy_protocol::Endpoints;
use crate::relay::Transfer;

/// What happened to one connection.
#[derive(Debug)]
pub struct Report {
    id: Id,
    ends: Endpoints,
    at: SystemTime,
    started: Instant,
    stage: State,
    offence: Option<Outcome>,
    tls: Option<TlsFacts>,
    handoff: Option<HandOff>,
    transfer: Option<Transfer>,
    ended: Option<(Outcome, Duration)>,
}

/// How the hand-off went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOff {
    /// The server, as configured; `None` if none would answer.
    pub server: Option<String>,
    /// From the first try to the backend's reply to the first recipient, or to the last failure.
    pub took: Duration,
}

impl Report {
    /// A connection that was accepted at `now`. Between two ends that a PROXY header names, see
    /// [`announced`](Self::announced).
    pub fn new(ends: Endpoints, now: SystemTime) -> Self {
        Self {
            id: Id::new(now),
            ends,
            at: now,
            started: Instant::now(),
            stage: State::Screen,
            offence: None,
            tls: None,
            handoff: None,
            transfer: None,
            ended: None,
        }
    }

    /// The connection's name.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its two ends.
    pub fn ends(&self) -> Endpoints {
        self.ends
    }

    /// When it was accepted.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// A PROXY header has named the real ends.
    pub fn announced(&mut self, ends: Endpoints) {
        self.ends = ends;
    }

    /// It goes on to another stage of its life.
    pub fn reached(&mut self, stage: State) {
        self.stage = stage;
    }

    /// The session runs in TLS from here on.
    pub fn secured(&mut self, tls: TlsFacts) {
        self.tls = Some(tls);
    }

    /// A hand-off has come about, or has failed for good.
    pub fn handed_over(&mut self, handoff: HandOff) {
        self.handoff = Some(handoff);
    }

    /// The relay has ended.
    pub fn relayed(&mut self, transfer: Transfer) {
        self.transfer = Some(transfer);
    }

    /// The connection has ended: says so in the log. A second call does nothing.
    pub fn end(&mut self, outcome: Outcome) {
        if self.ended.is_none() {
            self.ended = Some((outcome.given(self.offence), self.started.elapsed()));
        }
    }

    /// What the connection came to; `None` while it lives.
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.map(|(outcome, _)| outcome)
    }

    /// How long it lived; `None` while it does.
    pub fn duration(&self) -> Option<Duration> {
        self.ended.map(|(_, duration)| duration)
    }

    /// How far it came.
    pub fn stage(&self) -> State {
        self.stage
    }

    /// How the hand-off went, if one was tried.
    pub fn handoff(&self) -> Option<&HandOff> {
        self.handoff.as_ref()
    }

    /// What was relayed, if anything was.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    /// What TLS it ran in at the end.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }
}
