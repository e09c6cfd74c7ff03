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
            tracing::warn!(list, because, "DNS list suspended: it weighs nothing until it passes its tests");
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
