//! The last hour, minute by minute: what the status page shows without a Prometheus. Pure: time is an argument.

use crate::report::Outcome;

/// Minutes looked back upon.
const MINUTES: usize = 60;

type Counts = [u64; Outcome::ALL.len()];

/// Connections that ended in the last hour, by outcome. The size is fixed: no client adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// By minute since the start, at its remainder by [`MINUTES`].
    minutes: [Counts; MINUTES],
    /// The minute that was last noted or looked at.
    now: u64,
}

impl Default for Hour {
    fn default() -> Self {
        Self { minutes: [Counts::default(); MINUTES], now: 0 }
    }
}

impl Hour {
    /// Counts a connection that ended in the minute `now`, counted from the start.
    pub(super) fn note(&mut self, now: u64, outcome: Outcome) {
        self.turn(now);
        if let Some(place) = Outcome::ALL.iter().position(|known| *known == outcome) {
            self.minutes[at(self.now)][place] += 1;
        }
    }

    /// Goes on to the minute `now`, and forgets what has become older than an hour. Time does not go back.
    pub(super) fn turn(&mut self, now: u64) {
        let passed = now.saturating_sub(self.now);
        for minute in (self.now + 1..=self.now + passed).rev().take(MINUTES) {
            self.minutes[at(minute)] = Counts::default();
        }
        self.now += passed;
    }

    /// Connections with this outcome in the whole hour.
    pub fn total(&self, outcome: Outcome) -> u64 {
        self.by_minute(outcome).sum()
    }

    /// The same for each minute, the oldest first; the last is not over yet.
    pub fn by_minute(&self, outcome: Outcome) -> impl Iterator<Item = u64> + '_ {
        let place = Outcome::ALL.iter().position(|known| *known == outcome);
        (1..=MINUTES).map(move |ago| {
            let minute = &self.minutes[(at(self.now) + ago) % MINUTES];
            place.map_or(0, |place| minute[place])
        })
    }
}

#[cfg(test)]
impl Hour {
    /// An hour with so many of each, all in this minute.
    pub(crate) fn of(counts: &[(Outcome, u64)]) -> Self {
        let mut hour = Self::default();
        counts.iter().for_each(|(outcome, count)| (0..*count).for_each(|_| hour.note(0, *outcome)));
        hour
    }
}

fn at(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hour: &Hour) -> Vec<u64> {
        hour.by_minute(Outcome::Relayed).collect()
    }

    #[test]
    fn the_newest_minute_is_the_last_and_an_hour_is_all_there_is() {
        let mut hour = Hour::default();
        hour.note(0, Outcome::Relayed);
        hour.note(2, Outcome::Relayed);
        hour.note(2, Outcome::Relayed);
        hour.note(2, Outcome::HungUp);
        assert_eq!(shown(&hour)[MINUTES - 3..], [1, 0, 2]);
        assert_eq!(hour.total(Outcome::Relayed), 3);
        hour.turn(60);
        assert_eq!((shown(&hour)[0], hour.total(Outcome::Relayed)), (0, 2));
        hour.turn(61);
        assert_eq!(shown(&hour)[0], 2);
        hour.turn(62);
        assert_eq!(hour, Hour { now: 62, ..Hour::default() });
    }

    #[test]
    fn a_long_silence_forgets_all_of_it() {
        let mut hour = Hour::default();
        (0..60).for_each(|minute| hour.note(minute, Outcome::Relayed));
        assert_eq!(hour.total(Outcome::Relayed), 60);
        hour.turn(1_000_000);
        assert_eq!(hour.total(Outcome::Relayed), 0);
    }

    #[test]
    fn time_does_not_go_back() {
        let mut hour = Hour::default();
        hour.note(7, Outcome::Relayed);
        hour.note(3, Outcome::Relayed);
        assert_eq!(shown(&hour)[MINUTES - 1], 2);
    }
}
