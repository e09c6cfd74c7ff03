//! DNS lists (RFC 5782): how they are asked about an address, and which of their answers count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The name under which `list` knows `address`: `2.0.0.127.list`, or 32 nibbles of IPv6 (RFC 5782 §2.1, §2.4).
/// An IPv4-mapped IPv6 address is asked for as IPv4.
pub fn list_query(address: IpAddr, list: &str) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.{list}")
        }
        IpAddr::V6(v6) => list_query_ipv6(v6, list),
    }
}

/// The name of 32 nibbles, for an IPv4-mapped address too: the test entries of a list that knows IPv6 alone are such
/// (RFC 5782 §5).
pub fn list_query_ipv6(address: Ipv6Addr, list: &str) -> String {
    let mut name = String::with_capacity(64 + list.len());
    for octet in address.octets().iter().rev() {
        for nibble in [octet & 15, octet >> 4] {
            name.extend(char::from_digit(nibble.into(), 16));
            name.push('.');
        }
    }
    name + list
}

/// What an address record of a DNS list means. Only [`Listing::Listed`] may count against, or for, anybody.
///
/// Whole sites once refused all mail because a list answered "you ask through a public resolver" with
/// 127.255.255.254, or because its domain was sold and every name pointed at a web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Listed, for the reason that the list gives this code.
    Listed,
    /// The answer says something of the list, not of the address.
    Malfunction(Malfunction),
}

/// What is wrong with a list. A closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Malfunction {
    /// 127.255.255.252: the list's domain is misspelt in our configuration.
    Misspelt,
    /// 127.255.255.254: asked through a public resolver, or one without a name.
    PublicResolver,
    /// 127.255.255.255: too many queries.
    OverLimit,
    /// Another address in 127.255.255.0/24, which lists use for errors by custom.
    OtherCode,
    /// 127.0.0.1, which no list may hold (RFC 5782 §5).
    Loopback,
    /// An address outside 127.0.0.0/8: a parked domain, or a resolver that invents answers.
    Foreign,
}

impl Listing {
    /// What `code` means.
    pub fn of(code: Ipv4Addr) -> Self {
        Self::Malfunction(match code.octets() {
            [127, 255, 255, 252] => Malfunction::Misspelt,
            [127, 255, 255, 254] => Malfunction::PublicResolver,
            [127, 255, 255, 255] => Malfunction::OverLimit,
            [127, 255, 255, _] => Malfunction::OtherCode,
            [127, 0, 0, 1] => Malfunction::Loopback,
            [127, ..] => return Self::Listed,
            _ => Malfunction::Foreign,
        })
    }
}

impl Malfunction {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Misspelt,
        Self::PublicResolver,
        Self::OverLimit,
        Self::OtherCode,
        Self::Loopback,
        Self::Foreign,
    ];

    /// The name that metrics show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Misspelt => "misspelt",
            Self::PublicResolver => "public_resolver",
            Self::OverLimit => "over_limit",
            Self::OtherCode => "other_code",
            Self::Loopback => "loopback",
            Self::Foreign => "foreign",
        }
    }

    /// What it means, for a log line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Misspelt => "the list says that its domain is misspelt",
            Self::PublicResolver => "the list turns away what comes through a public resolver",
            Self::OverLimit => "the list says that it was asked too often",
            Self::OtherCode => "the list answers with an error code",
            Self::Loopback => "the list answers 127.0.0.1, which means nothing",
            Self::Foreign => {
                "the answer is outside 127.0.0.0/8, so there is no list, or the resolver invents it"
            }
        }
    }
}

/// Which codes of a list are meant: `127.0.0.2`, `127.0.[0;2].[2..11;20]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListFilter([Field; 4]);

/// Inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Field(Vec<(u8, u8)>);

impl ListFilter {
    /// Whether `code` is one of them.
    pub fn matches(&self, code: Ipv4Addr) -> bool {
        self.0
            .iter()
            .zip(code.octets())
            .all(|(field, octet)| field.0.iter().any(|(from, to)| (*from..=*to).contains(&octet)))
    }
}

impl FromStr for ListFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| {
            format!(
                "`{text}` is no filter of list codes ({why}): write one such as 127.0.0.2 or 127.0.0.[2..4;9]"
            )
        };
        let fields =
            split(unwrapped(text)).into_iter().map(field).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let count = fields.len();
        fields.try_into().map(Self).map_err(|_| wrong(format!("{count} fields instead of 4")))
    }
}

/// Without the one pair of brackets that may stand around the whole: `[127.0.0.2]`, but not `[127].0.0.[2]`.
fn unwrapped(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else { return text };
    let is_whole = inner.find(']').is_none_or(|close| inner.find('[').is_some_and(|open| open < close));
    if is_whole && inner.contains('.') { inner } else { text }
}

/// Splits at the dots that no bracket hides: `..` inside `[2..4]` is not one.
fn split(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        c == '.' && !inside
    })
    .collect()
}

fn field(text: &str) -> Result<Field, String> {
    let Some(inner) = text.strip_prefix('[') else { return Ok(Field(vec![range(text)?])) };
    let inner = inner.strip_suffix(']').ok_or_else(|| format!("`{text}` has no closing bracket"))?;
    inner.split(';').map(range).collect::<Result<_, _>>().map(Field)
}

fn range(text: &str) -> Result<(u8, u8), String> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse::<u8>().ok() } else { None };
        number.ok_or_else(|| format!("`{text}` is no number from 0 to 255"))
    };
    match text.split_once("..") {
        None => number(text).map(|n| (n, n)),
        Some((from, to)) => match (number(from)?, number(to)?) {
            (from, to) if from <= to => Ok((from, to)),
            _ => Err(format!("`{text}` runs backwards")),
        },
    }
}

impl fmt::Display for ListFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            field.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(from, to)] = self.0[..]
            && from == to
        {
            return from.fmt(f);
        }
        f.write_str("[")?;
        for (index, (from, to)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            if from == to { from.fmt(f)? } else { write!(f, "{from}..{to}")? }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_for_backwards() {
        let query = |address: &str| list_query(address.parse().unwrap(), "bl.example");
        assert_eq!(query("192.0.2.99"), "99.2.0.192.bl.example");
        assert_eq!(query("::ffff:192.0.2.99"), "99.2.0.192.bl.example");
        assert_eq!(
            query("2001:db8:1::abcd"),
            "d.c.b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example"
        );
    }

    #[test]
    fn only_codes_of_a_list_count() {
        let of = |code: &str| Listing::of(code.parse().unwrap());
        for code in ["127.0.0.2", "127.0.0.0", "127.0.1.1", "127.255.254.1"] {
            assert_eq!(of(code), Listing::Listed, "{code}");
        }
        for (code, malfunction) in [
            ("127.0.0.1", Malfunction::Loopback),
            ("127.255.255.252", Malfunction::Misspelt),
            ("127.255.255.254", Malfunction::PublicResolver),
            ("127.255.255.255", Malfunction::OverLimit),
            ("127.255.255.0", Malfunction::OtherCode),
            ("192.0.2.1", Malfunction::Foreign),
            ("0.0.0.0", Malfunction::Foreign),
        ] {
            assert_eq!(of(code), Listing::Malfunction(malfunction), "{code}");
        }
    }

    #[test]
    fn filters_match_field_by_field() {
        let filter: ListFilter = "127.0.[0;2].[2..4;9]".parse().unwrap();
        let matches = |code: &str| filter.matches(code.parse().unwrap());
        for code in ["127.0.0.2", "127.0.2.4", "127.0.0.9"] {
            assert!(matches(code), "{code}");
        }
        for code in ["127.0.1.2", "127.0.0.5", "127.0.0.1", "127.1.0.2"] {
            assert!(!matches(code), "{code}");
        }
        for whole in ["[127.0.0.2]", "[127.0.0.[2]]", "[127].0.0.[2]", "127.0.0.002"] {
            let filter: ListFilter = whole.parse().unwrap();
            assert_eq!(filter.to_string(), "127.0.0.2", "{whole}");
        }
    }

    #[test]
    fn filters_print_as_they_were_written() {
        for text in ["127.0.0.2", "127.0.[0;2].[2..4;9]", "[127].0.0.[0..255]"] {
            let filter: ListFilter = text.parse().unwrap();
            assert_eq!(filter.to_string().parse(), Ok(filter));
        }
        assert_eq!("[127].0.[0].[2..4]".parse::<ListFilter>().unwrap().to_string(), "127.0.0.[2..4]");
    }

    #[test]
    fn filters_that_are_none_say_why() {
        for (text, why) in [
            ("127.0.0", "3 fields"),
            ("127.0.0.2.3", "5 fields"),
            ("127.0.0.256", "`256` is no number"),
            ("127.0.0.[2..x]", "`x` is no number"),
            ("127.0.0.[2,4]", "`2,4` is no number"),
            ("127.0.0.[2>-<11]", "`2>-<11` is no number"),
            ("127.0.0.+2", "`+2` is no number"),
            ("127.0.0.[4..2]", "runs backwards"),
            ("127.0.0.[2", "no closing bracket"),
            ("127.0.0.[]", "`` is no number"),
            ("", "`` is no number"),
        ] {
            let error = text.parse::<ListFilter>().unwrap_err();
            assert!(error.contains(why) && error.contains("127.0.0.[2..4;9]"), "{error}");
        }
    }
}
