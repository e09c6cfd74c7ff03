//! A client as the server holds it: a hash that people can read and other programs can write. Pure.
//!
//! ```text
//! HGETALL prescreen:192.0.2.1
//!   v         1
//!   client    192.0.2.1
//!   pregreet  1795392000        until when the test counts as passed, in seconds since 1970
//!   dnsbl     1795309200
//! ```
//!
//! A client whose passes were revoked has `revoked` in their place: when, in seconds since 1970. Whatever was passed
//! in connections that began before counts no longer, on any host. Fields that are not known here are left alone.
//!
//! Nothing is believed that is not whole: the version first, then the client's own name, so that an answer that
//! reaches the wrong question speaks for nobody, then numbers that are numbers.

use crate::allowlist::record::{Key, Record, Test};

/// The layout; another one is another program's business.
const VERSION: &str = "1";

/// What the server holds of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing.
    Missing,
    /// What it has passed.
    Passes(Record),
    /// Its passes were revoked, at this second since the epoch.
    Revoked(u64),
    /// Something that is no record of this client.
    Foreign,
}

impl Entry {
    /// Reads the fields of the hash of `key`, which come in any order.
    pub(super) fn read<'a>(key: Key, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self::whole(key, fields).unwrap_or(Self::Foreign)
    }

    fn whole<'a>(key: Key, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let (mut empty, mut version, mut client, mut revoked) = (true, false, false, None);
        let mut record = Record::default();
        for (name, value) in fields {
            empty = false;
            let (name, value) = (str::from_utf8(name).ok()?, str::from_utf8(value).ok()?);
            match name {
                "v" => version = value == VERSION,
                "client" => client = value == key.to_string(),
                "revoked" => revoked = Some(number(value)?),
                name => {
                    if let Some(test) = Test::ALL.into_iter().find(|test| test.as_str() == name) {
                        record.expire(test, number(value)?);
                    }
                }
            }
        }
        Some(match revoked {
            _ if empty => Self::Missing,
            _ if !version || !client => return None,
            Some(at) => Self::Revoked(at),
            None => Self::Passes(record),
        })
    }
}

/// The fields of a client's passes.
pub(super) fn passes(key: Key, record: &Record) -> Vec<(&'static str, String)> {
    let stamps = Test::ALL.into_iter().map(|test| (test.as_str(), record.stamp(test)));
    let passed = stamps.filter(|(_, stamp)| *stamp != 0).map(|(test, stamp)| (test, stamp.to_string()));
    heading(key).into_iter().chain(passed).collect()
}

/// The fields of a client whose passes were revoked.
pub(super) fn revocation(key: Key, at: u64) -> Vec<(&'static str, String)> {
    heading(key).into_iter().chain([("revoked", at.to_string())]).collect()
}

fn heading(key: Key) -> [(&'static str, String); 2] {
    [("v", VERSION.to_owned()), ("client", key.to_string())]
}

/// Digits alone: `parse` takes a sign, too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use crate::allowlist::record::Prefixes;

    use super::*;

    fn key() -> Key {
        Key::new([192, 0, 2, 1].into(), Prefixes::default())
    }

    fn read(fields: &[(&str, &str)]) -> Entry {
        Entry::read(key(), fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn read_back(fields: &[(&'static str, String)]) -> Entry {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        read(&fields)
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut record = Record::default();
        let now = SystemTime::now();
        record.pass(Test::Pregreet, now, Duration::from_secs(86_400));
        record.pass(Test::BareNewline, now, Duration::from_secs(60));
        assert_eq!(read_back(&passes(key(), &record)), Entry::Passes(record));
        assert_eq!(read_back(&revocation(key(), 1_795_392_000)), Entry::Revoked(1_795_392_000));
        assert_eq!(read(&[]), Entry::Missing);
    }

    #[test]
    fn another_program_may_write_what_it_knows_and_add_what_it_likes() {
        let entry = read(&[("note", "by hand"), ("pregreet", "9"), ("client", "192.0.2.1"), ("v", "1")]);
        let mut record = Record::default();
        record.expire(Test::Pregreet, 9);
        assert_eq!(entry, Entry::Passes(record));
    }

    #[test]
    fn what_is_not_whole_is_not_believed() {
        for fields in [
            [("v", "2"), ("client", "192.0.2.1"), ("pregreet", "9")],
            [("v", "1"), ("client", "192.0.2.7"), ("pregreet", "9")],
            [("v", "1"), ("client", "192.0.2.1"), ("pregreet", "soon")],
            [("v", "1"), ("client", "192.0.2.1"), ("pregreet", "+9")],
            [("v", "1"), ("client", "192.0.2.1"), ("pregreet", "")],
            [("v", "1"), ("client", "192.0.2.1"), ("revoked", "-1")],
            [("v", "1"), ("client", "192.0.2.1"), ("dnsbl", "99999999999999999999999")],
            [("x", "1"), ("client", "192.0.2.1"), ("pregreet", "9")],
            [("v", "1"), ("x", "192.0.2.1"), ("pregreet", "9")],
        ] {
            assert_eq!(read(&fields), Entry::Foreign, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_makes_up_no_pass(fields: Vec<(Vec<u8>, Vec<u8>)>) {
            let entry = Entry::read(key(), fields.iter().map(|(name, value)| (&name[..], &value[..])));
            prop_assert!(!matches!(entry, Entry::Passes(_)));
        }
    }
}
