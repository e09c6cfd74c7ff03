//! How values of other rooms stand on the wire.

/// A network as a person would write it: an address alone where it holds no other.
pub(super) mod network {
    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::table;

    pub(in crate::admin::desk) fn serialize<S: Serializer>(
        network: &IpNet,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if network.prefix_len() == network.max_prefix_len() {
            to.collect_str(&network.addr())
        } else {
            to.collect_str(network)
        }
    }

    pub(in crate::admin::desk) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<IpNet, D::Error> {
        table::network(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// An order by its name.
pub(super) mod order {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::allowlist::Order;
    use crate::spelling::Spelled;

    pub(in crate::admin::desk) fn serialize<S: Serializer>(order: &Order, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(order)
    }

    pub(in crate::admin::desk) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Order, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_: String| de::Error::unknown_variant(&text, Order::WORDS))
    }
}
