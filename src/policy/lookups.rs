//! Questions to DNS, each written down in the trace.

use std::fmt::Display;
use std::net::IpAddr;

use crate::dns::{Answer, Mx};
use crate::smtp::host::{is_valid_hostname, valid_address};

use super::judging::Judging;
use super::names::{NameStatus, Names};

/// Whether a name is good for mail. When several records are asked for, the best of them counts: the order of the
/// variants is Postfix's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Existence {
    /// Nothing of that name, or a name that cannot be one.
    NotFound,
    /// It says that it takes no mail (RFC 7505).
    NullMx,
    /// Its records name hosts that cannot be hosts.
    Malformed,
    /// Nobody knows.
    Temporary,
    /// It has a record of those asked for.
    Found,
}

impl<'a> Judging<'a> {
    /// The client's names, asked of DNS at most once in a session.
    pub(super) async fn names(&mut self) -> &'a Names {
        let facts = self.facts;
        let asked = facts.names.found().is_none();
        let address = self.client();
        let names = self.policy.names(facts.names, address).await;
        if asked && self.policy.settings.peername_lookup {
            self.trace.lookup(|| format!("{address} PTR: {}", shown_names(names)));
        }
        names
    }

    pub(super) async fn a(&mut self, name: &str) -> Answer<IpAddr> {
        self.a_shown_as(name, name).await
    }

    /// The addresses of `name`, which the trace calls `alias`.
    pub(super) async fn a_shown_as(&mut self, name: &str, alias: &str) -> Answer<IpAddr> {
        let answer = self.policy.resolver.a(name).await;
        self.trace.lookup(|| format!("{alias} A: {}", shown(&answer)));
        map(answer, IpAddr::V4)
    }

    pub(super) async fn aaaa(&mut self, name: &str) -> Answer<IpAddr> {
        let answer = self.policy.resolver.aaaa(name).await;
        self.trace.lookup(|| format!("{name} AAAA: {}", shown(&answer)));
        map(answer, IpAddr::V6)
    }

    pub(super) async fn mx(&mut self, name: &str) -> Answer<Mx> {
        let answer = self.policy.resolver.mx(name).await;
        self.trace.lookup(|| format!("{name} MX: {}", shown(&map(answer.clone(), shown_mx))));
        answer
    }

    pub(super) async fn ns(&mut self, name: &str) -> Answer<String> {
        let answer = self.policy.resolver.ns(name).await;
        self.trace.lookup(|| format!("{name} NS: {}", shown(&answer)));
        answer
    }

    /// The texts of `name`, which the trace calls `alias`.
    pub(super) async fn txt(&mut self, name: &str, alias: &str) -> Answer<String> {
        let answer = self.policy.resolver.txt(name).await;
        self.trace.lookup(|| format!("{alias} TXT: {}", shown(&answer)));
        answer
    }

    /// Whether `name` has an address, or failing that a mail exchanger: good enough for a HELO.
    pub(super) async fn existence_of_host(&mut self, name: &str) -> Existence {
        let best = self.existence_of_address(name).await;
        if best == Existence::Found { best } else { best.max(self.existence_of_exchanger(name).await) }
    }

    /// Whether mail to `domain` has somewhere to go: a mail exchanger, or failing that an address.
    pub(super) async fn existence_of_mail_domain(&mut self, domain: &str) -> Existence {
        match self.existence_of_exchanger(domain).await {
            // A domain that has MX records means them: RFC 5321 §5.1 looks no further.
            best @ (Existence::Found | Existence::NullMx | Existence::Malformed) => best,
            other => other.max(self.existence_of_address(domain).await),
        }
    }

    async fn existence_of_address(&mut self, name: &str) -> Existence {
        if !is_valid_hostname(name) {
            return Existence::NotFound;
        }
        let best = existence(&self.a(name).await);
        if best == Existence::Found { best } else { best.max(existence(&self.aaaa(name).await)) }
    }

    async fn existence_of_exchanger(&mut self, name: &str) -> Existence {
        if !is_valid_hostname(name) {
            return Existence::NotFound;
        }
        match self.mx(name).await {
            Answer::Found { records, .. } if records.iter().any(|mx| mx.exchange.is_empty()) => {
                Existence::NullMx
            }
            Answer::Found { records, .. } if !records.iter().any(|mx| is_host(&mx.exchange)) => {
                Existence::Malformed
            }
            answer => existence(&answer),
        }
    }
}

/// Whether a record may name `host`. An address is wrong there, and widespread.
pub(super) fn is_host(host: &str) -> bool {
    is_valid_hostname(host) || valid_address(host).is_some()
}

fn existence<T>(answer: &Answer<T>) -> Existence {
    match answer {
        Answer::Found { .. } => Existence::Found,
        Answer::NotFound { .. } => Existence::NotFound,
        Answer::Temporary(_) => Existence::Temporary,
    }
}

fn map<T, U>(answer: Answer<T>, with: impl FnMut(T) -> U) -> Answer<U> {
    match answer {
        Answer::Found { records, ttl } => {
            Answer::Found { records: records.into_iter().map(with).collect(), ttl }
        }
        Answer::NotFound { ttl } => Answer::NotFound { ttl },
        Answer::Temporary(trouble) => Answer::Temporary(trouble),
    }
}

fn shown<T: Display>(answer: &Answer<T>) -> String {
    match answer {
        Answer::Found { records, .. } => {
            records.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Answer::NotFound { .. } => "not found".to_owned(),
        Answer::Temporary(trouble) => trouble.as_str().to_owned(),
    }
}

fn shown_mx(mx: Mx) -> String {
    format!("{} {}", mx.preference, if mx.exchange.is_empty() { "." } else { &mx.exchange })
}

fn shown_names(names: &Names) -> String {
    let (reverse, name) = (names.reverse(), names.name());
    match (names.reverse_status, names.status) {
        (NameStatus::Ok, NameStatus::Ok) => format!("{name}, which leads back"),
        (NameStatus::Ok, NameStatus::Temporary) => format!("{reverse}, of which DNS knows nothing now"),
        (NameStatus::Ok, _) => format!("{reverse}, which does not lead back"),
        (NameStatus::Temporary, _) => "DNS knows nothing now".to_owned(),
        _ => "not found".to_owned(),
    }
}
