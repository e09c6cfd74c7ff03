//! A client's counts in one unit of time.

use super::exceeded::Limit;

/// What is counted per unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Connection,
    Message,
    Recipient,
}

impl Event {
    /// What limits such events.
    pub(super) fn limit(self) -> Limit {
        match self {
            Self::Connection => Limit::ConnectionRate,
            Self::Message => Limit::MessageRate,
            Self::Recipient => Limit::RecipientRate,
        }
    }
}

/// anvil(8)'s fixed window: all counts share one start, and all begin anew with the first event after its end.
///
/// Time is in whole seconds as there, so a window lasts up to a second longer than its unit. When nothing is
/// counted, nothing happens: a window that is dropped after its end was worth nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    start: u32,
    counts: [u32; 3],
}

impl Window {
    /// An empty window that begins at `now`.
    pub(super) fn begin(now: u32) -> Self {
        Self { start: now, counts: [0; 3] }
    }

    /// Counts `event` and says how many there are now, this one included.
    pub(super) fn count(&mut self, event: Event, now: u32, unit: u32) -> u32 {
        if self.start.saturating_add(unit) < now {
            *self = Self::begin(now);
        }
        let count = &mut self.counts[event as usize];
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_grow_until_the_window_has_ended() {
        let mut window = Window::begin(100);
        assert_eq!(window.count(Event::Message, 100, 60), 1);
        assert_eq!(window.count(Event::Message, 159, 60), 2);
        assert_eq!(window.count(Event::Message, 160, 60), 3, "the last second still belongs to it");
        assert_eq!(window.count(Event::Message, 161, 60), 1);
        assert_eq!(window.count(Event::Message, 221, 60), 2, "the new one began at 161");
    }

    #[test]
    fn an_event_of_one_kind_ends_the_window_of_all() {
        let mut window = Window::begin(0);
        window.count(Event::Connection, 0, 60);
        window.count(Event::Recipient, 59, 60);
        window.count(Event::Message, 61, 60);
        assert_eq!(window.count(Event::Recipient, 62, 60), 1);
        assert_eq!(window.count(Event::Connection, 62, 60), 1);
    }

    proptest! {
        /// A window that is forgotten after its end and begun anew counts the same: so the cache may drop it.
        #[test]
        fn forgetting_an_ended_window_changes_nothing(
            gaps in proptest::collection::vec(0_u32..100, 1..50),
            unit in 1_u32..70,
        ) {
            let (mut kept, mut dropped): (Option<Window>, Option<Window>) = (None, None);
            let mut now = 0;
            for gap in gaps {
                now += gap;
                if dropped.is_some_and(|window| window.start + unit < now) {
                    dropped = None;
                }
                let [kept, fresh] = [&mut kept, &mut dropped].map(|window| {
                    window.get_or_insert_with(|| Window::begin(now)).count(Event::Message, now, unit)
                });
                prop_assert_eq!(kept, fresh);
            }
        }

        /// Never more than `limit` pass between two resets, and a reset needs more than the unit.
        #[test]
        fn a_window_lets_no_more_pass_than_it_counts(gaps in proptest::collection::vec(0_u32..20, 1..200)) {
            let (unit, limit) = (30, 5);
            let mut window = Window::begin(0);
            let mut now = 0;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if window.count(Event::Message, now, unit) <= limit {
                    passed.push((window.start, now));
                }
            }
            for start in passed.iter().map(|(start, _)| *start) {
                let inside = passed.iter().filter(|(of, _)| *of == start);
                prop_assert!(inside.clone().count() <= limit as usize);
                prop_assert!(inside.clone().all(|(_, at)| *at <= start + unit));
            }
        }
    }
}
