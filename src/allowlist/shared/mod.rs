//! The allowlist that all hosts of a site share, in a Redis or Valkey server.
//!
//! Memory stands in front of it and goes on without it. A session asks the server at most once, for at most
//! [`Settings::timeout`], and only about a client that this host has not asked about in the last second; what the
//! server does not say in time, or says so that it cannot be believed, is not known. What is passed or revoked here is
//! told to it behind the sessions' backs, and kept for it while it is away.
//!
//! So one truth lasts a second: who has passed at one host is known at the others at its next connection, and who was
//! revoked at one is unknown to all a second later. A server that was emptied learns anew from what the hosts
//! remember, which is why a revocation is written, not a record deleted.
//!
//! The same server, asked in the same way, can count for all hosts what one client does in a time
//! ([`limits.shared_rates`](crate::rate::Settings::shared_rates)).

mod address;
mod entry;
mod link;
mod totals;
mod writer;

pub use address::Address;
pub use totals::{LinkState, Operation, Outcome, Totals};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use redis::{RedisError, RedisResult, Value};
use tokio::time::timeout;

use super::record::{Key, Record, seconds};
use super::{Allowlist, Lifetimes};
use entry::Entry;
use link::Link;
use totals::Counters;
use writer::{PENDING, Writer};

/// How long an answer of the server is the truth.
const FRESH: Duration = Duration::from_secs(1);

/// Clients whose answers are remembered to be fresh, and clients without one.
const FRESH_CLIENTS: u64 = 65_536;

/// The `shared` keys of `[allowlist]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server; with a user before the host where it knows of users. Default: none.
    pub address: Option<Address>,
    /// A file with the password, and a line break behind it or not. Read at each connection. Default: none.
    pub password_file: Option<PathBuf>,
    /// A PEM file with the certificates that a `rediss://` server's must come from. Default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// What the keys of clients begin with. Default `prescreen:`.
    pub prefix: String,
    /// How long a session waits for the server at most. Default 50 ms.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: None,
            password_file: None,
            ca_file: None,
            prefix: "prescreen:".to_owned(),
            timeout: Duration::from_millis(50),
        }
    }
}

/// This host's side of the shared allowlist.
pub(super) struct Shared {
    link: Link,
    writer: Writer,
    /// Clients that the server was asked about in the last second.
    asked: Cache<Key, ()>,
    /// Clients of which it said nothing when they came last: it may know them.
    unheard: Cache<Key, ()>,
    prefix: Arc<str>,
    timeout: Duration,
    counters: Arc<Counters>,
}

/// What the server says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing that would change what is known.
    Nothing,
    /// It holds nothing of it.
    Missing,
    /// What it has passed, on any host.
    Passes(Record),
    /// Its passes were revoked.
    Revoked,
}

impl Shared {
    pub(super) fn new(settings: &Settings, lifetimes: Lifetimes) -> Option<Self> {
        let address = settings.address.clone()?;
        let counters = Arc::new(Counters::default());
        let prefix: Arc<str> = settings.prefix.as_str().into();
        let link = Link::new(address, settings, Arc::clone(&counters));
        let writer = Writer::new(lifetimes, Arc::clone(&prefix), Arc::clone(&counters));
        let asked = Cache::builder().max_capacity(FRESH_CLIENTS).time_to_live(FRESH).build();
        let unheard = Cache::new(FRESH_CLIENTS);
        Some(Self { link, writer, asked, unheard, prefix, timeout: settings.timeout, counters })
    }

    /// Keeps the connection and tells the server what is new, for ever.
    pub(super) async fn run(&self, memory: &Allowlist) {
        tokio::join!(self.link.run(), self.writer.run(&self.link, memory));
    }

    /// What the server says of a client; waits for [`Settings::timeout`] at most.
    pub(super) async fn ask(&self, key: Key) -> Answer {
        // What is about to be told is newer than what would be heard.
        if self.asked.contains_key(&key) || self.writer.is_pending(key) {
            return Answer::Nothing;
        }
        let Some(mut connection) = self.link.connection() else {
            self.unheard.insert(key, ());
            return Answer::Nothing;
        };
        let mut command = redis::cmd("HGETALL");
        command.arg(name(&self.prefix, key));
        let asked = command.query_async::<Value>(&mut connection);
        let understood = |value| match entry(key, &value) {
            Entry::Missing => (Outcome::Missing, Some(Answer::Missing)),
            Entry::Passes(record) => (Outcome::Done, Some(Answer::Passes(record))),
            Entry::Revoked(_) => (Outcome::Done, Some(Answer::Revoked)),
            Entry::Foreign => (Outcome::Foreign, None),
        };
        let (outcome, answer) = self.within_limit(Operation::Lookup, asked, understood).await;
        if outcome.is_an_answer() {
            self.asked.insert(key, ());
        }
        match outcome {
            Outcome::Done | Outcome::Missing | Outcome::Foreign => self.unheard.invalidate(&key),
            Outcome::Timeout | Outcome::Refused | Outcome::Failed => self.unheard.insert(key, ()),
        }
        answer.unwrap_or(Answer::Nothing)
    }

    /// How often `what` has happened with a client on all hosts since it first did, this time included; counting begins
    /// anew when `unit` is over. Waits for [`Settings::timeout`] at most; `None` where the server cannot be believed.
    pub(super) async fn count(&self, what: &str, key: Key, unit: Duration) -> Option<u32> {
        let mut connection = self.link.connection()?;
        let name = format!("{}rate:{what}:{key}", self.prefix);
        let unit = unit.as_secs().max(1);
        let mut pipe = redis::pipe();
        // The first of them begins the window, as anvil(8) has it; no host's clock has a say.
        pipe.cmd("SET").arg(&name).arg(0).arg("EX").arg(unit).arg("NX").ignore();
        pipe.cmd("INCR").arg(&name).cmd("TTL").arg(&name);
        let asked = async {
            let counted: (i64, i64) = pipe.query_async(&mut connection).await?;
            if counted.1 < 0 {
                // It expired in between, or was never to: it would not begin anew.
                let () = redis::cmd("EXPIRE").arg(&name).arg(unit).query_async(&mut connection).await?;
            }
            Ok::<_, RedisError>(counted)
        };
        let understood = |(count, ttl): (i64, i64)| match u32::try_from(count) {
            Ok(count) if ttl >= 0 => (Outcome::Done, Some(count)),
            _ => (Outcome::Foreign, None),
        };
        self.within_limit(Operation::Count, asked, understood).await.1
    }

    /// Waits for what was asked, [`Settings::timeout`] at most; what came of it is counted, and tells the link whether
    /// the server is to be asked again.
    async fn within_limit<T, A>(
        &self,
        operation: Operation,
        asked: impl Future<Output = RedisResult<T>>,
        understood: impl FnOnce(T) -> (Outcome, Option<A>),
    ) -> (Outcome, Option<A>) {
        let watch = self.counters.begin(operation);
        let (outcome, answer) = match timeout(self.timeout, asked).await {
            Err(_) => (Outcome::Timeout, None),
            Ok(Err(error)) => (Outcome::of(&error), None),
            Ok(Ok(value)) => understood(value),
        };
        watch.end(outcome);
        self.link.heard(outcome);
        (outcome, answer)
    }

    /// Tells the server, soon, what memory then holds of a client that has passed in a connection since `began`.
    pub(super) fn passed(&self, key: Key, began: SystemTime) {
        self.writer.passed(key, began);
    }

    /// Whether the server may know a client that nobody knows here. Most of these are zombies that nobody knows anywhere:
    /// while the server is away, they leave half of the room to those that are known.
    pub(super) fn may_know(&self, key: Key) -> bool {
        self.unheard.contains_key(&key) && self.writer.pending() < PENDING / 2
    }

    /// Tells the server, soon, that a client's passes were revoked.
    pub(super) fn revoked(&self, key: Key) {
        self.writer.revoked(key, SystemTime::now());
    }

    /// Waits until the server knows everything, or `limit` is over.
    pub(super) async fn settle(&self, limit: Duration) {
        if self.link.connection().is_some() {
            let _ = timeout(limit, self.writer.settled()).await;
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.counters.read(self.link.state(), self.writer.pending())
    }
}

/// Without anything that could hold a secret.
impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The key of a client: `prescreen:192.0.2.1`, `prescreen:2001:db8::/64`.
fn name(prefix: &str, key: Key) -> String {
    format!("{prefix}{key}")
}

/// What a reply to HGETALL says, whatever it is: RESP3 has maps, RESP2 has names and values in turn.
fn entry(key: Key, value: &Value) -> Entry {
    fn octets(value: &Value) -> Option<&[u8]> {
        match value {
            Value::BulkString(octets) => Some(octets),
            Value::SimpleString(text) => Some(text.as_bytes()),
            _ => None,
        }
    }
    let fields: Option<Vec<_>> = match value {
        Value::Array(items) if items.len().is_multiple_of(2) => {
            items.chunks_exact(2).map(|pair| Some((octets(&pair[0])?, octets(&pair[1])?))).collect()
        }
        Value::Map(pairs) => {
            pairs.iter().map(|(name, value)| Some((octets(name)?, octets(value)?))).collect()
        }
        _ => None,
    };
    fields.map_or(Entry::Foreign, |fields| Entry::read(key, fields))
}

/// Seconds since the epoch at which a record may be forgotten.
fn forgotten_at(record: &Record, lifetimes: &Lifetimes) -> u64 {
    record.last_expiry().saturating_add(lifetimes.retention().as_secs())
}

/// A revocation is kept for as long as any pass that it takes back could last.
fn revocation_forgotten_at(at: SystemTime, lifetimes: &Lifetimes) -> u64 {
    seconds(at).saturating_add(lifetimes.longest_ttl().as_secs())
}

#[cfg(test)]
mod tests;
