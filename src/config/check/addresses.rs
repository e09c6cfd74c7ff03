//! Sockets that would meet each other, and proxies that would be believed too much.

use std::net::SocketAddr;

use super::Judge;
use crate::config::ProxyProtocol;
use crate::handoff::Address;

impl Judge<'_> {
    pub(super) fn addresses(&mut self) {
        let listeners = &self.config.listen;
        if listeners.is_empty() {
            self.refuse("listen", "nowhere to listen; give at least one address, such as 0.0.0.0:25");
        }
        for (number, listener) in listeners.iter().enumerate() {
            let key = |name: &str| format!("listen.{number}.{name}");
            let taken =
                listeners[..number].iter().position(|earlier| overlap(earlier.address, listener.address));
            if let Some(twin) = taken {
                let what =
                    format!("overlaps {} of listen.{twin}; keep one of the two", listeners[twin].address);
                self.refuse(&key("address"), what);
            }
            match listener.proxy_protocol {
                ProxyProtocol::Required if listener.trusted.is_empty() => self.refuse(
                    &key("trusted"),
                    "nobody may send PROXY headers, so nobody could connect; name the proxies' networks",
                ),
                ProxyProtocol::Off if !listener.trusted.is_empty() => {
                    self.warn(&key("trusted"), "has no effect without proxy_protocol = \"required\"");
                }
                _ => {}
            }
            if listener.trusted.iter().any(|network| network.prefix_len() == 0) {
                self.refuse(
                    &key("trusted"),
                    "lets the whole Internet name any address as its own; name the proxies' networks",
                );
            }
        }
        self.meetings();
    }

    /// Others that must not stand where clients come in.
    fn meetings(&mut self) {
        let at =
            |address: SocketAddr| self.config.listen.iter().position(|door| reaches(door.address, address));
        let metrics =
            self.config.metrics.listen.and_then(|address| at(address).map(|number| (address, number)));
        let loops = self.config.backend.servers.iter().find_map(|server| match server {
            Address::Tcp(address) => at(*address).map(|number| (*address, number)),
            Address::Unix(_) | Address::Name { .. } => None,
        });
        if let Some((address, number)) = metrics {
            let what = format!("{address} is taken by listen.{number}; choose another port");
            self.refuse("metrics.listen", what);
        }
        if let Some((address, number)) = loops {
            let what =
                format!("{address} is listen.{number}: prescreen would talk to itself; name the mail server");
            self.refuse("backend.servers", what);
        }
    }
}

/// Whether one of two addresses takes what the other would.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && {
        a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
    }
}

/// Whether a connection to `address` surely ends at `door`: of others' addresses nobody knows.
fn reaches(door: SocketAddr, address: SocketAddr) -> bool {
    overlap(door, address)
        && (door.ip() == address.ip() || address.ip().is_loopback() || address.ip().is_unspecified())
}
