//! What the shared allowlist has done, and how its server is.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::dns::{Latency, Stopwatch};

/// How the server is; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LinkState {
    /// None is configured.
    #[default]
    Off,
    /// It answers.
    Up,
    /// It answers, and takes nothing: full, or a replica.
    Refusing,
    /// It does not answer, or not in time; it is tried again. Nobody waits for it.
    Down,
}

impl LinkState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Off, Self::Up, Self::Refusing, Self::Down];

    /// `off`, `up`, `refusing`, `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Up => "up",
            Self::Refusing => "refusing",
            Self::Down => "down",
        }
    }
}

/// What the server was asked to do; a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// What it knows of a client.
    Lookup,
    /// To note what a client has passed, or that its passes were revoked.
    Store,
    /// To count what a client does.
    Count,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 3] = [Self::Lookup, Self::Store, Self::Count];

    /// `lookup`, `store`, `count`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Store => "store",
            Self::Count => "count",
        }
    }
}

/// What came of it; a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Found, or noted.
    Done,
    /// It holds nothing of the client.
    Missing,
    /// It holds something that is no record of the client.
    Foreign,
    /// It did not answer in time.
    Timeout,
    /// It takes nothing: full, a replica, or its rights do not suffice.
    Refused,
    /// It could not be spoken to, or has said that it cannot answer.
    Failed,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Missing, Self::Foreign, Self::Timeout, Self::Refused, Self::Failed];

    /// `done`, `missing`, `foreign`, `timeout`, `refused`, `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Missing => "missing",
            Self::Foreign => "foreign",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // Of several commands, the first that failed.
        let failed = error.clone().into_server_errors();
        let first = failed.as_ref().and_then(|failed| failed.first()).map(|(_, error)| error.code());
        match (error.kind(), error.code().or(first)) {
            (_, Some("WRONGTYPE")) => Self::Foreign,
            (_, Some("OOM" | "MISCONF" | "NOREPLICAS")) => Self::Refused,
            // A transaction is given up when one of its commands is refused.
            (
                ErrorKind::Server(
                    ServerErrorKind::ReadOnly | ServerErrorKind::NoPerm | ServerErrorKind::ExecAbort,
                ),
                _,
            ) => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// Whether the server is well, as far as this shows.
    pub(super) fn is_an_answer(self) -> bool {
        matches!(self, Self::Done | Self::Missing | Self::Foreign | Self::Refused)
    }
}

/// What the shared allowlist has done since the start, and how its server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How the server is.
    pub state: LinkState,
    /// Operations by [`Operation`] and [`Outcome`], in their orders.
    pub operations: [[u64; Outcome::ALL.len()]; Operation::ALL.len()],
    /// How long those took that were answered, by [`Operation`].
    pub latency: [Latency; Operation::ALL.len()],
    /// Connections made.
    pub connections: u64,
    /// Changes that wait to be told.
    pub pending: u64,
    /// Changes that were never told, because too many waited.
    pub dropped: u64,
}

/// [`Totals`] being counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    operations: [[AtomicU64; Outcome::ALL.len()]; Operation::ALL.len()],
    latency: [Stopwatch; Operation::ALL.len()],
    pub(super) connections: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// An operation under way.
pub(super) struct Watch<'a> {
    counters: &'a Counters,
    operation: Operation,
    begun: Instant,
}

impl Counters {
    pub(super) fn begin(&self, operation: Operation) -> Watch<'_> {
        Watch { counters: self, operation, begun: Instant::now() }
    }

    pub(super) fn read(&self, state: LinkState, pending: usize) -> Totals {
        Totals {
            state,
            operations: std::array::from_fn(|o| {
                std::array::from_fn(|outcome| self.operations[o][outcome].load(Relaxed))
            }),
            latency: std::array::from_fn(|o| self.latency[o].read()),
            connections: self.connections.load(Relaxed),
            pending: pending as u64,
            dropped: self.dropped.load(Relaxed),
        }
    }
}

impl Watch<'_> {
    pub(super) fn end(self, outcome: Outcome) {
        let operation = self.operation as usize;
        self.counters.operations[operation][outcome as usize].fetch_add(1, Relaxed);
        if outcome.is_an_answer() {
            self.counters.latency[operation].record(self.begun.elapsed());
        }
    }
}
