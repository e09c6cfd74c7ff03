//! What the page calls things.

use std::time::Duration;

use crate::allowlist::Test;
use crate::limits::Full;
use crate::report::Outcome;

/// What operators ask first of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// A backend went on with it.
    Delivered,
    /// We, or the backend, said no.
    Refused,
    /// It went away by itself.
    Left,
    /// We could not serve it.
    Unserved,
}

impl Group {
    pub(super) const ALL: [Self; 4] = [Self::Delivered, Self::Refused, Self::Left, Self::Unserved];

    pub(super) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Forwarded | Outcome::Relayed | Outcome::PassedThrough => Self::Delivered,
            Outcome::Denylisted
            | Outcome::Failed(_)
            | Outcome::Dropped
            | Outcome::Rejected
            | Outcome::BackendRejected
            | Outcome::TooManyErrors
            | Outcome::TooManyConnections
            | Outcome::BadProxyHeader => Self::Refused,
            Outcome::Quit | Outcome::HungUp | Outcome::TimedOut | Outcome::BadTls => Self::Left,
            Outcome::Busy(_) | Outcome::Unavailable | Outcome::Drained | Outcome::Cut => Self::Unserved,
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Delivered => "good",
            Self::Refused => "bad",
            Self::Left => "left",
            Self::Unserved => "ours",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Delivered => "went on to a backend",
            Self::Refused => "refused",
            Self::Left => "left by themselves",
            Self::Unserved => "not served",
        }
    }
}

/// An outcome in a few words.
pub(super) fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Forwarded => "permanently permitted, straight through",
        Outcome::Relayed => "mail for a backend",
        Outcome::PassedThrough => "TLS with the backend itself",
        Outcome::Denylisted => "on the access list, as rejected",
        Outcome::Failed(Test::Pregreet) => "spoke before the greeting",
        Outcome::Failed(Test::Dnsbl) => "on DNS lists",
        Outcome::Failed(Test::Pipelining) => "did not wait for replies",
        Outcome::Failed(Test::NonSmtpCommand) => "spoke something else than SMTP",
        Outcome::Failed(Test::BareNewline) => "ended lines with LF alone",
        Outcome::Dropped => "refused by a test",
        Outcome::Rejected => "a restriction refused it all",
        Outcome::BackendRejected => "the backend refused it all",
        Outcome::TooManyErrors => "broke the protocol",
        Outcome::Quit => "said QUIT without mail",
        Outcome::HungUp => "hung up",
        Outcome::TimedOut => "silent for too long",
        Outcome::TooManyConnections => "too many, or too often",
        Outcome::Busy(Full::Screening) => "no room before the hand-off",
        Outcome::Busy(Full::Backend) => "no room at the backend",
        Outcome::Unavailable => "no backend answered",
        Outcome::BadProxyHeader => "no PROXY header, or not a trusted one",
        Outcome::BadTls => "TLS did not come about",
        Outcome::Drained => "told to come back: we were going down",
        Outcome::Cut => "cut off at the end",
    }
}

/// A time in its two largest units: `3 d 4 h`, `2 min 5 s`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
