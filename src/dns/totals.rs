//! What the resolver has done so far, in plain counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Answer, Kind, Trouble};

/// How a lookup ended; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one record.
    Found,
    /// NXDOMAIN or no such record.
    NotFound,
    /// Nothing was learnt.
    Temporary(Trouble),
}

impl Outcome {
    /// All outcomes; the order is that of [`Totals::lookups`].
    pub const ALL: [Self; 8] = [
        Self::Found,
        Self::NotFound,
        Self::Temporary(Trouble::Timeout),
        Self::Temporary(Trouble::ServFail),
        Self::Temporary(Trouble::Refused),
        Self::Temporary(Trouble::Malformed),
        Self::Temporary(Trouble::Busy),
        Self::Temporary(Trouble::Unreachable),
    ];

    /// `found`, `notfound`, or the trouble's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "notfound",
            Self::Temporary(trouble) => trouble.as_str(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Found => 0,
            Self::NotFound => 1,
            Self::Temporary(trouble) => 2 + trouble as usize,
        }
    }
}

impl<T> Answer<T> {
    /// The answer without its records.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Found { .. } => Outcome::Found,
            Self::NotFound { .. } => Outcome::NotFound,
            Self::Temporary(trouble) => Outcome::Temporary(*trouble),
        }
    }
}

/// What the resolver has done since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lookups by type and outcome, in the order of [`Kind::ALL`] and [`Outcome::ALL`].
    pub lookups: [[u64; Outcome::ALL.len()]; Kind::ALL.len()],
    /// Lookups that the cache answered.
    pub cached: u64,
    /// Lookups that joined one in flight.
    pub joined: u64,
    /// Lookups that went on to a further server.
    pub failovers: u64,
    /// Lookups in flight now.
    pub in_flight: u64,
    /// How long lookups took that a server was asked for.
    pub latency: Latency,
}

impl Totals {
    /// How many lookups there were by type and outcome, those that never happened included.
    pub fn by_outcome(&self) -> impl Iterator<Item = (Kind, Outcome, u64)> + '_ {
        let rows = Kind::ALL.into_iter().zip(&self.lookups);
        rows.flat_map(|(kind, row)| Outcome::ALL.into_iter().zip(row).map(move |(o, n)| (kind, o, *n)))
    }
}

/// Durations sorted into buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many took at most the bound of the same index in [`Latency::BOUNDS`], and more than the one before;
    /// the last counts the rest.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Latency {
    /// Upper bounds in seconds: from a cached answer of a local resolver to a list on its last legs.
    pub const BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean; zero if there were none.
    pub fn mean(&self) -> Duration {
        u32::try_from(self.count()).ok().and_then(|count| self.sum.checked_div(count)).unwrap_or_default()
    }
}

/// [`Latency`] being counted.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    buckets: [AtomicU64; Latency::BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Stopwatch {
    pub(crate) fn record(&self, took: Duration) {
        let bucket = Latency::BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        add(&self.buckets[bucket.unwrap_or(Latency::BOUNDS.len())]);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Latency {
        Latency {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed)),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)),
        }
    }
}

/// How often each [`Outcome`] came, being counted.
#[derive(Debug, Default)]
pub(crate) struct Outcomes([AtomicU64; Outcome::ALL.len()]);

impl Outcomes {
    pub(crate) fn count(&self, outcome: Outcome) {
        add(&self.0[outcome.index()]);
    }

    /// In the order of [`Outcome::ALL`].
    pub(crate) fn read(&self) -> [u64; Outcome::ALL.len()] {
        std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed))
    }
}

/// [`Totals`] being counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    lookups: [Outcomes; Kind::ALL.len()],
    pub(super) cached: AtomicU64,
    pub(super) joined: AtomicU64,
    pub(super) failovers: AtomicU64,
    pub(super) latency: Stopwatch,
}

impl Counters {
    pub(super) fn lookup(&self, kind: Kind, outcome: Outcome) {
        self.lookups[kind as usize].count(outcome);
    }

    pub(super) fn read(&self, in_flight: usize) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            lookups: std::array::from_fn(|kind| self.lookups[kind].read()),
            cached: read(&self.cached),
            joined: read(&self.joined),
            failovers: read(&self.failovers),
            in_flight: in_flight as u64,
            latency: self.latency.read(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place() {
        let counters = Counters::default();
        for (times, outcome) in Outcome::ALL.into_iter().enumerate() {
            for _ in 0..times {
                counters.lookup(Kind::Mx, outcome);
            }
        }
        let counted: Vec<_> = counters.read(0).by_outcome().filter(|(_, _, n)| *n > 0).collect();
        let expected: Vec<_> =
            Outcome::ALL.into_iter().zip(0..).skip(1).map(|(o, n)| (Kind::Mx, o, n)).collect();
        assert_eq!(counted, expected);
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let watch = Stopwatch::default();
        for millis in [0, 1, 2, 60_000] {
            watch.record(Duration::from_millis(millis));
        }
        let latency = watch.read();
        assert_eq!(latency.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(latency.mean(), Duration::from_micros(15_000_750));
    }
}
