//! Adds up what was compared, in so much memory and no more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compare::{Compared, Shadowed};
use super::seen::Seen;
use super::summary::{Difference, Kind, Summary};
use crate::admin::explain::Verdict;

/// Differences that are kept of each kind.
const KEPT: usize = 256;
/// Those of them that a summary shows.
const SHOWN: usize = 10;
/// Rules and reasons that are counted by name; configurations have fewer.
const NAMES: usize = 256;
/// Differences that wait to be told of.
const NEWS: usize = 64;

/// What the metrics count of all comparisons of a process.
#[derive(Debug, Default)]
pub struct Counters {
    compared: [[AtomicU64; Self::SHADOW.len()]; Self::LIVE.len()],
    dropped: AtomicU64,
}

impl Counters {
    /// What the live policy does.
    pub const LIVE: [Verdict; 4] = [Verdict::Permit, Verdict::Reject, Verdict::Defer, Verdict::HangUp];
    /// What the other would do; none: it is undecided.
    pub const SHADOW: [Option<Verdict>; 5] =
        [Some(Verdict::Permit), Some(Verdict::Reject), Some(Verdict::Defer), Some(Verdict::HangUp), None];

    /// How often each pair of verdicts came together, by their names.
    pub fn compared(&self) -> Vec<([&'static str; 2], u64)> {
        let rows = Self::LIVE.into_iter().zip(&self.compared);
        rows.flat_map(|(live, row)| {
            Self::SHADOW.into_iter().zip(row).map(move |(shadow, count)| {
                let shadow = shadow.map_or("undecided", Verdict::as_str);
                ([live.as_str(), shadow], count.load(Ordering::Relaxed))
            })
        })
        .collect()
    }

    /// Decisions that were not compared, for want of time or room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// So many were not compared.
    pub fn drop(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn count(&self, live: Verdict, shadow: Option<Verdict>) {
        let place = |of: &[Option<Verdict>], it| of.iter().position(|known| *known == it).unwrap_or_default();
        let row = place(&Self::LIVE.map(Some), Some(live));
        self.compared[row][place(&Self::SHADOW, shadow)].fetch_add(1, Ordering::Relaxed);
    }
}

/// What was compared so far.
#[derive(Debug, Default)]
pub struct Tally {
    summary: Summary,
    kept: [Vec<Difference>; Kind::ALL.len()],
    news: Vec<Difference>,
}

impl Tally {
    /// A connection, and what the two policies make of it.
    pub fn note(&mut self, seen: &Seen, compared: Vec<Compared>, counters: &Counters) {
        let summary = &mut self.summary;
        summary.connections += 1;
        summary.idle += u64::from(compared.is_empty());
        summary.dropped += seen.unkept() as u64;
        counters.drop(seen.unkept() as u64);
        for one in compared {
            self.count(seen, one, counters);
        }
    }

    /// A connection that could not be compared.
    pub fn note_dropped(&mut self, counters: &Counters) {
        self.summary.connections += 1;
        self.summary.dropped += 1;
        counters.drop(1);
    }

    /// Decisions that were compared.
    pub fn compared(&self) -> u64 {
        self.summary.compared
    }

    /// Differences that came up since the last call.
    pub fn take_news(&mut self) -> Vec<Difference> {
        std::mem::take(&mut self.news)
    }

    /// What it came to so far.
    pub fn summary(&self, config: &str, seconds: u64, blind: &[String]) -> Summary {
        let mut summary = self.summary.clone();
        (summary.config, summary.seconds) = (config.to_owned(), seconds);
        summary.blind = blind.to_vec();
        for kept in &self.kept {
            let mut most: Vec<_> = kept.iter().collect();
            most.sort_by_key(|difference| std::cmp::Reverse(difference.count));
            summary.examples.extend(most.into_iter().take(SHOWN).cloned());
        }
        summary
    }

    fn count(&mut self, seen: &Seen, compared: Compared, counters: &Counters) {
        let Compared { live, shadow, sender, recipient } = compared;
        let summary = &mut self.summary;
        summary.compared += 1;
        let permits = |verdict| verdict == Verdict::Permit;
        let (kind, rule, reply) = match shadow {
            Shadowed::Undecided(why) => {
                counters.count(live.verdict, None);
                summary.undecided += 1;
                add(&mut summary.undecided_because, &why);
                (Kind::Undecided, why, live.reply)
            }
            Shadowed::Decided(other) => {
                counters.count(live.verdict, Some(other.verdict));
                match (permits(live.verdict), permits(other.verdict)) {
                    _ if live.verdict == other.verdict => {
                        summary.agreed += 1;
                        return;
                    }
                    (true, _) => {
                        summary.newly_refused += 1;
                        add(&mut summary.refused_by, &other.rule);
                        (Kind::NewlyRefused, other.rule, other.reply)
                    }
                    (false, true) => {
                        summary.newly_permitted += 1;
                        add(&mut summary.no_longer_refused_by, &live.rule);
                        (Kind::NewlyPermitted, live.rule, live.reply)
                    }
                    (false, false) => {
                        summary.refused_otherwise += 1;
                        (Kind::RefusedOtherwise, other.rule, other.reply)
                    }
                }
            }
        };
        let (client, id) = (seen.client.to_string(), seen.id.to_string());
        self.keep(Difference { kind, count: 1, client, sender, recipient, rule, reply, id });
    }

    /// Keeps the most frequent: where there is no room, a new one takes the place of the rarest, and its count, so
    /// that what comes often is there in the end, whatever else came (the Space-Saving algorithm of Metwally, Agrawal
    /// and El Abbadi).
    fn keep(&mut self, difference: Difference) {
        let Some(kept) = self.kept.get_mut(difference.kind as usize) else { return };
        if let Some(known) = kept.iter_mut().find(|known| is_same(known, &difference)) {
            known.count += 1;
            known.id = difference.id;
            return;
        }
        if self.news.len() < NEWS {
            self.news.push(difference.clone());
        }
        if kept.len() < KEPT {
            kept.push(difference);
        } else if let Some(rarest) = kept.iter_mut().min_by_key(|known| known.count) {
            *rarest = Difference { count: rarest.count + 1, ..difference };
        }
    }
}

fn is_same(one: &Difference, other: &Difference) -> bool {
    (&one.client, &one.sender, &one.recipient, &one.rule)
        == (&other.client, &other.sender, &other.recipient, &other.rule)
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < NAMES {
        counts.insert(name.to_owned(), 1);
    }
}
