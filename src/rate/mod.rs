//! How much one client may do: connections at once, and connections, messages and recipients per unit of time.
//!
//! The counting is anvil(8)'s, the replies are smtpd(8)'s. What is refused was still counted, so a client that goes
//! on trying stays refused. A client is an address or its network ([`Settings::client_ipv6_prefix_length`]).
//!
//! Memory is bounded: windows live in caches that drop whoever was quiet for longest, which can make a limit
//! milder, never stricter. Connections at once are not in there, because a dropped count would never come down to
//! zero again; there are only as many as there are connections.

mod exceeded;
mod settings;
mod shard;
mod statistics;
mod window;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::allowlist::{Key, Prefixes};

pub use exceeded::{Exceeded, Limit};
pub use settings::Settings;
pub use statistics::{Peak, Statistics};

use shard::{Moment, Shard};
use window::Event;

/// Locks that the clients are spread over.
const SHARDS: usize = 32;

/// The counts of all clients. Cloning shares them.
#[derive(Clone)]
pub struct Rates(Arc<Shared>);

struct Shared {
    settings: ArcSwap<Settings>,
    shards: Vec<Mutex<Shard>>,
    spread: RandomState,
    /// What whole seconds are counted from.
    epoch: Instant,
}

impl Rates {
    /// Nobody has done anything yet.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let entries = settings.entries_per(SHARDS);
        Self(Arc::new(Shared {
            shards: std::iter::repeat_with(|| Mutex::new(Shard::new(entries))).take(SHARDS).collect(),
            spread: RandomState::new(),
            epoch: now,
            settings: ArcSwap::from_pointee(settings),
        }))
    }

    /// Goes on with new settings; what was counted stays.
    pub fn configure(&self, settings: Settings) {
        let entries = settings.entries_per(SHARDS);
        self.0.settings.store(Arc::new(settings));
        self.0.shards.iter().for_each(|shard| shard.lock().resize(entries));
    }

    /// A client connects. Until the connection is dropped it is one of those at once.
    ///
    /// A refused one is let go here already: it counts for the rate, but does not stand in the way of the next.
    pub fn connect(&self, address: IpAddr, now: Instant) -> Result<Connection, Exceeded> {
        let settings = self.0.settings.load();
        if settings.exempts(address) {
            return Ok(Connection { rates: self.clone(), address, counted_by: None });
        }
        let prefixes = settings.prefixes();
        let client = Key::new(address, prefixes);
        let moment = self.0.moment(&settings, now);
        let (at_once, rate) = {
            let mut shard = self.0.shard(client).lock();
            (shard.connect(client, moment), shard.count(client, Event::Connection, moment))
        };
        let connection = Connection { rates: self.clone(), address, counted_by: Some(prefixes) };
        settings.check(Limit::ConnectionCount, at_once, address)?;
        settings.check(Limit::ConnectionRate, rate, address)?;
        Ok(connection)
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.settings.load_full()
    }

    /// The highest counts since the last call.
    pub fn statistics(&self) -> Statistics {
        let mut all = Statistics::default();
        self.0.shards.iter().for_each(|shard| all.merge(&shard.lock().statistics()));
        all
    }
}

impl Shared {
    fn shard(&self, client: Key) -> &Mutex<Shard> {
        &self.shards[self.spread.hash_one(client) as usize % SHARDS]
    }

    fn moment(&self, settings: &Settings, now: Instant) -> Moment {
        let whole = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let second = whole(now.saturating_duration_since(self.epoch));
        Moment { now, second, unit: whole(settings.rate_time_unit) }
    }
}

/// A client's connection, counted from [`Rates::connect`] until it is dropped.
#[derive(Debug)]
pub struct Connection {
    rates: Rates,
    address: IpAddr,
    /// What identified the client when it came; nothing if it is not counted.
    counted_by: Option<Prefixes>,
}

impl Connection {
    /// A MAIL command, whether or not it will be accepted.
    pub fn mail(&self, now: Instant) -> Result<(), Exceeded> {
        self.event(Event::Message, now)
    }

    /// A RCPT or VRFY command, whether or not it will be accepted.
    pub fn rcpt(&self, now: Instant) -> Result<(), Exceeded> {
        self.event(Event::Recipient, now)
    }

    /// What all hosts count together of this client, where they do and there is such a limit. Connections at once are
    /// each host's own: a host that dies would leave them behind.
    pub fn together(&self, limit: Limit) -> Option<Together> {
        let settings = self.rates.settings();
        if !settings.shared_rates || limit == Limit::ConnectionCount || settings.allowed(limit) == 0 {
            return None;
        }
        Some(Together { client: self.client()?, address: self.address, limit, settings })
    }

    fn client(&self) -> Option<Key> {
        self.counted_by.map(|prefixes| Key::new(self.address, prefixes))
    }

    fn event(&self, event: Event, now: Instant) -> Result<(), Exceeded> {
        let Some(client) = self.client() else { return Ok(()) };
        let shared = &self.rates.0;
        let settings = shared.settings.load();
        let moment = shared.moment(&settings, now);
        let count = shared.shard(client).lock().count(client, event, moment);
        settings.check(event.limit(), count, self.address)
    }
}

/// Something that all hosts count together of one client.
#[derive(Clone, Debug)]
pub struct Together {
    client: Key,
    address: IpAddr,
    limit: Limit,
    settings: Arc<Settings>,
}

impl Together {
    /// Who.
    pub fn client(&self) -> Key {
        self.client
    }

    /// Per which time.
    pub fn unit(&self) -> Duration {
        self.settings.rate_time_unit
    }

    /// Whether there may be `count` of it; a count that is not known is no reason to refuse anybody.
    pub fn check(&self, count: Option<u32>) -> Result<(), Exceeded> {
        self.settings.check(self.limit, count.unwrap_or(0), self.address)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(client) = self.client() {
            self.rates.0.shard(client).lock().disconnect(client);
        }
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("settings", &self.0.settings.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::table::{Live, MatchList, ParentDomains};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn rates(settings: Settings) -> (Rates, Instant) {
        let start = Instant::now();
        (Rates::new(settings, start), start)
    }

    fn limit<T: fmt::Debug>(outcome: Result<T, Exceeded>) -> Limit {
        outcome.unwrap_err().limit
    }

    #[test]
    fn connections_at_once_are_counted_until_they_are_dropped() {
        let (rates, now) = rates(Settings { client_connection_count_limit: 2, ..Settings::default() });
        let client = address("192.0.2.1");
        let first = rates.connect(client, now).unwrap();
        let second = rates.connect(client, now).unwrap();
        for _ in 0..3 {
            let refused = rates.connect(client, now).unwrap_err();
            assert_eq!((refused.limit, refused.count, refused.allowed), (Limit::ConnectionCount, 3, 2));
        }
        rates.connect(address("192.0.2.2"), now).unwrap();
        drop(first);
        rates.connect(client, now).unwrap();
        drop(second);
    }

    #[test]
    fn hosts_count_together_what_is_limited_and_what_can_be() {
        let limits = Settings { client_message_rate_limit: 2, shared_rates: true, ..Settings::default() };
        let (rates, now) = rates(limits.clone());
        let place = rates.connect(address("2001:db8::1"), now).unwrap();
        let together = place.together(Limit::MessageRate).unwrap();
        assert_eq!(together.client().to_string(), "2001:db8::/64");
        assert!(together.check(None).is_ok() && together.check(Some(2)).is_ok());
        let exceeded = together.check(Some(3)).unwrap_err();
        assert_eq!((exceeded.count, exceeded.allowed, exceeded.client), (3, 2, address("2001:db8::1")));
        for limit in [Limit::ConnectionCount, Limit::ConnectionRate, Limit::RecipientRate] {
            assert!(place.together(limit).is_none(), "{limit:?}");
        }
        rates.configure(Settings { shared_rates: false, ..limits });
        assert!(place.together(Limit::MessageRate).is_none());
    }

    #[test]
    fn what_is_refused_was_counted() {
        let settings = Settings {
            client_connection_rate_limit: 2,
            client_message_rate_limit: 1,
            client_recipient_rate_limit: 1,
            ..Settings::default()
        };
        let (rates, start) = rates(settings);
        let at = |second| start + Duration::from_secs(second);
        let client = address("192.0.2.1");
        let connection = rates.connect(client, at(0)).unwrap();
        rates.connect(client, at(0)).unwrap();
        assert_eq!(rates.connect(client, at(60)).unwrap_err().count, 3);
        assert_eq!(rates.connect(client, at(60)).unwrap_err().count, 4);
        connection.mail(at(60)).unwrap();
        connection.rcpt(at(60)).unwrap();
        assert_eq!(limit(connection.mail(at(60))), Limit::MessageRate);
        assert_eq!(limit(connection.rcpt(at(60))), Limit::RecipientRate);
        rates.connect(client, at(61)).unwrap();
        connection.mail(at(61)).unwrap();
    }

    #[test]
    fn the_count_is_checked_before_the_rate() {
        let settings = Settings {
            client_connection_count_limit: 1,
            client_connection_rate_limit: 1,
            ..Settings::default()
        };
        let (rates, now) = rates(settings);
        let client = address("192.0.2.1");
        let held = rates.connect(client, now).unwrap();
        assert_eq!(limit(rates.connect(client, now)), Limit::ConnectionCount);
        drop(held);
        assert_eq!(limit(rates.connect(client, now)), Limit::ConnectionRate);
    }

    #[test]
    fn a_limit_of_zero_is_off() {
        let (rates, now) = rates(Settings { client_connection_count_limit: 0, ..Settings::default() });
        let held: Vec<_> = (0..100).map(|_| rates.connect(address("192.0.2.1"), now).unwrap()).collect();
        for _ in 0..100 {
            held[0].mail(now).unwrap();
            held[0].rcpt(now).unwrap();
        }
    }

    #[test]
    fn clients_are_networks_and_replies_name_the_address() {
        let (rates, now) = rates(Settings { client_connection_count_limit: 1, ..Settings::default() });
        let _held = rates.connect(address("2001:db8::1"), now).unwrap();
        let refused = rates.connect(address("2001:db8::2"), now).unwrap_err();
        assert_eq!(refused.client, address("2001:db8::2"));
        rates.connect(address("2001:db8:0:1::1"), now).unwrap();
        rates.connect(address("192.0.2.1"), now).unwrap();
    }

    #[test]
    fn exceptions_are_not_counted_and_a_list_that_fails_exempts() {
        for list in ["192.0.2.0/24", "fail:x"] {
            let list = MatchList::load(list, Path::new("/"), ParentDomains::Match).unwrap();
            let (rates, now) = rates(Settings {
                client_connection_count_limit: 1,
                client_message_rate_limit: 1,
                event_limit_exceptions: Arc::new(Live::fixed(list)),
                ..Settings::default()
            });
            let held: Vec<_> = (0..3).map(|_| rates.connect(address("192.0.2.1"), now).unwrap()).collect();
            held.iter().for_each(|connection| connection.mail(now).unwrap());
            assert_eq!(rates.statistics(), Statistics::default());
        }
    }

    #[test]
    fn memory_is_bounded_and_newcomers_get_in() {
        let settings = Settings { max_entries: 64, client_connection_rate_limit: 1, ..Settings::default() };
        let (rates, now) = rates(settings);
        for client in 0..10_000_u32 {
            rates.connect(IpAddr::V4(client.into()), now).unwrap();
        }
        assert!(rates.statistics().clients <= 64);
        assert_eq!(limit(rates.connect(IpAddr::V4(9_999.into()), now)), Limit::ConnectionRate);
        assert!(rates.0.shards.iter().all(|shard| shard.lock().is_idle()), "no connection is left behind");
    }

    #[test]
    fn new_settings_find_the_old_counts() {
        let (rates, now) = rates(Settings::default());
        let client = address("192.0.2.1");
        let held = rates.connect(client, now).unwrap();
        held.mail(now).unwrap();
        rates.configure(Settings {
            client_connection_count_limit: 1,
            client_message_rate_limit: 1,
            client_ipv4_prefix_length: 24,
            ..Settings::default()
        });
        assert_eq!(limit(held.mail(now)), Limit::MessageRate);
        drop(held);
        assert!(rates.0.shards.iter().all(|shard| shard.lock().is_idle()));
    }

    #[test]
    fn statistics_tell_the_highest_counts_once() {
        let (rates, now) = rates(Settings::default());
        let one = rates.connect(address("192.0.2.1"), now).unwrap();
        let _two = rates.connect(address("192.0.2.1"), now).unwrap();
        let other = rates.connect(address("2001:db8::1"), now).unwrap();
        other.mail(now).unwrap();
        one.rcpt(now).unwrap();
        let wanted = [
            "statistics: max connection rate 2/60s for (smtp:192.0.2.1)",
            "statistics: max connection count 2 for (smtp:192.0.2.1)",
            "statistics: max message rate 1/60s for (smtp:2001:db8::/64)",
            "statistics: max recipient rate 1/60s for (smtp:192.0.2.1)",
            "statistics: max cache size 2",
        ];
        assert_eq!(rates.statistics().lines("smtp", Duration::from_secs(60)), wanted);
        assert_eq!(
            rates.statistics().lines("smtp", Duration::from_secs(60)),
            ["statistics: max cache size 2"]
        );
    }
}
