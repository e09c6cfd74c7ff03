//! What a version 2 header tells besides addresses: type, length, value.

use crate::id::Id;

/// `PP2_TYPE_UNIQUE_ID`
const UNIQUE_ID: u8 = 0x05;

/// `PP2_TYPE_SSL` and the parts of it that we tell.
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CIPHER: u8 = 0x23;
/// `PP2_CLIENT_SSL`: the client spoke TLS to us.
const CLIENT_SSL: u8 = 0x01;

/// One type with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlv {
    kind: u8,
    value: Vec<u8>,
}

impl Tlv {
    /// A value of any type; what goes past 65535 bytes is cut off.
    pub fn new(kind: u8, mut value: Vec<u8>) -> Self {
        value.truncate(usize::from(u16::MAX));
        Self { kind, value }
    }

    /// The connection's id, for the logs on both sides.
    pub fn unique_id(id: Id) -> Self {
        Self::new(UNIQUE_ID, id.to_string().into())
    }

    /// What TLS the client spoke to us: `TLSv1.3` and the cipher's name. It showed no certificate.
    pub fn ssl(version: &str, cipher: &str) -> Self {
        // Four bytes of verification result: anything but 0 says that no certificate was verified.
        let mut value = vec![CLIENT_SSL, 0, 0, 0, 1];
        Self::new(SSL_VERSION, version.into()).write(&mut value);
        Self::new(SSL_CIPHER, cipher.into()).write(&mut value);
        Self::new(SSL, value)
    }

    /// The type.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Bytes on the wire.
    pub(super) fn wire_len(&self) -> usize {
        3 + self.value.len()
    }

    pub(super) fn write(&self, wire: &mut Vec<u8>) {
        let [high, low] = u16::try_from(self.value.len()).unwrap_or(u16::MAX).to_be_bytes();
        wire.extend_from_slice(&[self.kind, high, low]);
        wire.extend_from_slice(&self.value);
    }

    /// Reads TLVs up to the end of `bytes`; `None` if the last one is cut short.
    pub(super) fn parse_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut tlvs = Vec::new();
        while let [kind, high, low, rest @ ..] = bytes {
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
            tlvs.push(Self { kind: *kind, value: value.to_vec() });
            bytes = rest;
        }
        bytes.is_empty().then_some(tlvs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_told_as_the_specification_lays_it_out() {
        let mut wire = Vec::new();
        Tlv::ssl("TLSv1.3", "TLS_AES_256_GCM_SHA384").write(&mut wire);
        let expected = [
            &[0x20, 0, 40, 0x01, 0, 0, 0, 1][..],
            &[0x21, 0, 7],
            b"TLSv1.3",
            &[0x23, 0, 22],
            b"TLS_AES_256_GCM_SHA384",
        ];
        assert_eq!(wire, expected.concat());
    }

    #[test]
    fn a_value_that_is_cut_short_spoils_all() {
        assert_eq!(Tlv::parse_all(&[]), Some(vec![]));
        assert_eq!(Tlv::parse_all(&[5, 0, 1, b'x']), Some(vec![Tlv::new(5, b"x".to_vec())]));
        for bytes in [&[5][..], &[5, 0], &[5, 0, 1], &[5, 0, 2, b'x'], &[5, 0, 0, 5], &[5, 255, 255, 0]] {
            assert_eq!(Tlv::parse_all(bytes), None, "{bytes:?}");
        }
    }
}
