//! What other rooms count, written when somebody asks.

use std::path::PathBuf;
use std::time::SystemTime;

use super::family::Page;
use super::table;
use crate::allowlist::shared::{self, LinkState, Operation};
use crate::allowlist::{self, StoreState};
use crate::handoff::{Health, Phase, Trouble};
use crate::limits::{self, State};
use crate::screen::{ListStatistics, Malfunction, Rechecked};
use crate::tls::{self, Handshake};
use crate::{dns, handoff, rate, relay};

/// What other rooms have counted, at the moment at which somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The seats, and how many there are.
    pub seats: limits::Totals,
    /// The limits in force.
    pub limits: limits::Settings,
    /// The resolver.
    pub dns: dns::Totals,
    /// The DNS lists.
    pub lists: Vec<ListStatistics>,
    /// What came of asking the DNS lists again about clients that had passed, in the order of [`Rechecked::ALL`].
    pub rechecked: [u64; Rechecked::ALL.len()],
    /// The temporary allowlist.
    pub allowlist: allowlist::Totals,
    /// The highest counts of any client, when they were last summed up.
    pub rates: rate::Statistics,
    /// The backends.
    pub backends: Vec<handoff::Totals>,
    /// The relay.
    pub relay: relay::Totals,
    /// Until when certificates are valid, by the files that they come from.
    pub certificates: Vec<(PathBuf, SystemTime)>,
    /// TLS with clients, where it ends here.
    pub tls: tls::Totals,
    /// The configuration in force.
    pub configuration: Configuration,
    /// Another one beside it.
    pub shadow: Shadow,
    /// Log lines dropped.
    pub log_dropped: u64,
}

/// What was compared with what another configuration would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    /// Whether one is being compared.
    pub running: bool,
    /// Decisions, by what was done and what would have been.
    pub decisions: Vec<([&'static str; 2], u64)>,
    /// Decisions that were not compared.
    pub dropped: u64,
}

/// How the configuration in force came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// When it was loaded.
    pub loaded: SystemTime,
    /// Reloads that succeeded.
    pub reloads: u64,
    /// Reloads that were refused.
    pub failures: u64,
    /// Whether it is what the file says.
    pub freshness: Freshness,
}

/// Whether the configuration in force is what its file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// It is, as far as anybody has asked.
    #[default]
    Fresh,
    /// The last reload was refused.
    Stale,
}

impl Configuration {
    /// The one that the program started with.
    pub fn first(now: SystemTime) -> Self {
        Self { loaded: now, reloads: 0, failures: 0, freshness: Freshness::Fresh }
    }

    /// Another is in force from now on.
    pub fn renewed(&mut self, now: SystemTime) {
        *self = Self { loaded: now, reloads: self.reloads + 1, freshness: Freshness::Fresh, ..*self };
    }

    /// Another was refused, and this one goes on.
    pub fn kept(&mut self) {
        *self = Self { failures: self.failures + 1, freshness: Freshness::Stale, ..*self };
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self::first(SystemTime::UNIX_EPOCH)
    }
}

impl Snapshot {
    pub(super) fn write(&self, page: &mut Page) {
        seats(page, self);
        dns(page, &self.dns);
        lists(page, &self.lists);
        let rechecked = Rechecked::ALL.into_iter().zip(self.rechecked);
        page.family(&table::DNSBL_RECHECKS, rechecked.map(|(result, n)| ([result.as_str()], n)));
        allowlist(page, &self.allowlist);
        rates(page, &self.rates);
        backends(page, &self.backends);
        relay(page, &self.relay);
        certificates(page, &self.certificates);
        tls(page, &self.tls);
        configuration(page, &self.configuration);
        page.family(&table::SHADOW_DECISIONS, self.shadow.decisions.iter().copied());
        page.single(&table::SHADOW_DROPPED, self.shadow.dropped);
        page.single(&table::SHADOW_RUNNING, u8::from(self.shadow.running));
    }
}

fn seats(page: &mut Page, snapshot: &Snapshot) {
    let Snapshot { seats, limits, .. } = snapshot;
    page.family(&table::SESSIONS, State::ALL.into_iter().map(|s| ([s.as_str()], seats.sessions[s as usize])));
    page.family(
        &table::SESSION_LIMIT,
        [(["pre"], limits.pre_queue_limit), (["post"], limits.post_queue_limit)],
    );
    page.single(&table::STRESS, seats.stressed);
    page.family(
        &table::REFUSED_FULL,
        [(["pre"], seats.refused_screening), (["post"], seats.refused_backend)],
    );
}

fn rates(page: &mut Page, peaks: &rate::Statistics) {
    let reached = |limit| peaks.peak(limit).map_or(0, |peak| peak.count);
    page.family(&table::RATE_PEAK, rate::Limit::ALL.into_iter().map(|l| ([l.as_str()], reached(l))));
    page.single(&table::RATE_CLIENTS, peaks.clients);
}

fn dns(page: &mut Page, totals: &dns::Totals) {
    let lookups = totals.by_outcome().map(|(kind, outcome, n)| ([kind.as_str(), outcome.as_str()], n));
    page.family(&table::DNS_LOOKUPS, lookups);
    let latency = &totals.latency;
    let series = [([], latency.buckets.to_vec(), latency.sum.as_secs_f64())];
    page.buckets(&table::DNS_DURATION, &dns::Latency::BOUNDS, series);
    page.single(&table::DNS_CACHED, totals.cached);
    page.single(&table::DNS_JOINED, totals.joined);
    page.single(&table::DNS_FAILOVERS, totals.failovers);
    page.single(&table::DNS_IN_FLIGHT, totals.in_flight);
}

fn lists(page: &mut Page, lists: &[ListStatistics]) {
    let names = distinct(lists);
    let lists = || names.iter().map(String::as_str).zip(lists);
    let lookups = lists().flat_map(|(name, list)| {
        let results = dns::Outcome::ALL.into_iter().zip(list.lookups);
        results.map(move |(result, count)| ([name, result.as_str()], count))
    });
    page.family(&table::DNSBL_LOOKUPS, lookups);
    let latencies = lists().map(|(name, list)| {
        let latency = &list.latency;
        ([name], latency.buckets.to_vec(), latency.sum.as_secs_f64())
    });
    page.buckets(&table::DNSBL_DURATION, &dns::Latency::BOUNDS, latencies);
    page.family(&table::DNSBL_UP, lists().map(|(name, list)| ([name], u8::from(list.suspended.is_none()))));
    page.family(&table::DNSBL_HITS, lists().map(|(name, list)| ([name], list.hits)));
    page.family(&table::DNSBL_UNIQUE_HITS, lists().map(|(name, list)| ([name], list.unique_hits)));
    let malfunctions = lists().flat_map(|(name, list)| {
        let codes = Malfunction::ALL.into_iter().zip(list.malfunctions);
        codes.map(move |(code, count)| ([name, code.as_str()], count))
    });
    page.family(&table::DNSBL_MALFUNCTIONS, malfunctions);
}

/// The lists' names. A reply map may show several lists under one name, but a series must stand once: the second is
/// `name 2`.
fn distinct(lists: &[ListStatistics]) -> Vec<String> {
    let nth = |place: usize, name: &str| lists[..place].iter().filter(|list| &*list.list == name).count() + 1;
    let names = lists.iter().enumerate().map(|(place, list)| match nth(place, &list.list) {
        1 => list.list.to_string(),
        n => format!("{} {n}", list.list),
    });
    names.collect()
}

fn allowlist(page: &mut Page, totals: &allowlist::Totals) {
    page.single(&table::ALLOWLIST_ENTRIES, totals.entries);
    page.family(&table::ALLOWLIST_LOOKUPS, [(["hit"], totals.hits), (["miss"], totals.misses)]);
    page.family(&table::ALLOWLIST_CHANGES, [(["stored"], totals.stored), (["removed"], totals.removed)]);
    page.family(
        &table::ALLOWLIST_WRITES,
        [(["written"], totals.written), (["dropped"], totals.dropped_writes)],
    );
    let states = StoreState::ALL.into_iter().map(|state| ([state.as_str()], u8::from(state == totals.store)));
    page.family(&table::ALLOWLIST_STORE, states);
    shared(page, &totals.shared);
}

fn shared(page: &mut Page, totals: &shared::Totals) {
    let states = LinkState::ALL.into_iter().map(|state| ([state.as_str()], u8::from(state == totals.state)));
    page.family(&table::SHARED_STATE, states);
    let operations = Operation::ALL.into_iter().zip(&totals.operations);
    let operations = operations.flat_map(|(operation, outcomes)| {
        let outcomes = shared::Outcome::ALL.into_iter().zip(outcomes);
        outcomes.map(move |(outcome, n)| ([operation.as_str(), outcome.as_str()], n))
    });
    page.family(&table::SHARED_OPERATIONS, operations);
    let latencies = Operation::ALL.into_iter().zip(&totals.latency);
    let latencies = latencies.map(|(operation, latency)| {
        ([operation.as_str()], latency.buckets.to_vec(), latency.sum.as_secs_f64())
    });
    page.buckets(&table::SHARED_DURATION, &dns::Latency::BOUNDS, latencies);
    page.single(&table::SHARED_CONNECTIONS, totals.connections);
    page.single(&table::SHARED_PENDING, totals.pending);
    page.single(&table::SHARED_DROPPED, totals.dropped);
}

fn backends(page: &mut Page, backends: &[handoff::Totals]) {
    let up = backends.iter().map(|backend| ([&*backend.server], u8::from(backend.health == Health::Up)));
    page.family(&table::BACKEND_UP, up);
    let latencies = backends.iter().flat_map(|backend| {
        let phases = Phase::ALL.into_iter().zip(&backend.latency);
        phases.map(move |(phase, latency)| {
            ([&*backend.server, phase.as_str()], latency.buckets.to_vec(), latency.sum.as_secs_f64())
        })
    });
    page.buckets(&table::BACKEND_DURATION, &dns::Latency::BOUNDS, latencies);
    let failures = backends.iter().flat_map(|backend| {
        let phases = Phase::ALL.into_iter().zip(&backend.failures);
        phases.flat_map(move |(phase, failures)| {
            let troubles = Trouble::ALL.into_iter().zip(failures);
            troubles.map(move |(trouble, n)| ([&*backend.server, phase.as_str(), trouble.as_str()], n))
        })
    });
    page.family(&table::BACKEND_FAILURES, failures);
}

fn relay(page: &mut Page, totals: &relay::Totals) {
    let relay::Totals { up, down, .. } = totals;
    page.family(
        &table::RELAY_BYTES,
        [
            (["backend", "copied"], up.copied),
            (["backend", "spliced"], up.spliced),
            (["client", "copied"], down.copied),
            (["client", "spliced"], down.spliced),
        ],
    );
    page.single(&table::RELAY_PIPES, totals.pipes);
    page.single(&table::RELAY_PIPE_LIMITED, totals.pipe_limited);
    page.single(&table::RELAY_SPLICE_REFUSED, totals.splice_refused);
}

fn certificates(page: &mut Page, certificates: &[(PathBuf, SystemTime)]) {
    let files: Vec<_> = certificates.iter().map(|(file, _)| file.display().to_string()).collect();
    let expiries = certificates.iter().map(|(_, expires)| since_epoch(*expires));
    page.family(&table::CERTIFICATE_EXPIRY, files.iter().map(|file| [file.as_str()]).zip(expiries));
}

fn tls(page: &mut Page, totals: &tls::Totals) {
    page.family(
        &table::CERTIFICATE_RELOADS,
        [(["ok"], totals.reloads), (["failed"], totals.reload_failures)],
    );
    page.single(&table::CERTIFICATE_FRESH, u8::from(!totals.stale));
    let results = Handshake::ALL.into_iter().map(|handshake| [handshake.as_str()]);
    page.family(&table::HANDSHAKES, results.zip(totals.handshakes));
}

/// Seconds.
fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn configuration(page: &mut Page, configuration: &Configuration) {
    let Configuration { loaded, reloads, failures, freshness } = configuration;
    page.family(&table::CONFIG_RELOADS, [(["ok"], reloads), (["failed"], failures)]);
    page.single(&table::CONFIG_FRESH, u8::from(*freshness == Freshness::Fresh));
    page.single(&table::CONFIG_LOADED, since_epoch(*loaded));
}
