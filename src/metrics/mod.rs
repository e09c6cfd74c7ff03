//! What operators count: the one module that knows Prometheus.
//!
//! Other rooms hand over facts: a [`Report`] for each connection that has ended, and plain counters, read when
//! somebody asks ([`Snapshot`]). Every metric stands in one table, from which its registration, its help and the
//! documentation are made.
//!
//! The values of labels come from closed sets or from the configuration. So the number of series depends on the
//! configuration alone, and no client can fill the memory of a Prometheus.

mod busiest;
mod family;
mod hour;
mod process;
mod rooms;
mod runtime;
mod table;

pub use family::{Family, Kind};
pub use hour::Hour;
pub use rooms::{Configuration, Freshness, Shadow, Snapshot};

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use metrics::{Counter, Histogram, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use crate::allowlist::Test;
use crate::limits::State;
use crate::rate::Limit;
use crate::report::{Judge, Outcome, Refusal, Report, TestResult, Verdict};
use crate::screen::History;

use busiest::Busiest;
use family::Page;
use process::Process;
use runtime::Runtime;

/// How often [`Metrics::upkeep`] tidies: samples of histograms pile up in between.
const UPKEEP: Duration = Duration::from_secs(5);

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where `/metrics`, `/healthz`, `/readyz` and, at `/`, a status page are served. Default: none, nowhere.
    pub listen: Option<SocketAddr>,
}

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    started: SystemTime,
    begun: Instant,
    hour: Mutex<Hour>,
    connections: [Counter; Outcome::ALL.len()],
    observed: [Counter; Outcome::ALL.len()],
    durations: [Histogram; State::ALL.len()],
    tests: [[Counter; TestResult::ALL.len()]; Test::ALL.len()],
    passes: [Counter; 2],
    waits: Histogram,
    scores: Histogram,
    handoffs: [Counter; 2],
    handoff_durations: Histogram,
    busiest: Busiest,
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
            begun: Instant::now(),
            hour: Mutex::default(),
            observed: Outcome::ALL
                .map(|outcome| table::OBSERVED.register_counter(&recorder, &[outcome.as_str()])),
            connections: Outcome::ALL
                .map(|outcome| table::CONNECTIONS.register_counter(&recorder, &[outcome.as_str()])),
            durations: State::ALL
                .map(|stage| table::CONNECTION_DURATION.register_histogram(&recorder, &[stage.as_str()])),
            tests: Test::ALL.map(|test| {
                TestResult::ALL
                    .map(|result| table::TESTS.register_counter(&recorder, &[test.as_str(), result.as_str()]))
            }),
            passes: ["new", "old"].map(|history| table::PASSES.register_counter(&recorder, &[history])),
            waits: table::GREET_WAIT.register_histogram(&recorder, &[]),
            scores: table::DNSBL_SCORE.register_histogram(&recorder, &[]),
            handoffs: ["ok", "failed"].map(|result| table::HANDOFFS.register_counter(&recorder, &[result])),
            handoff_durations: table::HANDOFF_DURATION.register_histogram(&recorder, &[]),
            busiest: Busiest::default(),
            recorder,
        }
        .with_closed_sets()
    }

    /// What is counted rarely is looked up when it is counted; its series exist from the start all the same.
    fn with_closed_sets(self) -> Self {
        for limit in Limit::ALL {
            self.verdict(Verdict { by: Judge::Rate(limit), action: Refusal::Defer }, 0);
        }
        for by in [Judge::Test, Judge::Limit, Judge::Backend, Judge::Protocol] {
            self.verdict(Verdict { by, action: Refusal::Reject }, 0);
            self.verdict(Verdict { by, action: Refusal::Defer }, 0);
        }
        self.verdict(Verdict { by: Judge::NoBackend, action: Refusal::Defer }, 0);
        self
    }

    /// Counts a connection that has ended.
    pub fn observe(&self, report: &Report) {
        let (Some(outcome), Some(duration)) = (report.outcome(), report.duration()) else { return };
        if let Some(place) = Outcome::ALL.iter().position(|known| *known == outcome) {
            self.connections[place].increment(1);
        }
        let would_have = |known: &Outcome| Some(*known) == report.would_have();
        if let Some(place) = Outcome::ALL.iter().position(would_have) {
            self.observed[place].increment(1);
        }
        self.hour.lock().note(self.minute(), outcome);
        self.durations[report.stage() as usize].record(duration);
        // Whoever is permitted for good may come as often as it likes, and without a header a proxy stands for itself.
        let nobody = matches!(outcome, Outcome::Forwarded | Outcome::BadProxyHeader | Outcome::Busy(_));
        if !nobody && !report.is_permitted() {
            self.busiest.note(report.ends().client.ip().to_canonical());
        }
        for (test, result) in report.tests() {
            self.tests[test as usize][result as usize].increment(1);
        }
        if let Some(history) = report.history() {
            self.passes[usize::from(history == History::Old)].increment(1);
        }
        if let Some(waited) = report.waited() {
            self.waits.record(waited);
        }
        if let Some(score) = report.score() {
            // A sum of weights; far below what a double holds exactly.
            self.scores.record(score.total as f64);
        }
        for (verdict, count) in report.verdicts() {
            self.verdict(*verdict, *count);
        }
        if let Some(handoff) = report.handoff() {
            self.handoffs[usize::from(handoff.server.is_none())].increment(1);
            self.handoff_durations.record(handoff.took);
        }
    }

    fn verdict(&self, verdict: Verdict, count: u64) {
        let Verdict { by, action } = verdict;
        let action = action.as_str();
        table::REFUSALS.register_counter(&self.recorder, &[by.as_str(), action]).increment(count);
        match by {
            Judge::Restriction(list, verb) => table::RESTRICTIONS
                .register_counter(&self.recorder, &[list.as_str(), verb, action])
                .increment(count),
            Judge::Rate(limit) => {
                table::RATE_LIMITED.register_counter(&self.recorder, &[limit.as_str()]).increment(count);
            }
            _ => {}
        }
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let mut text = self.handle.render();
        let mut page = Page::default();
        snapshot.write(&mut page);
        self.process(&mut page, snapshot.log_dropped);
        text.push_str(&page.into_string());
        text
    }

    /// The outcomes of the last hour.
    pub fn last_hour(&self) -> Hour {
        let mut hour = self.hour.lock();
        hour.turn(self.minute());
        hour.clone()
    }

    /// The share of the last connections that one address had; 0 while there were few.
    pub fn busiest(&self) -> f64 {
        self.busiest.share()
    }

    /// How long this process has been running.
    pub fn uptime(&self) -> Duration {
        self.begun.elapsed()
    }

    fn minute(&self) -> u64 {
        self.uptime().as_secs() / 60
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

    fn process(&self, page: &mut Page, log_dropped: u64) {
        page.single(&table::BUSIEST, self.busiest.share());
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
        let runtime = Runtime::read();
        page.family(&table::RUNTIME_BUSY, runtime.map(|runtime| ([], runtime.busy.as_secs_f64())));
        page.family(&table::RUNTIME_THREADS, runtime.map(|runtime| ([], runtime.threads)));
        page.family(&table::RUNTIME_QUEUED, runtime.map(|runtime| ([], runtime.queued)));
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::dns;
    use crate::policy::{List, NameStatus, Names};
    use crate::proxy_protocol::Endpoints;
    use crate::screen::ListStatistics;

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
        let metrics = metrics();
        let by = Judge::Restriction(List::Relay, "reject_unauth_destination");
        metrics.verdict(Verdict { by, action: Refusal::Reject }, 1);
        let text = metrics.render(&Snapshot::default());
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
        let by = Judge::Restriction(List::Relay, "reject_unauth_destination");
        let visit = |n: u32, outcome| {
            let client = (std::net::Ipv4Addr::from(n), 4711).into();
            let mut report = Report::new(
                Endpoints { client, server: "192.0.2.2:25".parse().unwrap() },
                SystemTime::UNIX_EPOCH,
            );
            let name = Some(format!("host{n}.example.net"));
            report.named(Some(&Names { name, ..Names::unknown(NameStatus::Ok) }));
            report.end(outcome);
            metrics.observe(&report);
            metrics.verdict(Verdict { by, action: Refusal::Reject }, 1);
        };
        for outcome in Outcome::ALL {
            visit(0, outcome);
        }
        let before = series(&metrics.render(&Snapshot::default()));
        for n in 0..100_000 {
            visit(n, Outcome::ALL[n as usize % Outcome::ALL.len()]);
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

    #[test]
    fn lists_with_one_name_between_them_have_series_of_their_own() {
        let list = |hits| ListStatistics {
            list: "bl.test".into(),
            suspended: None,
            lookups: Default::default(),
            malfunctions: Default::default(),
            hits,
            unique_hits: 0,
            overlaps: Vec::new(),
            latency: dns::Latency::default(),
        };
        let text = metrics().render(&Snapshot { lists: vec![list(3), list(4)], ..Snapshot::default() });
        assert!(text.contains("prescreen_dnsbl_hits_total{list=\"bl.test\"} 3\n"), "{text}");
        assert!(text.contains("prescreen_dnsbl_hits_total{list=\"bl.test 2\"} 4\n"), "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(lines.count(), series(&text).len(), "a series twice");
    }

    #[test]
    fn a_certificate_that_serves_twice_is_shown_once() {
        let certificate = ("/etc/mx.pem".into(), SystemTime::UNIX_EPOCH + Duration::from_secs(7));
        let certificates = vec![certificate.clone(), certificate];
        let text = metrics().render(&Snapshot { certificates, ..Snapshot::default() });
        let shown = text.matches("_expiry_timestamp_seconds{certificate=\"/etc/mx.pem\"} 7\n");
        assert_eq!(shown.count(), 1, "{text}");
    }
}
