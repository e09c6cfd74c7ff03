//! The servers: who is asked, in which order, for how long.
//!
//! hickory's own pool takes the first server's SERVFAIL or REFUSED for the last word, and lets a silent server eat
//! the whole deadline. So each server has a resolver of its own here, and failing over is done in this file: every
//! server gets an equal share of the time that is left, and one that kept silent is asked last for a while.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::record::{Data, Question};
use super::totals::{Counters, add};
use super::{Answer, Trouble};

/// For how long a silent server is asked last.
const REST: Duration = Duration::from_secs(30);

/// TTLs with the highest bit set count as 0 (RFC 2181 §8).
const MAX_TTL: u32 = i32::MAX as u32;

/// Whom to ask, and how hard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name servers, in order of preference. Default: none, meaning those of /etc/resolv.conf (port 53), and
    /// 127.0.0.1 where that names none. A validating resolver on the same host is best: DNSBL operators turn away
    /// the public ones.
    pub servers: Vec<SocketAddr>,
    /// How long a lookup may take in all, whatever the number of servers. Default 5 s.
    pub timeout: Duration,
    /// How many lookups may be in flight; each takes a file descriptor. Eight times as many may wait their turn, what
    /// comes on top is answered with "busy". Default 1000.
    pub in_flight_limit: usize,
    /// How many answers are remembered. Default 20,000 (about 10 MB).
    pub cache_limit: u64,
    /// How long a failure is remembered, and an absence that says nothing of its own TTL. Default 15 s.
    pub failure_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            in_flight_limit: 1000,
            cache_limit: 20_000,
            failure_ttl: Duration::from_secs(15),
        }
    }
}

/// A resolver that could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up a resolver for {server}: {what}")]
pub struct SetupError {
    server: SocketAddr,
    what: NetError,
}

/// All servers.
pub(super) struct Servers {
    servers: Vec<Server>,
    counters: Arc<Counters>,
}

struct Server {
    resolver: TokioResolver,
    /// Until when it is asked last, because it kept silent.
    rests: Mutex<Option<Instant>>,
}

impl Servers {
    pub(super) fn new(settings: &Settings, counters: Arc<Counters>) -> Result<Self, SetupError> {
        let addresses = if settings.servers.is_empty() { system_servers() } else { settings.servers.clone() };
        let servers = addresses
            .into_iter()
            .map(|server| Server::new(server, settings.timeout).map_err(|what| SetupError { server, what }))
            .collect::<Result<_, _>>()?;
        Ok(Self { servers, counters })
    }

    /// Asks one server after the other until one knows; the last one's trouble, if none does.
    pub(super) async fn lookup(&self, question: &Question, deadline: Instant) -> Answer<Data> {
        let mut trouble = Trouble::Unreachable;
        let order = self.order(Instant::now());
        for (turn, server) in order.iter().enumerate() {
            if turn > 0 {
                add(&self.counters.failovers);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(order.len() - turn).unwrap_or(u32::MAX);
            let answer = timeout(share, server.lookup(question)).await;
            let answer = answer.unwrap_or(Answer::Temporary(Trouble::Timeout));
            server.note(&answer);
            match answer {
                Answer::Temporary(last) => trouble = last,
                known => return known,
            }
        }
        Answer::Temporary(trouble)
    }

    /// As configured, but those that rest stand last. One whose rest is over is tried by one lookup alone.
    fn order(&self, now: Instant) -> Vec<&Server> {
        let (mut order, resting): (Vec<_>, Vec<_>) = self.servers.iter().partition(|s| s.ready(now));
        order.extend(resting);
        order
    }
}

impl Server {
    fn new(address: SocketAddr, deadline: Duration) -> Result<Self, NetError> {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        (udp.port, tcp.port) = (address.port(), address.port());
        let server = NameServerConfig::new(address.ip(), true, vec![udp, tcp]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = deadline;
        options.attempts = 0;
        options.num_concurrent_reqs = 1;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.preserve_intermediates = true;
        Ok(Self { resolver: builder.build()?, rests: Mutex::new(None) })
    }

    async fn lookup(&self, question: &Question) -> Answer<Data> {
        match self.resolver.lookup(question.name.clone(), question.kind.record_type()).await {
            Ok(lookup) => select(question, lookup.answers()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let ttl = none.negative_ttl.map(|ttl| Duration::from_secs(sane(ttl).into()));
                Answer::NotFound { ttl }
            }
            Err(error) => Answer::Temporary(trouble_of(&error)),
        }
    }

    fn ready(&self, now: Instant) -> bool {
        let mut rests = self.rests.lock();
        match *rests {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                *rests = Some(now + REST);
                true
            }
        }
    }

    /// Silence sends a server to rest; any answer, even a refusal, ends that.
    fn note<T>(&self, answer: &Answer<T>) {
        *self.rests.lock() = match answer {
            Answer::Temporary(Trouble::Timeout | Trouble::Unreachable) => Some(Instant::now() + REST),
            Answer::Temporary(Trouble::Busy) => return,
            _ => None,
        };
    }
}

/// What an answer section says of the question, and nothing else that may stand there.
fn select(question: &Question, answers: &[Record]) -> Answer<Data> {
    let mut owner = &question.name;
    let mut ttl = MAX_TTL;
    // Each record can be an alias once, so a loop of them ends.
    for _ in answers {
        let alias = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { break };
        owner = target;
        ttl = ttl.min(sane(alias_ttl));
    }
    let matching =
        answers.iter().filter(|r| r.name == *owner && r.record_type() == question.kind.record_type());
    let mut records = Vec::new();
    for record in matching {
        if let Some(data) = Data::from_wire(&record.data) {
            ttl = ttl.min(sane(record.ttl));
            records.push(data);
        }
    }
    if records.is_empty() {
        return Answer::NotFound { ttl: None };
    }
    Answer::Found { records, ttl: Duration::from_secs(ttl.into()) }
}

fn sane(ttl: u32) -> u32 {
    if ttl > MAX_TTL { 0 } else { ttl }
}

fn trouble_of(error: &NetError) -> Trouble {
    match error {
        NetError::Timeout => Trouble::Timeout,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => Trouble::ServFail,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Trouble::Refused,
        NetError::Busy => Trouble::Busy,
        NetError::Io(_) | NetError::NoConnections => Trouble::Unreachable,
        _ => Trouble::Malformed,
    }
}

/// The servers of /etc/resolv.conf; without any, the one on this host, as resolv.conf(5) has it.
fn system_servers() -> Vec<SocketAddr> {
    let found: Vec<_> = match read_system_conf() {
        Ok((config, _)) => config.name_servers().iter().map(|server| (server.ip, 53).into()).collect(),
        Err(error) => {
            tracing::warn!(error = error.to_string(), "no name server in /etc/resolv.conf, asking 127.0.0.1");
            Vec::new()
        }
    };
    if found.is_empty() { vec![(Ipv4Addr::LOCALHOST, 53).into()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::record;
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    fn question(name: &str) -> Question {
        Question::new(name, Kind::A).unwrap()
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        let owner = record::name(owner).unwrap();
        Record::from_rdata(owner, ttl, RData::A(A([192, 0, 2, last].into())))
    }

    fn cname(owner: &str, ttl: u32, target: &str) -> Record {
        let target = record::name(target).unwrap();
        Record::from_rdata(record::name(owner).unwrap(), ttl, RData::CNAME(CNAME(target)))
    }

    fn found(last: u8, ttl: u64) -> Answer<Data> {
        Answer::Found { records: vec![Data::A([192, 0, 2, last].into())], ttl: Duration::from_secs(ttl) }
    }

    #[test]
    fn records_of_other_names_do_not_count() {
        assert_eq!(select(&question("a.test"), &[a("b.test", 60, 1), a("A.test", 60, 2)]), found(2, 60));
        assert_eq!(select(&question("a.test"), &[a("b.test", 60, 1)]), Answer::NotFound { ttl: None });
    }

    #[test]
    fn aliases_lead_on_and_their_ttl_counts() {
        let chain = [a("c.test", 60, 3), cname("b.test", 20, "c.test"), cname("a.test", 40, "b.test")];
        assert_eq!(select(&question("a.test"), &chain), found(3, 20));
        let ring = [cname("a.test", 1, "b.test"), cname("b.test", 1, "a.test")];
        assert_eq!(select(&question("a.test"), &ring), Answer::NotFound { ttl: None });
    }

    #[test]
    fn a_ttl_beyond_31_bits_is_zero() {
        assert_eq!(select(&question("a.test"), &[a("a.test", 1 << 31, 1)]), found(1, 0));
    }
}
