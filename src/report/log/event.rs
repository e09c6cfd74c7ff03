//! An event as a line: what it says, and the frame that its reader expects around that.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::fs;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level as Severity, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::output::Frame;
use super::{Format, Settings};
use crate::report::text::is_printable;
use crate::smtp::line::is_plain;

/// Writes events as lines.
pub(super) struct Lines(pub(super) Arc<ArcSwap<Style>>);

/// What lines look like.
#[derive(Debug)]
pub(super) struct Style {
    format: Format,
    frame: Frame,
    host: String,
    /// `postfix`
    name: String,
    pid: u32,
}

impl Style {
    pub(super) fn new(settings: &Settings) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
        Self {
            format: settings.format,
            frame: settings.frame(),
            host: host.to_owned(),
            name: settings.syslog_name.clone(),
            pid: std::process::id(),
        }
    }

    /// The same in another format; where it goes to stays.
    pub(super) fn succeeded_by(&self, settings: &Settings) -> Self {
        Self { frame: self.frame, ..Self::new(settings) }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let severity = *event.metadata().level();
        let mut time = String::with_capacity(TIME);
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let style = self.0.load();
        let (host, pid) = (&style.host, style.pid);
        let (program, text) = match style.format {
            Format::Json => (PROGRAM.into(), said.object(&time, severity, event.metadata().target())),
            Format::Text => (PROGRAM.into(), said.sentence()),
            Format::Postscreen => {
                let program = said.fields.remove("program");
                let program = program.as_ref().and_then(Value::as_str).unwrap_or("postscreen");
                let program = Cow::from(format!("{}/{program}", style.name));
                (program, format!("{}{}", word(severity), said.sentence()))
            }
        };
        let text = OneLine(&text);
        match (style.frame, style.format) {
            (Frame::Line, Format::Json) => writeln!(to, "{text}"),
            (Frame::Line, Format::Text) => writeln!(to, "{time} {severity:<5} {text}"),
            (Frame::Line, Format::Postscreen) => writeln!(to, "{time} {host} {program}[{pid}]: {text}"),
            (Frame::Rfc5424, _) => {
                writeln!(to, "<{}>1 {time} {host} {program} {pid} - - {text}", priority(severity))
            }
            // No time: the daemon knows it, and would have to guess whose zone this is.
            (Frame::Bsd, _) => writeln!(to, "<{}>{program}[{pid}]: {text}", priority(severity)),
            // The journal ignores a field without an end of line, and the event's own goes when it is sent.
            (Frame::Journal, _) => writeln!(
                to,
                "PRIORITY={}\nSYSLOG_FACILITY={MAIL}\nSYSLOG_IDENTIFIER={program}\nSYSLOG_PID={pid}\nMESSAGE={text}\n",
                level(severity)
            ),
        }
    }
}

const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Octets of a time: `2026-11-23T17:32:57.123456Z`.
const TIME: usize = 27;

/// Octets that most sentences need.
const USUAL: usize = 256;

/// The facility of mail systems (RFC 5424 §6.2.1).
const MAIL: u8 = 2;

/// Facility and severity in one number.
fn priority(severity: Severity) -> u8 {
    MAIL * 8 + level(severity)
}

/// The severity in syslog's numbers. What a connection came to is what syslog calls informational.
fn level(severity: Severity) -> u8 {
    match severity {
        Severity::ERROR => 3,
        Severity::WARN => 4,
        Severity::INFO => 6,
        _ => 7,
    }
}

/// How Postfix marks severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::ERROR => "error: ",
        Severity::WARN => "warning: ",
        _ => "",
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn sentence(self) -> String {
        let mut sentence = self.message;
        for (name, value) in &self.fields {
            let space = if sentence.is_empty() { "" } else { " " };
            // A string is shown with its quotes and escapes, as JSON does.
            let _ = write!(sentence, "{space}{name}={value}");
        }
        sentence
    }

    /// A report is an object already; any other event becomes one.
    fn object(mut self, time: &str, severity: Severity, target: &str) -> String {
        let object = if target == Format::Json.target() {
            self.message
        } else {
            self.fields.insert("target".to_owned(), target.into());
            self.fields.insert("message".to_owned(), self.message.into());
            Value::Object(self.fields).to_string()
        };
        let severity = severity.as_str().to_ascii_lowercase();
        let rest = object.strip_prefix('{').unwrap_or("}");
        [r#"{"time":""#, time, r#"","level":""#, &severity, r#"","#, rest].concat()
    }

    fn note(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message.reserve(USUAL);
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let text = format!("{value:?}");
        // A path or name in Debug's quotes gets those of JSON.
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        self.note(field, bare.unwrap_or(&text).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.note(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value.into());
    }
}

/// Text without anything that could end the line or act on a terminal.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(self.0.as_bytes()) {
            return f.write_str(self.0);
        }
        self.0.chars().try_for_each(|c| f.write_char(if is_printable(c) { c } else { '?' }))
    }
}
