//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Endpoints, Family, Header, Origin, Parsed, proxied};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line that the specification allows, CR LF included.
const MAX: usize = 107;

/// Writes `ends` as a line with its CR LF.
pub fn write(ends: &Endpoints) -> Vec<u8> {
    match Family::of(ends) {
        Family::V4(client, server) => {
            line("TCP4", (client.ip(), client.port()), (server.ip(), server.port()))
        }
        Family::V6(client, server) => {
            line("TCP6", (client.ip(), client.port()), (server.ip(), server.port()))
        }
    }
}

fn line(family: &str, client: (impl ToString, u16), server: (impl ToString, u16)) -> Vec<u8> {
    let (from, to) = (client.0.to_string(), server.0.to_string());
    format!("PROXY {family} {from} {to} {} {}\r\n", client.1, server.1).into_bytes()
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let window = bytes.get(..MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if window.len() == MAX {
            Parsed::Malformed("a v1 line of more than 107 bytes")
        } else {
            Parsed::Incomplete
        };
    };
    match window.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if window.len() < MAX => return Parsed::Incomplete,
        _ => return Parsed::Malformed("a v1 line without CR LF"),
    }
    let origin = window.get(..end).and_then(|line| std::str::from_utf8(line).ok()).and_then(origin);
    match origin {
        Some(origin) => Parsed::Complete { header: Header { origin, tlvs: Vec::new() }, used: end + 2 },
        None => Parsed::Malformed("a v1 line that makes no sense"),
    }
}

fn origin(line: &str) -> Option<Origin> {
    let mut words = line.split(' ').skip(1);
    let origin = match words.next()? {
        "TCP4" => ends::<Ipv4Addr>(&mut words)?,
        "TCP6" => ends::<Ipv6Addr>(&mut words)?,
        // Whatever follows must be ignored.
        "UNKNOWN" => return Some(Origin::Unknown),
        _ => return None,
    };
    words.next().is_none().then_some(origin)
}

fn ends<'a, I: FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'a str>) -> Option<Origin> {
    let client = words.next()?.parse::<I>().ok()?.into();
    let server = words.next()?.parse::<I>().ok()?.into();
    Some(proxied((client, port(words.next()?)?), (server, port(words.next()?)?)))
}

/// Digits alone and no leading zero: the standard library would take `+25`.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Origin> {
        match parse(text.as_bytes()) {
            Parsed::Complete { header, used } => {
                assert_eq!(used, text.len());
                Some(header.origin)
            }
            Parsed::Incomplete => panic!("incomplete: {text:?}"),
            Parsed::Malformed(_) => None,
        }
    }

    #[test]
    fn lines_of_every_form() {
        let ends = |client: &str, server: &str| {
            Some(Origin::Proxied(Endpoints {
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
            }))
        };
        assert_eq!(
            read("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"),
            ends("192.0.2.7:56324", "198.51.100.1:25")
        );
        assert_eq!(
            read("PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n"),
            ends("[2001:db8::7]:65535", "[2001:db8::1]:0")
        );
        assert_eq!(
            read("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1 25\r\n"),
            ends("192.0.2.7:1", "198.51.100.1:25")
        );
        assert_eq!(read("PROXY UNKNOWN\r\n"), Some(Origin::Unknown));
        assert_eq!(read("PROXY UNKNOWN ffff::1 what ever\r\n"), Some(Origin::Unknown));
    }

    #[test]
    fn lines_that_are_nearly_right() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY tcp4 192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY TCP5 192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY  TCP4 192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 1 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 25 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 25 9\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 01 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 25\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 25\rX",
            "PROXY TCP6 fe80::1%eth0 fe80::2 1 25\r\n",
        ] {
            assert_eq!(read(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_line_of_107_bytes_is_the_longest() {
        let padded = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(read(&padded(107)), Some(Origin::Unknown));
        assert_eq!(read(&padded(108)), None);
        assert_eq!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92]].concat()), Parsed::Incomplete);
        assert!(matches!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat()), Parsed::Malformed(_)));
    }
}
