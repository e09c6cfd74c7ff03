//! What has become of handshakes, and of renewed certificates.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::table::Refreshed;

/// How a handshake ended; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handshake {
    /// With new keys.
    Full,
    /// With those of an earlier session, by a ticket.
    Resumed,
    /// The client broke off or made no sense.
    Failed,
    /// `handshake_time_limit` ran out.
    TimedOut,
}

impl Handshake {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Resumed, Self::Failed, Self::TimedOut];

    /// `full`, `resumed`, `failed`, `timed_out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Handshakes, in the order of [`Handshake::ALL`].
    pub handshakes: [u64; 4],
    /// Times that changed certificate files were taken.
    pub reloads: u64,
    /// Times that they were not.
    pub reload_failures: u64,
    /// Whether the files on disk are not those in use, because they cannot be used.
    pub stale: bool,
}

/// The counters; they outlive a reload of the configuration.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    handshakes: [AtomicU64; 4],
    reloads: AtomicU64,
    reload_failures: AtomicU64,
    stale: AtomicBool,
}

impl Statistics {
    pub(super) fn ended(&self, handshake: Handshake) {
        self.handshakes[handshake as usize].fetch_add(1, Relaxed);
    }

    /// The files of the certificates were looked at.
    pub(super) fn refreshed(&self, refreshed: &Refreshed) {
        let (counter, stale) = match refreshed {
            Refreshed::Unchanged => return,
            Refreshed::Replaced(_) => (&self.reloads, false),
            Refreshed::Kept(_) => (&self.reload_failures, true),
        };
        counter.fetch_add(1, Relaxed);
        self.stale.store(stale, Relaxed);
    }

    /// All certificates were read anew.
    pub(super) fn fresh(&self) {
        self.stale.store(false, Relaxed);
    }

    pub(super) fn read(&self) -> Totals {
        Totals {
            handshakes: Handshake::ALL.map(|handshake| self.handshakes[handshake as usize].load(Relaxed)),
            reloads: self.reloads.load(Relaxed),
            reload_failures: self.reload_failures.load(Relaxed),
            stale: self.stale.load(Relaxed),
        }
    }
}
