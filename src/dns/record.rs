//! Questions and records: what is asked, what an answer holds, and how both look on the wire.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_resolver::proto::rr::rdata::{A, AAAA, MX, NS, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

/// The record types that this program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
    /// Texts.
    Txt,
    /// Names of an address.
    Ptr,
}

impl Kind {
    /// All types; the order is that of [`Totals`](super::Totals).
    pub const ALL: [Self; 6] = [Self::A, Self::Aaaa, Self::Mx, Self::Ns, Self::Txt, Self::Ptr];

    /// As zone files write it; a closed set, so it may label a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Txt => "TXT",
            Self::Ptr => "PTR",
        }
    }

    pub(super) fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Txt => RecordType::TXT,
            Self::Ptr => RecordType::PTR,
        }
    }

    pub(super) fn from_record_type(wire: RecordType) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.record_type() == wire)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("`{text}` is no record type known here; use A, AAAA, MX, NS, TXT or PTR"))
    }
}

/// A mail exchanger (RFC 5321 §5.1); `.` is the null MX (RFC 7505).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is preferred.
    pub preference: u16,
    /// The host, without its final dot; empty for the null MX.
    pub exchange: String,
}

/// One record's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(Mx),
    Ns(String),
    Txt(String),
    Ptr(String),
}

impl Data {
    pub(super) fn from_wire(data: &RData) -> Option<Self> {
        Some(match data {
            RData::A(a) => Self::A(a.0),
            RData::AAAA(aaaa) => Self::Aaaa(aaaa.0),
            RData::MX(mx) => Self::Mx(Mx { preference: mx.preference, exchange: host_text(&mx.exchange) }),
            RData::NS(ns) => Self::Ns(host_text(&ns.0)),
            RData::PTR(ptr) => Self::Ptr(host_text(&ptr.0)),
            RData::TXT(txt) => Self::Txt(printable(&txt.txt_data.concat())),
            _ => return None,
        })
    }

    /// The data as it goes out; `None` where a host name cannot stand in DNS.
    pub(super) fn to_wire(&self) -> Option<RData> {
        Some(match self {
            Self::A(a) => RData::A(A(*a)),
            Self::Aaaa(aaaa) => RData::AAAA(AAAA(*aaaa)),
            Self::Mx(mx) => RData::MX(MX::new(mx.preference, name(&mx.exchange)?)),
            Self::Ns(host) => RData::NS(NS(name(host)?)),
            Self::Ptr(host) => RData::PTR(PTR(name(host)?)),
            // A text record is made of strings of at most 255 bytes (RFC 1035 §3.3.14).
            Self::Txt(text) => RData::TXT(TXT::from_bytes(text.as_bytes().chunks(255).collect())),
        })
    }
}

/// A name and a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: Kind,
}

impl Question {
    /// `None` for what cannot stand in DNS: there is nothing to ask then.
    pub(super) fn new(text: &str, kind: Kind) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        Some(Self { name: name(text)?, kind })
    }

    /// The question for the names of `address` (RFC 1035 §3.5, RFC 3596 §2.5).
    pub(super) fn reverse(address: IpAddr) -> Self {
        let mut name = Name::from(address.to_canonical());
        name.set_fqdn(true);
        Self { name, kind: Kind::Ptr }
    }
}

/// An absolute name. Underscores pass (lists, DKIM and half of the world's hosts use them); backslash escapes do not,
/// since what comes here was a host name in SMTP or in a configuration, where they have no meaning.
pub(super) fn name(text: &str) -> Option<Name> {
    if text.contains('\\') {
        return None;
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name as text, without its final dot. Whatever is not a letter, digit, hyphen or underscore comes out escaped,
/// so no answer can carry a line break into a log or to a backend (CVE-2026-28753 of another proxy).
pub(super) fn host_text(name: &Name) -> String {
    let mut text = name.to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// Text for replies and logs: controls become `?`.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_underscores_and_refuse_what_dns_cannot_hold() {
        assert!(Question::new("_dmarc.under_score.example", Kind::Txt).is_some());
        assert_eq!(Question::new("a.example", Kind::A), Question::new("A.Example.", Kind::A));
        for bad in
            ["", "..", "a..b", "a b", "b\u{fc}cher.example", "a\\.b", &"x".repeat(64), &"x.".repeat(140)]
        {
            assert_eq!(Question::new(bad, Kind::A), None, "{bad:?}");
        }
    }

    #[test]
    fn hostile_names_and_texts_come_out_on_one_line() {
        let name = Name::from_labels([b"a\r\nRCPT TO:<x>".as_slice(), b"example"]).unwrap();
        assert!(!host_text(&name).contains(['\r', '\n', ' ']));
        let txt = RData::TXT(TXT::from_bytes(vec![b"see\r\n", b"http\x1b\xff"]));
        assert_eq!(Data::from_wire(&txt), Some(Data::Txt("see??http?\u{fffd}".into())));
    }

    #[test]
    fn mapped_addresses_are_asked_for_as_ipv4() {
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(host_text(&Question::reverse(mapped).name), "7.2.0.192.in-addr.arpa");
    }
}
