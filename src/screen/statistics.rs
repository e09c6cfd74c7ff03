//! What each list has been good for, in plain counters.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::health::{Ailment, Change, Checkup, Health};
use super::list::{Listing, Malfunction};
use super::lists::{List, Lists};
use super::score::Score;
use crate::dns::{Answer, Latency, Outcome, Outcomes, Stopwatch, add};

/// After so many faults in a row a list is tested before its time.
const FAULTS_TO_ALARM: u64 = 5;

/// A list's record of service.
#[derive(Clone, Debug)]
pub struct ListStatistics {
    /// Its name, as clients may see it.
    pub list: Arc<str>,
    /// Why it is suspended, if it is.
    pub suspended: Option<Ailment>,
    /// Lookups by outcome, in the order of [`Outcome::ALL`]; those answered from memory included.
    pub lookups: [u64; Outcome::ALL.len()],
    /// Answers that said something of the list instead of a client, in the order of [`Malfunction::ALL`].
    pub malfunctions: [u64; Malfunction::ALL.len()],
    /// Clients for which its answer counted.
    pub hits: u64,
    /// Those for which no other list's did.
    pub unique_hits: u64,
    /// Those for which another list's did too.
    pub overlaps: Vec<Overlap>,
    /// How long its answers took.
    pub latency: Latency,
}

/// How many hits a list shares with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The other list's name.
    pub with: Arc<str>,
    /// Clients that both know.
    pub hits: u64,
}

/// A list's counters and health. A new configuration takes them over from the old one.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) domain: String,
    health: watch::Sender<Health>,
    /// Faults since the last answer that made sense.
    faults: AtomicU64,
    lookups: Outcomes,
    malfunctions: [AtomicU64; Malfunction::ALL.len()],
    hits: AtomicU64,
    unique_hits: AtomicU64,
    latency: Stopwatch,
}

/// What an answer gives reason for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    Quiet,
    /// The list has failed several times in a row.
    Raised,
}

impl Watch {
    pub(super) fn new(list: &List) -> Self {
        Self {
            domain: list.domain().to_owned(),
            health: watch::Sender::default(),
            faults: AtomicU64::default(),
            lookups: Outcomes::default(),
            malfunctions: Default::default(),
            hits: AtomicU64::default(),
            unique_hits: AtomicU64::default(),
            latency: Stopwatch::default(),
        }
    }

    pub(super) fn health(&self) -> Health {
        *self.health.borrow()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.health().ailment().is_some()
    }

    /// Whoever asks has it tested, and hears it when that is [done](Self::tested).
    pub(super) fn test_first(&self) {
        self.health.send_replace(Health::Untested { unclear: 0 });
    }

    /// Waits for the first check-up that finds anything.
    pub(super) async fn tested(&self) {
        // Who sends is `self`, and still there.
        let _ = self.health.subscribe().wait_for(|health| !health.is_untested()).await;
    }

    pub(super) fn check_up(&self, checkup: Checkup) -> Option<Change> {
        let mut change = None;
        self.health.send_modify(|health| (*health, change) = health.after(checkup));
        change
    }

    /// Counts an answer.
    pub(super) fn answered(&self, answer: &Answer<Ipv4Addr>, took: Duration) -> Alarm {
        self.lookups.count(answer.outcome());
        self.latency.record(took);
        let mut sensible = !matches!(answer, Answer::Temporary(_));
        if let Answer::Found { records, .. } = answer {
            for code in records {
                if let Listing::Malfunction(malfunction) = Listing::of(*code) {
                    add(&self.malfunctions[malfunction as usize]);
                    sensible = false;
                }
            }
        }
        if sensible {
            self.faults.store(0, Ordering::Relaxed);
            return Alarm::Quiet;
        }
        let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        if faults == FAULTS_TO_ALARM { Alarm::Raised } else { Alarm::Quiet }
    }
}

/// The hits that each list shares with each other.
#[derive(Debug, Default)]
pub(super) struct Overlaps(Vec<Vec<AtomicU64>>);

impl Overlaps {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| (0..count).map(|_| AtomicU64::default()).collect()).collect())
    }
}

/// Counts who knew a client.
pub(super) fn conclude(score: &Score, watches: &[Arc<Watch>], overlaps: &Overlaps) {
    for hit in &score.hits {
        let Some(watch) = watches.get(hit.index) else { continue };
        add(&watch.hits);
        if score.hits.len() == 1 {
            add(&watch.unique_hits);
        }
        for other in &score.hits {
            if let Some(counter) = overlaps.0.get(hit.index).and_then(|row| row.get(other.index)) {
                add(counter);
            }
        }
    }
}

/// All counters, list by list.
pub(super) fn read(lists: &Lists, watches: &[Arc<Watch>], overlaps: &Overlaps) -> Vec<ListStatistics> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let rows = lists.iter().zip(watches).zip(&overlaps.0).enumerate();
    rows.map(|(index, ((list, watch), row))| ListStatistics {
        list: Arc::clone(list.name()),
        suspended: watch.health().ailment(),
        lookups: watch.lookups.read(),
        malfunctions: std::array::from_fn(|i| read(&watch.malfunctions[i])),
        hits: read(&watch.hits),
        unique_hits: read(&watch.unique_hits),
        overlaps: lists
            .iter()
            .zip(row)
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, (other, hits))| Overlap { with: Arc::clone(other.name()), hits: read(hits) })
            .filter(|overlap| overlap.hits > 0)
            .collect(),
        latency: watch.latency.read(),
    })
    .collect()
}
