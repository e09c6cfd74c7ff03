//! Tells the server what is new, behind everybody's back.
//!
//! A session only names the client that has changed; what is written is what memory then holds of it, so changes may
//! come in any order and any number. They wait here while the server is away, up to a bound.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::entry;
use super::link::Link;
use super::totals::{Counters, Operation, Outcome};
use super::{forgotten_at, name, revocation_forgotten_at};
use crate::allowlist::record::{Key, seconds};
use crate::allowlist::{Allowlist, Lifetimes};

/// Clients that may wait to be told of.
pub(super) const PENDING: usize = 65_536;

/// Before a change is tried again that the server would not take.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a server may refuse before another connection is made: its name may mean another server by now.
const REFUSING: Duration = Duration::from_secs(30);

/// What there is to tell of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It has passed, in a connection that began then.
    Passed(SystemTime),
    /// Its passes were revoked then.
    Revoked(SystemTime),
    /// Both, in this order: of what the server has nothing counts any longer.
    PassedAnew { began: SystemTime, revoked: SystemTime },
}

pub(super) struct Writer {
    pending: Mutex<HashMap<Key, Change>>,
    /// Rung when something is pending, and when nothing is.
    news: Notify,
    settled: Notify,
    lifetimes: Lifetimes,
    prefix: Arc<str>,
    counters: Arc<Counters>,
}

impl Writer {
    pub(super) fn new(lifetimes: Lifetimes, prefix: Arc<str>, counters: Arc<Counters>) -> Self {
        Self {
            pending: Mutex::default(),
            news: Notify::new(),
            settled: Notify::new(),
            lifetimes,
            prefix,
            counters,
        }
    }

    pub(super) fn passed(&self, key: Key, began: SystemTime) {
        self.add(key, Change::Passed(began));
    }

    pub(super) fn revoked(&self, key: Key, at: SystemTime) {
        self.add(key, Change::Revoked(at));
    }

    pub(super) fn is_pending(&self, key: Key) -> bool {
        self.pending.lock().contains_key(&key)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.lock().len()
    }

    /// Waits until nothing is pending.
    pub(super) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.pending() == 0 {
                return;
            }
            settled.await;
        }
    }

    /// Tells the server what is pending, for ever.
    pub(super) async fn run(&self, link: &Link, memory: &Allowlist) {
        let mut refused_since = None;
        loop {
            let Some((key, change)) = self.next() else {
                self.settled.notify_waiters();
                self.news.notified().await;
                continue;
            };
            let mut connection = link.connected().await;
            let watch = self.counters.begin(Operation::Store);
            let outcome = match self.tell(&mut connection, memory, key, change).await {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::of(&error),
            };
            watch.end(outcome);
            link.heard(outcome);
            match outcome {
                // A key that somebody uses for something else stays theirs.
                Outcome::Done | Outcome::Missing | Outcome::Foreign => {
                    self.done(key, change);
                    link.takes();
                    refused_since = None;
                }
                Outcome::Timeout | Outcome::Refused | Outcome::Failed => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= REFUSING {
                        link.give_up();
                        refused_since = None;
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn add(&self, key: Key, change: Change) {
        let mut pending = self.pending.lock();
        if pending.len() >= PENDING && !pending.contains_key(&key) {
            self.counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        let change = match (change, pending.get(&key)) {
            (Change::Passed(began), Some(Change::Revoked(revoked) | Change::PassedAnew { revoked, .. })) => {
                Change::PassedAnew { began, revoked: *revoked }
            }
            (change, _) => change,
        };
        pending.insert(key, change);
        drop(pending);
        self.news.notify_one();
    }

    /// One of those that wait; it stays until it is [`done`](Self::done).
    fn next(&self) -> Option<(Key, Change)> {
        self.pending.lock().iter().next().map(|(key, change)| (*key, *change))
    }

    /// What has changed again meanwhile is told again.
    fn done(&self, key: Key, change: Change) {
        if let Slot::Occupied(slot) = self.pending.lock().entry(key)
            && *slot.get() == change
        {
            slot.remove();
        }
    }

    async fn tell(
        &self,
        connection: &mut MultiplexedConnection,
        memory: &Allowlist,
        key: Key,
        change: Change,
    ) -> RedisResult<()> {
        let name = name(&self.prefix, key);
        let (began, revoked) = match change {
            Change::Passed(began) => (Some(began), None),
            Change::Revoked(at) => (None, Some(at)),
            Change::PassedAnew { began, revoked } => (Some(began), Some(revoked)),
        };
        if let Some(began) = began {
            let revoked: Value = redis::cmd("HGET").arg(&name).arg("revoked").query_async(connection).await?;
            if revoked_at(&revoked).is_some_and(|at| at >= seconds(began)) {
                // At another host, while the client was connected here.
                memory.forget(key);
                return Ok(());
            }
        }
        let erase = match revoked {
            None => redis::cmd("HDEL").arg(&name).arg("revoked").to_owned(),
            Some(_) => redis::cmd("DEL").arg(&name).to_owned(),
        };
        let (fields, until) = match (began.and_then(|_| memory.hot.get(&key)), revoked) {
            (Some(record), _) => (entry::passes(key, &record), forgotten_at(&record, &self.lifetimes)),
            (None, Some(at)) => {
                (entry::revocation(key, seconds(at)), revocation_forgotten_at(at, &self.lifetimes))
            }
            (None, None) => return Ok(()),
        };
        redis::pipe()
            .atomic()
            .add_command(erase)
            .ignore()
            .cmd("HSET")
            .arg(&name)
            .arg(fields)
            .ignore()
            .cmd("EXPIREAT")
            .arg(&name)
            .arg(until)
            .ignore()
            .query_async(connection)
            .await
    }
}

/// Whatever it is, nothing but a whole number counts.
fn revoked_at(value: &Value) -> Option<u64> {
    let Value::BulkString(octets) = value else { return None };
    str::from_utf8(octets).ok()?.parse().ok()
}
