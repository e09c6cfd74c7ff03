//! The limits of each client.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::allowlist::Prefixes;
use crate::table::{Live, MatchList};

use super::exceeded::{Exceeded, Limit};

/// The `[limits]` for each client. A limit of 0 is off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once. Default 50.
    pub client_connection_count_limit: u32,
    /// Connections per `rate_time_unit`. Default 0.
    pub client_connection_rate_limit: u32,
    /// MAIL commands per `rate_time_unit`, refused ones included. Default 0.
    pub client_message_rate_limit: u32,
    /// RCPT and VRFY commands per `rate_time_unit`, refused ones included. Default 0.
    pub client_recipient_rate_limit: u32,
    /// The unit of time, in whole seconds. Default 60 s.
    pub rate_time_unit: Duration,
    /// Whether the hosts that share the allowlist count together what one client does. Default no.
    pub shared_rates: bool,
    /// How often the log is told the highest counts. Default 10 min.
    pub status_update_time: Duration,
    /// Clients that are not counted at all. Default here: nobody; in the configuration: `mynetworks`.
    pub event_limit_exceptions: Arc<Live<MatchList>>,
    /// Leading bits of an IPv4 address that make a client. Default 32.
    pub client_ipv4_prefix_length: u8,
    /// The same of an IPv6 address. Default 64, since a host owns its /64 (Postfix: 84).
    pub client_ipv6_prefix_length: u8,
    /// Clients whose rates are remembered. Default 100000, about 10 MB when full.
    pub max_entries: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let Prefixes { ipv4, ipv6 } = Prefixes::default();
        Self {
            client_connection_count_limit: 50,
            client_connection_rate_limit: 0,
            client_message_rate_limit: 0,
            client_recipient_rate_limit: 0,
            rate_time_unit: Duration::from_secs(60),
            shared_rates: false,
            status_update_time: Duration::from_secs(600),
            event_limit_exceptions: Arc::new(Live::fixed(MatchList::default())),
            client_ipv4_prefix_length: ipv4,
            client_ipv6_prefix_length: ipv6,
            max_entries: 100_000,
        }
    }
}

impl Settings {
    /// Whether `count` is more than `limit` allows.
    pub(super) fn check(&self, limit: Limit, count: u32, client: IpAddr) -> Result<(), Exceeded> {
        let allowed = self.allowed(limit);
        if allowed == 0 || count <= allowed {
            return Ok(());
        }
        Err(Exceeded { limit, count, allowed, client })
    }

    pub(super) fn allowed(&self, limit: Limit) -> u32 {
        match limit {
            Limit::ConnectionCount => self.client_connection_count_limit,
            Limit::ConnectionRate => self.client_connection_rate_limit,
            Limit::MessageRate => self.client_message_rate_limit,
            Limit::RecipientRate => self.client_recipient_rate_limit,
        }
    }

    pub(super) fn prefixes(&self) -> Prefixes {
        Prefixes { ipv4: self.client_ipv4_prefix_length, ipv6: self.client_ipv6_prefix_length }
    }

    /// Whether `address` is not counted. A list that cannot answer exempts: its trouble is not the client's fault.
    pub(super) fn exempts(&self, address: IpAddr) -> bool {
        self.event_limit_exceptions.current().matches_address(address).unwrap_or(true)
    }

    /// `max_entries` in equal parts.
    pub(super) fn entries_per(&self, shards: usize) -> NonZeroUsize {
        NonZeroUsize::new(self.max_entries.div_ceil(shards)).unwrap_or(NonZeroUsize::MIN)
    }
}
