//! What can go wrong with a backend. None of it is the client's fault, and none of it becomes a 5xx.

use std::io;
use std::sync::Arc;

use crate::smtp::reply::Reply;

/// Where a hand-off stands; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The connection is being made.
    Connect,
    /// The server has been told who the client is, and is to greet.
    Greeting,
    /// TLS is to begin.
    Tls,
    /// HELO or EHLO.
    Helo,
    /// MAIL and RCPT, and whatever else belongs to a transaction.
    Envelope,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Greeting, Self::Tls, Self::Helo, Self::Envelope];

    /// `connect`, `greeting`, `tls`, `helo`, `envelope`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Tls => "tls",
            Self::Helo => "helo",
            Self::Envelope => "envelope",
        }
    }
}

/// What went wrong; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Nobody listens.
    Refused,
    /// The network knows no way.
    Unreachable,
    /// It took too long.
    Timeout,
    /// It closed the connection, or the connection broke.
    Closed,
    /// It said no where that means that it serves nobody: at the greeting, at RSET, or by 421.
    Rejected,
    /// It will not be told who the client is: a wrong `identity`, or a server that does not trust us.
    Identity,
    /// It was to speak TLS and does not, or none that is good enough.
    Tls,
    /// Its certificate is not to be trusted: issuer, name or time.
    Untrusted,
    /// What it said is no reply, makes no sense here, or was not asked for.
    Malformed,
    /// We have run out of descriptors, ports or memory.
    Exhausted,
}

impl Trouble {
    /// All troubles, in order.
    pub const ALL: [Self; 10] = [
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Closed,
        Self::Rejected,
        Self::Identity,
        Self::Tls,
        Self::Untrusted,
        Self::Malformed,
        Self::Exhausted,
    ];

    /// `refused`, `unreachable`, `timeout`, `closed`, `rejected`, `identity`, `tls`, `untrusted`, `malformed`,
    /// `exhausted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Rejected => "rejected",
            Self::Identity => "identity",
            Self::Tls => "tls",
            Self::Untrusted => "untrusted",
            Self::Malformed => "malformed",
            Self::Exhausted => "exhausted",
        }
    }

    /// What an error of connect or bind means.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            // A unix socket whose server is gone is refused, one that it has not made yet is not found.
            Kind::ConnectionRefused | Kind::ConnectionReset | Kind::NotFound => Self::Refused,
            // So is one whose queue is full.
            Kind::WouldBlock => Self::Refused,
            Kind::TimedOut => Self::Timeout,
            Kind::AddrInUse | Kind::AddrNotAvailable | Kind::OutOfMemory => Self::Exhausted,
            _ if is_descriptor_limit(error) => Self::Exhausted,
            _ => Self::Unreachable,
        }
    }
}

/// EMFILE and ENFILE have no kind of their own.
fn is_descriptor_limit(error: &io::Error) -> bool {
    use nix::errno::Errno;
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

/// A conversation with a server that has come to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) trouble: Trouble,
    /// What the server said, where it said why.
    pub(super) reply: Option<Reply>,
}

impl Failure {
    /// The server said no.
    pub(super) fn rejected(phase: Phase, reply: Reply) -> Self {
        Self { phase, trouble: Trouble::Rejected, reply: Some(reply) }
    }

    /// The 421 with which a server ends a transaction: the client shall hear it. Earlier it would only hear that this
    /// server is busy, while another may not be.
    pub(super) fn farewell(self) -> Option<Reply> {
        self.reply.filter(|reply| self.phase == Phase::Envelope && reply.code() == 421)
    }
}

/// No backend could be spoken to, or the one that was has been lost. Never the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("backend {}: {} at {}", .server.as_deref().unwrap_or("(none)"), .trouble.as_str(), .phase.as_str())]
pub struct Unavailable {
    /// The server that was tried last, as configured.
    pub server: Option<Arc<str>>,
    /// How far it came.
    pub phase: Phase,
    /// What went wrong.
    pub trouble: Trouble,
}

impl Unavailable {
    /// There is no server at all.
    pub(super) fn nowhere() -> Self {
        Self { server: None, phase: Phase::Connect, trouble: Trouble::Unreachable }
    }

    /// We have no place for one more client behind the hand-off.
    pub fn full() -> Self {
        Self { server: None, phase: Phase::Connect, trouble: Trouble::Exhausted }
    }

    /// What a client is told where the connection cannot go on.
    pub fn farewell(&self) -> Reply {
        Reply::new(421, "4.3.2 Service temporarily unavailable")
    }

    /// What the client is told: come again.
    pub fn reply(&self) -> Reply {
        Reply::new(451, "4.3.0 Service temporarily unavailable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_from_what_is_the_servers() {
        use nix::errno::Errno::*;
        for (errno, trouble) in [
            (ECONNREFUSED, Trouble::Refused),
            (ENOENT, Trouble::Refused),
            (ETIMEDOUT, Trouble::Timeout),
            (EHOSTUNREACH, Trouble::Unreachable),
            (ENETUNREACH, Trouble::Unreachable),
            (EACCES, Trouble::Unreachable),
            (EMFILE, Trouble::Exhausted),
            (ENFILE, Trouble::Exhausted),
            (EADDRNOTAVAIL, Trouble::Exhausted),
        ] {
            assert_eq!(Trouble::of_connect(&errno.into()), trouble, "{errno}");
        }
    }
}
