//! What is remembered of a client: pure values, time as an argument.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(IpAddr);

impl Key {
    /// Masks `address`; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn new(address: IpAddr, prefixes: Prefixes) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefixes.ipv4.min(32))).unwrap_or(0);
                Self(IpAddr::V4((v4.to_bits() & mask).into()))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefixes.ipv6.min(128))).unwrap_or(0);
                Self(IpAddr::V6((v6.to_bits() & mask).into()))
            }
        }
    }

    /// The masked address.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// Until when each test counts as passed; whole seconds since the epoch, 0 = never passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    expires: [u64; 5],
}

impl Record {
    /// Whether `test` is passed at `now`.
    pub fn passed(&self, test: Test, now: SystemTime) -> bool {
        self.expires[test as usize] > seconds(now)
    }

    /// Whether `test` was ever passed.
    pub fn ever_passed(&self, test: Test) -> bool {
        self.expires[test as usize] != 0
    }

    /// Notes that `test` was passed at `now` and counts for `ttl`; never shortens an earlier pass.
    pub fn pass(&mut self, test: Test, now: SystemTime, ttl: Duration) {
        let slot = &mut self.expires[test as usize];
        *slot = (*slot).max(seconds(now + ttl));
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
