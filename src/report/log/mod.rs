//! Where the log goes and what it looks like: one event, one line, never waited for.
//!
//! Everything is written by a thread of its own, to standard output, the journal or a syslog daemon. When whoever reads
//! it is stuck or gone, lines are dropped and counted; no session stands still for the log. Whatever a line holds, control characters do not leave
//! the program: what got past an escape further up is replaced here.

mod event;
mod output;
mod sink;

use std::fmt;
use std::io::{self, BufWriter};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use event::{Lines, Style};
use output::Frame;
pub use output::{Output, SyslogFormat};
use sink::{Lost, Sink};

/// Lines that wait for a stuck reader before the next is dropped; about 4 MB.
const LINES_IN_FLIGHT: usize = 8_192;

/// How long a line may wait for others.
const REST: Duration = Duration::from_millis(20);

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a line looks like. Default: `text`.
    pub format: Format,
    /// Where lines go. Default: `stdout`. Changes with a restart.
    pub output: Output,
    /// How a syslog daemon is spoken to. Default: `bsd` to a socket of this host, `rfc5424` over the network.
    pub syslog_format: Option<SyslogFormat>,
    /// The least severe that is logged. Default: `info`, which shows every connection.
    pub level: Level,
    /// The part before `/postscreen` in the program tag of the `postscreen` format; lines that dnsblog or smtpd
    /// would write bear their names. Default: `postfix`, which is what log tools look for.
    pub syslog_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Text,
            output: Output::default(),
            syslog_format: None,
            level: Level::Info,
            syslog_name: "postfix".to_owned(),
        }
    }
}

impl Settings {
    fn frame(&self) -> Frame {
        self.output.frame(self.syslog_format)
    }
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// One sentence for each connection, for people.
    #[default]
    Text,
    /// One object for each connection, with every fact.
    Json,
    /// postscreen's lines, as things happen, for the tools that know them.
    Postscreen,
}

impl Format {
    /// The target of the events that carry reports in this format; of the three, the log lets one through.
    pub(super) const fn target(self) -> &'static str {
        match self {
            Self::Text => "report::text",
            Self::Json => "report::json",
            Self::Postscreen => "report::postscreen",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "postscreen" => Ok(Self::Postscreen),
            _ => Err(format!("{text:?} is no log format; write text, json or postscreen")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Postscreen => "postscreen",
        })
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// What stops the program from working.
    Error,
    /// What an operator should look at.
    Warn,
    /// Every connection.
    #[default]
    Info,
    /// What the program does meanwhile.
    Debug,
    /// All of it.
    Trace,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(format!("{text:?} is no log level; write error, warn, info, debug or trace")),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// The running log. Dropped last: that writes what still waits.
#[derive(Debug)]
pub struct Log {
    _writer: WorkerGuard,
    control: Control,
}

impl Log {
    /// A handle on it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

/// A handle on the running log; clones share it.
#[derive(Clone, Debug)]
pub struct Control {
    dropped: ErrorCounter,
    lost: Lost,
    dials: Dials,
}

impl Control {
    /// Lines dropped since the start because the reader was stuck, or gone.
    pub fn dropped(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.lost.lines()
    }

    /// Goes on with other settings; the output stays what it was.
    pub fn configure(&self, settings: &Settings) {
        self.dials.style.store(Arc::new(self.dials.style.load().succeeded_by(settings)));
        // Fails only where the log has ended.
        let _ = self.dials.filter.reload(targets(settings));
    }
}

/// What can be turned while the log is written.
#[derive(Clone, Debug)]
struct Dials {
    style: Arc<ArcSwap<Style>>,
    filter: reload::Handle<Targets, Registry>,
}

/// Starts the log of this process. A second log is an error.
pub fn init(settings: &Settings) -> Result<Log, AlreadyLogging> {
    let lost = Lost::default();
    let (writer, guard) = match settings.output.place() {
        None => writer(BufWriter::new(io::stdout())),
        Some(place) => writer(Sink::new(place, lost.clone())),
    };
    let dropped = writer.error_counter();
    let (subscriber, dials) = subscriber(settings, writer);
    subscriber.try_init().map_err(|_| AlreadyLogging)?;
    Ok(Log { _writer: guard, control: Control { dropped, lost, dials } })
}

/// There is a log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process has a log already")]
pub struct AlreadyLogging;

fn writer(sink: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_IN_FLIGHT)
        .thread_name("log")
        .finish(Paced(sink))
}

/// Rests when all that waited is written, so that the next lines come together: under load the thread is woken some
/// dozens of times a second, instead of once for every connection.
struct Paced<W>(W);

impl<W: io::Write> io::Write for Paced<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        thread::sleep(REST);
        Ok(())
    }
}

fn subscriber<W>(settings: &Settings, writer: W) -> (impl Subscriber + Send + Sync, Dials)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let style = Arc::new(ArcSwap::from_pointee(Style::new(settings)));
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(Arc::clone(&style))).with_writer(writer);
    let (targets, filter) = reload::Layer::new(targets(settings));
    (tracing_subscriber::registry().with(lines.with_filter(targets)), Dials { style, filter })
}

/// What is let through.
fn targets(settings: &Settings) -> Targets {
    let level = LevelFilter::from(settings.level);
    // Libraries speak up when something is wrong, or when all is asked for.
    let libraries =
        if level == LevelFilter::TRACE { LevelFilter::DEBUG } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(libraries)
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("report", LevelFilter::OFF)
        .with_target(settings.format.target(), level)
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use serde_json::Value;

    use super::*;
    use crate::report::text::is_printable;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that the log would show of `events`.
    pub(crate) fn logged(format: Format, level: Level, events: impl FnOnce()) -> Vec<String> {
        let (sink, settings) = (Sink::default(), Settings { format, level, ..Settings::default() });
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()).0, events);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// As [`logged`], towards a log daemon.
    fn framed(output: &str, format: Format) -> String {
        let (sink, output) = (Sink::default(), output.parse().unwrap());
        let (settings, writer) = (Settings { format, output, ..Settings::default() }, sink.clone());
        tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()).0, || {
            tracing::warn!("trouble\nof two lines");
        });
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_daemon_gets_the_frame_that_it_knows() {
        let (pid, text) = (std::process::id(), "trouble?of two lines");
        assert_eq!(
            framed("syslog", Format::Postscreen),
            format!("<20>postfix/postscreen[{pid}]: warning: {text}\n")
        );
        let line = framed("syslog:udp:127.0.0.1:514", Format::Text);
        let fields: Vec<_> = line.splitn(8, ' ').collect();
        let [head, time, host, rest @ ..] = &fields[..] else { panic!("{line}") };
        assert_eq!((*head, host.is_empty()), ("<20>1", false));
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert_eq!(rest, ["prescreen", &pid.to_string(), "-", "-", &format!("{text}\n")]);
        let entry = framed("journald", Format::Json);
        let entry = entry.strip_suffix('\n').unwrap();
        assert!(entry.ends_with("}\n"), "the journal ignores a field that does not end: {entry:?}");
        let fields: Vec<_> = entry.lines().map(|line| line.split_once('=').unwrap()).collect();
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "MESSAGE"]);
        assert_eq!((fields[0].1, fields[2].1), ("4", "prescreen"));
        assert!(fields[4].1.starts_with('{'), "{entry}");
    }

    #[test]
    fn a_postscreen_line_has_the_header_that_log_tools_expect() {
        let lines = logged(Format::Postscreen, Level::Info, || {
            tracing::info!(target: Format::Postscreen.target(), "PASS NEW [192.0.2.1]:25");
            tracing::info!(target: Format::Postscreen.target(), program = "smtpd", "NOQUEUE");
            tracing::warn!(list = "zen.example", "list suspended");
        });
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        let (_, rest) = rest.split_once(' ').unwrap();
        let pid = std::process::id();
        assert_eq!(rest, format!("postfix/postscreen[{pid}]: PASS NEW [192.0.2.1]:25"));
        assert!(lines[1].ends_with(&format!(" postfix/smtpd[{pid}]: NOQUEUE")), "{}", lines[1]);
        assert!(lines[2].ends_with("]: warning: list suspended list=\"zen.example\""), "{}", lines[2]);
    }

    #[test]
    fn only_the_chosen_format_is_written() {
        let say = || {
            tracing::info!(target: Format::Text.target(), "sentence");
            tracing::info!(target: Format::Json.target(), "{{\"id\":1}}");
            tracing::info!(target: Format::Postscreen.target(), "line");
        };
        assert!(
            matches!(&logged(Format::Text, Level::Info, say)[..], [line] if line.ends_with("INFO  sentence"))
        );
        assert!(matches!(&logged(Format::Json, Level::Info, say)[..], [line] if line.ends_with("\"id\":1}")));
        assert!(
            matches!(&logged(Format::Postscreen, Level::Info, say)[..], [line] if line.ends_with(": line"))
        );
        assert!(logged(Format::Text, Level::Warn, say).is_empty());
    }

    #[test]
    fn format_and_level_change_while_it_runs() {
        let (sink, first) = (Sink::default(), Settings::default());
        let writer = sink.clone();
        let (subscriber, dials) = subscriber(&first, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let say = || {
                tracing::info!(target: Format::Text.target(), "sentence");
                tracing::info!(target: Format::Json.target(), "{{\"id\":1}}");
                tracing::warn!("trouble");
            };
            say();
            let control = |format, level| {
                let settings = Settings { format, level, ..Settings::default() };
                dials.style.store(Arc::new(Style::new(&settings)));
                dials.filter.reload(targets(&settings)).unwrap();
            };
            control(Format::Json, Level::Info);
            say();
            control(Format::Text, Level::Error);
            say();
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let [sentence, _, object, trouble] = lines[..] else { panic!("{lines:?}") };
        assert!(sentence.ends_with("INFO  sentence"), "{sentence}");
        assert!(object.ends_with(r#""id":1}"#) && trouble.starts_with('{'), "{object} {trouble}");
    }

    #[test]
    fn libraries_are_heard_when_something_is_wrong() {
        let say = || {
            tracing::info!(target: "library", "chatter");
            tracing::warn!(target: "library", "trouble");
        };
        assert!(matches!(&logged(Format::Text, Level::Debug, say)[..], [line] if line.contains("trouble")));
        assert!(logged(Format::Text, Level::Error, say).is_empty());
    }

    #[test]
    fn one_event_is_one_line_whatever_is_in_it() {
        let nasty = "a\r\nb\u{1b}[31m\u{202e}c\u{9b}\"";
        for format in [Format::Text, Format::Json, Format::Postscreen] {
            let lines = logged(format, Level::Info, || {
                tracing::warn!(quoted = nasty, shown = ?nasty, raw = %nasty, "{nasty}");
            });
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].chars().all(is_printable), "{lines:?}");
        }
    }

    #[test]
    fn an_event_in_json_carries_its_fields_as_they_are() {
        let lines = logged(Format::Json, Level::Info, || {
            tracing::warn!(n = 7, up = true, why = "so", path = ?Path::new("/a b"), "text");
        });
        let object: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(object["level"], "warn");
        assert_eq!((&object["n"], &object["up"], &object["why"]), (&7.into(), &true.into(), &"so".into()));
        assert_eq!((&object["message"], &object["path"]), (&"text".into(), &"/a b".into()));
    }

    /// A reader that takes nothing until it is told to.
    struct Stuck(Receiver<()>);

    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_no_time() {
        let (go, wait) = channel();
        let (writer, _guard) = writer(Stuck(wait));
        let dropped = writer.error_counter();
        tracing::subscriber::with_default(subscriber(&Settings::default(), writer).0, || {
            (0..3 * LINES_IN_FLIGHT).for_each(|n| tracing::warn!(n, "line"));
        });
        let expected = 2 * LINES_IN_FLIGHT;
        let dropped = dropped.dropped_lines();
        assert!((expected - 2..=expected).contains(&dropped), "{dropped}");
        drop(go);
    }

    #[test]
    fn names_of_formats_and_levels_are_told_when_wrong() {
        assert_eq!("postscreen".parse(), Ok(Format::Postscreen));
        assert_eq!("debug".parse(), Ok(Level::Debug));
        assert!("syslog".parse::<Format>().unwrap_err().contains("text, json or postscreen"));
        assert!("verbose".parse::<Level>().unwrap_err().contains("error, warn, info, debug or trace"));
    }
}
