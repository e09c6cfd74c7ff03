//! Where the log goes and what it looks like: one event, one line, never waited for.
//!
//! Everything is written by a thread of its own, to standard output, the journal or a syslog daemon. When whoever reads
//! it is stuck or gone, lines are dropped and counted; no session stands still for the log. Whatever a line holds,
//! control characters do not leave the program: what got past an escape further up is replaced here.

mod event;
mod output;
mod settings;
mod sink;

use std::io;
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
pub use output::{Output, SyslogFormat};
pub use settings::{Format, Level, Settings};
use sink::{Lost, Sink, Stream};

/// Lines that wait for a stuck reader before the next is dropped; about 4 MB.
const LINES_IN_FLIGHT: usize = 8_192;

/// How long a line may wait for others.
const REST: Duration = Duration::from_millis(100);

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
        None => writer(Stream::new(io::stdout(), lost.clone())),
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

/// Rests when all that waited is written, so that the next lines come together: under load the thread wakes ten times a
/// second, instead of once for every connection, and nobody has to wake it.
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
pub(super) mod tests;
