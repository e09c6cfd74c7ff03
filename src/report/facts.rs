//! What a report says, as values: what tests came to, who refused what, how the hand-off went.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::List;
use crate::rate::Limit;
use crate::screen::{Hit, Score};
use crate::smtp::reply::Reply;

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TestResult {
    /// Passed now; a pass from before is none.
    Passed,
    /// Failed, and refused because of it or about to be.
    Failed,
    /// Failed, and that was ignored.
    Ignored,
}

impl TestResult {
    /// All results.
    pub const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::Ignored];

    /// `passed`, `failed`, `ignored`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
        }
    }
}

/// Who refused something, and how: what the metrics count of refusals. All of it comes from closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Who.
    pub by: Judge,
    /// How.
    pub action: Refusal,
}

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judge {
    /// A test that the client has failed.
    Test,
    /// A restriction: its list and its verb.
    Restriction(List, &'static str),
    /// A limit on sizes and numbers.
    Limit,
    /// The backend.
    Backend,
    /// The lack of one.
    NoBackend,
    /// SMTP itself.
    Protocol,
    /// A limit on what one client may do in a time.
    Rate(Limit),
}

impl Judge {
    /// `test`, `restriction`, `limit`, `backend`, `no_backend`, `protocol`, `rate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Restriction(..) => "restriction",
            Self::Limit => "limit",
            Self::Backend => "backend",
            Self::NoBackend => "no_backend",
            Self::Protocol => "protocol",
            Self::Rate(_) => "rate",
        }
    }
}

/// How something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// For good, 5xx.
    Reject,
    /// For now, 4xx.
    Defer,
    /// By closing the connection without a word.
    HangUp,
    /// Not at all: only an administrator is told.
    Warn,
}

impl Refusal {
    /// `reject`, `defer`, `hangup`, `warn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::HangUp => "hangup",
            Self::Warn => "warn",
        }
    }

    pub(super) fn by_reply(reply: &Reply) -> Self {
        if reply.is_transient() { Self::Defer } else { Self::Reject }
    }
}

/// What DNS lists made of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank<'a> {
    /// The sum of the weights that count.
    pub total: i64,
    /// Lists whose answers count.
    pub hits: &'a [Hit],
    /// Names of the lists that said nothing.
    pub unanswered: &'a [Arc<str>],
}

impl<'a> Rank<'a> {
    pub(super) fn of(score: &'a Score) -> Self {
        Self { total: score.total, hits: &score.hits, unanswered: &score.unanswered }
    }
}

/// How the hand-off went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOff {
    /// The server, as configured; `None` if none would answer.
    pub server: Option<Arc<str>>,
    /// From the first try to the backend's reply to the first recipient, or to the last failure.
    pub took: Duration,
}
