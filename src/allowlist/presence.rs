//! Clients that are here now.
//!
//! What a connection earns counts once it has ended, so of several connections of one unproven client none rides on
//! another's pass: each began before any of the others had one to give. And whatever revokes a pass while they last
//! takes from all of them what they have earned, or the one that ends last would give back what another has lost.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

use super::Allowlist;
use super::record::{Key, Record};

/// Locks that the clients are spread over.
const SHARDS: usize = 32;

/// One connection of a client, from its beginning to its end. Dropped, it leaves what was earned to the allowlist.
#[derive(Debug)]
pub struct Presence {
    allowlist: Arc<Allowlist>,
    key: Key,
    /// Revocations that came before it.
    revocations: u32,
    /// Boxed: most who are here have nothing yet.
    earned: Option<Box<Record>>,
    began: SystemTime,
}

impl Presence {
    /// The client.
    pub fn key(&self) -> Key {
        self.key
    }

    /// When the connection began.
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// Notes what the client has passed, to be remembered when the connection has ended.
    pub fn earn(&mut self, record: Record) {
        self.earned = Some(Box::new(record));
    }

    /// Takes from the client what it has, at once, and what any of its connections here has earned.
    pub fn revoke(&mut self) {
        self.allowlist.remove(self.key);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut clients = self.allowlist.presences.of(self.key);
        let Entry::Occupied(mut client) = clients.entry(self.key) else { return };
        if client.get().revocations == self.revocations
            && let Some(record) = self.earned.take()
        {
            self.allowlist.store_since(self.key, *record, self.began);
        }
        client.get_mut().connections -= 1;
        if client.get().connections == 0 {
            client.remove();
        }
    }
}

/// All clients that are here now; there are only as many as there are connections.
#[derive(Debug)]
pub(super) struct Presences {
    shards: Vec<Mutex<HashMap<Key, Client>>>,
    spread: RandomState,
}

#[derive(Debug, Default)]
struct Client {
    connections: u32,
    revocations: u32,
}

impl Default for Presences {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            spread: RandomState::new(),
        }
    }
}

impl Presences {
    pub(super) fn arrive(&self, allowlist: Arc<Allowlist>, key: Key) -> Presence {
        let mut clients = self.of(key);
        let client = clients.entry(key).or_default();
        client.connections += 1;
        Presence { revocations: client.revocations, allowlist, key, earned: None, began: SystemTime::now() }
    }

    /// What the connections of a client that are here now have earned is worth nothing.
    pub(super) fn revoke(&self, key: Key) {
        if let Some(client) = self.of(key).get_mut(&key) {
            client.revocations = client.revocations.wrapping_add(1);
        }
    }

    pub(super) fn holds(&self, key: Key) -> bool {
        self.of(key).contains_key(&key)
    }

    fn of(&self, key: Key) -> MutexGuard<'_, HashMap<Key, Client>> {
        self.shards[self.spread.hash_one(key) as usize % SHARDS].lock()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::{Settings, Test};
    use super::*;

    fn pass() -> Record {
        let mut record = Record::default();
        record.pass(Test::Pregreet, SystemTime::now(), Duration::from_secs(86_400));
        record
    }

    fn list() -> (Arc<Allowlist>, Key) {
        let list = Arc::new(Allowlist::open(&Settings::default()));
        let key = list.key(IpAddr::from([192, 0, 2, 1]));
        (list, key)
    }

    #[test]
    fn what_a_connection_earns_counts_once_it_has_ended() {
        let (list, key) = list();
        let mut first = list.arrive(key);
        first.earn(pass());
        assert_eq!(list.lookup(key), None, "a parallel connection rides on it");
        drop(first);
        assert!(list.lookup(key).is_some());
    }

    #[test]
    fn a_revocation_takes_what_all_connections_have_earned() {
        let (list, key) = list();
        list.store(key, pass());
        let (mut good, mut bad) = (list.arrive(key), list.arrive(key));
        bad.revoke();
        let mut later = list.arrive(key);
        good.earn(pass());
        drop(bad);
        drop(good);
        assert_eq!(list.lookup(key), None, "earned beside a failure");
        later.earn(pass());
        drop(later);
        assert!(list.lookup(key).is_some(), "earned since");
    }

    #[test]
    fn nobody_is_kept_who_is_not_here() {
        let (list, key) = list();
        let (one, mut other) = (list.arrive(key), list.arrive(key));
        other.revoke();
        drop((one, other));
        assert!(list.presences.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
