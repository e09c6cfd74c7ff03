//! A short name for one connection.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Names one connection, in the log and wherever a client or an operator asks about it: twelve characters that sort
/// by time, none of which reads like another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 12;
/// Of the sixty bits the upper 42 are milliseconds since the epoch, until 2109; the rest counts connections.
const COUNTER_BITS: u32 = 18;

/// Starts anywhere, so that a successor in the same millisecond gives other names.
static COUNTER: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(())));

impl Id {
    /// A name that no other connection of this host has.
    pub fn new(now: SystemTime) -> Self {
        Self::from_parts(now, COUNTER.fetch_add(1, Ordering::Relaxed))
    }

    fn from_parts(now: SystemTime, count: u64) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(0);
        let counter = count & ((1 << COUNTER_BITS) - 1);
        Self((milliseconds << COUNTER_BITS | counter) & ((1 << 60) - 1))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |place: usize| ALPHABET[(self.0 >> (5 * (LENGTH - 1 - place))) as usize & 31];
        let digits: [u8; LENGTH] = std::array::from_fn(digit);
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} names no connection; a name is {LENGTH} digits and letters, as in the log");
        if text.len() != LENGTH {
            return Err(wrong());
        }
        text.bytes().try_fold(Self(0), |Self(id), byte| {
            let digit = ALPHABET.iter().position(|c| c.eq_ignore_ascii_case(&byte)).ok_or_else(wrong)?;
            Ok(Self(id << 5 | digit as u64))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_unique_and_sort_by_time() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let early = Id::from_parts(at(1_800_000_000_000), u64::MAX).to_string();
        let late = Id::from_parts(at(1_800_000_000_001), 0).to_string();
        assert!(early < late && early.len() == 12);
        let now = SystemTime::now();
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| Id::new(now)).collect();
        assert_eq!(many.len(), 10_000);
    }

    #[test]
    fn what_is_no_name_is_told_so() {
        for text in ["", "0", "0123456789AU", "0123456789ABC", "grüßegrüße"] {
            assert!(text.parse::<Id>().unwrap_err().contains("12 digits and letters"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_what_is_read(bits in 0..1u64 << 60) {
            let text = Id(bits).to_string();
            prop_assert_eq!(text.parse(), Ok(Id(bits)));
            prop_assert_eq!(text.to_lowercase().parse(), Ok(Id(bits)));
        }
    }
}
