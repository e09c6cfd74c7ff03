//! The PROXY protocol, versions 1 and 2: parse and write. Pure.
//!
//! A proxy tells the server behind it, in front of everything else, who the client is. A header is framed first and
//! parsed after: [`parse`] says how many bytes it wants of any buffer, never looks behind the header, and takes
//! nothing for a header that the specification does not call one. What is malformed stays malformed whatever
//! follows it, so the caller closes at once; whom to believe, and for how long to wait, is the caller's business.
//!
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod tlv;
mod v1;
mod v2;

pub use tlv::Tlv;
pub use v1::write as write_v1;
pub use v2::{write as write_v2, write_local};

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Who speaks to whom: the real ends of a connection, whatever proxies stand between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// The client that connected.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub server: SocketAddr,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who speaks.
    pub origin: Origin,
    /// Version 2 only: what else the proxy tells. None of [`Origin::Local`] and [`Origin::Unknown`].
    pub tlvs: Vec<Tlv>,
}

/// On whose behalf a proxy has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client's. IPv4-mapped IPv6 addresses are given as IPv4.
    Proxied(Endpoints),
    /// Its own, for a health check (v2 LOCAL): the socket's own addresses are the true ones.
    Local,
    /// A client's that has no address we know of (v1 UNKNOWN, v2 UNSPEC and UNIX): the socket's own must do.
    Unknown,
}

/// What a buffer begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header.
    Complete {
        /// The header.
        header: Header,
        /// How many bytes it took; what stands behind them is the client's.
        used: usize,
    },
    /// What may become a header when more has come.
    Incomplete,
    /// No header, and none with anything added: why.
    Malformed(&'static str),
}

/// Reads the header that `bytes` begin with, of either version.
pub fn parse(bytes: &[u8]) -> Parsed {
    if starts_like(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else if starts_like(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Parsed::Malformed("no PROXY header")
    }
}

/// Whether `bytes` agree with `signature` as far as both go.
fn starts_like(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, expected)| byte == expected)
}

/// Two ends of one connection, as both versions write them: of one family.
enum Family {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
}

impl Family {
    /// Ends of different families are both written as IPv6, the IPv4 one mapped.
    fn of(ends: &Endpoints) -> Self {
        match (ends.client, ends.server) {
            (SocketAddr::V4(client), SocketAddr::V4(server)) => Self::V4(client, server),
            (client, server) => Self::V6(mapped(client), mapped(server)),
        }
    }
}

fn mapped(address: SocketAddr) -> SocketAddrV6 {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, address.port(), 0, 0)
}

/// Two ends as a header gives them.
fn proxied(client: (IpAddr, u16), server: (IpAddr, u16)) -> Origin {
    let canonical = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Origin::Proxied(Endpoints { client: canonical(client), server: canonical(server) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(|octets| IpAddr::from(octets).to_canonical()),
        ];
        (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    fn ends() -> impl Strategy<Value = Endpoints> {
        (address(), address()).prop_map(|(client, server)| Endpoints { client, server })
    }

    fn tlvs() -> impl Strategy<Value = Vec<Tlv>> {
        let tlv = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..200));
        prop::collection::vec(tlv.prop_map(|(kind, value)| Tlv::new(kind, value)), 0..5)
    }

    /// What was written is read back, to the byte, from every buffer that holds it; and from none that doesn't.
    fn reads_back(wire: &[u8], header: Header, behind: &[u8]) {
        let complete = Parsed::Complete { header, used: wire.len() };
        assert_eq!(parse(&[wire, behind].concat()), complete);
        for cut in 0..wire.len() {
            assert_eq!(parse(&wire[..cut]), Parsed::Incomplete, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn version_1_is_read_back(ends in ends(), behind in any::<[u8; 5]>()) {
            let header = Header { origin: Origin::Proxied(ends), tlvs: vec![] };
            reads_back(&write_v1(&ends), header, &behind);
        }

        #[test]
        fn version_2_is_read_back(ends in ends(), tlvs in tlvs(), behind in any::<[u8; 5]>()) {
            let wire = write_v2(&ends, &tlvs);
            reads_back(&wire, Header { origin: Origin::Proxied(ends), tlvs }, &behind);
        }

        #[test]
        fn what_is_malformed_stays_so(
            start in prop_oneof![Just(v1::SIGNATURE), Just(v2::SIGNATURE.as_slice()), Just(&b""[..])],
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let whole = [start, &bytes].concat();
            let mut verdict = Parsed::Incomplete;
            for cut in 0..=whole.len() {
                let next = parse(&whole[..cut]);
                prop_assert!(verdict == Parsed::Incomplete || verdict == next);
                verdict = next;
            }
        }
    }

    #[test]
    fn other_protocols_are_refused_at_their_first_byte_that_differs() {
        for start in ["EHLO x\r\n", "PROXY\r\n", "proxy ", "\r\n\r\n\0\r\nQUIT\r", "\n"] {
            assert!(matches!(parse(start.as_bytes()), Parsed::Malformed(_)), "{start:?}");
        }
        assert_eq!(parse(b""), Parsed::Incomplete);
        assert_eq!(parse(b"P"), Parsed::Incomplete);
        assert_eq!(parse(b"\r\n"), Parsed::Incomplete);
    }
}
