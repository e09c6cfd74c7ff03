//! What an operator has said of clients: let this one in, keep that one out, for good or for a time.
//!
//! Orders stand in the same file as passes, but they are no cache: none is forgotten for want of room, and the one for
//! the smallest network counts. They end when their time is up.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use parking_lot::RwLock;
use prefix_trie::joint::JointPrefixMap;

use super::record::{Key, seconds};
use crate::spelling::spelled;

/// What is to become of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// It is let through without any test.
    Allow,
    /// It is refused without any test.
    Deny,
}

spelled!(Order { Allow = "allow", Deny = "deny" });

/// An order, and how long it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is to become of the client.
    pub order: Order,
    /// Until when, in whole seconds; `None` = for good.
    pub until: Option<SystemTime>,
}

impl Standing {
    /// Octets of an order in the store.
    pub(super) const SIZE: usize = 9;

    fn stands(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The order in the store: 1 to allow or 2 to deny, then its end in seconds since the epoch, little-endian, 0 for
    /// none.
    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut octets = [0; Self::SIZE];
        octets[0] = match self.order {
            Order::Allow => 1,
            Order::Deny => 2,
        };
        octets[1..].copy_from_slice(&self.until.map_or(0, seconds).to_le_bytes());
        octets
    }

    /// The order that `octets` stand for; `None` where another version of this program wrote it.
    pub(super) fn decode(octets: [u8; Self::SIZE]) -> Option<Self> {
        let [order, until @ ..] = octets;
        let order = match order {
            1 => Order::Allow,
            2 => Order::Deny,
            _ => return None,
        };
        let until = Some(u64::from_le_bytes(until)).filter(|seconds| *seconds != 0);
        let until = match until {
            Some(seconds) => Some(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?),
            None => None,
        };
        Some(Self { order, until })
    }
}

/// All orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    standing: RwLock<JointPrefixMap<IpNet, Standing>>,
    changed: AtomicBool,
}

impl Orders {
    /// What has been said of `client`.
    pub(super) fn of(&self, client: IpAddr, now: SystemTime) -> Option<Order> {
        let client = IpNet::from(client.to_canonical());
        loop {
            let (network, standing) = {
                let standing = self.standing.read();
                standing.get_lpm(&client).map(|(network, standing)| (network, *standing))?
            };
            if standing.stands(now) {
                return Some(standing.order);
            }
            // Behind one whose time is up may stand one for a larger network.
            self.withdraw(network);
        }
    }

    pub(super) fn all(&self, now: SystemTime) -> Vec<(IpNet, Standing)> {
        let standing = self.standing.read();
        let all = standing.iter().map(|(network, standing)| (network, *standing));
        all.filter(|(_, standing)| standing.stands(now)).collect()
    }

    pub(super) fn give(&self, network: IpNet, standing: Standing) {
        self.standing.write().insert(canonical(network), standing);
        self.changed.store(true, Ordering::Release);
    }

    /// Returns whether there was one.
    pub(super) fn withdraw(&self, network: IpNet) -> bool {
        let was_there = self.standing.write().remove(&canonical(network)).is_some();
        self.changed.fetch_or(was_there, Ordering::Release);
        was_there
    }

    /// Takes up what the file has; what has been said since goes before.
    pub(super) fn load(&self, rows: Vec<(IpNet, Standing)>) {
        let mut standing = self.standing.write();
        for (network, row) in rows {
            if standing.get(&network).is_none() {
                standing.insert(network, row);
            }
        }
    }

    /// Whether there is something to be written; it counts as written from now on.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Acquire)
    }

    /// It was not written after all, or to another file.
    pub(super) fn set_changed(&self) {
        self.changed.store(true, Ordering::Release);
    }
}

/// The network as it is looked for, and found in the file.
fn canonical(network: IpNet) -> IpNet {
    Key::of(network).network()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_smallest_network_counts_until_its_time_is_up() {
        let (orders, now) = (Orders::default(), SystemTime::now());
        orders.give(net("192.0.2.0/24"), Standing { order: Order::Deny, until: None });
        orders.give(net("192.0.2.7/32"), Standing { order: Order::Allow, until: Some(now + DAY) });
        orders.give(net("2001:db8::1/32"), Standing { order: Order::Deny, until: None });
        let of = |client: &str, at| orders.of(client.parse().unwrap(), at);
        assert_eq!(of("192.0.2.7", now), Some(Order::Allow));
        assert_eq!(of("::ffff:192.0.2.7", now), Some(Order::Allow));
        assert_eq!(of("192.0.2.8", now), Some(Order::Deny));
        assert_eq!(of("198.51.100.1", now), None);
        assert_eq!(of("2001:db8:ffff::1", now), Some(Order::Deny));
        assert_eq!(of("192.0.2.7", now + DAY), Some(Order::Deny));
        assert_eq!(orders.all(now).len(), 2);
        assert!(orders.withdraw(net("192.0.2.0/24")) && !orders.withdraw(net("192.0.2.0/24")));
        assert_eq!(of("192.0.2.8", now), None);
    }

    #[test]
    fn an_order_for_mapped_addresses_is_one_for_ipv4() {
        let (orders, now) = (Orders::default(), SystemTime::now());
        orders.give(net("::ffff:192.0.2.0/120"), Standing { order: Order::Deny, until: None });
        assert_eq!(orders.of("192.0.2.7".parse().unwrap(), now), Some(Order::Deny));
        assert!(orders.withdraw(net("192.0.2.0/24")));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let until = Some(SystemTime::UNIX_EPOCH + 20_000 * DAY);
        for order in [Order::Allow, Order::Deny] {
            for until in [None, until] {
                let standing = Standing { order, until };
                assert_eq!(Standing::decode(standing.encode()), Some(standing));
            }
        }
        assert_eq!(Standing::decode([9; 9]), None);
    }
}
