//! How many connections at once: seats in the house, and the stress that comes when they run out.
//!
//! Every connection holds one [`Seat`] from accept to close. Strangers may fill the seats before the hand-off up to
//! `pre_queue_limit`; a tenth more is kept free for clients that have passed before, so that a flood of zombies
//! does not shut out known mail servers. Plain counters, no locks.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::smtp::reply::Reply;

/// Descriptors that are not for connections: a thousand DNS sockets and 128 pooled pipes, as the defaults have it, and
/// listeners, store, log, metrics, spare ones.
const OTHER_DESCRIPTORS: usize = 1_536;

/// The `[limits]` that concern all connections together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections at once that are still being screened or spoken with. Default 10000.
    pub pre_queue_limit: usize,
    /// Connections at once that have been handed to a backend. Default 1000; keep it at what the backend can serve.
    pub post_queue_limit: usize,
    /// The time that a client has for one complete command line, and for taking our reply. Default 300 s.
    pub command_time_limit: Duration,
    /// The same under stress. Default 10 s.
    pub stress_command_time_limit: Duration,
    /// How long spliced sessions may go on after SIGTERM. Default 8 s, below the ten that Docker grants.
    pub drain_time_limit: Duration,
    /// How long sessions may go on after a successor has taken over (`prescreen upgrade`), before they are drained.
    /// Default 1 h.
    pub upgrade_time_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pre_queue_limit: 10_000,
            post_queue_limit: 1_000,
            command_time_limit: Duration::from_secs(300),
            stress_command_time_limit: Duration::from_secs(10),
            drain_time_limit: Duration::from_secs(8),
            upgrade_time_limit: Duration::from_secs(3600),
        }
    }
}

impl Settings {
    /// File descriptors that a full house takes: one for each connection before the hand-off, two for each at a
    /// backend, and those of the process itself.
    pub fn descriptors(&self) -> usize {
        self.before_hand_off()
            .saturating_add(self.post_queue_limit.saturating_mul(2))
            .saturating_add(OTHER_DESCRIPTORS)
    }

    /// As many seats of these as so many descriptors can serve. Where they are too few for all, either kind of seat is
    /// sure of half of them.
    #[must_use]
    pub fn within(mut self, descriptors: usize) -> Self {
        let room = descriptors - OTHER_DESCRIPTORS.min(descriptors / 4);
        let for_backends = (room / 2).max(room.saturating_sub(self.before_hand_off()));
        self.post_queue_limit = self.post_queue_limit.min(for_backends / 2);
        // Ten seats come with the one that is kept free.
        self.pre_queue_limit = self.pre_queue_limit.min((room - self.post_queue_limit * 2) / 11 * 10);
        self
    }

    /// Seats before the hand-off, with those that are kept free for known clients.
    fn before_hand_off(&self) -> usize {
        self.pre_queue_limit.saturating_add(self.pre_queue_limit.div_ceil(10))
    }
}

/// Whether the house is nearly full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    /// Room enough.
    #[default]
    Normal,
    /// Nine tenths of `pre_queue_limit` are taken: waits and time limits shrink. Ends at seven tenths.
    Stress,
}

/// Where a connection is in its life; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Tests before the greeting.
    Screen,
    /// Speaking SMTP with prescreen.
    Dialogue,
    /// Handed to a backend.
    Relay,
}

impl State {
    /// All states, in the order of a connection's life.
    pub const ALL: [Self; 3] = [Self::Screen, Self::Dialogue, Self::Relay];

    /// The name that metrics and `status` show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Dialogue => "dialogue",
            Self::Relay => "relay",
        }
    }
}

/// Whether a client has passed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// Not on the temporary allowlist.
    Stranger,
    /// On it: may take the seats that are kept free.
    Known,
}

/// No seat: the reply says which kind ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// `pre_queue_limit`.
    Screening,
    /// `post_queue_limit`.
    Backend,
}

impl Full {
    /// What the client is told: come again later.
    pub fn reply(self) -> Reply {
        match self {
            Self::Screening => Reply::new(421, "4.3.2 All screening ports are busy"),
            Self::Backend => Reply::new(421, "4.3.2 All server ports are busy"),
        }
    }
}

/// The seats of the whole process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    taken: [AtomicUsize; 3],
    stress: AtomicBool,
    stressed: AtomicUsize,
    refused: [AtomicUsize; 2],
}

/// One connection's seat; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    state: State,
    /// Whether it was found that the backends have no room for it.
    refused: bool,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections by [`State`], in the order of [`State::ALL`].
    pub sessions: [usize; 3],
    /// How often stress began.
    pub stressed: usize,
    /// Connections refused because the screening seats were taken.
    pub refused_screening: usize,
    /// Connections refused because the backend seats were taken.
    pub refused_backend: usize,
}

impl Seats {
    /// Seats a connection that was just accepted. `limits` are those in force now: a reload may have changed them.
    /// `who` it is is asked only where that matters.
    pub fn take(&self, limits: &Settings, who: impl FnOnce() -> Acquaintance) -> Result<Seat, Full> {
        let seat = self.sit(State::Screen);
        let (taken, limit) = (self.before_hand_off(), limits.pre_queue_limit);
        let open_to = |who| match who {
            Acquaintance::Stranger => limit,
            Acquaintance::Known => limits.before_hand_off(),
        };
        if taken > limit && taken > open_to(who()) {
            return Err(self.refuse(Full::Screening));
        }
        Ok(seat)
    }

    /// Whether the house is nearly full, with hysteresis: in at 90 %, out at 70 %.
    pub fn pressure(&self, limits: &Settings) -> Pressure {
        let (now, limit) = (self.before_hand_off(), limits.pre_queue_limit);
        let stress = &self.0.stress;
        if now * 10 >= limit * 9 {
            if !stress.swap(true, Relaxed) {
                self.0.stressed.fetch_add(1, Relaxed);
            }
            return Pressure::Stress;
        }
        if now * 10 <= limit * 7 {
            stress.store(false, Relaxed);
        }
        if stress.load(Relaxed) { Pressure::Stress } else { Pressure::Normal }
    }

    /// The counters now.
    pub fn totals(&self) -> Totals {
        Totals {
            sessions: State::ALL.map(|state| self.count(state)),
            stressed: self.0.stressed.load(Relaxed),
            refused_screening: self.0.refused[Full::Screening as usize].load(Relaxed),
            refused_backend: self.0.refused[Full::Backend as usize].load(Relaxed),
        }
    }

    fn before_hand_off(&self) -> usize {
        self.count(State::Screen) + self.count(State::Dialogue)
    }

    fn count(&self, state: State) -> usize {
        self.0.taken[state as usize].load(Relaxed)
    }

    fn sit(&self, state: State) -> Seat {
        self.0.taken[state as usize].fetch_add(1, Relaxed);
        Seat { seats: self.clone(), state, refused: false }
    }

    /// Counts a connection that gets no seat of one kind.
    pub fn refuse(&self, full: Full) -> Full {
        self.0.refused[full as usize].fetch_add(1, Relaxed);
        full
    }
}

impl Seat {
    /// Where the connection is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the house is nearly full.
    pub fn pressure(&self, limits: &Settings) -> Pressure {
        self.seats.pressure(limits)
    }

    /// Goes on to speaking SMTP.
    pub fn converse(&mut self) {
        self.move_to(State::Dialogue);
    }

    /// Goes on to the backend, if it has room. A connection that asks more than once is refused once.
    pub fn relay(&mut self, limits: &Settings) -> Result<(), Full> {
        let relaying = &self.seats.0.taken[State::Relay as usize];
        if relaying.load(Relaxed) >= limits.post_queue_limit {
            if !mem::replace(&mut self.refused, true) {
                self.seats.refuse(Full::Backend);
            }
            return Err(Full::Backend);
        }
        self.move_to(State::Relay);
        Ok(())
    }

    fn move_to(&mut self, state: State) {
        self.seats.0.taken[self.state as usize].fetch_sub(1, Relaxed);
        self.seats.0.taken[state as usize].fetch_add(1, Relaxed);
        self.state = state;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.0.taken[self.state as usize].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pre: usize, post: usize) -> Settings {
        Settings { pre_queue_limit: pre, post_queue_limit: post, ..Settings::default() }
    }

    #[test]
    fn strangers_stop_at_the_limit_and_the_known_have_a_tenth_more() {
        let (seats, limits) = (Seats::default(), limits(10, 10));
        let taken: Vec<_> =
            (0..10).map(|_| seats.take(&limits, || Acquaintance::Stranger).unwrap()).collect();
        assert_eq!(seats.take(&limits, || Acquaintance::Stranger).unwrap_err(), Full::Screening);
        let known = seats.take(&limits, || Acquaintance::Known).unwrap();
        assert_eq!(seats.take(&limits, || Acquaintance::Known).unwrap_err(), Full::Screening);
        drop((taken, known));
        assert_eq!(seats.totals().sessions, [0, 0, 0]);
        assert_eq!(seats.totals().refused_screening, 2);
    }

    #[test]
    fn a_full_house_has_the_descriptors_it_needs() {
        let defaults = Settings::default();
        assert_eq!(defaults.descriptors(), 11_000 + 2_000 + 1_536);
        assert_eq!(defaults.clone().within(defaults.descriptors()), defaults);
        let fitted = |pre, post, descriptors| {
            let fitted = limits(pre, post).within(descriptors);
            (fitted.pre_queue_limit, fitted.post_queue_limit)
        };
        assert_eq!(
            fitted(16_000, 1_000, 20_000),
            (14_960, 1_000),
            "what backends don't take is for those who wait"
        );
        assert_eq!(fitted(500, 10_000, 20_000), (500, 8_957), "and the other way round");
        assert_eq!(fitted(16_000, 16_000, 20_000), (8_390, 4_616), "half for each");
        assert_eq!(fitted(10_000, 1_000, 256), (80, 48), "a small limit still leaves room for connections");
        assert_eq!(fitted(usize::MAX, usize::MAX, 0), (0, 0));
        for (pre, post, descriptors) in
            [(16_000, 16_000, 20_000), (10_000, 1_000, 7_003), (77, 9_999, 12_345)]
        {
            assert!(limits(pre, post).within(descriptors).descriptors() <= descriptors);
        }
    }

    #[test]
    fn a_seat_at_the_backend_frees_one_in_screening() {
        let (seats, limits) = (Seats::default(), limits(1, 1));
        let mut first = seats.take(&limits, || Acquaintance::Stranger).unwrap();
        first.converse();
        first.relay(&limits).unwrap();
        let mut second = seats.take(&limits, || Acquaintance::Stranger).unwrap();
        for _recipient in 0..3 {
            assert_eq!(second.relay(&limits).unwrap_err(), Full::Backend);
        }
        assert_eq!((seats.totals().sessions, seats.totals().refused_backend), ([1, 0, 1], 1));
    }

    #[test]
    fn stress_begins_at_nine_tenths_and_ends_at_seven() {
        let (seats, limits) = (Seats::default(), limits(10, 10));
        let mut taken = Vec::new();
        let mut seen = Vec::new();
        for _ in 0..9 {
            taken.push(seats.take(&limits, || Acquaintance::Stranger).unwrap());
            seen.push(seats.pressure(&limits));
        }
        assert_eq!(seen.iter().filter(|p| **p == Pressure::Stress).count(), 1);
        taken.pop();
        assert_eq!(seats.pressure(&limits), Pressure::Stress, "eight tenths: still in stress");
        taken.pop();
        assert_eq!(seats.pressure(&limits), Pressure::Normal);
        assert_eq!(seats.totals().stressed, 1);
    }
}
