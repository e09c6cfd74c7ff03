//! `[[listen]]`: where clients come in.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port. Default 0.0.0.0:25.
    pub address: SocketAddr,
    /// Whether a PROXY header comes first. Default off.
    pub proxy_protocol: ProxyProtocol,
    /// Who may send PROXY headers; anybody else is closed without a word. Default nobody.
    pub trusted: Vec<IpNet>,
    /// The time for a whole PROXY header. Default 5 s.
    pub proxy_timeout: Duration,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::UNSPECIFIED, 25).into(),
            proxy_protocol: ProxyProtocol::Off,
            trusted: Vec::new(),
            proxy_timeout: Duration::from_secs(5),
        }
    }
}

/// Whether a PROXY header comes first. There is no "optional": whoever may leave it out may also forge it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The peer is the client.
    #[default]
    Off,
    /// The header names the client; without one the connection is closed.
    Required,
}

impl FromStr for ProxyProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "required" => Ok(Self::Required),
            _ => Err("unknown; write \"off\" or \"required\"".to_owned()),
        }
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Required => "required",
        })
    }
}
