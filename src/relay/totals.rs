//! What all relays of the process have done, for metrics.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pipe::POOL;
use super::transfer::Moved;

/// What all relays of the process have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From clients to backends.
    pub up: Moved,
    /// From backends to clients.
    pub down: Moved,
    /// Pipes that exist now, in use or waiting for use.
    pub pipes: usize,
    /// How often a bulk flow had to copy because there was no pipe for it: `max_pipes`, descriptors, the user's
    /// quota.
    pub pipe_limited: u64,
    /// How often the kernel would not splice.
    pub splice_refused: u64,
}

/// What all relays of the process have done so far.
pub fn totals() -> Totals {
    Totals {
        up: UP.read(),
        down: DOWN.read(),
        pipes: POOL.live(),
        pipe_limited: POOL.limited(),
        splice_refused: REFUSED.load(Ordering::Relaxed),
    }
}

pub(super) static UP: Way = Way::new();
pub(super) static DOWN: Way = Way::new();
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Bytes that went one way, over all relays.
pub(super) struct Way {
    copied: AtomicU64,
    spliced: AtomicU64,
}

impl Way {
    const fn new() -> Self {
        Self { copied: AtomicU64::new(0), spliced: AtomicU64::new(0) }
    }

    /// Counts what has been added since `before`.
    pub(super) fn add(&self, before: Moved, after: Moved) {
        for (total, before, after) in
            [(&self.copied, before.copied, after.copied), (&self.spliced, before.spliced, after.spliced)]
        {
            if after != before {
                total.fetch_add(after - before, Ordering::Relaxed);
            }
        }
    }

    fn read(&self) -> Moved {
        Moved { copied: self.copied.load(Ordering::Relaxed), spliced: self.spliced.load(Ordering::Relaxed) }
    }
}

/// Counts a refusal; the first one is told.
pub(super) fn splice_refused(error: &io::Error) {
    if REFUSED.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(%error, "the kernel will not splice: copying");
    }
}
