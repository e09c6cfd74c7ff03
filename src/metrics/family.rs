//! A metric as a value: its name, what it counts, and how it is written down.

use std::collections::HashSet;
use std::fmt::Write;

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use metrics_exporter_prometheus::{LabelSet, PrometheusRecorder};

/// One metric, with all of its series.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// `prescreen_…`, with the base unit and, for a counter, `_total` at its end.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels. Their values come from closed sets, or from the configuration; never from the
    /// network.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: &'static str,
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Sorted into buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// `counter`, `gauge`, `histogram`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Buckets for durations that a client may feel: from a local answer to a patient SMTP timeout.
pub(super) const WAITS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Buckets for waits before the greeting: finest around two and six seconds, which is where the defaults end them.
pub(super) const GREETINGS: &[f64] =
    &[0.05, 0.25, 0.5, 1.0, 2.0, 2.1, 2.5, 3.0, 4.0, 5.0, 6.0, 6.1, 6.5, 7.0, 8.0, 10.0, 15.0, 30.0];

/// Buckets for whole connections: a port scan, a greet wait, a mail, a long queue through one connection.
pub(super) const LIVES: &[f64] =
    &[0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Buckets for scores: thresholds are small whole numbers, and so are weights.
pub(super) const SCORES: &[f64] =
    &[-5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0];

static HERE: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

impl Family {
    /// A metric that only grows.
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// A metric that goes up and down.
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// A metric in buckets.
    pub const fn histogram(
        name: &'static str,
        buckets: &'static [f64],
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram(buckets), labels, help }
    }

    /// The unit, as the name has it; nothing where things are counted.
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes", "ratio"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or("")
    }

    /// The series of a counter with these label values, in the order of the labels.
    pub(super) fn register_counter(&self, recorder: &PrometheusRecorder, values: &[&'static str]) -> Counter {
        recorder.register_counter(&self.key(values), &HERE)
    }

    /// The series of a histogram with these label values.
    pub(super) fn register_histogram(
        &self,
        recorder: &PrometheusRecorder,
        values: &[&'static str],
    ) -> Histogram {
        recorder.register_histogram(&self.key(values), &HERE)
    }

    fn key(&self, values: &[&str]) -> Key {
        debug_assert_eq!(self.labels.len(), values.len(), "labels of {}", self.name);
        let labels =
            self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned()));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }
}

/// What is read from other rooms when somebody asks, written in Prometheus' text format.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Writes all series of one metric: label values in the order of the labels, and the number. Of two with the same
    /// values, as two entries of a configuration may be, the first stands: a page with both is no page.
    pub(super) fn family<'v, const N: usize, V: std::fmt::Display>(
        &mut self,
        family: &Family,
        series: impl IntoIterator<Item = ([&'v str; N], V)>,
    ) {
        self.head(family);
        let mut written = HashSet::new();
        for (values, number) in series {
            if !written.insert(values) {
                continue;
            }
            write_metric_line::<u8, _>(
                &mut self.0,
                family.name,
                None,
                &family.set(&values),
                None,
                number,
                None,
            );
        }
    }

    /// Writes a metric without labels.
    pub(super) fn single(&mut self, family: &Family, number: impl std::fmt::Display) {
        self.family(family, [([], number)]);
    }

    /// Writes a histogram that another room has sorted: how many fell into each bucket, the last being those beyond
    /// the last bound, and the sum of all.
    pub(super) fn buckets<'v, const N: usize>(
        &mut self,
        family: &Family,
        bounds: &[f64],
        series: impl IntoIterator<Item = ([&'v str; N], Vec<u64>, f64)>,
    ) {
        self.head(family);
        let mut written = HashSet::new();
        for (values, counts, sum) in series {
            if !written.insert(values) {
                continue;
            }
            let (labels, name) = (family.set(&values), family.name);
            let mut below = 0;
            for (count, bound) in
                counts.iter().zip(bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]))
            {
                below += count;
                write_metric_line(
                    &mut self.0,
                    name,
                    Some("bucket"),
                    &labels,
                    Some(("le", bound)),
                    below,
                    None,
                );
            }
            write_metric_line::<u8, _>(&mut self.0, name, Some("sum"), &labels, None, sum, None);
            write_metric_line::<u8, _>(&mut self.0, name, Some("count"), &labels, None, below, None);
        }
    }

    fn head(&mut self, family: &Family) {
        write_help_line(&mut self.0, family.name, None, None, family.help);
        write_type_line(&mut self.0, family.name, None, None, family.kind.as_str());
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl Family {
    fn set(&self, values: &[&str]) -> LabelSet {
        LabelSet::from_key_and_global(&self.key(values), &Default::default())
    }
}

/// All metrics as a table in Markdown.
pub(super) fn markdown(families: &[&Family]) -> String {
    let mut table = String::from("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for family in families {
        let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ =
            writeln!(table, "| `{}` | {} | {labels} | {} |", family.name, family.kind.as_str(), family.help);
    }
    table
}
