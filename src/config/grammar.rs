//! What a value may look like, and how it is shown again.
//!
//! The meaning of a word belongs to the module that owns the setting: it parses itself, and its error is the sentence
//! that users read. Here are only the forms that all modules share.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::smtp::host::is_valid_hostname;
use crate::spelling::Spelled;
use crate::table;
use crate::time::{self, Unit};

/// Text to value and back.
pub(super) struct Grammar<T> {
    /// What may be written, in a word or two: `time (s)`.
    pub(super) form: String,
    /// Reads a text; the error says what is wrong and what would be right.
    pub(super) read: Box<Read<T>>,
    /// Writes what `read` reads.
    pub(super) show: Box<Show<T>>,
    /// Whether TOML shows it in quotes.
    pub(super) notation: Notation,
}

type Read<T> = dyn Fn(&str) -> Result<T, String>;
type Show<T> = dyn Fn(&T) -> String;

#[derive(Clone, Copy)]
pub(super) enum Notation {
    Quoted,
    Bare,
}

/// A word or text that knows its own grammar.
pub(super) fn word<T: FromStr<Err: Display> + Display + 'static>(form: &str) -> Grammar<T> {
    Grammar {
        form: form.to_owned(),
        read: Box::new(|text| text.parse().map_err(|error: T::Err| error.to_string())),
        show: Box::new(T::to_string),
        notation: Notation::Quoted,
    }
}

/// One of a few words.
pub(super) fn choice<T: Spelled>() -> Grammar<T> {
    word(&T::words())
}

impl<T> Grammar<T> {
    /// The same, shown without quotes.
    pub(super) fn bare(self) -> Self {
        Self { notation: Notation::Bare, ..self }
    }
}

/// A text that goes on the wire: one line, nothing in it that is not printable ASCII.
pub(super) fn line() -> Grammar<String> {
    Grammar {
        form: "text".to_owned(),
        read: Box::new(|text| {
            let printable = text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic());
            let wrong = || "not printable ASCII in one line; remove line breaks and accents".to_owned();
            printable.then(|| text.to_owned()).ok_or_else(wrong)
        }),
        show: Box::new(String::clone),
        notation: Notation::Quoted,
    }
}

/// A host name, or nothing.
pub(super) fn host() -> Grammar<String> {
    Grammar {
        form: "host name".to_owned(),
        read: Box::new(|text| {
            let valid = text.is_empty() || is_valid_hostname(text);
            let wrong =
                || "not a host name; write letters, digits and hyphens between dots, as in mx.example.org";
            valid.then(|| text.to_owned()).ok_or_else(|| wrong().to_owned())
        }),
        show: Box::new(String::clone),
        notation: Notation::Quoted,
    }
}

/// `yes` or `no`; TOML's `true` and `false` arrive as these.
pub(super) fn yes_no() -> Grammar<bool> {
    yes_no_as(true, false)
}

/// `yes` or `no`, where these have names of their own.
pub(super) fn yes_no_as<T: Copy + PartialEq + 'static>(yes: T, no: T) -> Grammar<T> {
    Grammar {
        form: "yes or no".to_owned(),
        read: Box::new(move |text| match text {
            "yes" => Ok(yes),
            "no" => Ok(no),
            _ => Err("neither yes nor no; write \"yes\" or \"no\"".to_owned()),
        }),
        show: Box::new(move |value| if *value == yes { "yes".to_owned() } else { "no".to_owned() }),
        notation: Notation::Quoted,
    }
}

/// A time of at least `least`; a bare number counts `unit`.
pub(super) fn time(unit: Unit, least: Duration) -> Grammar<Duration> {
    Grammar {
        form: format!("time ({})", unit.suffix()),
        read: Box::new(move |text| match time::parse(text, unit)? {
            given if given < least => Err(format!("too short; write {} or more", time::show(least))),
            given => Ok(given),
        }),
        show: Box::new(|time| time::show(*time)),
        notation: Notation::Quoted,
    }
}

/// A whole number within bounds.
pub(super) fn number<N>(bounds: RangeInclusive<N>) -> Grammar<N>
where
    N: FromStr + Display + PartialOrd + Greatest + 'static,
{
    let (least, most) = (bounds.start(), bounds.end());
    let form = if *most == N::GREATEST {
        format!("number from {least}")
    } else {
        format!("number from {least} to {most}")
    };
    let right = form.clone();
    Grammar {
        form,
        read: Box::new(move |text| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(format!("not a whole number; write a {right}"));
            }
            let given = text.parse().ok().filter(|given| bounds.contains(given));
            given.ok_or_else(|| format!("out of range; write a {right}"))
        }),
        show: Box::new(N::to_string),
        notation: Notation::Bare,
    }
}

/// A file's name.
pub(super) fn file() -> Grammar<PathBuf> {
    Grammar {
        form: "file".to_owned(),
        read: Box::new(|text| match text {
            "" => Err("no file; write its name".to_owned()),
            name => Ok(name.into()),
        }),
        show: Box::new(|path| path.display().to_string()),
        notation: Notation::Quoted,
    }
}

/// An address and a port; where `port` is given, an address alone will do.
pub(super) fn socket(port: Option<u16>) -> Grammar<SocketAddr> {
    Grammar {
        form: "address:port".to_owned(),
        read: Box::new(move |text| {
            if let Ok(socket) = text.parse() {
                return Ok(socket);
            }
            let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            match (address, port) {
                (Ok(address), Some(port)) => Ok((address, port).into()),
                (Ok(_), None) => Err("an address without a port; write one such as 192.0.2.1:25".to_owned()),
                _ => Err("not an address and port; write 192.0.2.1:25 or [2001:db8::1]:25".to_owned()),
            }
        }),
        show: Box::new(SocketAddr::to_string),
        notation: Notation::Quoted,
    }
}

/// An address.
pub(super) fn address() -> Grammar<IpAddr> {
    Grammar {
        form: "address".to_owned(),
        read: Box::new(|text| {
            let wrong = |_| "not an address; write one such as 192.0.2.1 or 2001:db8::1".to_owned();
            text.trim_start_matches('[').trim_end_matches(']').parse().map_err(wrong)
        }),
        show: Box::new(IpAddr::to_string),
        notation: Notation::Quoted,
    }
}

/// An address or a network; bits behind the prefix must be 0, for nobody knows what `10.1.2.3/8` was to mean.
pub(super) fn network() -> Grammar<IpNet> {
    Grammar {
        form: "network".to_owned(),
        read: Box::new(table::network),
        show: Box::new(|network| {
            if network.prefix_len() == network.max_prefix_len() {
                network.addr().to_string()
            } else {
                network.to_string()
            }
        }),
        notation: Notation::Quoted,
    }
}

/// Numbers that have a greatest value, which need not be told as a bound.
pub(super) trait Greatest {
    const GREATEST: Self;
}

macro_rules! greatest {
    ($($number:ty)*) => { $(impl Greatest for $number { const GREATEST: Self = <$number>::MAX; })* };
}
greatest!(u8 u16 u32 u64 usize i32);

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(grammar: &Grammar<T>, text: &str) -> String {
        (grammar.read)(text).err().unwrap()
    }

    #[test]
    fn numbers_say_their_bounds() {
        let grammar = number(1..=20_u16);
        assert_eq!((grammar.read)("20"), Ok(20));
        assert_eq!(error(&grammar, "0"), "out of range; write a number from 1 to 20");
        assert_eq!(error(&grammar, "99999999999"), "out of range; write a number from 1 to 20");
        assert_eq!(error(&grammar, "ten"), "not a whole number; write a number from 1 to 20");
        assert_eq!(error(&grammar, "+5"), "not a whole number; write a number from 1 to 20");
        assert_eq!(number(0..=u64::MAX).form, "number from 0");
    }

    #[test]
    fn a_network_is_shown_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"] {
            let network = (network().read)(text).unwrap();
            assert_eq!((network_shown(&network)), text);
        }
        assert!(error(&network(), "10.0.0.1/8").contains("10.0.0.0/8"));
    }

    fn network_shown(value: &IpNet) -> String {
        (network().show)(value)
    }

    #[test]
    fn a_socket_needs_its_port_unless_there_is_a_usual_one() {
        assert_eq!((socket(None).read)("[::1]:25").unwrap().to_string(), "[::1]:25");
        assert!(error(&socket(None), "192.0.2.1").contains("without a port"));
        assert!(error(&socket(None), "mx:25").contains("192.0.2.1:25"));
        assert_eq!((socket(Some(53)).read)("::1").unwrap().to_string(), "[::1]:53");
    }

    #[test]
    fn times_and_answers_say_what_would_be_right() {
        let grammar = time(Unit::Seconds, Duration::from_secs(1));
        assert_eq!(error(&grammar, "0"), "too short; write 1s or more");
        assert_eq!(error(&yes_no(), "1"), "neither yes nor no; write \"yes\" or \"no\"");
    }
}
