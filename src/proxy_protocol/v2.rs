//! Version 2: binary, with a length in front.

use std::net::IpAddr;

use super::{Endpoints, Family, Header, Origin, Parsed, Tlv, proxied};

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// A header of more bytes than this, fixed part included, is taken for an attack. The specification would allow
/// 65,551; addresses take 36, and no proxy tells 2,000 bytes of anything we want.
const MAX: usize = 2048;

/// Version 2 in the high half of the byte, the command in the low one.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNSPEC: u8 = 0x00;
const UNIX_STREAM: u8 = 0x31;

/// Writes `ends` and as many of `tlvs`, in order, as stay within 2048 bytes.
pub fn write(ends: &Endpoints, tlvs: &[Tlv]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(128);
    wire.extend_from_slice(SIGNATURE);
    wire.push(PROXY);
    match Family::of(ends) {
        Family::V4(client, server) => {
            wire.extend_from_slice(&[TCP_OVER_IPV4, 0, 0]);
            wire.extend_from_slice(&client.ip().octets());
            wire.extend_from_slice(&server.ip().octets());
        }
        Family::V6(client, server) => {
            wire.extend_from_slice(&[TCP_OVER_IPV6, 0, 0]);
            wire.extend_from_slice(&client.ip().octets());
            wire.extend_from_slice(&server.ip().octets());
        }
    }
    wire.extend_from_slice(&ends.client.port().to_be_bytes());
    wire.extend_from_slice(&ends.server.port().to_be_bytes());
    for tlv in tlvs {
        if wire.len() + tlv.wire_len() <= MAX {
            tlv.write(&mut wire);
        }
    }
    let length = u16::try_from(wire.len() - FIXED).unwrap_or(u16::MAX);
    if let Some(field) = wire.get_mut(FIXED - 2..FIXED) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    wire
}

/// Writes the header of a connection that a proxy makes on its own behalf.
pub fn write_local() -> [u8; FIXED] {
    let mut wire = [0; FIXED];
    let (signature, rest) = wire.split_at_mut(SIGNATURE.len());
    signature.copy_from_slice(SIGNATURE);
    rest.copy_from_slice(&[LOCAL, UNSPEC, 0, 0]);
    wire
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let after_signature = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    // What is wrong is told as soon as it can be seen, not when the rest has come.
    if let Some(command) = after_signature.first()
        && !matches!(*command, LOCAL | PROXY)
    {
        return Parsed::Malformed("a v2 header of another version or with an unknown command");
    }
    let [command, family, high, low, ..] = *after_signature else {
        return Parsed::Incomplete;
    };
    let used = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if used > MAX {
        return Parsed::Malformed("a v2 header of more than 2048 bytes");
    }
    let Some(body) = bytes.get(FIXED..used) else {
        return Parsed::Incomplete;
    };
    let header = match (command, family) {
        // Of LOCAL everything else must be ignored, of families without an address there is nothing to learn.
        (LOCAL, _) => Some(Header { origin: Origin::Local, tlvs: Vec::new() }),
        (_, UNSPEC | UNIX_STREAM) => Some(Header { origin: Origin::Unknown, tlvs: Vec::new() }),
        (_, TCP_OVER_IPV4) => addresses::<4>(body),
        (_, TCP_OVER_IPV6) => addresses::<16>(body),
        _ => return Parsed::Malformed("a v2 header for another protocol than TCP"),
    };
    header.map_or(Parsed::Malformed("a v2 header whose parts do not fit its length"), |header| {
        Parsed::Complete { header, used }
    })
}

fn addresses<const N: usize>(body: &[u8]) -> Option<Header>
where
    IpAddr: From<[u8; N]>,
{
    let (client, rest) = body.split_first_chunk::<N>()?;
    let (server, rest) = rest.split_first_chunk::<N>()?;
    let (client_port, rest) = rest.split_first_chunk::<2>()?;
    let (server_port, rest) = rest.split_first_chunk::<2>()?;
    let client = (IpAddr::from(*client), u16::from_be_bytes(*client_port));
    let server = (IpAddr::from(*server), u16::from_be_bytes(*server_port));
    Some(Header { origin: proxied(client, server), tlvs: Tlv::parse_all(rest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, server: &str) -> Endpoints {
        Endpoints { client: client.parse().unwrap(), server: server.parse().unwrap() }
    }

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family, high, low], body].concat()
    }

    fn read(bytes: &[u8]) -> Option<Header> {
        match parse(bytes) {
            Parsed::Complete { header, used } => {
                assert_eq!(used, bytes.len());
                Some(header)
            }
            Parsed::Incomplete => panic!("incomplete: {bytes:?}"),
            Parsed::Malformed(_) => None,
        }
    }

    #[test]
    fn bytes_as_the_specification_lays_them_out() {
        let wire = write(
            &ends("192.0.2.7:256", "198.51.100.1:25"),
            &[Tlv::unique_id("000000000ABC".parse().unwrap())],
        );
        let body = [192, 0, 2, 7, 198, 51, 100, 1, 1, 0, 0, 25, 0x05, 0, 12];
        assert_eq!(wire, header(0x21, 0x11, &[&body[..], b"000000000ABC"].concat()));
    }

    #[test]
    fn local_and_families_without_an_address() {
        let local = Header { origin: Origin::Local, tlvs: vec![] };
        assert_eq!(read(&header(LOCAL, 0, &[])), Some(local.clone()));
        assert_eq!(read(&write_local()), Some(local.clone()));
        // Whatever else LOCAL says is skipped, even what would be malformed in a PROXY header.
        assert_eq!(read(&header(LOCAL, 0xff, &[1, 2, 3])), Some(local));
        let unknown = Header { origin: Origin::Unknown, tlvs: vec![] };
        assert_eq!(read(&header(PROXY, UNSPEC, &[9; 30])), Some(unknown.clone()));
        assert_eq!(read(&header(PROXY, UNIX_STREAM, &[0; 216])), Some(unknown));
    }

    #[test]
    fn what_is_no_header() {
        for (command, family) in [
            (0x11, TCP_OVER_IPV4),
            (0x31, TCP_OVER_IPV4),
            (0x22, TCP_OVER_IPV4),
            (PROXY, 0x12),
            (PROXY, 0x22),
            (PROXY, 0x32),
            (PROXY, 0x41),
            (PROXY, 0x10),
        ] {
            assert_eq!(read(&header(command, family, &[0; 36])), None, "{command:#x} {family:#x}");
        }
        for length in 0..12 {
            assert_eq!(read(&header(PROXY, TCP_OVER_IPV4, &vec![0; length])), None);
        }
        for length in 0..36 {
            assert_eq!(read(&header(PROXY, TCP_OVER_IPV6, &vec![0; length])), None);
        }
        // A TLV that goes past the end.
        assert_eq!(read(&header(PROXY, TCP_OVER_IPV4, &[&[0; 12][..], &[5, 0, 9, 1]].concat())), None);
    }

    #[test]
    fn every_length_is_bounded_before_it_is_waited_for() {
        for length in 0..=u16::MAX {
            let [high, low] = length.to_be_bytes();
            let fixed = [SIGNATURE.as_slice(), &[LOCAL, UNSPEC, high, low]].concat();
            match parse(&fixed) {
                Parsed::Complete { .. } => assert_eq!(length, 0),
                Parsed::Incomplete => assert!(usize::from(length) + FIXED <= MAX),
                Parsed::Malformed(_) => assert!(usize::from(length) + FIXED > MAX),
            }
        }
    }

    #[test]
    fn a_wrong_version_needs_no_second_byte() {
        assert!(matches!(parse(&[SIGNATURE.as_slice(), &[0x11]].concat()), Parsed::Malformed(_)));
        assert_eq!(parse(&[SIGNATURE.as_slice(), &[PROXY]].concat()), Parsed::Incomplete);
    }

    #[test]
    fn values_that_do_not_fit_are_left_out() {
        let tlvs = [Tlv::new(0xe0, vec![0; 1500]), Tlv::new(0xe1, vec![0; 1500]), Tlv::new(5, vec![0])];
        let ends = ends("[2001:db8::7]:1", "[2001:db8::1]:25");
        let read = read(&write(&ends, &tlvs)).unwrap();
        assert_eq!(read.tlvs, [tlvs[0].clone(), tlvs[2].clone()]);
    }
}
