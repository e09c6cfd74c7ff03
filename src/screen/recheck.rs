//! Clients that came in on what DNS lists said of them are asked about again when its time is over.
//!
//! Nobody waits for this: a client that comes often finds that it has been done, and one that was listed meanwhile
//! finds itself forgotten. One that stays away is asked about once more and then not until it returns, so what the
//! lists are asked grows with the mail, not with the allowlist.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::Screen;
use super::score::Opinion;
use crate::allowlist::{Allowlist, Record, Test};

/// Clients that may wait for it; those beyond are asked about when they come again.
const CLIENTS: usize = 65_536;

/// How often those are looked for whose time is over.
const TICK: Duration = Duration::from_secs(1);

/// Clients whose answers will have expired, by when.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    due: Mutex<BTreeSet<(SystemTime, IpAddr)>>,
    results: [AtomicU64; Rechecked::ALL.len()],
}

/// What came of asking again; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rechecked {
    /// Still clear: it stays.
    Clear,
    /// Listed by now: it was taken off the allowlist.
    Listed,
    /// Nothing was learnt: it is asked about when it comes again.
    Unknown,
}

impl Rechecked {
    /// All results.
    pub const ALL: [Self; 3] = [Self::Clear, Self::Listed, Self::Unknown];

    /// `clear`, `listed`, `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Listed => "listed",
            Self::Unknown => "unknown",
        }
    }
}

impl Rechecks {
    /// A client was let in on an answer that counts until `expiry`. Of several connections of one client on one
    /// answer, all but the first change nothing.
    pub(super) fn note(&self, client: IpAddr, expiry: SystemTime) {
        let mut due = self.due.lock();
        if due.len() < CLIENTS {
            due.insert((expiry, client));
        }
    }

    fn pop(&self, now: SystemTime) -> Option<IpAddr> {
        let mut due = self.due.lock();
        let (expiry, client) = due.pop_first()?;
        if expiry > now {
            due.insert((expiry, client));
            return None;
        }
        Some(client)
    }

    #[cfg(test)]
    pub(super) fn is_due(&self, client: IpAddr, expiry: SystemTime) -> bool {
        self.due.lock().contains(&(expiry, client))
    }

    /// How often each result came about, in their order.
    pub(super) fn results(&self) -> [u64; Rechecked::ALL.len()] {
        std::array::from_fn(|result| self.results[result].load(Relaxed))
    }
}

impl Screen {
    /// A client that came at `began` goes on the allowlist with this `record`, or stays there: when what DNS lists
    /// said of it has expired, they are asked again. If that had expired before it came, they have just had nothing
    /// to say.
    pub fn recheck_in_time(&self, client: IpAddr, record: &Record, began: SystemTime) {
        let is_asked = !self.dnsbl.lists.is_empty() && record.passed(Test::Dnsbl, began);
        if let Some(expiry) = record.expires(Test::Dnsbl).filter(|_| is_asked) {
            self.rechecks.note(client.to_canonical(), expiry);
        }
    }

    /// Asks the DNS lists again about those whose answers have expired, for ever, one after the other; several of
    /// these at once share the work.
    pub async fn run_rechecks(&self, allowlist: &Arc<Allowlist>) {
        loop {
            match self.rechecks.pop(SystemTime::now()) {
                Some(client) => self.recheck_remembered(client, allowlist).await,
                None => sleep(TICK).await,
            }
        }
    }

    /// A client whose connection has outlasted the answer is remembered when that ends, and asked about then; one
    /// that has been forgotten meanwhile is left in peace.
    async fn recheck_remembered(&self, client: IpAddr, allowlist: &Arc<Allowlist>) {
        let key = allowlist.key(client);
        // In this order: whoever leaves between the two questions is remembered by then.
        let is_here = allowlist.is_here(key);
        if !allowlist.knows(key) {
            if is_here {
                self.rechecks.note(client, SystemTime::now() + TICK);
            }
            return;
        }
        let mut presence = allowlist.arrive(key);
        let score = self.recheck(client, &mut |_| {}).await;
        let result = match (&score.opinion, score.ttl) {
            (Opinion::Listed { by }, _) => {
                presence.revoke();
                let (list, total) = (&**by, score.total);
                tracing::info!(?client, list, total, "listed since it passed: off the allowlist");
                Rechecked::Listed
            }
            (Opinion::Clear | Opinion::Trusted, Some(ttl)) => {
                let mut record = Record::default();
                record.pass(Test::Dnsbl, SystemTime::now(), ttl);
                presence.earn(record);
                Rechecked::Clear
            }
            (Opinion::Clear | Opinion::Trusted | Opinion::Unknown, _) => Rechecked::Unknown,
        };
        self.rechecks.results[result as usize].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_and_in_its_time() {
        let (rechecks, now) = (Rechecks::default(), SystemTime::now());
        let client = |last| IpAddr::from([192, 0, 2, last]);
        let soon = now + Duration::from_secs(60);
        rechecks.note(client(1), soon);
        rechecks.note(client(1), soon);
        rechecks.note(client(2), now);
        assert_eq!(rechecks.pop(now), Some(client(2)));
        assert_eq!(rechecks.pop(now), None);
        assert_eq!((rechecks.pop(soon), rechecks.pop(soon)), (Some(client(1)), None));
    }

    #[test]
    fn those_that_wait_are_bounded() {
        let (rechecks, now) = (Rechecks::default(), SystemTime::now());
        for n in 0..100_000u32 {
            rechecks.note(IpAddr::from(n.to_be_bytes()), now);
        }
        assert_eq!(rechecks.due.lock().len(), CLIENTS);
    }
}
