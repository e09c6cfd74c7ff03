//! What an administrator can set about the log.

use tracing::level_filters::LevelFilter;

use super::output::{Frame, Output, SyslogFormat};
use crate::spelling::spelled;

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
    pub(super) fn frame(&self) -> Frame {
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

spelled!(Format { Text = "text", Json = "json", Postscreen = "postscreen" });

impl Format {
    /// The target of the events that carry reports in this format; of the three, the log lets one through.
    pub(in crate::report) const fn target(self) -> &'static str {
        match self {
            Self::Text => "report::text",
            Self::Json => "report::json",
            Self::Postscreen => "report::postscreen",
        }
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

spelled!(Level { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" });

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
