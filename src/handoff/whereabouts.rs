//! Where a server's name leads: asked again when its TTL is over or nobody is there, so that a server may move.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};

use super::trouble::Trouble;
use crate::dns::{Answer, Resolver};

/// The bounds of a TTL: DNS is not asked for every client, nor a moved server missed for hours.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// How long the system's word counts (/etc/hosts, a container engine's names), which tells no TTL.
const SYSTEM_TTL: Duration = Duration::from_secs(30);

/// A name is not looked up more often, whatever comes of it.
const PAUSE: Duration = Duration::from_secs(1);

/// A name, and what is known of it.
pub(super) struct Whereabouts(Arc<Name>);

struct Name {
    host: String,
    port: u16,
    resolver: ArcSwapOption<Resolver>,
    found: Mutex<Option<Found>>,
    /// When it was looked up last; held while it is.
    looked_up: Arc<AsyncMutex<Option<Instant>>>,
}

#[derive(Clone)]
struct Found {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl Whereabouts {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let (resolver, found, looked_up) = (ArcSwapOption::empty(), Mutex::new(None), Arc::default());
        Self(Arc::new(Name { host: host.to_owned(), port, resolver, found, looked_up }))
    }

    /// Asks this resolver from now on; without one, the system is asked alone.
    pub(super) fn ask(&self, resolver: &Resolver) {
        self.0.resolver.store(Some(Arc::new(resolver.clone())));
    }

    /// Its addresses. Who comes before any are known waits for them, up to `limit`; afterwards the last ones are good
    /// enough until there are others: a server moves less often than DNS fails.
    pub(super) async fn addresses(&self, now: Instant, limit: Duration) -> Result<Vec<SocketAddr>, Trouble> {
        if let Some(found) = self.known() {
            if found.until <= now {
                self.look_up(now);
            }
            return Ok(found.addresses);
        }
        self.look_up(now);
        let waited = timeout(limit, self.0.looked_up.lock()).await.map(drop);
        let none = if waited.is_ok() { Trouble::Unreachable } else { Trouble::Timeout };
        self.known().map(|found| found.addresses).ok_or(none)
    }

    /// Looks it up behind everybody's back, one at a time: the system cannot be stopped once it was asked, and may take
    /// half a minute of a thread where DNS is dead.
    pub(super) fn look_up(&self, now: Instant) {
        let Ok(mut last) = Arc::clone(&self.0.looked_up).try_lock_owned() else { return };
        if last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return;
        }
        *last = Some(now);
        let name = Arc::clone(&self.0);
        tokio::spawn(async move {
            let fresh = match name.said_by_dns(now).await {
                Some(found) => Some(found),
                None => name.said_by_system(now).await,
            };
            if let Some(found) = fresh {
                *name.found.lock() = Some(found);
            }
            drop(last);
        });
    }

    fn known(&self) -> Option<Found> {
        self.0.found.lock().clone()
    }
}

impl Name {
    /// Asked afresh: the resolver would remember for as long as we do.
    async fn said_by_dns(&self, now: Instant) -> Option<Found> {
        let resolver = self.resolver.load_full()?;
        let (v6, v4) = tokio::join!(resolver.aaaa_afresh(&self.host), resolver.a_afresh(&self.host));
        let (mut addresses, mut shortest) = (Vec::new(), TTL.1);
        if let Answer::Found { records, ttl } = v6 {
            addresses.extend(records.into_iter().map(|ip| SocketAddr::from((ip, self.port))));
            shortest = shortest.min(ttl);
        }
        if let Answer::Found { records, ttl } = v4 {
            addresses.extend(records.into_iter().map(|ip| SocketAddr::from((ip, self.port))));
            shortest = shortest.min(ttl);
        }
        found(addresses, now + shortest.max(TTL.0))
    }

    async fn said_by_system(&self, now: Instant) -> Option<Found> {
        let addresses = lookup_host((self.host.as_str(), self.port)).await.ok()?;
        found(addresses.collect(), now + SYSTEM_TTL)
    }
}

fn found(addresses: Vec<SocketAddr>, until: Instant) -> Option<Found> {
    (!addresses.is_empty()).then_some(Found { addresses, until })
}

impl fmt::Debug for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whereabouts")
            .field("host", &self.0.host)
            .field("port", &self.0.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Zone;

    const LIMIT: Duration = Duration::from_secs(60);

    fn resolver(zone: &str) -> Resolver {
        Resolver::from_zone(Zone::parse(zone).unwrap())
    }

    fn addresses(addresses: &[&str]) -> Result<Vec<SocketAddr>, Trouble> {
        Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }

    /// Waits for the lookup that is under way.
    async fn settled(whereabouts: &Whereabouts) {
        drop(whereabouts.0.looked_up.lock().await);
    }

    #[tokio::test]
    async fn a_name_is_asked_again_when_its_ttl_is_over() {
        let whereabouts = Whereabouts::new("mta.example.org", 25);
        whereabouts.ask(&resolver("mta.example.org 60 A 192.0.2.1\nmta.example.org 30 AAAA 2001:db8::1"));
        let now = Instant::now();
        let at = |seconds| whereabouts.addresses(now + Duration::from_secs(seconds), LIMIT);
        let before = addresses(&["[2001:db8::1]:25", "192.0.2.1:25"]);
        assert_eq!(at(0).await, before);

        whereabouts.ask(&resolver("mta.example.org 60 A 192.0.2.2"));
        assert_eq!(at(29).await, before);
        settled(&whereabouts).await;
        assert_eq!(at(31).await, before, "the shorter TTL of both was not over");
        settled(&whereabouts).await;
        let after = addresses(&["192.0.2.2:25"]);
        assert_eq!(at(31).await, after);

        whereabouts.ask(&resolver("mta.example.org ANY SERVFAIL"));
        for _ in 0..2 {
            assert_eq!(at(500).await, after, "better than nothing");
            settled(&whereabouts).await;
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_what_is_known_and_nobody_long_for_what_is_not() {
        let whereabouts = Whereabouts::new("mta.example.org", 25);
        whereabouts.ask(&resolver("mta.example.org 60 A 192.0.2.1"));
        let now = Instant::now();
        let known = whereabouts.addresses(now, LIMIT).await;
        let stuck = resolver("mta.example.org ANY DELAY 3600000");
        whereabouts.ask(&stuck);
        assert_eq!(whereabouts.addresses(now + Duration::from_secs(61), LIMIT).await, known);

        let whereabouts = Whereabouts::new("mta.example.org", 25);
        whereabouts.ask(&stuck);
        let soon = Duration::from_millis(10);
        assert_eq!(whereabouts.addresses(now, soon).await, Err(Trouble::Timeout));
        let later = now + Duration::from_secs(61);
        assert_eq!(whereabouts.addresses(later, soon).await, Err(Trouble::Timeout));
    }

    #[tokio::test]
    async fn what_only_the_system_knows_is_found_too() {
        let whereabouts = Whereabouts::new("localhost", 25);
        whereabouts.ask(&Resolver::from_zone(Zone::default()));
        let addresses = whereabouts.addresses(Instant::now(), LIMIT).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()) && !addresses.is_empty());
        let nowhere = Whereabouts::new("nowhere.invalid", 25);
        assert_eq!(nowhere.addresses(Instant::now(), LIMIT).await, Err(Trouble::Unreachable));
    }
}
