//! What has been done with one server, in plain counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::server::Health;
use super::trouble::{Phase, Trouble};
use crate::dns::{Latency, Stopwatch};

/// What has been done with one server since it was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// The server, as configured.
    pub server: String,
    /// How it was doing when it was last spoken to.
    pub health: Health,
    /// How long each phase took that ended well, in the order of [`Phase::ALL`]: connections made, greetings, HELO
    /// or EHLO, replies to MAIL and RCPT.
    pub latency: [Latency; Phase::ALL.len()],
    /// Phases that came to nothing, by trouble, in the order of [`Phase::ALL`] and [`Trouble::ALL`].
    pub failures: [[u64; Trouble::ALL.len()]; Phase::ALL.len()],
}

/// [`Totals`] being counted.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    latency: [Stopwatch; Phase::ALL.len()],
    failures: [[AtomicU64; Trouble::ALL.len()]; Phase::ALL.len()],
}

impl Statistics {
    pub(super) fn took(&self, phase: Phase, took: Duration) {
        self.latency[phase as usize].record(took);
    }

    pub(super) fn failed(&self, phase: Phase, trouble: Trouble) {
        self.failures[phase as usize][trouble as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, server: String, health: Health) -> Totals {
        Totals {
            server,
            health,
            latency: self.latency.each_ref().map(Stopwatch::read),
            failures: self.failures.each_ref().map(|of| of.each_ref().map(|n| n.load(Ordering::Relaxed))),
        }
    }
}
