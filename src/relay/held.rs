//! Bytes that were read and that their receiver does not take yet.
//!
//! They are the only memory that a relay owns, and every byte of them is counted: hostile receivers who read nothing
//! must not make the process grow with what others send them.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one read may bring from a flow that has not proved to be bulk, and what makes it prove so.
pub(super) const PORTION: usize = 64 * 1024;
/// What one read may bring from a bulk flow. Larger scratches gain little and cost the cache.
const BULK_PORTION: usize = 256 * 1024;
/// What one read may bring while [`CROWDED`].
const SPARE_PORTION: usize = 8 * 1024;

/// Beyond this many held bytes in the process, reads are small.
const CROWDED: usize = 64 * 1024 * 1024;

static HELD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// One buffer for all the relays of a worker: a relay that waits holds none. The kernel gives the memory page by
    /// page, as reads need it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BULK_PORTION]);
}

/// What is known of a flow, as far as the size of a read is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appetite {
    /// It may be chatter.
    Portion,
    /// Its last read brought all that was asked for.
    Bulk,
}

/// Lends the worker's scratch, as much of it as may be read now.
pub(super) fn with_scratch<R>(appetite: Appetite, borrower: impl FnOnce(&mut [u8]) -> R) -> R {
    let portion = match appetite {
        _ if HELD.load(Ordering::Relaxed) > CROWDED => SPARE_PORTION,
        Appetite::Portion => PORTION,
        Appetite::Bulk => BULK_PORTION,
    };
    SCRATCH.with_borrow_mut(|scratch| borrower(scratch.get_mut(..portion).unwrap_or_default()))
}

/// Bytes on their way.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Box<[u8]>,
    at: usize,
}

impl Held {
    /// `None` if there is nothing to hold.
    pub(super) fn new(bytes: impl Into<Box<[u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return None;
        }
        HELD.fetch_add(bytes.len(), Ordering::Relaxed);
        Some(Self { bytes, at: 0 })
    }

    /// What is still to go; never empty until all has gone.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Takes `taken` bytes off.
    pub(super) fn advance(&mut self, taken: usize) {
        self.at += taken;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}
