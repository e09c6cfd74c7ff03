//! Client text made safe for a log: pure, and with the same result as Postfix's own, because log tools match it.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use crate::smtp::excerpt::EXCERPT;
use crate::smtp::line::is_plain;

/// How much of a name or an address a log line shows, in characters; RFC 5321 §4.5.3.1 allows no more.
pub(crate) const NAME: usize = 256;

/// How much of a reply a log line shows, in characters; RFC 5321 §4.5.3.1.5 allows no more.
pub(crate) const REPLY: usize = 512;

/// Octets as C would write them in a string: backslash doubled, the usual short escapes, all else that is not
/// printable ASCII as three octal digits.
pub(crate) fn escape(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b'\\' => text.push_str("\\\\"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            0x0c => text.push_str("\\f"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x0b => text.push_str("\\v"),
            b' '..=b'~' => text.push(char::from(*octet)),
            other => {
                let _ = write!(text, "\\{other:03o}");
            }
        }
    }
    text
}

/// The first [`EXCERPT`] octets, escaped.
pub(crate) fn excerpt(octets: &[u8]) -> String {
    escape(octets.get(..EXCERPT).unwrap_or(octets))
}

/// Text with `?` for every character that could move a cursor, hide or turn what stands beside it, cut at [`NAME`]
/// characters. Other characters stay: an address may be written in any script (RFC 6531).
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    printable_up_to(NAME, text)
}

/// As [`printable`], cut at `characters`.
pub(crate) fn printable_up_to(characters: usize, text: &str) -> Cow<'_, str> {
    if is_plain(text.as_bytes()) {
        return text.get(..characters).unwrap_or(text).into();
    }
    text.chars().take(characters).map(|c| if is_printable(c) { c } else { '?' }).collect()
}

/// Whether a terminal shows `character` and does nothing else.
pub(super) fn is_printable(character: char) -> bool {
    let formats = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        // Zero width and bidirectional marks, line and paragraph separators.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    !character.is_control() && !formats
}

/// A delay as Postfix logs it: seconds with two significant digits, at most two of them behind the point, no
/// trailing zeros. `0`, `0.08`, `0.3`, `1.9`, `16`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay(pub(crate) Duration);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_unit = match self.0.as_secs() {
            0 => 100,
            1..10 => 10,
            _ => 1,
        };
        let units = (self.0.as_micros() * per_unit + 500_000) / 1_000_000;
        write!(f, "{}", units / per_unit)?;
        match (per_unit, units % per_unit) {
            (_, 0) => Ok(()),
            (100, rest) if rest % 10 != 0 => write!(f, ".{rest:02}"),
            (100, rest) => write!(f, ".{}", rest / 10),
            (_, rest) => write!(f, ".{rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_have_two_significant_digits() {
        for (microseconds, expected) in [
            (0, "0"),
            (4_999, "0"),
            (5_000, "0.01"),
            (83_000, "0.08"),
            (300_000, "0.3"),
            (345_678, "0.35"),
            (996_000, "1"),
            (1_940_000, "1.9"),
            (5_999_000, "6"),
            (9_949_999, "9.9"),
            (9_960_000, "10"),
            (16_400_000, "16"),
            (123_456_789, "123"),
        ] {
            assert_eq!(Delay(Duration::from_micros(microseconds)).to_string(), expected, "{microseconds} µs");
        }
    }

    #[test]
    fn escapes_are_those_of_c() {
        assert_eq!(escape(b"GET / HTTP/1.1\r\n"), "GET / HTTP/1.1\\r\\n");
        assert_eq!(escape(b"a\\b\0\x1b[31m\x7f\xe2\x80\xae"), "a\\\\b\\000\\033[31m\\177\\342\\200\\256");
        assert_eq!(escape(b"\x07\x08\x0c\t\x0b"), "\\a\\b\\f\\t\\v");
    }

    #[test]
    fn what_could_turn_a_line_around_is_a_question_mark() {
        assert_eq!(printable("evil\u{202e}txt\r\n\u{1b}[0m"), "evil?txt???[0m");
        assert_eq!(printable("grüße@пример.example"), "grüße@пример.example");
        assert_eq!(printable(&"x".repeat(1_000)).len(), NAME);
    }

    proptest! {
        #[test]
        fn no_octets_leave_a_line(octets: Vec<u8>) {
            prop_assert!(escape(&octets).bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert!(printable(&String::from_utf8_lossy(&octets)).chars().all(is_printable));
        }
    }
}
