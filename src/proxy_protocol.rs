//! The PROXY protocol, versions 1 and 2: parse and write. Pure.
//!
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::SocketAddr;

/// Who speaks to whom: the real ends of a connection, whatever proxies stand between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// The client that connected.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub server: SocketAddr,
}
