//! The counts of some of the clients, behind one lock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::time::Instant;

use lru::LruCache;

use crate::allowlist::Key;

use super::exceeded::Limit;
use super::statistics::Statistics;
use super::window::{Event, Window};

/// When something is counted, and in which unit of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// The same in whole seconds.
    pub(super) second: u32,
    /// Seconds.
    pub(super) unit: u32,
}

pub(super) struct Shard {
    windows: LruCache<Key, Window>,
    /// Connections at once; nobody has none.
    connections: HashMap<Key, u32>,
    statistics: Statistics,
}

impl Shard {
    pub(super) fn new(entries: NonZeroUsize) -> Self {
        Self {
            windows: LruCache::sparse(entries),
            connections: HashMap::new(),
            statistics: Statistics::default(),
        }
    }

    /// Remembers fewer windows, or more.
    pub(super) fn resize(&mut self, entries: NonZeroUsize) {
        self.windows.resize(entries);
    }

    /// One more connection at once; says how many.
    pub(super) fn connect(&mut self, client: Key, moment: Moment) -> u32 {
        let count = self.connections.entry(client).or_default();
        *count += 1;
        self.statistics.note(Limit::ConnectionCount, *count, client, moment.now);
        *count
    }

    /// One connection less.
    pub(super) fn disconnect(&mut self, client: Key) {
        if let Entry::Occupied(mut count) = self.connections.entry(client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// One more event in the client's window; says how many.
    pub(super) fn count(&mut self, client: Key, event: Event, moment: Moment) -> u32 {
        let Moment { now, second, unit } = moment;
        let window = self.windows.get_or_insert_mut(client, || Window::begin(second));
        let count = window.count(event, second, unit);
        self.statistics.note(event.limit(), count, client, now);
        count
    }

    /// The highest counts since the last call.
    pub(super) fn statistics(&mut self) -> Statistics {
        self.statistics.take(self.windows.len())
    }

    /// Whether nobody is connected.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.connections.is_empty()
    }
}
