//! What can be asked and said at the desk.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Passes, wire};
use crate::allowlist::Order;

/// A request, as it stands on the wire: `{"do":"kill","id":"D207XF0H5GGB"}`. Clients are addresses, or networks where
/// that makes sense; times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How is it? `ok` is a [`State`](super::State).
    Status,
    /// Who is connected? Each `item` is a [`Session`](super::Session).
    Sessions,
    /// Cuts a connection off.
    Kill {
        /// Its name.
        id: String,
    },
    /// How are the DNS lists? Each `item` is a [`DnsList`](super::DnsList).
    Dnsbl,
    /// What was decided about a client or a connection? Each `item` is a report, the oldest first, with its `time`.
    Why {
        /// A connection's name, an address or a network.
        about: String,
    },
    /// Which orders stand? Each `item` is an [`Ordered`](super::Ordered).
    Orders,
    /// Gives an order.
    Order {
        /// For whom.
        #[serde(with = "wire::network")]
        client: IpNet,
        /// What.
        #[serde(with = "wire::order")]
        order: Order,
        /// For how long; for good if nothing is said.
        seconds: Option<u64>,
    },
    /// Takes an order back.
    Withdraw {
        /// For whom it was.
        #[serde(with = "wire::network")]
        client: IpNet,
    },
    /// Who has passed? Each `item` is a [`Passes`](super::Passes).
    Allowlist,
    /// What has a client passed? `ok` is a [`Passes`](super::Passes).
    Passes {
        /// Who.
        client: IpAddr,
    },
    /// Lets a client count as having passed every test.
    Pass {
        /// Who.
        client: IpAddr,
        /// For how long; for as long as any pass lasts if nothing is said.
        seconds: Option<u64>,
    },
    /// Forgets what a client has passed.
    Forget {
        /// Who.
        client: IpAddr,
    },
    /// Takes passes in, in addition to those that are known. `ok` is how many.
    Import {
        /// As `allowlist` gives them.
        passes: Vec<Passes>,
    },
    /// Compares another configuration with the one in force. Each `item` is a [`News`](crate::admin::shadow::News),
    /// until the time is over, the asker closes its side, or says anything else; then `ok` is a
    /// [`Summary`](crate::admin::shadow::Summary).
    Shadow {
        /// What errors call it.
        name: String,
        /// TOML.
        text: String,
        /// The folder that relative file names are taken from.
        base: PathBuf,
        /// For how long; until the asker has enough if nothing is said.
        seconds: Option<u64>,
    },
    /// Reads the configuration again. `error` says what is wrong with it.
    Reload,
    /// Starts a successor. `ok` is its process id.
    Upgrade,
}
