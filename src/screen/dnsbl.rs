//! DNS lists at work: all are asked at once about a client, and what each says is weighed as it comes.
//!
//! A client that is let go on before every list has answered takes no pass with it. Whoever stops waiting takes
//! nothing from anybody: the queries themselves belong to the resolver, and their answers are remembered there.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::action::Action;
use super::list::{Listing, list_query};
use super::lists::Lists;
use super::score::{Heard, Limits, Score, Tally};
use super::site::Site;
use super::statistics::{self, Alarm, ListStatistics, Overlaps, Watch};
use crate::dns::{Answer, Resolver, Trouble};
use crate::table::{LoadError, Table};

/// How long an answer may wait for the first check-up of its list: no longer than it may take to come itself.
const FIRST_CHECKUP: Duration = Duration::from_secs(5);

/// Which lists are asked, and what their answers lead to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lists: `domain[=filter][*weight]`. Default: none, because most ask for registration or a fee.
    pub sites: Vec<Site>,
    /// The score from which on a client fails. Default 1.
    pub threshold: Threshold,
    /// The score, below 0, down from which a client skips all other tests. Default: off.
    pub allowlist_threshold: AllowlistThreshold,
    /// What happens to a client that fails. Default `enforce`.
    pub action: Action,
    /// A table from a list's domain to the name that clients, logs and metrics see; for domains that hold a
    /// customer's key. Read once. Default: none.
    pub reply_map: Option<String>,
    /// The shortest time for which a pass is remembered. Default 60 s.
    pub min_ttl: Duration,
    /// The longest. Default 1 h.
    pub max_ttl: Duration,
    /// How often each list is tested (RFC 5782 §5). Default 2 min; 0 = never.
    pub self_test_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            threshold: Threshold::default(),
            allowlist_threshold: AllowlistThreshold::default(),
            action: Action::Enforce,
            reply_map: None,
            min_ttl: Duration::from_secs(60),
            max_ttl: Duration::from_secs(3600),
            self_test_interval: Duration::from_secs(120),
        }
    }
}

/// `dnsbl.threshold`: 1 or more, since with 0 every client fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(i32);

impl Default for Threshold {
    fn default() -> Self {
        Self(1)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(threshold) if threshold >= 1 => Ok(Self(threshold)),
            Ok(_) => Err(format!("with a threshold of {text} every client would fail; write 1 or more")),
            Err(_) => Err(format!("`{text}` is no whole number; write 1 or more")),
        }
    }
}

/// `dnsbl.allowlist_threshold`: below 0, or 0 for "off".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowlistThreshold(i32);

impl FromStr for AllowlistThreshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(threshold) if threshold <= 0 => Ok(Self(threshold)),
            Ok(_) => Err(format!(
                "{text} would let listed clients skip all tests; write a number below 0, or 0 for off"
            )),
            Err(_) => Err(format!("`{text}` is no whole number; write one below 0, or 0 for off")),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AllowlistThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lists of a configuration, with their health and their counters.
pub(super) struct Dnsbl {
    pub(super) resolver: Resolver,
    pub(super) lists: Lists,
    pub(super) watches: Vec<Arc<Watch>>,
    pub(super) self_test_interval: Duration,
    /// Rung when a list should be tested before its time.
    pub(super) alarm: Notify,
    overlaps: Overlaps,
    limits: Limits,
}

/// What one list answered, for the log.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The list's name, as clients may see it.
    pub list: Arc<str>,
    /// What it said; see [`Listing`] for what a code means.
    pub answer: Answer<Ipv4Addr>,
    /// How long that took.
    pub took: Duration,
}

impl Dnsbl {
    /// Loads the reply map; relative file names are taken from `base`.
    pub(super) fn new(settings: &Settings, resolver: Resolver, base: &Path) -> Result<Self, Vec<LoadError>> {
        let reply_map = settings.reply_map.as_ref().map(|spec| Table::load(spec, base)).transpose()?;
        let mut trouble = Vec::new();
        let lists = Lists::new(&settings.sites, |domain| {
            let map = reply_map.as_ref()?;
            let name = map.lookup(domain).map_err(|error| {
                trouble.push(LoadError::Spec { spec: error.table, what: error.what });
            });
            name.ok()?.map(String::from)
        });
        if !trouble.is_empty() {
            return Err(trouble);
        }
        let watches: Vec<_> = lists.iter().map(|list| Arc::new(Watch::new(list))).collect();
        let AllowlistThreshold(allowlist_threshold) = settings.allowlist_threshold;
        Ok(Self {
            resolver,
            overlaps: Overlaps::new(watches.len()),
            lists,
            watches,
            self_test_interval: settings.self_test_interval,
            alarm: Notify::new(),
            limits: Limits {
                threshold: settings.threshold.0.into(),
                allowlist_threshold: (allowlist_threshold < 0).then_some(allowlist_threshold.into()),
                min_ttl: settings.min_ttl,
                max_ttl: settings.max_ttl,
            },
        })
    }

    /// Lets what lists say count once they have been tested, where that is done at all.
    pub(super) fn test_first(&self) {
        if !self.self_test_interval.is_zero() {
            self.watches.iter().for_each(|watch| watch.test_first());
        }
    }

    /// Takes over what `before` knows of the lists that both have. Where none is tested, none would ever leave a
    /// suspension, so such a list begins anew.
    pub(super) fn inherit(&mut self, before: &Self) {
        let is_tested = !self.self_test_interval.is_zero();
        for watch in &mut self.watches {
            let known = before.watches.iter().find(|known| known.domain == watch.domain);
            if let Some(known) = known.filter(|known| is_tested || known.health().counts()) {
                *watch = Arc::clone(known);
            }
        }
    }

    /// Asks every list that is not suspended about `client`.
    pub(super) fn look_up(&self, client: IpAddr) -> Lookups<'_> {
        let mut tally = Tally::new(&self.lists);
        let mut pending = Vec::new();
        for (index, watch) in self.watches.iter().enumerate() {
            if watch.is_suspended() {
                tally.hear(index, Heard::Suspended);
            } else {
                pending.push(Pending { index, lookup: Box::pin(self.ask(index, client)) });
            }
        }
        Lookups { dnsbl: self, client, tally, pending }
    }

    pub(super) fn threshold(&self) -> i64 {
        self.limits.threshold
    }

    pub(super) fn statistics(&self) -> Vec<ListStatistics> {
        statistics::read(&self.lists, &self.watches, &self.overlaps)
    }

    async fn ask(&self, index: usize, client: IpAddr) -> (Answer<Ipv4Addr>, Duration) {
        let Some(watch) = self.watches.get(index) else {
            return (Answer::NotFound { ttl: None }, Duration::ZERO);
        };
        let start = Instant::now();
        // Named first, or the name asked for would be kept while the answer is awaited.
        let lookup = self.resolver.a(&list_query(client, &watch.domain));
        let mut answer = lookup.await;
        let took = start.elapsed();
        if watch.answered(&answer, took) == Alarm::Raised {
            self.alarm.notify_one();
        }
        // A list that is dead may list the world, and says so before the check-up can say what it is.
        if watch.health().is_untested() && !matches!(answer, Answer::Temporary(_)) {
            // Boxed: that is so only for a moment after the start.
            let tested = Box::pin(timeout_at(start + FIRST_CHECKUP, watch.tested()));
            if tested.await.is_err() {
                answer = Answer::Temporary(Trouble::Timeout);
            }
        }
        (answer, took)
    }
}

/// Lookups under way for one client.
pub(super) struct Lookups<'a> {
    dnsbl: &'a Dnsbl,
    client: IpAddr,
    tally: Tally<'a>,
    pending: Vec<Pending<'a>>,
}

struct Pending<'a> {
    index: usize,
    lookup: Pin<Box<dyn Future<Output = (Answer<Ipv4Addr>, Duration)> + Send + 'a>>,
}

impl Lookups<'_> {
    /// The next answer that arrives; `None` when all have. May be dropped while it waits without losing any.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Is ready when [`next`](Self::next) is.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        if self.pending.is_empty() {
            return Poll::Ready(None);
        }
        let mut lookups = self.pending.iter_mut().enumerate();
        let arrived = lookups.find_map(|(at, pending)| match pending.lookup.as_mut().poll(cx) {
            Poll::Ready((answer, took)) => Some((at, answer, took)),
            Poll::Pending => None,
        });
        let Some((at, answer, took)) = arrived else { return Poll::Pending };
        let index = self.pending.swap_remove(at).index;
        let is_suspended = self.dnsbl.watches.get(index).is_some_and(|watch| watch.is_suspended());
        self.tally.hear(index, if is_suspended { Heard::Suspended } else { heard(&answer) });
        let list = self.dnsbl.lists.iter().nth(index);
        Poll::Ready(list.map(|list| Reply { list: Arc::clone(list.name()), answer, took }))
    }

    /// Whom they are about.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Whether every list has answered.
    pub(super) fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }

    /// What the answers so far amount to. A verdict of "listed" stands, whatever else arrives.
    pub(super) fn score(&self) -> Score {
        self.tally.score(&self.dnsbl.limits)
    }

    /// The score, with nothing more to come.
    pub(super) fn conclude(self) -> Score {
        let score = self.score();
        statistics::conclude(&score, &self.dnsbl.watches, &self.dnsbl.overlaps);
        score
    }
}

/// What an answer says of a client.
fn heard(answer: &Answer<Ipv4Addr>) -> Heard {
    match answer {
        Answer::Temporary(_) => Heard::Nothing,
        Answer::NotFound { ttl } => Heard::NotListed { ttl: *ttl },
        Answer::Found { records, ttl } => {
            let answers: Vec<_> =
                records.iter().copied().filter(|code| Listing::of(*code) == Listing::Listed).collect();
            if answers.is_empty() { Heard::Nothing } else { Heard::Listed { answers, ttl: *ttl } }
        }
    }
}
