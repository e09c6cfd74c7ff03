//! Whether DNS can be believed, and its lists be asked.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use super::Finding;
use crate::config::Config;
use crate::dns::{self, Answer, Resolver};
use crate::screen::{Ailment, ListStatistics, Malfunction, Screen};

/// Resolvers for everybody: lists cannot tell who asks through them, and turn them away.
const PUBLIC: [&str; 14] = [
    "1.0.0.1",
    "1.1.1.1",
    "8.8.4.4",
    "8.8.8.8",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.220.220",
    "208.67.222.222",
    "2001:4860:4860::8844",
    "2001:4860:4860::8888",
    "2606:4700:4700::1001",
    "2606:4700:4700::1111",
    "2620:fe::9",
    "2620:fe::fe",
];

const OWN_RESOLVER: &str =
    "run a resolver of your own, such as unbound on 127.0.0.1, and name it in dns.servers";

/// Each resolver by itself: of several, one that lies is enough.
pub(super) async fn resolvers(config: &Config) -> Vec<Finding> {
    let servers = if config.dns.servers.is_empty() { of_the_system() } else { config.dns.servers.clone() };
    let mut findings = Vec::new();
    for server in servers {
        findings.extend(resolver(config, server).await);
    }
    findings
}

async fn resolver(config: &Config, server: SocketAddr) -> Vec<Finding> {
    let of = format!("resolver {server}");
    let mut findings = Vec::new();
    let is_public = |ip: IpAddr| PUBLIC.iter().any(|public| public.parse() == Ok(ip));
    if is_public(server.ip()) && !config.dnsbl.sites.is_empty() {
        findings.push(Finding::warning(&of, "is a public one: most DNS lists turn it away", OWN_RESOLVER));
    }
    let settings = dns::Settings { servers: vec![server], ..config.dns.clone() };
    let answer = match Resolver::new(&settings) {
        Ok(resolver) => resolver.a(&unheard_of()).await,
        Err(error) => {
            findings.push(Finding::grave(of, error, "correct dns.servers"));
            return findings;
        }
    };
    findings.push(match answer {
        Answer::NotFound { .. } => Finding::good(of, "says of what does not exist that it does not"),
        Answer::Found { .. } => Finding::warning(
            of,
            "invents answers for names that do not exist, so that every DNS list seems to list everybody; prescreen \
             suspends them",
            OWN_RESOLVER,
        ),
        Answer::Temporary(trouble) => Finding::warning(
            of,
            format!("does not answer ({}): DNS lists protect nobody, and restrictions put mail off", trouble.as_str()),
            "start it, or correct dns.servers",
        ),
    });
    findings
}

/// A name that does not exist, in a domain that does.
fn unheard_of() -> String {
    format!("prescreen-{:x}.example.com", RandomState::new().hash_one(()))
}

/// The resolvers of the system.
fn of_the_system() -> Vec<SocketAddr> {
    let file = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = file.lines().filter_map(|line| line.strip_prefix("nameserver"));
    named.filter_map(|ip| ip.trim().parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// Each list by its test entries (RFC 5782 §5).
pub(super) async fn lists(config: &Config, screen: &Screen) -> Vec<Finding> {
    if config.dnsbl.sites.is_empty() {
        return Vec::new();
    }
    screen.self_test().await;
    let lists = screen.list_statistics().into_iter();
    let finding = |list: ListStatistics| {
        let of = format!("list {}", list.list);
        match list.suspended {
            None => Finding::good(of, "is not known to be ill"),
            Some(ailment) => {
                let remedy = match ailment {
                    Ailment::Malfunction(Malfunction::PublicResolver | Malfunction::OverLimit)
                    | Ailment::ResolverInvents => OWN_RESOLVER,
                    _ => "correct dnsbl.sites, or take it out; until it is well, it counts for nobody",
                };
                Finding::warning(of, format!("{ailment}"), remedy)
            }
        }
    };
    lists.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_ones_are_addresses() {
        assert!(PUBLIC.iter().all(|public| public.parse::<IpAddr>().is_ok()));
    }

    #[test]
    fn nobody_has_heard_of_a_name_twice() {
        assert_ne!(unheard_of(), unheard_of());
    }
}
