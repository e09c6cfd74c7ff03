//! The servers: who is asked, in which order, for how long.
//!
//! One server's SERVFAIL or REFUSED says nothing of the next one, and a silent server must not eat the whole deadline.
//! So each server gets an equal share of the time that is left, and one that kept silent is asked last for a while; not
//! one that was silent about one name alone, since it may be waiting itself for those who should know.
//! What a lookup mostly is stands in [`exchange`]; what it seldom is besides, the answer that is too long for a
//! datagram and the alias that the server did not follow, is boxed, so that nobody else pays for it.

#![expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::exchange::Udp;
use super::record::{Data, Kind, Question};
use super::reply::{self, Alias, Reply};
use super::reserved;
use super::tcp::Tcp;
use super::totals::{Counters, add};
use super::{Answer, Trouble};

/// That nobody listens is told at once, and a resolver that is restarted is back in a moment: so the last that could be
/// asked is asked again after this time.
const MOMENT: Duration = Duration::from_secs(1);

/// For how long a silent server is asked last.
const REST: Duration = Duration::from_secs(30);

/// How many aliases are followed that the server did not follow itself.
const MAX_HOPS: usize = 7;

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
    /// How many answers are remembered. Default 20,000 (about 5 MB).
    pub cache_limit: usize,
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

/// What few lookups need beyond the exchange of two datagrams.
type Rest<'a> = Pin<Box<dyn Future<Output = Answer<Data>> + Send + 'a>>;

/// All servers.
pub(super) struct Servers {
    servers: Vec<Server>,
    counters: Arc<Counters>,
}

struct Server {
    udp: Udp,
    tcp: Tcp,
    heard: Mutex<Heard>,
}

/// What was last heard of a server.
#[derive(Default)]
struct Heard {
    /// How many answers it has given.
    answers: u32,
    /// Until when it is asked last, because it kept silent.
    rests: Option<Instant>,
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

    /// What the servers know; the last one's trouble, if none does.
    pub(super) fn lookup(
        &self,
        question: &Question,
        deadline: Instant,
    ) -> impl Future<Output = Answer<Data>> {
        async move {
            if let Some(answer) = reserved::answer(question) {
                return answer;
            }
            let mut turns = self.order(Instant::now()).into_iter();
            let last = loop {
                let Some(server) = turns.next() else { return Answer::UNREACHABLE };
                let now = Instant::now();
                let left = u32::try_from(turns.len() + 1).unwrap_or(u32::MAX);
                let share = deadline.saturating_duration_since(now) / left;
                let before = server.answers();
                let answer = server.lookup(question, MAX_HOPS, now + share).await;
                if left == 1 && answer == Answer::UNREACHABLE && Instant::now() + MOMENT < deadline {
                    break server;
                }
                server.note(&answer, before);
                if left == 1 || !matches!(answer, Answer::Temporary(_)) {
                    return answer;
                }
                add(&self.counters.failovers);
            };
            Box::pin(last.lookup_in_a_moment(question, deadline)).await
        }
    }

    /// As configured, but those that rest stand last. One whose rest is over is tried by one lookup alone.
    fn order(&self, now: Instant) -> Vec<&Server> {
        let (mut order, resting): (Vec<_>, Vec<_>) = self.servers.iter().partition(|s| s.ready(now));
        order.extend(resting);
        order
    }
}

impl Server {
    fn new(address: SocketAddr, timeout: Duration) -> Result<Self, NetError> {
        Ok(Self { udp: Udp::new(address), tcp: Tcp::new(address, timeout)?, heard: Mutex::default() })
    }

    /// Asks `question`, and as many more as `hops` where aliases lead from one to the next.
    fn lookup(
        &self,
        question: &Question,
        hops: usize,
        until: Instant,
    ) -> impl Future<Output = Answer<Data>> + Send {
        async move {
            let reply = self.udp.exchange(question, until).await;
            let rest: Rest<'_> = match reply.map(|message| reply::read(question, &message)) {
                Ok(Some(Reply::Known(answer))) => return answer,
                Ok(Some(Reply::Elsewhere(_))) if hops == 0 => return Answer::NotFound { ttl: None },
                Ok(Some(Reply::Elsewhere(alias))) => self.follow(alias, question.kind, hops - 1, until),
                Ok(None) => Box::pin(self.tcp.lookup(question, until)),
                Err(trouble) => return Answer::Temporary(trouble),
            };
            rest.await
        }
    }

    async fn lookup_in_a_moment(&self, question: &Question, until: Instant) -> Answer<Data> {
        sleep(MOMENT).await;
        let before = self.answers();
        let answer = self.lookup(question, MAX_HOPS, until).await;
        self.note(&answer, before);
        answer
    }

    /// A recursive server follows aliases itself (RFC 1034 §4.3.2); others leave us at the first that leads out of
    /// their zones.
    fn follow(&self, alias: Alias, kind: Kind, hops: usize, until: Instant) -> Rest<'_> {
        Box::pin(async move {
            let question = Question { name: alias.target, kind };
            let mut answer = match reserved::answer(&question) {
                Some(answer) => answer,
                None => self.lookup(&question, hops, until).await,
            };
            if let Answer::Found { ttl, .. } = &mut answer {
                *ttl = alias.ttl.min(*ttl);
            }
            answer
        })
    }

    fn ready(&self, now: Instant) -> bool {
        let mut heard = self.heard.lock();
        match heard.rests {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                heard.rests = Some(now + REST);
                true
            }
        }
    }

    fn answers(&self) -> u32 {
        self.heard.lock().answers
    }

    /// Silence sends a server to rest, unless it has answered anybody since it had given `before` answers; any answer,
    /// even a refusal, ends that.
    fn note<T>(&self, answer: &Answer<T>, before: u32) {
        let mut heard = self.heard.lock();
        match answer {
            Answer::Temporary(Trouble::Timeout) if heard.answers != before => {}
            Answer::Temporary(Trouble::Timeout | Trouble::Unreachable) => {
                heard.rests = Some(Instant::now() + REST);
            }
            Answer::Temporary(Trouble::Busy) => {}
            _ => *heard = Heard { answers: heard.answers.wrapping_add(1), rests: None },
        }
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
    use hickory_resolver::proto::op::{Message, OpCode};
    use hickory_resolver::proto::rr::rdata::{A, CNAME};
    use hickory_resolver::proto::rr::{Name, RData, Record};
    use tokio::net::UdpSocket;
    use tokio::task::JoinHandle;

    use super::super::record;
    use super::*;

    fn name(text: &str) -> Name {
        record::name(text).unwrap()
    }

    /// A server that follows no alias; one record for each name.
    async fn unhelpful(records: Vec<Record>) -> (SocketAddr, JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut datagram = [0; 512];
            loop {
                let (length, client) = socket.recv_from(&mut datagram).await.unwrap();
                let query = Message::from_vec(&datagram[..length]).unwrap();
                let mut message = Message::response(query.metadata.id, OpCode::Query);
                message.add_answers(records.iter().filter(|r| r.name == *query.queries[0].name()).cloned());
                message.add_queries(query.queries);
                socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
            }
        });
        (address, task)
    }

    fn alias(owner: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    async fn lookup(records: Vec<Record>) -> Answer<Data> {
        let (address, task) = unhelpful(records).await;
        let settings = Settings { servers: vec![address], ..Settings::default() };
        let servers = Servers::new(&settings, Arc::default()).unwrap();
        let question = Question::new("a.test", Kind::A).unwrap();
        let answer = servers.lookup(&question, Instant::now() + settings.timeout).await;
        task.abort();
        answer
    }

    #[tokio::test]
    async fn aliases_that_the_server_does_not_follow_are_followed_here() {
        let host = Ipv4Addr::new(192, 0, 2, 7);
        let found = |host, ttl| Answer::Found { records: vec![Data::A(host)], ttl: Duration::from_secs(ttl) };
        let a = Record::from_rdata(name("c.test"), 50, RData::A(A(host)));
        let chain = vec![alias("a.test", 40, "b.test"), alias("b.test", 20, "c.test"), a];
        assert_eq!(lookup(chain).await, found(host, 20));
        let home = vec![alias("a.test", 40, "x.localhost")];
        assert_eq!(lookup(home).await, found(Ipv4Addr::LOCALHOST, 40));
        let nowhere = vec![alias("a.test", 40, "b.test")];
        assert_eq!(lookup(nowhere).await, Answer::NotFound { ttl: None });
        let ring = vec![alias("a.test", 40, "b.test"), alias("b.test", 40, "a.test")];
        assert_eq!(lookup(ring).await, Answer::NotFound { ttl: None });
    }

    #[tokio::test]
    async fn a_lookup_is_small() {
        let servers = Servers::new(&Settings::default(), Arc::default()).unwrap();
        let question = Question::new("a.test", Kind::A).unwrap();
        let size = size_of_val(&servers.lookup(&question, Instant::now()));
        println!("the future of a lookup has {size} bytes");
        assert!(size <= 560);
    }
}
