//! Where a server's name leads: asked again when its TTL is over, so that a server may move.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::Instant;

use super::trouble::Trouble;
use crate::dns::{Answer, Resolver};

/// The bounds of a TTL: DNS is not asked for every client, nor a moved server missed for hours.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// How long the system's word counts (/etc/hosts, a container engine's names), which tells no TTL.
const SYSTEM_TTL: Duration = Duration::from_secs(30);

/// A name, and what is known of it.
pub(super) struct Whereabouts {
    host: String,
    port: u16,
    resolver: ArcSwapOption<Resolver>,
    found: Mutex<Option<Found>>,
}

#[derive(Clone)]
struct Found {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl Whereabouts {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, resolver: ArcSwapOption::empty(), found: Mutex::new(None) }
    }

    /// Asks this resolver from now on; without one, the system is asked alone.
    pub(super) fn ask(&self, resolver: &Resolver) {
        self.resolver.store(Some(Arc::new(resolver.clone())));
    }

    /// Its addresses. Where nobody answers, the last ones are good enough: a server moves less often than DNS fails.
    pub(super) async fn addresses(&self, now: Instant) -> Result<Vec<SocketAddr>, Trouble> {
        let known = self.found.lock().clone();
        if let Some(found) = known.as_ref().filter(|found| now < found.until) {
            return Ok(found.addresses.clone());
        }
        let fresh = match self.said_by_dns(now).await {
            Some(found) => Some(found),
            None => self.said_by_system(now).await,
        };
        match fresh {
            Some(found) => {
                let addresses = found.addresses.clone();
                *self.found.lock() = Some(found);
                Ok(addresses)
            }
            None => known.map(|found| found.addresses).ok_or(Trouble::Unreachable),
        }
    }

    async fn said_by_dns(&self, now: Instant) -> Option<Found> {
        let resolver = self.resolver.load_full()?;
        let (v6, v4) = tokio::join!(resolver.aaaa(&self.host), resolver.a(&self.host));
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
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Responder, Settings, Zone};

    fn zone(text: &str) -> Zone {
        Zone::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_name_is_asked_again_when_its_ttl_is_over() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let dns = Responder::bind(
            loopback,
            zone("mta.example.org 60 A 192.0.2.1\nmta.example.org 30 AAAA 2001:db8::1"),
        )
        .await
        .unwrap();
        let settings = Settings { servers: vec![dns.address()], cache_limit: 0, ..Settings::default() };
        let whereabouts = Whereabouts::new("mta.example.org", 25);
        whereabouts.ask(&Resolver::new(&settings).unwrap());
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let addresses = |addresses: &[&str]| addresses.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>();
        let before = addresses(&["[2001:db8::1]:25", "192.0.2.1:25"]);
        assert_eq!(whereabouts.addresses(now).await.unwrap(), before);

        dns.serve(zone("mta.example.org 60 A 192.0.2.2"));
        assert_eq!(
            whereabouts.addresses(at(29)).await.unwrap(),
            before,
            "the shorter TTL of both is not over"
        );
        let after = addresses(&["192.0.2.2:25"]);
        assert_eq!(whereabouts.addresses(at(31)).await.unwrap(), after);

        dns.serve(zone("mta.example.org ANY SERVFAIL"));
        assert_eq!(whereabouts.addresses(at(500)).await.unwrap(), after, "better than nothing");
    }

    #[tokio::test]
    async fn what_only_the_system_knows_is_found_too() {
        let whereabouts = Whereabouts::new("localhost", 25);
        whereabouts.ask(&Resolver::from_zone(Zone::default()));
        let addresses = whereabouts.addresses(Instant::now()).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()) && !addresses.is_empty());
        let nowhere = Whereabouts::new("nowhere.invalid", 25);
        assert_eq!(nowhere.addresses(Instant::now()).await, Err(Trouble::Unreachable));
    }
}
