//! Host names and address literals: what Postfix calls valid.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;
/// RFC 1035 §2.3.4.
const MAX_NAME: usize = 255;

/// Whether `name` is a host name as Postfix sees it: labels of 1 to 63 letters, digits, `-` and `_` that neither
/// begin nor end with `-`; at most 255 bytes; no trailing dot; not made of digits and dots alone.
///
/// One label is enough. Underscores are against RFC 952 and all over the Internet.
pub fn is_valid_hostname(name: &str) -> bool {
    let name = name.as_bytes();
    name.len() <= MAX_NAME
        && name.split(|byte| *byte == b'.').all(is_valid_label)
        && !name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// The address in a literal: `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3); the prefix is mandatory for
/// IPv6, its case is not.
pub fn address_literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match split_ipv6_prefix(inner) {
        Some(ipv6) => valid_ipv6(ipv6).map(IpAddr::V6),
        None => valid_ipv4(inner).map(IpAddr::V4),
    }
}

/// An address without brackets, in the form that Postfix takes: no zone, no octal; an IPv4 address whose first octet
/// is 0 counts only as `0.0.0.0`.
pub fn valid_address(text: &str) -> Option<IpAddr> {
    valid_ipv4(text).map(IpAddr::V4).or_else(|| valid_ipv6(text).map(IpAddr::V6))
}

/// Whether the last label is all digits: no top-level domain is, so no DNS list can know such a name.
pub fn has_numeric_tld(name: &str) -> bool {
    let tld = name.rsplit('.').next().unwrap_or_default();
    !tld.is_empty() && tld.bytes().all(|byte| byte.is_ascii_digit())
}

/// The form of `domain` that DNS knows: A-labels for a name with other than ASCII letters (RFC 5890), or the text
/// itself. `None` where no such form exists.
pub fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(domain.into());
    }
    idna::domain_to_ascii(domain).ok().map(Cow::Owned)
}

fn is_valid_label(label: &[u8]) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !label.starts_with(b"-")
        && !label.ends_with(b"-")
}

fn split_ipv6_prefix(inner: &str) -> Option<&str> {
    const PREFIX: &str = "IPv6:";
    let (prefix, address) = inner.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(address)
}

fn valid_ipv4(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    (address.octets()[0] != 0 || address.is_unspecified()).then_some(address)
}

fn valid_ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_valid() {
        let label = "a".repeat(63);
        for name in
            ["localhost", "a.b", "mx_1.example.com", "1.example", "123.com", "a-b.c", "_dmarc.x", &label]
        {
            assert!(is_valid_hostname(name), "{name}");
        }
    }

    #[test]
    fn names_that_are_not() {
        let label = "a".repeat(64);
        let long = vec!["a".repeat(60); 5].join(".");
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "a/b",
            "1.2.3",
            "1234",
            "1.2.3.4",
            "[1.2.3.4]",
            "bücher.example",
            "a@b",
            &label,
            &long,
        ] {
            assert!(!is_valid_hostname(name), "{name}");
        }
    }

    #[test]
    fn literals_need_brackets_and_for_ipv6_the_prefix() {
        assert_eq!(address_literal("[192.0.2.1]"), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
        assert_eq!(address_literal("[IPv6:2001:db8::1]"), "2001:db8::1".parse().ok());
        assert_eq!(address_literal("[ipv6:::ffff:192.0.2.1]"), "::ffff:192.0.2.1".parse().ok());
        for bad in [
            "192.0.2.1",
            "[::1]",
            "[1.2.3]",
            "[1.2.3.4",
            "[256.1.1.1]",
            "[0.1.2.3]",
            "[]",
            "[IPv6:]",
            "[é]",
            "[IPv6:::12345]",
            "[IPv6:fe80::1%eth0]",
            "[1.2.3.4]x",
        ] {
            assert_eq!(address_literal(bad), None, "{bad}");
        }
        assert_eq!(address_literal("[0.0.0.0]"), Some(Ipv4Addr::UNSPECIFIED.into()));
    }

    #[test]
    fn a_numeric_last_label_is_seen() {
        assert!(has_numeric_tld("1.2.3.4"));
        assert!(has_numeric_tld("example.1"));
        assert!(!has_numeric_tld("1.example"));
        assert!(!has_numeric_tld(""));
    }

    #[test]
    fn other_alphabets_have_an_ascii_form() {
        assert_eq!(to_ascii("bücher.example").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(to_ascii("Example.COM").as_deref(), Some("Example.COM"));
        assert_eq!(to_ascii("\u{2060}").as_deref().filter(|name| is_valid_hostname(name)), None);
    }
}
