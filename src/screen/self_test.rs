//! Each list is asked for what it must hold and what it must not (RFC 5782 §5), at start and from time to time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::dnsbl::Dnsbl;
use super::health::{Ailment, Change, Checkup};
use super::list::{Listing, list_query, list_query_ipv6};
use crate::dns::{Answer, Outcome, Resolver};

/// In every list.
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// In no list.
const NOT_LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

/// How soon a list in doubt is tested again, and how often an alarm is heard.
const SOON: Duration = Duration::from_secs(20);

impl Dnsbl {
    /// Tests the lists for ever; returns at once if there is nothing to test.
    pub(super) async fn run_self_tests(&self) {
        if self.lists.is_empty() || self.self_test_interval.is_zero() {
            return;
        }
        loop {
            let start = Instant::now();
            self.self_test().await;
            let in_doubt = self.watches.iter().any(|watch| watch.health().in_doubt());
            let wait = if in_doubt { self.self_test_interval.min(SOON) } else { self.self_test_interval };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.alarm.notified() => sleep_until(start + SOON).await,
            }
        }
    }

    /// Tests every list once, all at the same time.
    pub(super) async fn self_test(&self) {
        let invents = invents(&self.resolver).await;
        let mut tests = JoinSet::new();
        for (index, watch) in self.watches.iter().enumerate() {
            let (resolver, watch) = (self.resolver.clone(), Arc::clone(watch));
            tests.spawn(async move {
                let checkup = match invents {
                    true => Checkup::Bad(Ailment::ResolverInvents),
                    false => check_up(&resolver, &watch.domain).await,
                };
                (index, watch.check_up(checkup))
            });
        }
        while let Some(test) = tests.join_next().await {
            if let Ok((index, Some(change))) = test
                && let Some(list) = self.lists.iter().nth(index)
            {
                tell(list.name(), change);
            }
        }
    }
}

fn tell(list: &str, change: Change) {
    match change {
        Change::Suspended(ailment) => {
            let because = ailment.to_string();
            tracing::warn!(
                list,
                because,
                "DNS list suspended until it passes its tests: it holds nothing against anybody, and whom it might have \
                 outweighed the others for is not refused"
            );
        }
        Change::Resumed => tracing::info!(list, "DNS list passes its tests again"),
    }
}

/// Whether the resolver has an answer for a name that cannot exist.
async fn invents(resolver: &Resolver) -> bool {
    // A fresh RandomState hashes nothing to a random number.
    let label = RandomState::new().build_hasher().finish();
    resolver.a_afresh(&format!("prescreen-{label:016x}")).await.outcome() == Outcome::Found
}

async fn check_up(resolver: &Resolver, domain: &str) -> Checkup {
    match resolver.a_afresh(&list_query(NOT_LISTED.into(), domain)).await {
        Answer::Temporary(trouble) => return Checkup::Unclear(trouble),
        Answer::Found { records, .. } => {
            return Checkup::Bad(what_it_says(&records, Ailment::ListsEverybody));
        }
        Answer::NotFound { .. } => {}
    }
    let mut checkup = must_list(resolver, &list_query(LISTED.into(), domain)).await;
    if checkup == Checkup::Bad(Ailment::ListsNobody) {
        // A list of IPv6 addresses alone holds the same two as mapped addresses.
        let name = |v4: Ipv4Addr| list_query_ipv6(v4.to_ipv6_mapped(), domain);
        checkup = match resolver.a_afresh(&name(NOT_LISTED)).await {
            Answer::Found { records, .. } => Checkup::Bad(what_it_says(&records, Ailment::ListsEverybody)),
            _ => must_list(resolver, &name(LISTED)).await,
        };
    }
    checkup
}

async fn must_list(resolver: &Resolver, name: &str) -> Checkup {
    match resolver.a_afresh(name).await {
        Answer::Temporary(trouble) => Checkup::Unclear(trouble),
        Answer::NotFound { .. } => Checkup::Bad(Ailment::ListsNobody),
        Answer::Found { records, .. } if records.iter().any(|code| Listing::of(*code) == Listing::Listed) => {
            Checkup::Good
        }
        Answer::Found { records, .. } => Checkup::Bad(what_it_says(&records, Ailment::ListsNobody)),
    }
}

/// The error that `codes` tell, or `otherwise`.
fn what_it_says(codes: &[Ipv4Addr], otherwise: Ailment) -> Ailment {
    let malfunction = codes.iter().find_map(|code| match Listing::of(*code) {
        Listing::Malfunction(malfunction) => Some(Ailment::Malfunction(malfunction)),
        Listing::Listed => None,
    });
    malfunction.unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::dnsbl::Settings;
    use super::super::list::Malfunction;
    use super::*;
    use crate::dns::{self, Responder, Trouble, Zone};

    const CLIENT: &str = "192.0.2.99";

    fn dnsbl(sites: &str, resolver: Resolver) -> Dnsbl {
        let sites = sites.split_whitespace().map(|site| site.parse().unwrap()).collect();
        Dnsbl::new(&Settings { sites, ..Settings::default() }, resolver, Path::new("/")).unwrap()
    }

    fn ailments(dnsbl: &Dnsbl) -> Vec<Option<Ailment>> {
        dnsbl.statistics().into_iter().map(|list| list.suspended).collect()
    }

    async fn is_listed(dnsbl: &Dnsbl) -> bool {
        let mut lookups = dnsbl.look_up(CLIENT.parse().unwrap());
        while lookups.next().await.is_some() {}
        lookups.conclude().is_listed()
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_list_is_found() {
        let mapped = |last: char| format!("{last}.0.0.0.0.0.f.7.f.f.f.f{}.six.test", ".0".repeat(20));
        let (six_2, six_1) = (mapped('2'), mapped('1'));
        for (zone, domain, ailment) in [
            ("2.0.0.127.bl.test A 127.0.0.4", "bl.test", None),
            (&format!("{six_2} A 127.0.0.2"), "six.test", None),
            (&format!("{six_2} A 127.0.0.2\n{six_1} A 127.0.0.2"), "six.test", Some(Ailment::ListsEverybody)),
            ("*.bl.test A 127.0.0.2", "bl.test", Some(Ailment::ListsEverybody)),
            ("other.test A 127.0.0.2", "bl.test", Some(Ailment::ListsNobody)),
            ("*.bl.test A 203.0.113.7", "bl.test", Some(Ailment::Malfunction(Malfunction::Foreign))),
            ("2.0.0.127.bl.test A 127.0.0.1", "bl.test", Some(Ailment::Malfunction(Malfunction::Loopback))),
            (
                "2.0.0.127.bl.test A 127.255.255.254",
                "bl.test",
                Some(Ailment::Malfunction(Malfunction::PublicResolver)),
            ),
            ("2.0.0.127.bl.test A 127.0.0.2\n* A 198.51.100.1", "bl.test", Some(Ailment::ResolverInvents)),
        ] {
            let dnsbl = dnsbl(domain, Resolver::from_zone(Zone::parse(zone).unwrap()));
            dnsbl.self_test().await;
            assert_eq!(ailments(&dnsbl), [ailment], "{zone}");
        }
    }

    #[tokio::test]
    async fn a_list_that_went_silent_is_suspended_when_that_lasts() {
        let zone = Zone::parse("*.bl.test A REFUSED\n2.0.0.127.ok.test A 127.0.0.2").unwrap();
        let dnsbl = dnsbl("bl.test ok.test", Resolver::from_zone(zone));
        for _ in 0..2 {
            dnsbl.self_test().await;
            assert_eq!(ailments(&dnsbl), [None, None]);
        }
        dnsbl.self_test().await;
        assert_eq!(ailments(&dnsbl), [Some(Ailment::Silent(Trouble::Refused)), None]);
    }

    #[tokio::test]
    async fn a_list_of_the_world_weighs_nothing_until_it_has_healed() {
        let world = Zone::parse("*.bl.test A 127.0.0.2").unwrap();
        let healed = Zone::parse("2.0.0.127.bl.test A 127.0.0.2\n99.2.0.192.bl.test A 127.0.0.2").unwrap();
        let server = Responder::bind("127.0.0.1:0".parse().unwrap(), world).await.unwrap();
        let servers = vec![server.address()];
        let resolver = Resolver::new(&dns::Settings { servers, ..dns::Settings::default() }).unwrap();
        let dnsbl = dnsbl("bl.test", resolver);
        dnsbl.self_test().await;
        let asked = server.queries();
        assert!(!is_listed(&dnsbl).await);
        assert_eq!(server.queries(), asked, "a suspended list is not asked");

        server.serve(healed);
        for _ in 0..2 {
            dnsbl.self_test().await;
            assert!(!is_listed(&dnsbl).await);
        }
        dnsbl.self_test().await;
        assert_eq!(ailments(&dnsbl), [None]);
        assert!(is_listed(&dnsbl).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_list_says_counts_once_it_has_been_tested() {
        let fair =
            "2.0.0.127.bl.test A 127.0.0.2\n99.2.0.192.bl.test A 127.0.0.2\n1.0.0.127.bl.test A DELAY 700";
        let world = "*.bl.test A 127.0.0.2\n1.0.0.127.bl.test A 127.0.0.2\n1.0.0.127.bl.test A DELAY 700";
        for (zone, lists) in [(fair, true), (world, false)] {
            let zone = Zone::parse(zone).unwrap();
            let first = dnsbl("bl.test", Resolver::from_zone(zone.clone()));
            first.test_first();
            assert!(!is_listed(&first).await, "nobody tests it, and nobody waits for ever: {zone:?}");
            let (listed, ()) = tokio::join!(is_listed(&first), first.self_test());
            assert_eq!(listed, lists, "{zone:?}");

            let mut untested = dnsbl("bl.test", Resolver::from_zone(zone));
            untested.self_test_interval = Duration::ZERO;
            untested.test_first();
            assert!(is_listed(&untested).await, "no test is to come");
        }
    }

    #[tokio::test]
    async fn a_suspension_outlives_a_reload_unless_nobody_would_end_it() {
        let zone = Zone::parse("99.2.0.192.bl.test A 127.0.0.2").unwrap();
        let before = dnsbl("bl.test", Resolver::from_zone(zone.clone()));
        before.self_test().await;
        let mut after = dnsbl("bl.test", Resolver::from_zone(zone));
        after.inherit(&before);
        assert_eq!(ailments(&after), [Some(Ailment::ListsNobody)]);
        after = dnsbl("bl.test", after.resolver.clone());
        after.self_test_interval = Duration::ZERO;
        after.inherit(&before);
        assert_eq!(ailments(&after), [None]);
        assert!(is_listed(&after).await);
    }

    #[tokio::test]
    async fn one_client_is_asked_about_once_however_often_it_comes() {
        let zone = Zone::parse("99.2.0.192.bl.test A 127.0.0.2\n*.bl.test ANY DELAY 50").unwrap();
        let server = Responder::bind("127.0.0.1:0".parse().unwrap(), zone).await.unwrap();
        let servers = vec![server.address()];
        let resolver = Resolver::new(&dns::Settings { servers, ..dns::Settings::default() }).unwrap();
        let dnsbl = Arc::new(dnsbl("bl.test*2 bl.test=127.0.0.3*-1", resolver));
        let mut connections = JoinSet::new();
        for _ in 0..30 {
            let dnsbl = Arc::clone(&dnsbl);
            connections.spawn(async move { is_listed(&dnsbl).await });
        }
        assert!(connections.join_all().await.into_iter().all(|listed| listed));
        // On a machine under load, one query may be sent several times.
        assert!(server.queries() <= 3, "{}", server.queries());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_fails_in_use_is_tested_before_its_time() {
        let zone = "2.0.0.127.bl.test A 127.0.0.2\n99.2.0.192.bl.test A 127.255.255.255";
        let resolver = Resolver::from_zone(Zone::parse(zone).unwrap());
        let dnsbl = Arc::new(dnsbl("bl.test", resolver.clone()));
        let running = tokio::spawn({
            let dnsbl = Arc::clone(&dnsbl);
            async move { dnsbl.run_self_tests().await }
        });
        let lookups = || resolver.totals().by_outcome().map(|(_, _, count)| count).sum::<u64>();
        // One for a name that cannot exist, one for 127.0.0.1, one for 127.0.0.2.
        sleep(Duration::from_secs(60)).await;
        assert_eq!(lookups(), 3);
        for _ in 0..4 {
            assert!(!is_listed(&dnsbl).await);
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(lookups(), 3 + 4);
        is_listed(&dnsbl).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(lookups(), 3 + 5 + 3);
        sleep(Duration::from_secs(110)).await;
        assert_eq!(lookups(), 3 + 5 + 3, "then it is quiet again");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(lookups(), 3 + 5 + 3 + 3);
        running.abort();
    }
}
