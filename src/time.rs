//! Times as Postfix writes them: a number and a unit, `6s`, `5m`, `1h`, `30d`, `1w`; a bare number has the unit that
//! its key names. Stricter in one point: Postfix takes the first letter behind the number and ignores the rest, so
//! that `5mh` passes for five minutes; here that is an error. `ms` is new.

use std::time::Duration;

/// What a bare number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// `m`
    Minutes,
    /// `h`
    Hours,
    /// `d`
    Days,
    /// `w`
    Weeks,
}

impl Unit {
    const ALL: [Self; 6] =
        [Self::Weeks, Self::Days, Self::Hours, Self::Minutes, Self::Seconds, Self::Milliseconds];

    /// As written behind a number.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "m",
            Self::Hours => "h",
            Self::Days => "d",
            Self::Weeks => "w",
        }
    }

    fn milliseconds(self) -> u64 {
        match self {
            Self::Milliseconds => 1,
            Self::Seconds => 1_000,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
            Self::Days => 86_400_000,
            Self::Weeks => 604_800_000,
        }
    }
}

/// Reads a time; a bare number counts `unit`. The error says what would be right.
pub(crate) fn parse(text: &str, unit: Unit) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    let unit = match Unit::ALL.into_iter().find(|known| known.suffix() == suffix) {
        Some(known) if !number.is_empty() => known,
        None if suffix.is_empty() && !number.is_empty() => unit,
        _ => {
            let example = unit.suffix();
            return Err(format!("not a time; write a number with s, m, h, d or w, such as 6{example}"));
        }
    };
    let too_long = || "longer than anything lasts; write a smaller number".to_owned();
    let number: u64 = number.parse().map_err(|_| too_long())?;
    let milliseconds = number.checked_mul(unit.milliseconds()).ok_or_else(too_long)?;
    // Deadlines are sums of such times; a hundred years keep them far from overflow.
    if milliseconds > 36_525 * Unit::Days.milliseconds() {
        return Err(too_long());
    }
    Ok(Duration::from_millis(milliseconds))
}

/// Writes a time in the largest unit that gives a whole number, weeks left aside: people say 30 days.
pub(crate) fn show(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let unit = Unit::ALL
        .into_iter()
        .find(|unit| *unit != Unit::Weeks && milliseconds.is_multiple_of(unit.milliseconds()))
        .unwrap_or(Unit::Milliseconds);
    format!("{}{}", milliseconds / unit.milliseconds(), unit.suffix())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_postfix_writes() {
        let seconds = |text| parse(text, Unit::Hours).unwrap().as_secs();
        assert_eq!(seconds("6s"), 6);
        assert_eq!(seconds("5m"), 300);
        assert_eq!(seconds("2"), 7_200);
        assert_eq!(seconds("30d"), 2_592_000);
        assert_eq!(seconds("1w"), 604_800);
        assert_eq!(seconds("0"), 0);
        assert_eq!(parse("50ms", Unit::Seconds).unwrap().as_millis(), 50);
    }

    #[test]
    fn refuses_what_postfix_lets_pass() {
        for text in ["", "s", "6 s", "5mh", "6S", "-1s", "1.5h", "6 parsecs", "٦s"] {
            let error = parse(text, Unit::Seconds).unwrap_err();
            assert_eq!(error, "not a time; write a number with s, m, h, d or w, such as 6s", "{text}");
        }
        for text in ["99999999999999999999", "9999999999999999w", "200000d"] {
            assert!(parse(text, Unit::Seconds).unwrap_err().contains("smaller number"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shows_what_it_reads(milliseconds in 0_u64..1_000_000_000_000) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&show(time), Unit::Weeks), Ok(time));
        }
    }
}
