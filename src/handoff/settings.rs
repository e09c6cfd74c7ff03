//! `[backend]`: where mail goes, and how the backend is told who the client is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::encryption::BackendTls;
use crate::tls::CertificateName;

/// `[backend]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers, most wanted first. Default: `127.0.0.1:10025`.
    pub servers: Vec<Address>,
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
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{text:?} is no server; write an IP address and a port, such as 127.0.0.1:10025 or \
                 [2001:db8::1]:25, or unix:/path/to/socket"
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

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

const KNOWN: &str = "proxy-v2, proxy-v1, xclient, transparent or none";

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "proxy-v2" => Ok(Self::ProxyV2),
            "proxy-v1" => Ok(Self::ProxyV1),
            "xclient" => Ok(Self::Xclient),
            "none" => Ok(Self::None),
            "transparent" => Ok(Self::Transparent),
            _ => Err(format!("{text:?} is no identity; write {KNOWN}")),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProxyV2 => "proxy-v2",
            Self::ProxyV1 => "proxy-v1",
            Self::Xclient => "xclient",
            Self::Transparent => "transparent",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_written() {
        for text in ["127.0.0.1:10025", "[2001:db8::1]:25", "unix:/run/mta.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_is_told_what_would() {
        for text in ["", "localhost", "mail.example:25", "127.0.0.1", "unix:run/mta", "unix:"] {
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
    }
}
