//! Waits that drive good clients away, thresholds that nobody reaches, lists that are dead.

use std::net::IpAddr;
use std::time::Duration;

use super::Judge;
use crate::config::postfix::dead_lists;
use crate::policy::{Argument, List, Verb, without_key};
use crate::table::{Table, words};
use crate::time;

/// A client may give up after five minutes (RFC 5321 §4.5.3.2.1); many do much earlier.
const PATIENCE: Duration = Duration::from_secs(60);

/// Resolvers that DNS lists turn away, because everybody asks through them.
const PUBLIC_RESOLVERS: [&str; 12] = [
    "8.8.8.8",
    "8.8.4.4",
    "1.1.1.1",
    "1.0.0.1",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.222.222",
    "208.67.220.220",
    "2001:4860:4860::8888",
    "2001:4860:4860::8844",
    "2606:4700:4700::1111",
    "2620:fe::fe",
];

impl Judge<'_> {
    pub(super) fn waits(&mut self) {
        let screen = &self.config.screen;
        if screen.greet_wait > PATIENCE {
            let what = format!(
                "good clients may hang up before {} have passed; write 6s",
                time::show(screen.greet_wait)
            );
            self.warn("screen.greet_wait", what);
        }
        if screen.stress_greet_wait > screen.greet_wait {
            self.warn(
                "screen.stress_greet_wait",
                "longer than screen.greet_wait, although stress is to shorten waits",
            );
        }
        if words(&screen.access_list).next() == Some("permit") {
            self.warn("screen.access_list", "begins with permit: nobody is ever tested");
        }
        let dnsbl = &self.config.dnsbl;
        if dnsbl.min_ttl > dnsbl.max_ttl {
            let what = format!("above dnsbl.max_ttl, which is {}; write less", time::show(dnsbl.max_ttl));
            self.refuse("dnsbl.min_ttl", what);
        }
    }

    pub(super) fn dns_lists(&mut self) {
        let sites: Vec<String> = self.config.dnsbl.sites.iter().map(ToString::to_string).collect();
        self.scores(&sites);
        self.dead("dnsbl.sites", &sites);
        self.keys(&sites);
        let mut asks = !sites.is_empty();
        for list in List::ALL {
            let lists = dns_lists_in(self.config.policy.list(list));
            asks |= !lists.is_empty();
            self.dead(&format!("restrictions.{}", list.as_str()), &lists);
        }
        let public = |address: &IpAddr| PUBLIC_RESOLVERS.iter().any(|known| known.parse() == Ok(*address));
        let asked = self.config.dns.servers.iter().map(std::net::SocketAddr::ip).find(public);
        if let Some(resolver) = asked.filter(|_| asks) {
            let what = format!(
                "most DNS lists turn away {resolver}, and then list nobody; run a resolver of your own"
            );
            self.warn("dns.servers", what);
        }
    }

    /// Scores that can never be reached.
    fn scores(&mut self, sites: &[String]) {
        if sites.is_empty() {
            return;
        }
        let weights = sites
            .iter()
            .map(|site| site.split_once('*').map_or(1, |(_, weight)| weight.parse().unwrap_or(1)));
        let (against, for_it): (Vec<i64>, Vec<i64>) = weights.partition(|weight| *weight > 0);
        let (against, for_it): (i64, i64) = (against.iter().sum(), for_it.iter().sum());
        let number = |text: String| text.parse::<i64>().unwrap_or_default();
        let threshold = number(self.config.dnsbl.threshold.to_string());
        let allowlist_threshold = number(self.config.dnsbl.allowlist_threshold.to_string());
        if against < threshold {
            let what = format!("all lists together weigh {against}, so no client can fail; write less");
            self.warn("dnsbl.threshold", what);
        }
        if allowlist_threshold < 0 && for_it > allowlist_threshold {
            let what = format!("all lists together weigh {for_it} at best, so no client can reach it");
            self.warn("dnsbl.allowlist_threshold", what);
        }
    }

    /// Lists whose name holds a customer's key, and that have no other name to be shown.
    fn keys(&mut self, sites: &[String]) {
        let config = self.config;
        // A table that cannot be read is somebody else's business.
        let map = config.dnsbl.reply_map.as_ref().and_then(|spec| Table::load(spec, &config.base).ok());
        let has_a_name =
            |domain: &str| map.as_ref().is_some_and(|map| !matches!(map.lookup(domain), Ok(None)));
        let mut told = Vec::new();
        for site in sites {
            let domain = site.split(['=', '*']).next().unwrap_or_default();
            let shown = without_key(domain);
            if shown == domain || has_a_name(domain) || told.contains(&shown) {
                continue;
            }
            let what = format!(
                "{shown} seems to have a customer's key in its name, which clients, log and metrics would show; \
                 give it another in dnsbl.reply_map"
            );
            self.warn_discreetly("dnsbl.sites", what);
            told.push(shown);
        }
    }

    fn dead(&mut self, key: &str, lists: &[String]) {
        for list in lists {
            let domain = list.split(['=', '*']).next().unwrap_or_default();
            if let Some(fate) = dead_lists::fate(domain) {
                self.warn(key, format!("{domain}: {fate}; remove it"));
            }
        }
    }
}

/// The DNS lists that a restriction list asks.
fn dns_lists_in(text: &str) -> Vec<String> {
    let mut lists = Vec::new();
    let mut words = words(text);
    while let Some(word) = words.next() {
        if Verb::find(word).is_some_and(|verb| verb.argument() == Argument::DnsList) {
            lists.extend(words.next().map(str::to_owned));
        }
    }
    lists
}
