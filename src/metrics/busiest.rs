//! Whether all the world seems to have one address: what a container's bridge, or a proxy without PROXY protocol,
//! makes of it. Then one pass lets everybody in and one listing keeps everybody out, and nothing else shows it.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

/// Connections looked back upon.
const WINDOW: usize = 256;

/// The clients of the last connections.
#[derive(Debug, Default)]
pub(super) struct Busiest(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    clients: Vec<IpAddr>,
    next: usize,
}

impl Busiest {
    /// Notes a connection, and forgets the oldest.
    pub(super) fn note(&self, client: IpAddr) {
        let mut ring = self.0.lock();
        if ring.clients.len() < WINDOW {
            ring.clients.push(client);
            return;
        }
        let place = ring.next;
        ring.clients[place] = client;
        ring.next = (place + 1) % WINDOW;
    }

    /// The share of the client with most connections in a full window; 0 before that, since the first client of the
    /// day has all connections so far.
    pub(super) fn share(&self) -> f64 {
        let clients = self.0.lock().clients.clone();
        if clients.len() < WINDOW {
            return 0.0;
        }
        let mut counts = HashMap::new();
        clients.iter().for_each(|client| *counts.entry(client).or_insert(0_u32) += 1);
        f64::from(counts.into_values().max().unwrap_or(0)) / WINDOW as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_few_connections_say_nothing() {
        let busiest = Busiest::default();
        (0..WINDOW - 1).for_each(|_| busiest.note(client(1)));
        assert_eq!(busiest.share(), 0.0);
    }

    #[test]
    fn the_share_is_that_of_the_last_connections() {
        let busiest = Busiest::default();
        (0..WINDOW).for_each(|_| busiest.note(client(1)));
        assert_eq!(busiest.share(), 1.0);
        (0..WINDOW as u32 / 4).for_each(|n| busiest.note(client(100 + n)));
        assert_eq!(busiest.share(), 0.75);
        (0..WINDOW as u32).for_each(|n| busiest.note(client(n)));
        assert_eq!(busiest.share(), 1.0 / WINDOW as f64);
    }
}
