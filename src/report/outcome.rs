//! What a connection came to, in one word.

use crate::allowlist::Test;
use crate::limits::Full;

/// What a connection came to; a closed set, so it may label a metric. Every connection has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Permanently permitted: the backend spoke from the first byte.
    Forwarded,
    /// Mail went to a backend.
    Relayed,
    /// The backend does TLS, and had the client from STARTTLS on.
    PassedThrough,
    /// Permanently refused by the access list.
    Denylisted,
    /// Failed a test, and was refused because of it.
    Failed(Test),
    /// Refused by a test that the report has not heard of; see [`Report::end`](super::Report::end).
    Dropped,
    /// A restriction list refused all that it asked for.
    Rejected,
    /// Every list permitted it, and the backend refused all that it asked for.
    BackendRejected,
    /// Broke the protocol too often, or one of its limits.
    TooManyErrors,
    /// Said QUIT before there was anything to hand over, nothing held against it.
    Quit,
    /// Hung up before there was anything to hand over. No offence.
    HungUp,
    /// Said nothing, or took nothing, for too long.
    TimedOut,
    /// Too many of its kind at once, or too often.
    TooManyConnections,
    /// All seats of this kind were taken.
    Busy(Full),
    /// No backend could be spoken to.
    Unavailable,
    /// The PROXY header was missing, wrong, or not from one who may send it.
    BadProxyHeader,
    /// TLS did not come about.
    BadTls,
    /// We are going down.
    Drained,
    /// Cut off in the middle: by the end of the time for draining, or by a fault of ours.
    Cut,
}

impl Outcome {
    /// What it is to fail `test`, or the access list where it was none.
    pub fn of_failure(test: Option<Test>) -> Self {
        test.map_or(Self::Denylisted, Self::Failed)
    }

    /// All outcomes.
    pub const ALL: [Self; 24] = [
        Self::Forwarded,
        Self::Relayed,
        Self::PassedThrough,
        Self::Denylisted,
        Self::Failed(Test::Pregreet),
        Self::Failed(Test::Dnsbl),
        Self::Failed(Test::Pipelining),
        Self::Failed(Test::NonSmtpCommand),
        Self::Failed(Test::BareNewline),
        Self::Dropped,
        Self::Rejected,
        Self::BackendRejected,
        Self::TooManyErrors,
        Self::Quit,
        Self::HungUp,
        Self::TimedOut,
        Self::TooManyConnections,
        Self::Busy(Full::Screening),
        Self::Busy(Full::Backend),
        Self::Unavailable,
        Self::BadProxyHeader,
        Self::BadTls,
        Self::Drained,
        Self::Cut,
    ];

    /// The word in logs and metrics; that of a failed test is the test's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Relayed => "relayed",
            Self::PassedThrough => "passed_through",
            Self::Denylisted => "denylisted",
            Self::Failed(test) => test.as_str(),
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::BackendRejected => "backend_rejected",
            Self::TooManyErrors => "too_many_errors",
            Self::Quit => "quit",
            Self::HungUp => "hangup",
            Self::TimedOut => "timeout",
            Self::TooManyConnections => "too_many_connections",
            Self::Busy(Full::Screening) => "screening_full",
            Self::Busy(Full::Backend) => "backend_full",
            Self::Unavailable => "unavailable",
            Self::BadProxyHeader => "bad_proxy_header",
            Self::BadTls => "bad_tls",
            Self::Drained => "drained",
            Self::Cut => "cut",
        }
    }

    /// Whether the connection reached a backend that went on with it.
    pub fn reached_backend(self) -> bool {
        matches!(self, Self::Forwarded | Self::Relayed | Self::PassedThrough)
    }

    /// Whether it says only how the client left, so that what was held against it before is the better word.
    fn is_a_farewell(self) -> bool {
        matches!(
            self,
            Self::Dropped | Self::TooManyErrors | Self::Quit | Self::HungUp | Self::TimedOut | Self::Drained
        )
    }

    /// How much it says about the client when it is held against it.
    pub(super) fn gravity(self) -> u8 {
        match self {
            Self::Denylisted | Self::Failed(_) => 5,
            Self::Rejected => 4,
            Self::TooManyErrors => 3,
            Self::TimedOut => 2,
            Self::BackendRejected => 1,
            _ => 0,
        }
    }

    /// The word for a connection that ended as `self` after something was held against the client.
    pub(super) fn given(self, offence: Option<Self>) -> Self {
        offence.filter(|_| self.is_a_farewell()).unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_outcome_has_its_own_word() {
        let words: HashSet<_> = Outcome::ALL.map(Outcome::as_str).into_iter().collect();
        assert_eq!(words.len(), Outcome::ALL.len());
    }

    #[test]
    fn what_was_held_against_a_client_outweighs_how_it_left() {
        let listed = Some(Outcome::Failed(Test::Dnsbl));
        assert_eq!(Outcome::Quit.given(listed), Outcome::Failed(Test::Dnsbl));
        assert_eq!(Outcome::HungUp.given(None), Outcome::HungUp);
        assert_eq!(
            Outcome::Relayed.given(Some(Outcome::Rejected)),
            Outcome::Relayed,
            "one of two recipients"
        );
    }
}
