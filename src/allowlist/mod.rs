//! The temporary allowlist: which client has passed which test, and until when.
//!
//! It is a cache and behaves like one. Losing it makes clients wait once more and nothing else, so nothing here can
//! stop the start, hold up a session or refuse a client: [`Allowlist::open`] cannot fail, lookups never leave
//! memory, and a full queue to the disk drops the write and counts it.
//!
//! Memory is the truth; the file is its mirror ([`store`]). It holds what passes only: a failed test is not
//! remembered, so a client that was fixed passes at once.

#[allow(dead_code)] // the file's side follows
mod record;
mod store;

pub use record::{Key, Prefixes, Record, Test};
pub use store::StoreState;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use store::Store;

/// `[allowlist]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file that survives a restart; its folder must be writable. Default: none, memory only.
    pub path: Option<PathBuf>,
    /// Clients remembered at most; the one not seen for longest goes first. About 350 bytes of memory each.
    /// Default 200,000.
    pub max_entries: u64,
    /// Leading bits that identify an IPv4 client, 0 to 32. Default 32.
    pub ipv4_prefix: u8,
    /// Leading bits that identify an IPv6 client, 0 to 128. Default 64: a host owns its /64.
    pub ipv6_prefix: u8,
    /// How long a client is remembered after all its passes have expired. Default 7 days.
    pub retention_time: Duration,
    /// The longest TTL of any test: no pass counts for longer, whatever the clock was when it was noted.
    /// Default 30 days.
    pub longest_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            max_entries: 200_000,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            retention_time: Duration::from_secs(7 * 86_400),
            longest_ttl: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Settings {
    fn prefixes(&self) -> Prefixes {
        Prefixes { ipv4: self.ipv4_prefix, ipv6: self.ipv6_prefix }
    }
}

/// The allowlist of this host. Share it in an `Arc`; all methods take `&self` and none waits for the disk but
/// [`open`](Self::open) and [`close`](Self::close).
#[derive(Debug)]
pub struct Allowlist {
    hot: Cache<Key, Record>,
    store: Store,
    prefixes: Prefixes,
    longest_ttl: Duration,
    counters: Counters,
}

/// Plain counters since the start.
#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
    removed: AtomicU64,
}

/// What the allowlist has done since the start, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Lookups of a client that is remembered, whether or not its passes still count.
    pub hits: u64,
    /// Lookups of a client that is not.
    pub misses: u64,
    /// Records stored.
    pub stored: u64,
    /// Records removed because a pass was revoked.
    pub removed: u64,
    /// Changes that did not reach the file in time; it is brought up to date from memory when it can be.
    pub dropped_writes: u64,
    /// Clients remembered now.
    pub entries: u64,
    /// How the file is.
    pub store: StoreState,
}

impl Allowlist {
    /// Opens the file and loads it. Never fails: what cannot be used is set aside or done without, with a warning.
    ///
    /// Blocks while the file is read (a second for a million clients); a file that another process holds is waited
    /// for in the background.
    pub fn open(settings: &Settings) -> Self {
        let hot = Cache::builder()
            .max_capacity(settings.max_entries)
            // moka's default policy refuses newcomers when full; here the newcomer is the one that matters.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Keep { retention: settings.retention_time })
            .build();
        let store = settings.path.as_ref().map_or_else(Store::none, |path| {
            Store::open(path.clone(), hot.clone(), settings.longest_ttl, settings.retention_time)
        });
        Self {
            hot,
            store,
            prefixes: settings.prefixes(),
            longest_ttl: settings.longest_ttl,
            counters: Counters::default(),
        }
    }

    /// The client that `address` belongs to.
    pub fn key(&self, address: IpAddr) -> Key {
        Key::new(address, self.prefixes)
    }

    /// What is remembered of a client.
    pub fn lookup(&self, key: Key) -> Option<Record> {
        self.lookup_at(key, SystemTime::now())
    }

    /// Remembers passes of a client, in addition to those already known: sessions of one client that overlap don't
    /// undo each other's.
    pub fn store(&self, key: Key, record: Record) {
        self.store_at(key, record, SystemTime::now());
    }

    /// Forgets a client: what it has passed no longer counts.
    pub fn remove(&self, key: Key) {
        self.hot.invalidate(&key);
        self.counters.removed.fetch_add(1, Ordering::Relaxed);
        self.store.changed(key);
    }

    /// All clients remembered, in no order; changes made meanwhile may or may not be seen.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Record)> + '_ {
        self.hot.iter().map(|(key, record)| (*key, record))
    }

    /// Clients remembered now.
    pub fn len(&self) -> u64 {
        self.hot.run_pending_tasks();
        self.hot.entry_count()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of the counters.
    pub fn totals(&self) -> Totals {
        Totals {
            hits: self.counters.hits.load(Ordering::Relaxed),
            misses: self.counters.misses.load(Ordering::Relaxed),
            stored: self.counters.stored.load(Ordering::Relaxed),
            removed: self.counters.removed.load(Ordering::Relaxed),
            dropped_writes: self.store.dropped_writes(),
            entries: self.len(),
            store: self.store.state(),
        }
    }

    /// Writes what is not yet written and lets go of the file, so that a successor can have it. Memory goes on
    /// working. Blocks for at most five seconds; a second call does nothing.
    pub fn close(&self) {
        self.store.close();
    }

    fn lookup_at(&self, key: Key, now: SystemTime) -> Option<Record> {
        let Some(record) = self.hot.get(&key) else {
            self.counters.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
        let clamped = record.clamped(now, self.longest_ttl);
        if clamped != record {
            // Written back, or a pass would be as good as new at every lookup until the clock catches up.
            self.hot.entry(key).and_compute_with(|entry| match entry {
                Some(_) => Op::Put(clamped),
                None => Op::Nop,
            });
            self.store.changed(key);
        }
        Some(clamped)
    }

    fn store_at(&self, key: Key, record: Record, now: SystemTime) {
        let record = record.clamped(now, self.longest_ttl);
        self.hot.entry(key).and_upsert_with(|known| match known {
            Some(known) => record.merged(known.value()),
            None => record,
        });
        self.counters.stored.fetch_add(1, Ordering::Relaxed);
        self.store.changed(key);
    }
}

/// Lets memory forget a client when its record is no longer worth keeping.
struct Keep {
    retention: Duration,
}

impl Keep {
    fn worth(&self, record: &Record) -> Option<Duration> {
        Some(record.keep_for(SystemTime::now(), self.retention))
    }
}

impl Expiry<Key, Record> for Keep {
    fn expire_after_create(&self, _: &Key, record: &Record, _: Instant) -> Option<Duration> {
        self.worth(record)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        record: &Record,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.worth(record)
    }
}
