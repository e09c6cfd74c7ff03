//! DNS as this program needs it: a name in, an [`Answer`] out, within a deadline.
//!
//! Trouble is a value, not an error: each caller says what it does with [`Answer::Temporary`], and none may refuse
//! a client because of it. Names are absolute; no search list is ever applied.

mod zone;

pub use zone::{Zone, ZoneError};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// What a lookup brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// At least one record.
    Found {
        /// The records, in the order in which they came.
        records: Vec<T>,
        /// The lowest TTL among them.
        ttl: Duration,
    },
    /// NXDOMAIN, or no record of that type; also a name that cannot stand in DNS.
    NotFound {
        /// How long that may be remembered (RFC 2308 §5), where the answer said so.
        ttl: Option<Duration>,
    },
    /// SERVFAIL, REFUSED, a timeout, no server, or too many lookups in flight. Says nothing about the name.
    Temporary(Trouble),
}

/// Why a lookup brought nothing; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No answer in time.
    Timeout,
    /// A server answered SERVFAIL.
    ServFail,
    /// A server answered REFUSED.
    Refused,
    /// An answer that makes no sense.
    Malformed,
    /// The cap on lookups in flight was reached.
    Busy,
    /// No server could be asked at all.
    Unreachable,
}

/// A mail exchanger (RFC 5321 §5.1); `.` is the null MX (RFC 7505).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is preferred.
    pub preference: u16,
    /// The host, without its final dot; empty for the null MX.
    pub exchange: String,
}

/// A handle on the resolver; clones share servers, cap and cache.
#[derive(Clone)]
pub struct Resolver(Arc<Source>);

enum Source {
    Zone(Zone),
}

impl Resolver {
    /// A resolver that answers from memory alone: `explain --zone`, tests.
    pub fn from_zone(zone: Zone) -> Self {
        Self(Arc::new(Source::Zone(zone)))
    }

    /// IPv4 addresses.
    pub async fn a(&self, name: &str) -> Answer<Ipv4Addr> {
        match &*self.0 {
            Source::Zone(zone) => zone.a(name),
        }
    }

    /// IPv6 addresses.
    pub async fn aaaa(&self, name: &str) -> Answer<Ipv6Addr> {
        match &*self.0 {
            Source::Zone(zone) => zone.aaaa(name),
        }
    }

    /// Mail exchangers, most preferred first.
    pub async fn mx(&self, name: &str) -> Answer<Mx> {
        match &*self.0 {
            Source::Zone(zone) => zone.mx(name),
        }
    }

    /// Name servers, without final dots.
    pub async fn ns(&self, name: &str) -> Answer<String> {
        match &*self.0 {
            Source::Zone(zone) => zone.ns(name),
        }
    }

    /// Texts, each record's strings joined.
    pub async fn txt(&self, name: &str) -> Answer<String> {
        match &*self.0 {
            Source::Zone(zone) => zone.txt(name),
        }
    }

    /// The names that an address claims in the reverse tree, without final dots.
    pub async fn ptr(&self, address: IpAddr) -> Answer<String> {
        match &*self.0 {
            Source::Zone(zone) => zone.ptr(address),
        }
    }
}
