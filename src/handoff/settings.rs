//! `[backend]`: where mail goes, and how the backend is told who the client is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::encryption::BackendTls;
use crate::spelling::spelled;
use crate::tls::CertificateName;

/// `[backend]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers, most wanted first. Default: `127.0.0.1:10025`.
    pub servers: Vec<Address>,
    /// In which order they are tried. Default: `priority`.
    pub order: Order,
    /// How many clients may be handed to one server at once; more go to the next one. 0: any number. Default 0.
    pub connection_limit: usize,
    /// How a server is told who the client is. Default: `proxy-v2`.
    pub identity: Identity,
    /// Whether TLS is spoken with the servers. Default: off.
    pub tls: BackendTls,
    /// PEM certificates that a server's must be signed by. Default: those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// What a server's certificate must bear. Default: its address.
    pub tls_name: Option<CertificateName>,
    /// How long a server may take to accept a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// How long it may take to greet. Default 30 s.
    pub greeting_timeout: Duration,
    /// How long it may take to answer a command. Default 100 s, as Postfix's `smtpd_proxy_timeout`; the client
    /// waits 5 minutes (RFC 5321 §4.5.3.2).
    pub command_timeout: Duration,
    /// How long a server that failed comes last in the order, give or take a quarter. Default 10 s.
    pub rest_time: Duration,
    /// How often each server is asked what it offers. Default 60 s.
    pub probe_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 10025)))],
            order: Order::default(),
            connection_limit: 0,
            identity: Identity::default(),
            tls: BackendTls::default(),
            tls_ca: None,
            tls_name: None,
            connect_timeout: Duration::from_secs(5),
            greeting_timeout: Duration::from_secs(30),
            command_timeout: Duration::from_secs(100),
            rest_time: Duration::from_secs(10),
            probe_interval: Duration::from_secs(60),
        }
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `192.0.2.1:25`, `[2001:db8::1]:25`
    Tcp(SocketAddr),
    /// `mail.example.org:25`: wherever DNS says, for as long as it says so.
    Name {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!(
                    "the socket path in {text:?} is not absolute; write unix:/path/to/socket"
                ));
            }
            return Ok(Self::Unix(path.into()));
        }
        let name = || {
            let (host, port) = text.rsplit_once(':')?;
            let (host, port) = (is_hostname(host).then(|| host.to_owned())?, port.parse().ok()?);
            Some(Self::Name { host, port })
        };
        text.parse().ok().map(Self::Tcp).or_else(name).ok_or_else(|| {
            format!(
                "{text:?} is no server; write an address or a name, and a port, such as 127.0.0.1:10025, \
                 [2001:db8::1]:25 or mail.example.org:25, or unix:/path/to/socket"
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A host's name; what consists of numbers alone was meant to be an address.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() < 254 && text.split('.').all(is_label) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// In which order servers are tried. Those that have failed a short while ago come last in any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// As they are written, so that the others stand in for the first: `priority`.
    #[default]
    Priority,
    /// Who has the fewest of our connections comes first: `least-connections`.
    LeastConnections,
}

spelled!(Order { Priority = "priority", LeastConnections = "least-connections" });

/// How a backend is told who the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Identity {
    /// PROXY protocol version 2, with the connection's id: `proxy-v2`.
    #[default]
    ProxyV2,
    /// PROXY protocol version 1: `proxy-v1`.
    ProxyV1,
    /// Postfix's XCLIENT command: `xclient`. The server must list this host in `smtpd_authorized_xclient_hosts`.
    Xclient,
    /// By the source address of the connection, which is the client's: `transparent`. It takes CAP_NET_ADMIN, and
    /// routes that lead the server's answers back here. A client is only handed to servers of its address family.
    Transparent,
    /// Not at all: `none`. The backend takes every client for this host, so it must trust this host with nothing.
    None,
}

spelled!(Identity {
    ProxyV2 = "proxy-v2",
    ProxyV1 = "proxy-v1",
    Xclient = "xclient",
    Transparent = "transparent",
    None = "none"
});

impl Identity {
    /// Whether a header is sent in front of everything else.
    pub(super) fn sends_header(self) -> bool {
        matches!(self, Self::ProxyV2 | Self::ProxyV1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_written() {
        for text in [
            "127.0.0.1:10025",
            "[2001:db8::1]:25",
            "mx_1.example.org:25",
            "localhost:25",
            "unix:/run/mta.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_is_told_what_would() {
        for text in [
            "",
            "localhost",
            "mail.example:smtp",
            "127.0.0.1",
            "127.0.1:25",
            "a..b:25",
            "unix:run/mta",
            "unix:",
        ] {
            let told = text.parse::<Address>().unwrap_err();
            assert!(told.contains("write ") && told.contains("/path/to/socket"), "{told}");
        }
    }

    #[test]
    fn identities_print_as_they_are_written() {
        for text in ["proxy-v2", "proxy-v1", "xclient", "transparent", "none"] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        assert!("proxy".parse::<Identity>().unwrap_err().contains("write proxy-v2"));
        for text in ["priority", "least-connections"] {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), text);
        }
        assert!("random".parse::<Order>().unwrap_err().contains("write priority"));
    }
}
