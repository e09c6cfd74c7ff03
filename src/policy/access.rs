//! Access tables: asked for a client, a HELO name, a mail address or the hosts behind them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::dns::{Answer, Trouble};
use crate::smtp::address::Address;
use crate::smtp::host::{address_literal, to_ascii, valid_address};
use crate::table::{Key, Live, Table, address_keys, host_keys, ip_keys};
use crate::time;

use super::answered::{Answered, Grant, no_answer};
use super::judging::{Judging, Outcome};
use super::lookups::is_host;
use super::reply::Subject;
use super::restriction::Servers;

/// Hosts, and addresses of all of them, that a table is asked for at most: a domain's owner can give it any number. As
/// in Postfix, which takes 100 records of each name, the rest is not looked at; exchangers that mail goes to first come
/// first.
const MAX_HOSTS: usize = 100;
const MAX_ADDRESSES: usize = 100;

/// What looking for them may take in all. A client waits five minutes for a reply (RFC 5321 §4.5.3.2.3), and there may be
/// more restrictions.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Hosts whose addresses DNS does not tell now: one is named, however many there are.
#[derive(Default)]
struct Silent {
    first: Option<(String, Trouble)>,
    more: usize,
}

impl Judging<'_> {
    /// What `table` says of `subject`; `None`: the client's name is needed, and has not been asked for yet.
    pub(super) fn check_access(&mut self, subject: Subject, table: &Arc<Live<Table>>) -> Option<Outcome> {
        let table = &*table.current();
        let parents = self.policy.parents_in_tables;
        match subject {
            Subject::Client if !table.has_names() => {
                let address = self.client().to_string();
                Some(self.consult(table, subject, ip_keys(&address), Grant::Permits))
            }
            Subject::Client | Subject::ReverseClient => {
                let names = self.facts.names.found()?;
                let address = self.client().to_string();
                let (name, grant) = match subject {
                    Subject::Client => (names.name(), Grant::Permits),
                    _ => (names.reverse(), Grant::IsForbidden),
                };
                let keys = host_keys(name, parents).chain(ip_keys(&address));
                Some(self.consult(table, subject, keys, grant))
            }
            Subject::Helo => {
                let helo = self.facts.helo;
                Some(self.consult_about(table, subject, helo, |helo| host_keys(&helo.name, parents)))
            }
            Subject::Etrn => {
                let domain = self.facts.etrn;
                Some(self.consult_about(table, subject, domain, |domain| host_keys(domain, parents)))
            }
            Subject::Sender if self.facts.has_null_sender() => {
                let key = Key::full(self.policy.settings.null_access_lookup_key.clone());
                Some(self.consult(table, subject, [key], Grant::Permits))
            }
            Subject::Sender => Some(self.consult_address(table, subject, self.facts.sender())),
            Subject::Recipient => {
                Some(self.consult_address(table, subject, self.facts.recipient(self.stage)))
            }
            // DATA is no key.
            Subject::Data => Some(Outcome::Dunno),
        }
    }

    fn consult_about<'k, T, K: Iterator<Item = Key<'k>>>(
        &mut self,
        table: &Table,
        subject: Subject,
        what: Option<T>,
        keys: impl FnOnce(T) -> K,
    ) -> Outcome {
        match what {
            Some(what) => self.consult(table, subject, keys(what), Grant::Permits),
            None => Outcome::Dunno,
        }
    }

    fn consult_address(&mut self, table: &Table, subject: Subject, address: Option<&Address>) -> Outcome {
        let Some(address) = address else { return Outcome::Dunno };
        let destination = match self.destination(address) {
            Ok(destination) => destination,
            Err(error) => return self.domains_do_not_answer(&error, subject),
        };
        let delimiter = &self.policy.settings.recipient_delimiter;
        let parents = self.policy.parents_in_tables;
        let keys = address_keys(&destination.local, Some(&destination.domain), delimiter, parents);
        let is_suspicious = destination.is_routed && subject == Subject::Recipient;
        self.consult(table, subject, keys, if is_suspicious { Grant::SaysNothing } else { Grant::Permits })
    }

    /// What `table` says of the first of `keys` that it has.
    fn consult<'k>(
        &mut self,
        table: &Table,
        subject: Subject,
        keys: impl IntoIterator<Item = Key<'k>>,
        grant: Grant,
    ) -> Outcome {
        match table.find(keys) {
            Ok(Some(found)) => {
                let (key, value) = (found.key.as_str().to_owned(), found.value.into_owned());
                self.trace.lookup(|| format!("{} {key}: {value}", table.name()));
                let by = table.name().to_owned();
                Outcome::Follow(Answered { by, key: Some(key), value, about: Some(subject), grant })
            }
            Ok(None) => {
                self.trace.because(|| format!("{} has nothing of it", table.name()));
                Outcome::Dunno
            }
            Err(error) => {
                self.trouble(error.to_string());
                no_answer(subject)
            }
        }
    }

    /// What `table` says of the hosts behind the name of `subject`, their names first and then their addresses.
    pub(super) async fn check_servers(
        &mut self,
        subject: Subject,
        servers: Servers,
        table: &Arc<Live<Table>>,
    ) -> Outcome {
        let mut silent = Silent::default();
        let found =
            timeout(MAX_TIME, self.check_hosts(subject, servers, &table.current(), &mut silent)).await;
        if let Some(what) = silent.told() {
            self.trouble(what);
        }
        found.unwrap_or_else(|_| {
            self.trouble(format!("no answer within {}; the rest is left out", time::show(MAX_TIME)));
            Outcome::Dunno
        })
    }

    async fn check_hosts(
        &mut self,
        subject: Subject,
        servers: Servers,
        table: &Table,
        silent: &mut Silent,
    ) -> Outcome {
        let Some(name) = self.name_behind(subject).await else { return Outcome::Dunno };
        if name.starts_with('[') {
            // A literal is its own mail exchanger, but has no name server.
            return match address_literal(&name) {
                Some(address) if servers != Servers::Ns => self.consult_server(table, subject, address),
                _ => Outcome::Dunno,
            };
        }
        let name = to_ascii(&name).map_or_else(|| name.clone(), Cow::into_owned);
        let mut hosts = self.hosts_behind(name, servers).await;
        if hosts.len() > MAX_HOSTS {
            self.trouble(format!("{} hosts, of which {MAX_HOSTS} are looked at", hosts.len()));
            hosts.truncate(MAX_HOSTS);
        }
        let mut addresses = 0;
        for host in hosts {
            if let Some(address) = valid_address(&host) {
                match self.consult_server(table, subject, address) {
                    Outcome::Dunno => continue,
                    found => return found,
                }
            }
            if servers != Servers::Own {
                let keys = host_keys(&host, self.policy.parents_in_tables);
                match self.consult(table, subject, keys, Grant::IsForbidden) {
                    Outcome::Dunno => {}
                    found => return found,
                }
            }
            for address in self.addresses_of(&host, servers, silent).await {
                addresses += 1;
                if addresses > MAX_ADDRESSES {
                    self.trouble(format!(
                        "more than {MAX_ADDRESSES} addresses, of which the rest is left out"
                    ));
                    return Outcome::Dunno;
                }
                match self.consult_server(table, subject, address) {
                    Outcome::Dunno => {}
                    found => return found,
                }
            }
        }
        Outcome::Dunno
    }

    fn consult_server(&mut self, table: &Table, subject: Subject, address: IpAddr) -> Outcome {
        self.consult(table, subject, ip_keys(&address.to_string()), Grant::IsForbidden)
    }

    /// The name whose hosts are asked for; none where there is nothing to ask DNS about.
    async fn name_behind(&mut self, subject: Subject) -> Option<String> {
        let domain = |address: &Address| address.domain().map(str::to_owned);
        match subject {
            Subject::Client => self.names().await.name.clone(),
            Subject::ReverseClient => self.names().await.reverse.clone(),
            Subject::Helo => self.facts.helo.map(|helo| helo.name.clone()),
            Subject::Sender => self.facts.sender().and_then(domain),
            Subject::Recipient => self.facts.recipient(self.stage).and_then(domain),
            Subject::Data | Subject::Etrn => None,
        }
    }

    async fn hosts_behind(&mut self, name: String, servers: Servers) -> Vec<String> {
        let found = match servers {
            Servers::Own => return vec![name],
            Servers::Mx => match self.mx(&name).await {
                // A domain without MX record is its own mail exchanger (RFC 5321 §5.1).
                Answer::NotFound { .. } => return vec![name],
                Answer::Found { records, .. } if records.iter().any(|mx| mx.exchange.is_empty()) => {
                    return Vec::new();
                }
                Answer::Found { records, .. } => {
                    Ok(records.into_iter().map(|mx| mx.exchange).collect::<Vec<_>>())
                }
                Answer::Temporary(trouble) => Err(trouble),
            },
            Servers::Ns => match self.name_servers(&name).await {
                Answer::Found { records, .. } => Ok(records),
                Answer::NotFound { .. } => Ok(Vec::new()),
                Answer::Temporary(trouble) => Err(trouble),
            },
        };
        match found {
            Ok(hosts) => hosts.into_iter().filter(|host| is_host(host)).collect(),
            Err(trouble) => {
                self.trouble(format!("cannot look up the servers of {name}: {}", trouble.as_str()));
                Vec::new()
            }
        }
    }

    /// The name servers of `name`, or of the nearest domain above that has any.
    async fn name_servers(&mut self, name: &str) -> Answer<String> {
        let mut answer = Answer::NotFound { ttl: None };
        for domain in above(name) {
            answer = self.ns(domain).await;
            if !matches!(answer, Answer::NotFound { .. }) {
                break;
            }
        }
        answer
    }

    async fn addresses_of(&mut self, host: &str, servers: Servers, silent: &mut Silent) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        let mut trouble = None;
        for answer in [self.a(host).await, self.aaaa(host).await] {
            match answer {
                Answer::Found { records, .. } => addresses.extend(records),
                Answer::NotFound { .. } => {}
                Answer::Temporary(why) if servers != Servers::Own => trouble = Some(why),
                Answer::Temporary(_) => {}
            }
        }
        if let Some(trouble) = trouble {
            silent.add(host, trouble);
        }
        addresses
    }
}

impl Silent {
    fn add(&mut self, host: &str, trouble: Trouble) {
        match self.first {
            None => self.first = Some((host.to_owned(), trouble)),
            Some(_) => self.more += 1,
        }
    }

    fn told(&self) -> Option<String> {
        let (host, trouble) = self.first.as_ref()?;
        let more = if self.more == 0 { String::new() } else { format!(" and {} more hosts", self.more) };
        Some(format!("cannot look up {host}{more}: {}", trouble.as_str()))
    }
}

/// `name` and the domains above it.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, rest)| rest))
        .filter(|name| !name.is_empty())
}
