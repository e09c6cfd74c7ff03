//! What is remembered of a client: pure values, time as an argument.
//!
//! In the store a client is 17 octets (prefix length, address) and its record 41 (version, five stamps). Whoever
//! reads must be able to tell a record of another version from damage, so the version comes first and the size is
//! fixed.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

/// The tests that a client can pass, in the order of postscreen's cache record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// Waited for the greeting.
    Pregreet,
    /// Not listed, or not enough.
    Dnsbl,
    /// Waited for replies.
    Pipelining,
    /// Spoke SMTP.
    NonSmtpCommand,
    /// Ended lines with CR LF.
    BareNewline,
}

impl Test {
    /// All tests, in the order of the record.
    pub const ALL: [Self; 5] =
        [Self::Pregreet, Self::Dnsbl, Self::Pipelining, Self::NonSmtpCommand, Self::BareNewline];

    /// The test's name in configuration, logs and metrics: `bare_newline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pregreet => "pregreet",
            Self::Dnsbl => "dnsbl",
            Self::Pipelining => "pipelining",
            Self::NonSmtpCommand => "non_smtp_command",
            Self::BareNewline => "bare_newline",
        }
    }
}

/// How many leading bits of an address identify a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// 0 to 32; default 32.
    pub ipv4: u8,
    /// 0 to 128; default 64, because a host owns its /64.
    pub ipv6: u8,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

/// A client as the allowlist knows it: its address with the host bits off.
///
/// The prefix length belongs to the key. Without it, `2001:db8::/64` that passed would speak for all of
/// `2001:db8::/48` as soon as the prefix length is changed in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    address: IpAddr,
    prefix: u8,
}

impl Key {
    /// Octets of a key in the store.
    pub(super) const SIZE: usize = 17;

    /// Masks `address`; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn new(address: IpAddr, prefixes: Prefixes) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let prefix = prefixes.ipv4.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self { address: IpAddr::V4((v4.to_bits() & mask).into()), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefixes.ipv6.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self { address: IpAddr::V6((v6.to_bits() & mask).into()), prefix }
            }
        }
    }

    /// The client that `network` is, whatever prefix lengths are in force; also here a network of IPv4-mapped addresses
    /// counts as IPv4.
    pub fn of(network: IpNet) -> Self {
        // Off go the host bits: of a network larger than all mapped addresses nothing looks like one.
        let network = network.trunc();
        let is_mapped = network.addr().is_ipv6() && network.addr().to_canonical().is_ipv4();
        let prefix = network.prefix_len() - if is_mapped { 96 } else { 0 };
        Self::new(network.addr(), Prefixes { ipv4: prefix, ipv6: prefix })
    }

    /// It as a network.
    pub fn network(self) -> IpNet {
        // A key's prefix length is within its family's.
        IpNet::new(self.address, self.prefix).unwrap_or_else(|_| self.address.into())
    }

    /// The masked address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The key in the store: prefix length, then the address as IPv6, IPv4 mapped.
    pub(super) fn encode(self) -> [u8; Self::SIZE] {
        let address = match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut octets = [self.prefix; Self::SIZE];
        octets[1..].copy_from_slice(&address.octets());
        octets
    }

    /// The key that `octets` stand for.
    pub(super) fn decode(octets: [u8; Self::SIZE]) -> Self {
        let [prefix, address @ ..] = octets;
        Self { address: Ipv6Addr::from(address).to_canonical(), prefix }
    }
}

/// In one piece, where there are six of them: a connection's counts are found by its client a dozen times.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.encode());
    }
}

/// Prints `192.0.2.1`, or `2001:db8::/64` where the key speaks for more than one address.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix) {
            (IpAddr::V4(v4), 32) => write!(f, "{v4}"),
            (IpAddr::V6(v6), 128) => write!(f, "{v6}"),
            (address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

/// Until when each test counts as passed; whole seconds since the epoch, 0 = never passed.
///
/// 32 bits, because every connection that waits holds some of these: they last until 2106, and who passes beyond
/// that passes until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    expires: [u32; 5],
}

impl Record {
    /// The layout that [`encode`](Self::encode) writes.
    const VERSION: u8 = 1;

    /// Octets of a record in the store.
    pub(super) const SIZE: usize = 41;

    /// Whether `test` is passed at `now`.
    pub fn passed(&self, test: Test, now: SystemTime) -> bool {
        self.stamp(test) > seconds(now)
    }

    /// Whether `test` was ever passed.
    pub fn ever_passed(&self, test: Test) -> bool {
        self.expires[test as usize] != 0
    }

    /// Until when `test` counts as passed; `None` = never passed.
    pub fn expires(&self, test: Test) -> Option<SystemTime> {
        let stamp = self.stamp(test);
        if stamp == 0 { None } else { SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(stamp)) }
    }

    /// When `test` ceases to count, in seconds since the epoch; 0 = never passed.
    pub(super) fn stamp(&self, test: Test) -> u64 {
        self.expires[test as usize].into()
    }

    /// Lets `test` count until `stamp`, whatever was before.
    pub(super) fn expire(&mut self, test: Test, stamp: u64) {
        self.expires[test as usize] = bounded(stamp);
    }

    /// Whether any pass still counts.
    pub(super) fn counts(&self, now: SystemTime) -> bool {
        self.last_expiry() > seconds(now)
    }

    /// Notes that `test` was passed at `now` and counts for `ttl`; never shortens an earlier pass.
    pub fn pass(&mut self, test: Test, now: SystemTime, ttl: Duration) {
        let slot = &mut self.expires[test as usize];
        *slot = (*slot).max(bounded(seconds(now).saturating_add(ttl.as_secs())));
    }

    /// Test by test the longer of two passes: what two sessions of one client have learnt together.
    pub(super) fn merged(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.expires.iter_mut().zip(other.expires) {
            *mine = (*mine).max(theirs);
        }
        self
    }

    /// No stamp further ahead than `longest`: nothing passes for longer than that, so a stamp beyond it comes from
    /// a clock that has been set back since, or from another host's.
    pub(super) fn clamped(mut self, now: SystemTime, longest: Duration) -> Self {
        let bound = bounded(seconds(now).saturating_add(longest.as_secs()));
        for stamp in &mut self.expires {
            *stamp = (*stamp).min(bound);
        }
        self
    }

    /// How long the record is still worth keeping at `now`: until *all* its passes have expired, and `retention`
    /// beyond, so that a client which returns late is known to have been here.
    pub(super) fn keep_for(&self, now: SystemTime, retention: Duration) -> Duration {
        let last = self.last_expiry().saturating_add(retention.as_secs());
        Duration::from_secs(last.saturating_sub(seconds(now)))
    }

    /// When the last of its passes expires, in seconds since the epoch.
    pub(super) fn last_expiry(&self) -> u64 {
        self.expires.into_iter().max().unwrap_or(0).into()
    }

    /// The record in the store: version, then the stamps, little-endian.
    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut octets = [Self::VERSION; Self::SIZE];
        for (slot, stamp) in octets[1..].chunks_exact_mut(8).zip(self.expires) {
            slot.copy_from_slice(&u64::from(stamp).to_le_bytes());
        }
        octets
    }

    /// The record that `octets` stand for; `None` where another version of this program wrote it.
    pub(super) fn decode(octets: [u8; Self::SIZE]) -> Option<Self> {
        let [Self::VERSION, stamps @ ..] = octets else { return None };
        let mut expires = [0; 5];
        for (stamp, slot) in expires.iter_mut().zip(stamps.chunks_exact(8)) {
            *stamp = bounded(u64::from_le_bytes(slot.try_into().ok()?));
        }
        Some(Self { expires })
    }
}

/// Since the epoch.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// No later than a record can say.
fn bounded(stamp: u64) -> u32 {
    u32::try_from(stamp).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn key(address: &str) -> Key {
        Key::new(address.parse().unwrap(), Prefixes::default())
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_64() {
        assert_eq!(key("192.0.2.7").to_string(), "192.0.2.7");
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn a_network_of_mapped_addresses_is_one_of_ipv4() {
        for (network, wanted) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/128", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(Key::of(network.parse().unwrap()).network().to_string(), wanted, "{network}");
        }
    }

    #[test]
    fn prefix_lengths_may_cover_all_or_nothing() {
        let all = Prefixes { ipv4: 0, ipv6: 0 };
        let one = Prefixes { ipv4: 200, ipv6: 200 };
        assert_eq!(Key::new("192.0.2.7".parse().unwrap(), all).to_string(), "0.0.0.0/0");
        assert_eq!(Key::new("2001:db8::1".parse().unwrap(), all).to_string(), "::/0");
        assert_eq!(Key::new("192.0.2.7".parse().unwrap(), one).to_string(), "192.0.2.7");
        assert_eq!(Key::new("2001:db8::1".parse().unwrap(), one).to_string(), "2001:db8::1");
    }

    #[test]
    fn a_pass_under_one_prefix_length_says_nothing_under_another() {
        let wide = Prefixes { ipv4: 24, ipv6: 48 };
        assert_ne!(key("2001:db8::1"), Key::new("2001:db8::1".parse().unwrap(), wide));
        assert_ne!(key("192.0.2.0"), Key::new("192.0.2.0".parse().unwrap(), wide));
    }

    #[test]
    fn a_pass_counts_until_its_time_and_is_never_shortened() {
        let mut record = Record::default();
        assert!(!record.ever_passed(Test::Dnsbl));
        record.pass(Test::Dnsbl, at(1_000), DAY);
        record.pass(Test::Dnsbl, at(1_000), Duration::from_secs(60));
        assert!(record.passed(Test::Dnsbl, at(1_000 + 86_399)));
        assert!(!record.passed(Test::Dnsbl, at(1_000 + 86_400)));
        assert!(record.ever_passed(Test::Dnsbl) && !record.ever_passed(Test::Pregreet));
        assert_eq!(record.expires(Test::Dnsbl), Some(at(87_400)));
        assert_eq!(record.expires(Test::Pregreet), None);
    }

    #[test]
    fn a_record_is_kept_until_all_its_tests_have_expired() {
        let mut record = Record::default();
        record.pass(Test::Pregreet, at(0), DAY);
        record.pass(Test::Pipelining, at(0), 30 * DAY);
        let retention = 7 * DAY;
        assert_eq!(record.keep_for(at(9 * 86_400), retention), 28 * DAY);
        assert_eq!(record.keep_for(at(40 * 86_400), retention), Duration::ZERO);
        assert_eq!(Record::default().keep_for(at(40 * 86_400), retention), Duration::ZERO);
    }

    #[test]
    fn a_stamp_from_a_clock_that_was_ahead_is_cut_to_the_longest_ttl() {
        let mut record = Record::default();
        let ten_years_ahead = at(3_652 * 86_400);
        record.pass(Test::Pregreet, ten_years_ahead, DAY);
        let clamped = record.clamped(at(0), 30 * DAY);
        assert_eq!(clamped.expires(Test::Pregreet), Some(at(30 * 86_400)));
        assert_eq!(clamped.expires(Test::Dnsbl), None);
    }

    #[test]
    fn a_pass_that_never_ends_lasts_as_long_as_a_record_can_say() {
        let mut record = Record::default();
        record.pass(Test::Dnsbl, at(1_000), Duration::MAX);
        assert_eq!(record.expires(Test::Dnsbl), Some(at(u32::MAX.into())));
        assert_eq!(Record::decode(record.encode()), Some(record));
    }

    #[test]
    fn a_record_of_another_version_is_not_read() {
        let mut octets = Record::default().encode();
        octets[0] = 2;
        assert_eq!(Record::decode(octets), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(stamps: [u32; 5], bits: u128, v4: u32, prefix in 0..=128u8) {
            let record = Record { expires: stamps };
            prop_assert_eq!(Record::decode(record.encode()), Some(record));
            let prefixes = Prefixes { ipv4: prefix.min(32), ipv6: prefix };
            for address in [IpAddr::V6(bits.into()), IpAddr::V4(v4.into())] {
                let key = Key::new(address, prefixes);
                prop_assert_eq!(Key::decode(key.encode()), key);
            }
        }

        #[test]
        fn merging_loses_no_pass(a: [u32; 5], b: [u32; 5], now: u32) {
            let merged = Record { expires: a }.merged(&Record { expires: b });
            for test in Test::ALL {
                let now = at(now.into());
                let either = Record { expires: a }.passed(test, now) || Record { expires: b }.passed(test, now);
                prop_assert_eq!(merged.passed(test, now), either);
            }
        }
    }
}
