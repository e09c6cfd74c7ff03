//! The temporary allowlist: which client has passed which test, and until when.
//!
//! It is a cache and behaves like one. Losing it makes clients wait once more and nothing else, so nothing here can
//! stop the start, hold up a session or refuse a client: [`Allowlist::open`] cannot fail, lookups never leave
//! memory, and a full queue to the disk drops the write and counts it.
//!
//! Memory is the truth; the file is its mirror ([`store`]). It holds what passes only: a failed test is not
//! remembered, so a client that was fixed passes at once.

mod file;
mod orders;
mod presence;
mod record;
mod settings;
pub mod shared;
mod store;

pub use orders::{Order, Standing};
pub use presence::Presence;
pub use record::{Key, Prefixes, Record, Test};
pub use settings::Settings;
pub use store::StoreState;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use orders::Orders;
use presence::Presences;
use shared::Shared;
use store::{Pace, Store};

/// The allowlist of this host. Share it in an `Arc`; all methods take `&self` and none waits for the disk but
/// [`open`](Self::open), [`attach`](Self::attach) and [`close`](Self::close).
#[derive(Debug)]
pub struct Allowlist {
    hot: Cache<Key, Record>,
    path: Option<PathBuf>,
    pace: Pace,
    store: ArcSwap<Store>,
    shared: Option<Shared>,
    presences: Presences,
    orders: Arc<Orders>,
    prefixes: ArcSwap<Prefixes>,
    lifetimes: Lifetimes,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lookups of a client that is remembered, whether or not its passes still count.
    pub hits: u64,
    /// Lookups of a client that is not.
    pub misses: u64,
    /// Records stored.
    pub stored: u64,
    /// Records removed because a pass was revoked.
    pub removed: u64,
    /// Changes that have reached the file.
    pub written: u64,
    /// Changes that did not reach the file in time; it is brought up to date from memory when it can be.
    pub dropped_writes: u64,
    /// Clients remembered now.
    pub entries: u64,
    /// How the file is.
    pub store: StoreState,
    /// The allowlist that hosts share.
    pub shared: shared::Totals,
}

impl Allowlist {
    /// Opens the file and loads it. Never fails: what cannot be used is set aside or done without, with a warning.
    ///
    /// Blocks while the file is read (a second for a million clients); a file that another process holds is waited
    /// for in the background.
    pub fn open(settings: &Settings) -> Self {
        Self::open_paced(settings, Pace::default())
    }

    fn open_paced(settings: &Settings, pace: Pace) -> Self {
        let list = Self::detached_paced(settings, pace);
        list.attach();
        list
    }

    /// Memory alone, with nothing in it: the file is touched by [`attach`](Self::attach) and not before.
    pub fn detached(settings: &Settings) -> Self {
        Self::detached_paced(settings, Pace::default())
    }

    fn detached_paced(settings: &Settings, pace: Pace) -> Self {
        let lifetimes = Lifetimes::default();
        lifetimes.configure(settings);
        let hot = Cache::builder()
            .max_capacity(settings.max_entries)
            // moka's default policy refuses newcomers when full; here the newcomer is the one that matters.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(lifetimes.clone())
            .build();
        Self {
            hot,
            path: settings.path.clone(),
            pace,
            store: ArcSwap::from_pointee(Store::none()),
            shared: Shared::new(&settings.shared, lifetimes.clone()),
            presences: Presences::default(),
            orders: Arc::default(),
            prefixes: ArcSwap::from_pointee(settings.prefixes()),
            lifetimes,
            counters: Counters::default(),
        }
    }

    /// Opens the file: for the first time, or again after [`close`](Self::close), when it is brought up to date from
    /// memory. Fails and blocks as [`open`](Self::open) does.
    pub fn attach(&self) {
        let Some(path) = &self.path else { return };
        let before = self.store.load_full();
        let memory = Memory { passes: self.hot.clone(), orders: Arc::clone(&self.orders) };
        let store = before.succeeded(path.clone(), memory, self.lifetimes.clone(), self.pace);
        self.store.store(Arc::new(store));
    }

    /// Goes on with other settings, but for those that [cannot change](Settings::fixed_keys_changed): they stay as
    /// they are. What is remembered under another prefix length is not found until it has that length again.
    pub fn configure(&self, settings: &Settings) {
        self.lifetimes.configure(settings);
        self.prefixes.store(Arc::new(settings.prefixes()));
    }

    /// The client that `address` belongs to.
    pub fn key(&self, address: IpAddr) -> Key {
        Key::new(address, **self.prefixes.load())
    }

    /// A client has connected.
    pub fn arrive(self: &Arc<Self>, key: Key) -> Presence {
        self.presences.arrive(Arc::clone(self), key)
    }

    /// Whether a client has a connection now.
    pub fn is_here(&self, key: Key) -> bool {
        self.presences.holds(key)
    }

    /// Whether a client is remembered at all; no lookup, and not counted as one.
    pub fn knows(&self, key: Key) -> bool {
        self.hot.contains_key(&key)
    }

    /// What is remembered of a client, for whoever wants to know; no lookup, and not counted as one.
    pub fn get(&self, key: Key) -> Option<Record> {
        self.hot.get(&key)
    }

    /// What is remembered of a client.
    pub fn lookup(&self, key: Key) -> Option<Record> {
        self.lookup_at(key, SystemTime::now())
    }

    /// Remembers passes of a client, in addition to those already known: sessions of one client that overlap don't
    /// undo each other's.
    pub fn store(&self, key: Key, record: Record) {
        self.store_since(key, record, SystemTime::now());
    }

    /// The same, for what was passed in a connection that began at `began`.
    fn store_since(&self, key: Key, record: Record, began: SystemTime) {
        self.store_at(key, record, SystemTime::now());
        if let Some(shared) = &self.shared {
            shared.passed(key, began);
        }
    }

    /// Forgets a client: what it has passed no longer counts, nor what its connections are about to earn.
    pub fn remove(&self, key: Key) {
        let is_known = self.forget(key);
        if let Some(shared) = &self.shared
            && (is_known || shared.may_know(key))
        {
            shared.revoked(key);
        }
    }

    /// Keeps the connection to the server that hosts share, and tells it what is new; for ever. Returns at once where
    /// there is none.
    pub async fn run_shared(&self) {
        if let Some(shared) = &self.shared {
            shared.run(self).await;
        }
    }

    /// Waits until the server that hosts share knows everything, or `limit` is over.
    pub async fn settle(&self, limit: Duration) {
        if let Some(shared) = &self.shared {
            shared.settle(limit).await;
        }
    }

    /// What is remembered of a client, here or on the hosts that share with this one. Waits for
    /// [`shared::Settings::timeout`] at most, and only where hosts share.
    pub async fn recall(&self, key: Key) -> Option<Record> {
        let local = self.lookup(key);
        match &self.shared {
            // Boxed: most hosts share nothing, and their clients have no room for it.
            Some(shared) => Box::pin(self.recall_from(shared, key, local)).await,
            None => local,
        }
    }

    async fn recall_from(&self, shared: &Shared, key: Key, local: Option<Record>) -> Option<Record> {
        match shared.ask(key).await {
            shared::Answer::Nothing => local,
            shared::Answer::Missing => {
                // It was emptied, or away when this was learnt.
                if local.is_some_and(|record| record.counts(SystemTime::now())) {
                    shared.passed(key, SystemTime::now());
                }
                local
            }
            shared::Answer::Passes(record) => {
                let record = record.clamped(SystemTime::now(), self.lifetimes.longest_ttl());
                if local != Some(record) {
                    self.hot.insert(key, record);
                    self.store.load().changed(key);
                }
                Some(record)
            }
            shared::Answer::Revoked => {
                if local.is_some() {
                    self.forget(key);
                }
                None
            }
        }
    }

    /// How often `what` has happened with a client on all hosts that share, this time included. Waits for
    /// [`shared::Settings::timeout`] at most; `None` where nobody shares, or the server does not say.
    pub async fn count(&self, what: &str, key: Key, unit: Duration) -> Option<u32> {
        self.shared.as_ref()?.count(what, key, unit).await
    }

    /// What an operator has said of a client.
    pub fn order(&self, client: IpAddr) -> Option<Order> {
        self.orders.of(client, SystemTime::now())
    }

    /// All that operators have said and that still stands, by network.
    pub fn orders(&self) -> Vec<(IpNet, Standing)> {
        self.orders.all(SystemTime::now())
    }

    /// Notes what is to become of the clients in `network`, whatever was said of it before. It is in the file within
    /// the second.
    pub fn give(&self, network: IpNet, standing: Standing) {
        self.orders.give(network, standing);
    }

    /// Takes back what was said of `network`; whether anything was.
    pub fn withdraw(&self, network: IpNet) -> bool {
        self.orders.withdraw(network)
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
            written: self.store.load().written(),
            dropped_writes: self.store.load().dropped_writes(),
            entries: self.len(),
            store: self.store.load().state(),
            shared: self.shared.as_ref().map(Shared::totals).unwrap_or_default(),
        }
    }

    /// Writes what is not yet written and lets go of the file, so that a successor can have it. Memory goes on
    /// working, and so does [`attach`](Self::attach). Blocks for at most five seconds; a second call does nothing.
    pub fn close(&self) {
        self.store.load().close();
    }

    /// Forgets a client here alone; says whether it was known, or may have been.
    fn forget(&self, key: Key) -> bool {
        self.presences.revoke(key);
        // Most who fail were never remembered, and cost no write. But a file that could not be read yet may know
        // more than memory does. Asked first: once it is up, memory has it all.
        let is_unread = !matches!(self.store.load().state(), StoreState::Up | StoreState::Off);
        let may_be = self.hot.remove(&key).is_some() || is_unread;
        if may_be {
            self.counters.removed.fetch_add(1, Ordering::Relaxed);
            self.store.load().changed(key);
        }
        if is_unread {
            // It may have been read between the two, too late to hear of this.
            self.hot.remove(&key);
        }
        may_be
    }

    fn lookup_at(&self, key: Key, now: SystemTime) -> Option<Record> {
        let Some(record) = self.hot.get(&key) else {
            self.counters.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
        let clamped = record.clamped(now, self.lifetimes.longest_ttl());
        if clamped != record {
            // Written back, or a pass would be as good as new at every lookup until the clock catches up.
            self.hot.entry(key).and_compute_with(|entry| match entry {
                Some(_) => Op::Put(clamped),
                None => Op::Nop,
            });
            self.store.load().changed(key);
        }
        Some(clamped)
    }

    fn store_at(&self, key: Key, record: Record, now: SystemTime) {
        let record = record.clamped(now, self.lifetimes.longest_ttl());
        // Most clients come again with nothing new to tell.
        if self.hot.get(&key).is_some_and(|known| record.merged(&known) == known) {
            return;
        }
        self.hot.entry(key).and_upsert_with(|known| match known {
            Some(known) => record.merged(known.value()),
            None => record,
        });
        self.counters.stored.fetch_add(1, Ordering::Relaxed);
        self.store.load().changed(key);
    }
}

/// What the file mirrors.
#[derive(Clone, Debug)]
struct Memory {
    passes: Cache<Key, Record>,
    orders: Arc<Orders>,
}

/// How long passes count and records are kept, in seconds. Clones share it.
#[derive(Clone, Debug, Default)]
struct Lifetimes(Arc<[AtomicU64; 2]>);

impl Lifetimes {
    fn configure(&self, settings: &Settings) {
        let [longest_ttl, retention] = &*self.0;
        longest_ttl.store(settings.longest_ttl.as_secs(), Ordering::Relaxed);
        retention.store(settings.retention_time.as_secs(), Ordering::Relaxed);
    }

    fn longest_ttl(&self) -> Duration {
        Duration::from_secs(self.0[0].load(Ordering::Relaxed))
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(self.0[1].load(Ordering::Relaxed))
    }
}

/// Lets memory forget a client when its record is no longer worth keeping.
impl Expiry<Key, Record> for Lifetimes {
    fn expire_after_create(&self, _: &Key, record: &Record, _: Instant) -> Option<Duration> {
        Some(record.keep_for(SystemTime::now(), self.retention()))
    }

    fn expire_after_update(
        &self,
        key: &Key,
        record: &Record,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, record, now)
    }
}

#[cfg(test)]
mod tests;
