//! DNS as this program needs it: a name in, an [`Answer`] out, within a deadline.
//!
//! Trouble is a value, not an error: each caller says what it does with [`Answer::Temporary`], and none may refuse
//! a client because of it. Names are absolute; no search list is ever applied.
//!
//! It validates nothing: DNSSEC is the work of the resolver that it asks, which best stands on the same host.
//! `localhost`, `invalid`, `onion` and the reverse names of 127.0.0.0/8 are answered here and never asked for
//! (RFC 6761 §6).

mod cache;
mod exchange;
mod memory;
mod network;
mod record;
mod reply;
mod reserved;
mod responder;
mod tcp;
mod totals;
mod zone;

pub use network::{Settings, SetupError};
pub use record::{Kind, Mx};
pub use responder::Responder;
pub use totals::{Latency, Outcome, Totals};
pub(crate) use totals::{Outcomes, Stopwatch, add};
pub use zone::{Zone, ZoneError};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use cache::{Arrival, Shared};
use network::Servers;
use record::{Data, Question};
use totals::Counters;

/// What a lookup brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// At least one record.
    Found {
        /// The records, in the order in which they came.
        records: Vec<T>,
        /// The lowest TTL among them.
        ttl: Duration,
    },
    /// NXDOMAIN, or no record of that type; also a name that cannot stand in DNS.
    NotFound {
        /// How long that may be remembered (RFC 2308 §5), where the answer said so.
        ttl: Option<Duration>,
    },
    /// SERVFAIL, REFUSED, a timeout, no server, or too many lookups in flight. Says nothing about the name.
    Temporary(Trouble),
}

impl<T> Answer<T> {
    /// Nobody has said anything.
    const UNREACHABLE: Self = Self::Temporary(Trouble::Unreachable);
}

/// Why a lookup brought nothing; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No answer in time.
    Timeout,
    /// A server answered SERVFAIL.
    ServFail,
    /// A server answered REFUSED.
    Refused,
    /// An answer that makes no sense.
    Malformed,
    /// Too many lookups were in flight for this one to have its turn.
    Busy,
    /// No server could be asked at all.
    Unreachable,
}

impl Trouble {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ServFail => "servfail",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A handle on the resolver; clones share servers, cap and cache.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    source: Source,
    counters: Arc<Counters>,
}

enum Source {
    Zone(Zone),
    Network(Shared),
}

impl Resolver {
    /// A resolver that asks the servers of `settings`. Nothing is sent yet.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let counters = Arc::new(Counters::default());
        let servers = Servers::new(settings, Arc::clone(&counters))?;
        let source = Source::Network(Shared::new(servers, settings, Arc::clone(&counters)));
        Ok(Self(Arc::new(Inner { source, counters })))
    }

    /// A resolver that answers from memory alone: `explain --zone`, tests.
    pub fn from_zone(zone: Zone) -> Self {
        Self(Arc::new(Inner { source: Source::Zone(zone), counters: Arc::default() }))
    }

    /// IPv4 addresses.
    ///
    /// As with all lookups, whoever awaits it drives it. What waits for an answer is small; there are many of them.
    pub fn a<'r>(&'r self, name: &str) -> impl Future<Output = Answer<Ipv4Addr>> + Send + use<'r> {
        self.ask(name, Kind::A, |data| if let Data::A(a) = data { Some(a) } else { None })
    }

    /// IPv4 addresses, asked for now: what is remembered does not count, as when a list is tested.
    pub fn a_afresh<'r>(&'r self, name: &str) -> impl Future<Output = Answer<Ipv4Addr>> + Send + use<'r> {
        self.forget(name, Kind::A);
        self.a(name)
    }

    /// IPv6 addresses.
    pub fn aaaa<'r>(&'r self, name: &str) -> impl Future<Output = Answer<Ipv6Addr>> + Send + use<'r> {
        self.ask(name, Kind::Aaaa, |data| if let Data::Aaaa(a) = data { Some(a) } else { None })
    }

    /// IPv6 addresses, asked for now.
    pub fn aaaa_afresh<'r>(&'r self, name: &str) -> impl Future<Output = Answer<Ipv6Addr>> + Send + use<'r> {
        self.forget(name, Kind::Aaaa);
        self.aaaa(name)
    }

    /// Mail exchangers, most preferred first.
    pub fn mx<'r>(&'r self, name: &str) -> impl Future<Output = Answer<Mx>> + Send + use<'r> {
        let asked = self.ask(name, Kind::Mx, |data| if let Data::Mx(mx) = data { Some(mx) } else { None });
        async move {
            let mut answer = asked.await;
            if let Answer::Found { records, .. } = &mut answer {
                records.sort_by_key(|mx| mx.preference);
            }
            answer
        }
    }

    /// Name servers, without final dots.
    pub fn ns<'r>(&'r self, name: &str) -> impl Future<Output = Answer<String>> + Send + use<'r> {
        self.ask(name, Kind::Ns, |data| if let Data::Ns(host) = data { Some(host) } else { None })
    }

    /// Texts, each record's strings joined; control characters come as `?`.
    pub fn txt<'r>(&'r self, name: &str) -> impl Future<Output = Answer<String>> + Send + use<'r> {
        self.ask(name, Kind::Txt, |data| if let Data::Txt(text) = data { Some(text) } else { None })
    }

    /// The names that an address claims in the reverse tree, without final dots.
    pub fn ptr(&self, address: IpAddr) -> impl Future<Output = Answer<String>> + Send {
        let arrival = self.lookup(Question::reverse(address));
        self.only(Kind::Ptr, Some(arrival), |data| if let Data::Ptr(host) = data { Some(host) } else { None })
    }

    /// What has been done so far.
    pub fn totals(&self) -> Totals {
        let in_flight = match &self.0.source {
            Source::Zone(_) => 0,
            Source::Network(shared) => shared.in_flight(),
        };
        self.0.counters.read(in_flight)
    }

    fn forget(&self, name: &str, kind: Kind) {
        if let (Source::Network(shared), Some(question)) = (&self.0.source, Question::new(name, kind)) {
            shared.forget(&question);
        }
    }

    fn ask<'r, T, P>(
        &'r self,
        name: &str,
        kind: Kind,
        pick: P,
    ) -> impl Future<Output = Answer<T>> + Send + use<'r, T, P>
    where
        P: FnMut(Data) -> Option<T> + Send,
    {
        let arrival = Question::new(name, kind).map(|question| self.lookup(question));
        self.only(kind, arrival, pick)
    }

    fn lookup(&self, question: Question) -> Arrival {
        match &self.0.source {
            Source::Network(shared) => shared.lookup(question),
            Source::Zone(zone) => match zone.resolve(&question) {
                (answer, Duration::ZERO) => Arrival::Here(answer),
                (answer, delay) => Arrival::Delayed(Box::pin(sleep(delay)), answer),
            },
        }
    }

    /// What `pick` takes of the answer; of a name that cannot stand in DNS, nobody was asked.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
    fn only<'r, T, P>(
        &'r self,
        kind: Kind,
        mut arrival: Option<Arrival>,
        pick: P,
    ) -> impl Future<Output = Answer<T>> + Send + use<'r, T, P>
    where
        P: FnMut(Data) -> Option<T> + Send,
    {
        async move {
            let Some(arrival) = &mut arrival else { return Answer::NotFound { ttl: None } };
            let answer = arrival.await;
            self.0.counters.lookup(kind, answer.outcome());
            answer.only(pick)
        }
    }
}

impl<T> Answer<T> {
    /// Keeps what `pick` takes of the records; none left means not found.
    fn only<U>(self, pick: impl FnMut(T) -> Option<U>) -> Answer<U> {
        match self {
            Self::NotFound { ttl } => Answer::NotFound { ttl },
            Self::Temporary(trouble) => Answer::Temporary(trouble),
            Self::Found { records, ttl } => {
                let records: Vec<U> = records.into_iter().filter_map(pick).collect();
                if records.is_empty() {
                    Answer::NotFound { ttl: None }
                } else {
                    Answer::Found { records, ttl }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn serve(zone: &str) -> Responder {
        let loopback = "127.0.0.1:0".parse().unwrap();
        Responder::bind(loopback, Zone::parse(zone).unwrap()).await.unwrap()
    }

    fn settings(servers: &[&Responder]) -> Settings {
        let servers = servers.iter().map(|server| server.address()).collect();
        Settings { servers, timeout: Duration::from_secs(2), ..Settings::default() }
    }

    fn resolver(servers: &[&Responder]) -> Resolver {
        Resolver::new(&settings(servers)).unwrap()
    }

    fn found<T>(answer: Answer<T>) -> Vec<T> {
        match answer {
            Answer::Found { records, .. } => records,
            other => panic!("not found: {:?}", other.outcome()),
        }
    }

    /// On a machine under load, a query may be sent several times before its answer is read.
    const RETRANSMISSIONS: u64 = 3;

    const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const GOOD: &str = "a.test A 192.0.2.7\nb.test A 192.0.2.7\nc.test A 192.0.2.7";

    #[tokio::test]
    async fn every_type_comes_over_the_wire() {
        let server = serve(
            "a.test A 192.0.2.7\na.test AAAA 2001:db8::7\na.test MX 20 b.a.test\na.test MX 10 under_score.a.test
             a.test NS ns.a.test\nnull.test MX 0 .\nw.test CNAME a.test\na.test TXT \"one \" \"two\"
             192.0.2.7 PTR a.test\n2001:db8::7 PTR a.test\na.test SOA 77",
        )
        .await;
        let dns = resolver(&[&server]);
        assert_eq!(found(dns.a("W.test").await), [HOST]);
        assert_eq!(found(dns.aaaa("a.test.").await), ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
        let exchanges: Vec<_> = found(dns.mx("a.test").await).into_iter().map(|mx| mx.exchange).collect();
        assert_eq!(exchanges, ["under_score.a.test", "b.a.test"]);
        assert_eq!(found(dns.mx("null.test").await), [Mx { preference: 0, exchange: String::new() }]);
        assert_eq!(found(dns.ns("a.test").await), ["ns.a.test"]);
        assert_eq!(found(dns.txt("a.test").await), ["one two"]);
        assert_eq!(found(dns.ptr(HOST.into()).await), ["a.test"]);
        assert_eq!(found(dns.ptr("2001:db8::7".parse().unwrap()).await), ["a.test"]);
        let absent = Answer::NotFound { ttl: Some(Duration::from_secs(77)) };
        assert_eq!(dns.a("gone.a.test").await, absent, "NXDOMAIN");
        assert_eq!(dns.aaaa("b.a.test").await.outcome(), Outcome::NotFound);
        assert_eq!(dns.a("no such name").await, Answer::NotFound { ttl: None });
    }

    #[tokio::test]
    async fn a_failing_server_is_passed_over() {
        for fault in ["SERVFAIL", "REFUSED"] {
            let bad = serve(&format!("a.test ANY {fault}")).await;
            let good = serve(GOOD).await;
            let dns = resolver(&[&bad, &good]);
            assert_eq!(found(dns.a("a.test").await), [HOST], "{fault}");
            assert_eq!(dns.totals().failovers, 1);
            assert_eq!(dns.a("b.test").await, Answer::NotFound { ttl: None }, "it is still asked first");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_passed_over_and_then_asked_last() {
        let good = serve(GOOD).await;
        let gone = serve(GOOD).await.address();
        let settings = Settings { servers: vec![gone, good.address()], ..Settings::default() };
        let dns = Resolver::new(&settings).unwrap();
        assert_eq!(found(dns.a("a.test").await), [HOST]);
        assert_eq!(found(dns.a("b.test").await), [HOST]);
        assert_eq!(dns.totals().failovers, 1);
    }

    #[tokio::test]
    async fn reserved_names_are_not_asked_for() {
        let server = serve(GOOD).await;
        let dns = resolver(&[&server]);
        assert_eq!(found(dns.a("localhost").await), [Ipv4Addr::LOCALHOST]);
        assert_eq!(found(dns.ptr("127.0.0.9".parse().unwrap()).await), ["localhost"]);
        assert_eq!(dns.a("host.invalid").await, Answer::NotFound { ttl: None });
        assert_eq!(server.queries(), 0);
    }

    #[tokio::test]
    async fn a_silent_server_leaves_time_for_the_next_and_is_then_asked_last() {
        let silent = serve("*.test ANY TIMEOUT").await;
        let good = serve(GOOD).await;
        let dns = resolver(&[&silent, &good]);
        assert_eq!(found(dns.a("a.test").await), [HOST]);
        assert!(silent.queries_for("a.test") > 0);
        assert_eq!(found(dns.a("b.test").await), [HOST]);
        assert_eq!(silent.queries_for("b.test"), 0);
    }

    #[tokio::test]
    async fn a_server_that_is_silent_about_one_name_alone_is_still_asked_first() {
        let first = serve(&format!("slow.test ANY TIMEOUT\n{GOOD}")).await;
        let second = serve(GOOD).await;
        let dns = resolver(&[&first, &second]);
        let (slow, answer) = tokio::join!(dns.a("slow.test"), dns.a("a.test"));
        assert_eq!((slow, found(answer)), (Answer::NotFound { ttl: None }, vec![HOST]));
        assert_eq!(found(dns.a("b.test").await), [HOST]);
        assert!(first.queries_for("b.test") > 0);
    }

    #[tokio::test]
    async fn a_server_that_is_restarted_is_waited_for() {
        let server = serve(GOOD).await;
        let address = server.address();
        let dns = resolver(&[&server]);
        drop(server);
        let (answer, _server) = tokio::join!(dns.a("a.test"), async {
            while dns.totals().in_flight == 0 {
                tokio::task::yield_now().await;
            }
            sleep(Duration::from_millis(100)).await;
            Responder::bind(address, Zone::parse(GOOD).unwrap()).await.unwrap()
        });
        assert_eq!(found(answer), [HOST]);
    }

    #[tokio::test]
    async fn trouble_everywhere_is_told_and_remembered_for_seconds() {
        let refusing = serve("*.test ANY REFUSED").await;
        let failing = serve("*.test ANY SERVFAIL").await;
        let dns = resolver(&[&refusing, &failing]);
        for _ in 0..3 {
            assert_eq!(dns.a("a.test").await, Answer::Temporary(Trouble::ServFail));
        }
        assert_eq!(dns.totals().latency.count(), 1);
        let silent = serve("*.test ANY TIMEOUT").await;
        let settings = Settings { timeout: Duration::from_millis(100), ..settings(&[&silent]) };
        let dns = Resolver::new(&settings).unwrap();
        assert_eq!(dns.a("a.test").await, Answer::Temporary(Trouble::Timeout));
    }

    #[tokio::test]
    async fn a_truncated_answer_is_fetched_over_tcp() {
        let long: String = (0..60).map(|i| format!("long.test A 192.0.2.{i}\n")).collect();
        let server = serve(&format!("{long}cut.test A 192.0.2.7\ncut.test ANY TRUNCATED")).await;
        let dns = resolver(&[&server]);
        assert_eq!(found(dns.a("long.test").await).len(), 60);
        assert_eq!(found(dns.a("cut.test").await), [HOST]);
        assert!(server.queries_for("cut.test") >= 2, "once for each transport");
    }

    #[tokio::test]
    async fn a_question_is_in_flight_once_and_its_answer_is_remembered() {
        let server = serve("a.test 60 A 192.0.2.7\na.test ANY DELAY 100").await;
        let dns = resolver(&[&server]);
        // One who gives up takes nothing from the others.
        let hasty = tokio::spawn({
            let dns = dns.clone();
            async move { dns.a("a.test").await }
        });
        while dns.totals().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        hasty.abort();
        let patient: Vec<_> = (0..50)
            .map(|i| {
                let dns = dns.clone();
                tokio::spawn(async move { dns.a(if i % 2 == 0 { "a.test" } else { "A.TEST." }).await })
            })
            .collect();
        for lookup in patient {
            assert_eq!(found(lookup.await.unwrap()), [HOST]);
        }
        let Answer::Found { ttl, .. } = dns.a("a.test").await else { panic!("forgotten") };
        assert!(ttl <= Duration::from_secs(60));
        assert!(server.queries() <= RETRANSMISSIONS);
        let totals = dns.totals();
        assert_eq!((totals.joined, totals.cached, totals.in_flight, totals.latency.count()), (50, 1, 0, 1));
    }

    #[tokio::test]
    async fn what_is_asked_afresh_is_asked_again() {
        let server = serve(GOOD).await;
        let dns = resolver(&[&server]);
        assert_eq!(found(dns.a("a.test").await), [HOST]);
        server.serve(Zone::default());
        assert_eq!(found(dns.a("a.test").await), [HOST]);
        assert_eq!(dns.a_afresh("a.test").await.outcome(), Outcome::NotFound);
    }

    #[tokio::test]
    async fn of_more_than_can_be_remembered_the_last_are() {
        let server = serve(GOOD).await;
        let dns = Resolver::new(&Settings { cache_limit: 2, ..settings(&[&server]) }).unwrap();
        let mut asked = Vec::new();
        for name in ["a.test", "b.test", "a.test", "c.test", "a.test", "b.test"] {
            assert_eq!(found(dns.a(name).await), [HOST]);
            asked.push(dns.totals().latency.count());
        }
        assert_eq!(asked, [1, 2, 2, 3, 3, 4], "c.test has taken the place of b.test");
    }

    #[tokio::test]
    async fn a_ttl_of_zero_is_not_remembered() {
        let server = serve("a.test 0 A 192.0.2.7").await;
        let dns = resolver(&[&server]);
        for _ in 0..2 {
            assert_eq!(found(dns.a("a.test").await), [HOST]);
        }
        assert_eq!(dns.totals().latency.count(), 2);
    }

    #[tokio::test]
    async fn over_the_cap_lookups_wait_and_what_is_too_much_is_turned_away() {
        let server = serve("*.test A 192.0.2.7\n*.test ANY DELAY 20").await;
        let dns = Resolver::new(&Settings { in_flight_limit: 1, ..settings(&[&server]) }).unwrap();
        let mut lookups = tokio::task::JoinSet::new();
        for i in 0..20 {
            let dns = dns.clone();
            lookups.spawn(async move { dns.a(&format!("{i}.test")).await });
        }
        while lookups.join_next().await.is_some() {}
        let totals = dns.totals();
        let count =
            |wanted| -> u64 { totals.by_outcome().filter(|(_, o, _)| *o == wanted).map(|(_, _, n)| n).sum() };
        assert_eq!((count(Outcome::Found), count(Outcome::Temporary(Trouble::Busy))), (9, 11));
        assert_eq!(found(dns.a("19.test").await), [HOST], "being busy is not remembered");
    }

    #[tokio::test]
    async fn whose_turn_comes_late_has_been_turned_away_and_blames_no_server() {
        let server = serve("*.test A 192.0.2.7\n*.test ANY DELAY 300").await;
        let timeout = Duration::from_millis(400);
        let dns = Resolver::new(&Settings { in_flight_limit: 1, timeout, ..settings(&[&server]) }).unwrap();
        let (_, late) = tokio::join!(dns.a("a.test"), dns.a("b.test"));
        assert_eq!(late, Answer::Temporary(Trouble::Busy));
    }

    #[tokio::test(start_paused = true)]
    async fn a_zone_answers_after_its_delay() {
        let dns = Resolver::from_zone(Zone::parse("a.test A 192.0.2.7\na.test A DELAY 300").unwrap());
        let start = tokio::time::Instant::now();
        assert_eq!(found(dns.a("a.test").await), [HOST]);
        assert_eq!(start.elapsed(), Duration::from_millis(300));
    }
}
