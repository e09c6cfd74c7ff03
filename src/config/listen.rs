//! `[[listen]]`: where clients come in.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::spelling::spelled;

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

spelled!(ProxyProtocol { Off = "off", Required = "required" });
