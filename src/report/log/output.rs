//! Where lines go, as configured.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::spelling::spelled;

/// Where syslog(3) goes.
const DEV_LOG: &str = "/dev/log";
/// Where systemd's journal takes entries with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Output {
    /// Standard output: for containers, and for services of systemd, whose journal reads it.
    #[default]
    Stdout,
    /// systemd's journal, with severity and program as fields.
    Journald,
    /// The syslog daemon of this host.
    Syslog(Daemon),
}

/// A syslog daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Daemon {
    /// A datagram socket of this host.
    Unix(PathBuf),
    /// One datagram for each line.
    Udp(SocketAddr),
    /// A connection, with the length in front of each line (RFC 6587 §3.4.1).
    Tcp(SocketAddr),
}

/// How a syslog daemon is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyslogFormat {
    /// As syslog(3) speaks to the daemon of its host: what journald, rsyslog and busybox expect on `/dev/log`.
    Bsd,
    /// RFC 5424, with the time to the microsecond.
    Rfc5424,
}

spelled!(SyslogFormat { Bsd = "bsd", Rfc5424 = "rfc5424" });

/// What stands around a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Nothing but what the format itself has.
    Line,
    Bsd,
    Rfc5424,
    /// Fields, in the journal's own protocol.
    Journal,
}

/// Where a sink writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Unix(PathBuf),
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

impl Output {
    /// The frame that is expected there.
    pub(super) fn frame(&self, format: Option<SyslogFormat>) -> Frame {
        let usual = match self {
            Self::Stdout => return Frame::Line,
            Self::Journald => return Frame::Journal,
            Self::Syslog(Daemon::Unix(_)) => SyslogFormat::Bsd,
            Self::Syslog(Daemon::Udp(_) | Daemon::Tcp(_)) => SyslogFormat::Rfc5424,
        };
        match format.unwrap_or(usual) {
            SyslogFormat::Bsd => Frame::Bsd,
            SyslogFormat::Rfc5424 => Frame::Rfc5424,
        }
    }

    /// Where to connect to; nowhere for standard output.
    pub(super) fn place(&self) -> Option<Place> {
        Some(match self {
            Self::Stdout => return None,
            Self::Journald => Place::Unix(JOURNAL.into()),
            Self::Syslog(Daemon::Unix(path)) => Place::Unix(path.clone()),
            Self::Syslog(Daemon::Udp(address)) => Place::Udp(*address),
            Self::Syslog(Daemon::Tcp(address)) => Place::Tcp(*address),
        })
    }
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let daemon = match text {
            "stdout" => return Ok(Self::Stdout),
            "journald" => return Ok(Self::Journald),
            "syslog" => Daemon::Unix(DEV_LOG.into()),
            _ => match text.strip_prefix("syslog:").map(|rest| rest.split_once(':').unwrap_or((rest, ""))) {
                Some(("udp", address)) => Daemon::Udp(socket(address)?),
                Some(("tcp", address)) => Daemon::Tcp(socket(address)?),
                Some((path, "")) if path.starts_with('/') => Daemon::Unix(path.into()),
                _ => {
                    return Err(format!(
                        "{text:?} is no place for a log; write stdout, journald, syslog, syslog:/dev/log, \
                         syslog:udp:192.0.2.1:514 or syslog:tcp:192.0.2.1:601"
                    ));
                }
            },
        };
        Ok(Self::Syslog(daemon))
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address and port; write one such as 192.0.2.1:514 or [2001:db8::1]:514")
    })
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Journald => f.write_str("journald"),
            Self::Syslog(Daemon::Unix(path)) if path.as_os_str() == DEV_LOG => f.write_str("syslog"),
            Self::Syslog(Daemon::Unix(path)) => write!(f, "syslog:{}", path.display()),
            Self::Syslog(Daemon::Udp(address)) => write!(f, "syslog:udp:{address}"),
            Self::Syslog(Daemon::Tcp(address)) => write!(f, "syslog:tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_shown_as_they_are_read() {
        for text in [
            "stdout",
            "journald",
            "syslog",
            "syslog:/run/log",
            "syslog:udp:192.0.2.1:514",
            "syslog:tcp:[::1]:601",
        ] {
            assert_eq!(text.parse::<Output>().unwrap().to_string(), text);
        }
        assert_eq!("syslog:/dev/log".parse(), "syslog".parse::<Output>());
        for wrong in ["", "file", "syslog:", "syslog:run/log", "syslog:sctp:192.0.2.1:514"] {
            assert!(wrong.parse::<Output>().unwrap_err().contains("journald"), "{wrong}");
        }
        assert!("syslog:udp:localhost".parse::<Output>().unwrap_err().contains("192.0.2.1:514"));
        assert!("rfc3164".parse::<SyslogFormat>().unwrap_err().contains("bsd or rfc5424"));
    }

    #[test]
    fn each_place_is_spoken_to_as_it_expects() {
        let frame = |output: &str, format| output.parse::<Output>().unwrap().frame(format);
        assert_eq!(frame("syslog", None), Frame::Bsd);
        assert_eq!(frame("syslog", Some(SyslogFormat::Rfc5424)), Frame::Rfc5424);
        assert_eq!(frame("syslog:udp:192.0.2.1:514", None), Frame::Rfc5424);
        assert_eq!(frame("journald", Some(SyslogFormat::Rfc5424)), Frame::Journal);
        assert_eq!(frame("stdout", None), Frame::Line);
    }
}
