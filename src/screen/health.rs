//! Whether a list deserves belief: a pure state machine over its check-ups.
//!
//! Lists die. Some then time out, some list the whole world, some are sold and answer with a web server. So each is
//! tested (RFC 5782 §5), loses its weight when it fails, and gets it back when it has passed three times in a row.

use std::fmt;

use super::list::Malfunction;
use crate::dns::Trouble;

/// How many good check-ups in a row end a suspension.
const GOOD_TO_RESUME: u8 = 3;

/// How many check-ups without any answer in a row suspend a list: one may be our own trouble.
const UNCLEAR_TO_SUSPEND: u8 = 3;

/// What a check-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkup {
    /// 127.0.0.2 is listed, 127.0.0.1 is not.
    Good,
    /// The list is wrong.
    Bad(Ailment),
    /// DNS trouble: nothing was learnt.
    Unclear(Trouble),
}

/// Why a list is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// 127.0.0.2 is not listed, which every list must hold for tests: no list is there.
    ListsNobody,
    /// 127.0.0.1 is listed, which no list may hold: it lists the world.
    ListsEverybody,
    /// It answers tests with something else than a listing.
    Malfunction(Malfunction),
    /// It has not answered several times in a row.
    Silent(Trouble),
    /// The resolver finds names that cannot exist, so no absence can be believed.
    ResolverInvents,
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListsNobody => f.write_str("its test entry 127.0.0.2 is not listed"),
            Self::ListsEverybody => f.write_str("it lists 127.0.0.1, so it may list everybody"),
            Self::Malfunction(malfunction) => f.write_str(malfunction.meaning()),
            Self::Silent(trouble) => write!(f, "it does not answer ({})", trouble.as_str()),
            Self::ResolverInvents => f.write_str("the resolver answers for names that do not exist"),
        }
    }
}

/// A list's state of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// No check-up has found anything yet: what it says is heard when one has. `unclear` ones brought nothing.
    Untested { unclear: u8 },
    /// It counts. `unclear` check-ups in a row brought nothing.
    Working { unclear: u8 },
    /// It says nothing, for or against anybody. `good` check-ups in a row were good.
    Suspended { because: Ailment, good: u8 },
}

/// What a check-up changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Suspended(Ailment),
    Resumed,
}

impl Default for Health {
    /// A list counts until a check-up says otherwise: nobody need run any.
    fn default() -> Self {
        Self::Working { unclear: 0 }
    }
}

impl Health {
    /// The state after `checkup`, and what that changed.
    pub(super) fn after(self, checkup: Checkup) -> (Self, Option<Change>) {
        let suspended = |because| (Self::Suspended { because, good: 0 }, Some(Change::Suspended(because)));
        match (self, checkup) {
            // We had no time to ask, which is no fault of the list's.
            (health, Checkup::Unclear(Trouble::Busy)) => (health, None),
            (Self::Untested { .. } | Self::Working { .. }, Checkup::Good) => (Self::default(), None),
            (Self::Untested { .. } | Self::Working { .. }, Checkup::Bad(ailment)) => suspended(ailment),
            (Self::Untested { unclear } | Self::Working { unclear }, Checkup::Unclear(trouble)) => {
                match (self, unclear + 1) {
                    (_, UNCLEAR_TO_SUSPEND) => suspended(Ailment::Silent(trouble)),
                    (Self::Untested { .. }, unclear) => (Self::Untested { unclear }, None),
                    (_, unclear) => (Self::Working { unclear }, None),
                }
            }
            (Self::Suspended { because, good }, Checkup::Good) => match good + 1 {
                GOOD_TO_RESUME => (Self::default(), Some(Change::Resumed)),
                good => (Self::Suspended { because, good }, None),
            },
            (Self::Suspended { .. }, Checkup::Bad(because)) => (Self::Suspended { because, good: 0 }, None),
            (Self::Suspended { because, .. }, Checkup::Unclear(_)) => {
                (Self::Suspended { because, good: 0 }, None)
            }
        }
    }

    /// Why the list is suspended, if it is.
    pub(super) fn ailment(self) -> Option<Ailment> {
        match self {
            Self::Untested { .. } | Self::Working { .. } => None,
            Self::Suspended { because, .. } => Some(because),
        }
    }

    /// Whether its answers wait for a check-up.
    pub(super) fn is_untested(self) -> bool {
        matches!(self, Self::Untested { .. })
    }

    /// Whether its answers count now.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Working { .. })
    }

    /// Whether the next check-up should come soon.
    pub(super) fn in_doubt(self) -> bool {
        self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Checkup = Checkup::Bad(Ailment::ListsEverybody);
    const UNCLEAR: Checkup = Checkup::Unclear(Trouble::Timeout);

    fn after(checkups: &[Checkup]) -> (Health, Vec<Change>) {
        let mut changes = Vec::new();
        let health = checkups.iter().fold(Health::default(), |health, checkup| {
            let (health, change) = health.after(*checkup);
            changes.extend(change);
            health
        });
        (health, changes)
    }

    #[test]
    fn a_bad_checkup_suspends_and_three_good_ones_resume() {
        use Checkup::Good;
        let (health, changes) = after(&[Good, BAD, BAD, Good, Good]);
        assert_eq!(health.ailment(), Some(Ailment::ListsEverybody));
        assert_eq!(changes, [Change::Suspended(Ailment::ListsEverybody)], "told once");
        for setback in [BAD, UNCLEAR] {
            assert!(after(&[BAD, Good, Good, setback, Good, Good]).0.ailment().is_some());
            let (health, changes) = after(&[BAD, Good, Good, setback, Good, Good, Good]);
            assert_eq!((health, changes.last()), (Health::default(), Some(&Change::Resumed)));
        }
    }

    #[test]
    fn who_begins_untested_stays_so_until_something_is_found() {
        let untested = Health::Untested { unclear: 0 };
        assert_eq!(untested.after(Checkup::Good), (Health::default(), None));
        assert!(untested.after(BAD).0.ailment().is_some());
        let (twice, _) = untested.after(UNCLEAR).0.after(UNCLEAR);
        assert!(twice.is_untested() && twice.in_doubt());
        assert!(twice.after(UNCLEAR).0.ailment().is_some(), "but not for ever");
    }

    #[test]
    fn what_we_have_no_time_to_ask_says_nothing_of_a_list() {
        let busy = Checkup::Unclear(Trouble::Busy);
        for health in [Health::Untested { unclear: 2 }, Health::Working { unclear: 2 }] {
            assert_eq!(health.after(busy), (health, None));
        }
    }

    #[test]
    fn silence_suspends_only_if_it_lasts() {
        use Checkup::Good;
        let (health, changes) = after(&[UNCLEAR, UNCLEAR, Good, UNCLEAR, UNCLEAR]);
        assert!(health.ailment().is_none() && health.in_doubt() && changes.is_empty());
        let (_, changes) = after(&[UNCLEAR, UNCLEAR, UNCLEAR]);
        assert_eq!(changes, [Change::Suspended(Ailment::Silent(Trouble::Timeout))]);
    }
}
