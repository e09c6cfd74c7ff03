//! What the desk answers with, as it stands on the wire. Moments are seconds since the epoch, durations seconds.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::wire;
use crate::allowlist::Order;

/// How a server is, on one screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Of the program.
    pub version: String,
    /// The name in greetings.
    pub hostname: String,
    /// The process.
    pub pid: u32,
    /// How long it has been running.
    pub uptime: u64,
    /// Why no mail can come in; `None` if it can.
    pub not_ready: Option<String>,
    /// Where clients come in.
    pub listeners: Vec<String>,
    /// Connections now, by state: `screen`, `dialogue`, `relay`.
    pub sessions: BTreeMap<String, usize>,
    /// How many there may be.
    pub limits: Seats,
    /// Connections of the last hour by outcome; outcomes that nobody had are left out.
    pub last_hour: BTreeMap<String, u64>,
    /// The DNS lists.
    pub dnsbl: Vec<DnsList>,
    /// The backends.
    pub backends: Vec<Backend>,
    /// The allowlist.
    pub allowlist: Allowlisted,
    /// The configuration in force.
    pub configuration: Freshness,
    /// Lines that the log has dropped.
    pub log_dropped: u64,
}

/// How many connections there may be, and what came of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seats {
    /// Before the hand-off.
    pub pre_queue_limit: usize,
    /// Behind it.
    pub post_queue_limit: usize,
    /// How often nine tenths of the first were taken.
    pub stressed: usize,
    /// Clients turned away because of the first.
    pub refused_screening: usize,
    /// Clients turned away because of the second.
    pub refused_backend: usize,
}

/// A DNS list's state and its record of service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsList {
    /// Its name, as clients may see it.
    pub list: String,
    /// Why it is suspended, if it is.
    pub suspended: Option<String>,
    /// Lookups by result, those answered from memory included; results that never came are left out.
    pub queries: BTreeMap<String, u64>,
    /// Answers that said something of the list instead of a client, by what they said.
    pub errors: BTreeMap<String, u64>,
    /// Clients that it lists.
    pub hits: u64,
    /// Those that no other list does.
    pub unique_hits: u64,
    /// Those that another lists, too.
    pub overlap: Vec<Overlap>,
    /// How long an answer took on average, in seconds.
    pub latency: f64,
}

/// Clients that two lists know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The other.
    pub with: String,
    /// How many.
    pub hits: u64,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// As configured.
    pub server: String,
    /// `unknown`, `up` or `down`.
    pub health: String,
    /// Connections that were made.
    pub connections: u64,
    /// What came to nothing.
    pub failures: u64,
    /// How long a connection took on average, in seconds.
    pub connect: f64,
}

/// The allowlist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowlisted {
    /// Clients remembered.
    pub entries: u64,
    /// Lookups of those.
    pub hits: u64,
    /// Lookups of others.
    pub misses: u64,
    /// How its file is.
    pub store: Stored,
    /// Orders that stand.
    pub orders: usize,
}

/// How a file is: `off`, `up`, `locked`, `ill`, `closed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stored(pub String);

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Since when.
    pub loaded: u64,
    /// Others that have been taken since the start.
    pub reloads: u64,
    /// Others that were refused.
    pub refused: u64,
    /// Whether the last one was taken.
    pub last_taken: bool,
}

/// A connection that lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// Who is connected.
    pub client: String,
    /// Where it came in.
    pub server: String,
    /// `screen`, `dialogue` or `relay`.
    pub state: String,
    /// How long it has lived.
    pub seconds: f64,
}

/// What a client has passed, and until when that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passes {
    /// An address, or an IPv6 network.
    #[serde(with = "wire::network")]
    pub client: IpNet,
    /// The end of each pass, by test; tests that were never passed are left out.
    #[serde(flatten)]
    pub tests: BTreeMap<String, u64>,
}

/// An order that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// For whom.
    #[serde(with = "wire::network")]
    pub client: IpNet,
    /// What.
    #[serde(with = "wire::order")]
    pub order: Order,
    /// Until when, if not for good.
    pub until: Option<u64>,
}

/// Whether what was said outlives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filed {
    /// It is written to the allowlist's file.
    File,
    /// There is no such file.
    Memory,
    /// It is written there once that can be, if the server lives to see it.
    Later,
}
