//! What operators count: the one module that knows Prometheus.
//!
//! Other rooms hand over facts: a [`Report`] for each connection that has ended, and plain counters, read when
//! somebody asks ([`Snapshot`]). Every metric stands in one table, from which its registration, its help and the
//! documentation are made.
//!
//! The values of labels come from closed sets or from the configuration. So the number of series depends on the
//! configuration alone, and no client can fill the memory of a Prometheus.

mod family;
mod process;
mod table;

pub use family::{Family, Kind};

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use metrics::{Counter, Histogram, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::allowlist::{self, StoreState};
use crate::limits::{self, State};
use crate::report::{Outcome, Report};
use crate::{dns, relay};

use family::Page;
use process::Process;

/// How often [`Metrics::upkeep`] tidies: samples of histograms pile up in between.
const UPKEEP: Duration = Duration::from_secs(5);

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where `/metrics`, `/healthz` and `/readyz` are served. Default: none, nowhere.
    pub listen: Option<SocketAddr>,
}

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
    started: SystemTime,
    connections: [Counter; Outcome::ALL.len()],
    durations: [Histogram; State::ALL.len()],
    handoffs: Histogram,
}

/// What other rooms have counted, at the moment at which somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The seats, and how many there are.
    pub seats: limits::Totals,
    /// The limits in force.
    pub limits: limits::Settings,
    /// The resolver.
    pub dns: dns::Totals,
    /// The temporary allowlist.
    pub allowlist: allowlist::Totals,
    /// The relay.
    pub relay: relay::Totals,
    /// Log lines dropped.
    pub log_dropped: u64,
}

impl Metrics {
    /// Registers what stands in the table, so that every series exists, at 0, from the start.
    pub fn new(now: SystemTime) -> Self {
        let recorder = recorder();
        for family in table::ALL {
            let (name, help) = (family.name.into(), family.help.into());
            match family.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        Self {
            handle: recorder.handle(),
            started: now,
            connections: Outcome::ALL
                .map(|outcome| table::CONNECTIONS.register_counter(&recorder, &[outcome.as_str()])),
            durations: State::ALL
                .map(|stage| table::CONNECTION_DURATION.register_histogram(&recorder, &[stage.as_str()])),
            handoffs: table::HANDOFF_DURATION.register_histogram(&recorder, &[]),
        }
    }

    /// Counts a connection that has ended.
    pub fn observe(&self, report: &Report) {
        let (Some(outcome), Some(duration)) = (report.outcome(), report.duration()) else { return };
        if let Some(place) = Outcome::ALL.iter().position(|known| *known == outcome) {
            self.connections[place].increment(1);
        }
        self.durations[report.stage() as usize].record(duration);
        if let Some(handoff) = report.handoff() {
            self.handoffs.record(handoff.took);
        }
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let mut text = self.handle.render();
        text.push_str(&self.page(snapshot));
        text
    }

    /// Tidies histograms, for ever.
    pub async fn upkeep(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }

    /// All metrics as a table in Markdown: the documentation.
    pub fn documentation() -> String {
        family::markdown(table::ALL)
    }

    fn page(&self, snapshot: &Snapshot) -> String {
        let mut page = Page::default();
        seats(&mut page, snapshot);
        dns(&mut page, &snapshot.dns);
        allowlist(&mut page, &snapshot.allowlist);
        relay(&mut page, &snapshot.relay);
        self.process(&mut page, snapshot.log_dropped);
        page.into_string()
    }

    fn process(&self, page: &mut Page, log_dropped: u64) {
        page.single(&table::LOG_DROPPED, log_dropped);
        page.family(&table::BUILD_INFO, [([env!("CARGO_PKG_VERSION")], 1)]);
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.single(&table::START_TIME, started.as_secs_f64());
        let process = Process::read();
        let one = |number: Option<u64>| number.map(|number| ([], number));
        page.family(&table::OPEN_FDS, one(process.open_fds));
        page.family(&table::MAX_FDS, one(process.max_fds));
        page.family(&table::RESIDENT_MEMORY, one(process.resident_memory));
        page.family(&table::CPU, process.cpu.map(|seconds| ([], seconds)));
        page.family(&table::THREADS, one(process.threads));
    }
}

fn recorder() -> PrometheusRecorder {
    let mut histograms = table::ALL.iter().filter_map(|family| match family.kind {
        Kind::Histogram(buckets) => Some((Matcher::Full(family.name.to_owned()), buckets)),
        Kind::Counter | Kind::Gauge => None,
    });
    // Refused only without a single bucket, and a test sees to that.
    let builder = histograms.try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(name, buckets)
    });
    builder.unwrap_or_default().build_recorder()
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::proxy_protocol::Endpoints;

    fn metrics() -> Metrics {
        Metrics::new(SystemTime::UNIX_EPOCH)
    }

    fn report(outcome: Outcome) -> Report {
        let ends =
            Endpoints { client: "192.0.2.1:4711".parse().unwrap(), server: "192.0.2.2:25".parse().unwrap() };
        let mut report = Report::new(ends, SystemTime::now());
        report.end(outcome);
        report
    }

    /// The series of a page: everything in front of the number.
    fn series(text: &str) -> HashSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
    }

    #[test]
    fn the_page_shows_all_of_the_table_and_nothing_else() {
        let text = metrics().render(&Snapshot::default());
        let documented: HashSet<_> = table::ALL.iter().map(|family| family.name.to_owned()).collect();
        let heads = |word: &str| -> Vec<String> {
            let heads = text.lines().filter_map(|line| line.strip_prefix(&format!("# {word} ")));
            heads.filter_map(|head| head.split(' ').next()).map(str::to_owned).collect()
        };
        for word in ["HELP", "TYPE"] {
            let shown = heads(word);
            assert_eq!(shown.len(), documented.len(), "{word} twice, or missing");
            assert_eq!(shown.into_iter().collect::<HashSet<_>>(), documented, "{word}");
        }
    }

    #[test]
    fn names_carry_their_units_and_only_counters_end_in_total() {
        let mut names = HashSet::new();
        for family in table::ALL {
            assert!(family.name.starts_with("prescreen_") && names.insert(family.name), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.help);
            if let Kind::Histogram(buckets) = family.kind {
                assert!(!buckets.is_empty() && buckets.is_sorted(), "{}", family.name);
            }
        }
    }

    #[test]
    fn a_connection_counts_once_by_what_it_came_to() {
        let metrics = metrics();
        metrics.observe(&report(Outcome::HungUp));
        let text = metrics.render(&Snapshot::default());
        assert!(text.contains("prescreen_connections_total{outcome=\"hangup\"} 1\n"), "{text}");
        assert!(text.contains("prescreen_connections_total{outcome=\"relayed\"} 0\n"), "{text}");
        assert!(text.contains("prescreen_connection_duration_seconds_count{stage=\"screen\"} 1\n"), "{text}");
    }

    #[test]
    fn the_number_of_series_does_not_grow_with_clients() {
        let metrics = metrics();
        for outcome in Outcome::ALL {
            metrics.observe(&report(outcome));
        }
        let before = series(&metrics.render(&Snapshot::default()));
        for n in 0..10_000 {
            metrics.observe(&report(Outcome::ALL[n % Outcome::ALL.len()]));
        }
        assert_eq!(series(&metrics.render(&Snapshot::default())), before);
    }

    #[test]
    fn buckets_of_another_room_are_cumulative() {
        let mut dns = dns::Totals::default();
        dns.latency.buckets[0] = 3;
        dns.latency.buckets[2] = 1;
        dns.latency.sum = Duration::from_millis(12);
        let text = metrics().render(&Snapshot { dns, ..Snapshot::default() });
        for line in [
            "prescreen_dns_lookup_duration_seconds_bucket{le=\"0.001\"} 3",
            "prescreen_dns_lookup_duration_seconds_bucket{le=\"0.01\"} 4",
            "prescreen_dns_lookup_duration_seconds_bucket{le=\"+Inf\"} 4",
            "prescreen_dns_lookup_duration_seconds_sum 0.012",
            "prescreen_dns_lookup_duration_seconds_count 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
