//! prescreen stands on port 25 in front of any MTA. It tests every SMTP client before the MTA hears of it, drops
//! zombies, and splices what is clean through. Like a lock chamber: everything passes it, nothing stays in it.
//!
//! # The life of a connection
//!
//! ```text
//! accept ─ limits ─ PROXY header (where the listener asks for it)
//!   │
//!   1 screen     permanent access list ─ temporary allowlist ─ greet wait ‖ DNSBL ──► Verdict
//!   2 dialogue   220, HELO/EHLO, STARTTLS, MAIL, RCPT …; deep tests; restriction lists at each RCPT
//!   3 hand-off   at the first RCPT that every list permits: connect, announce the client, replay in lock-step
//!   4 relay      at DATA/BDAT: send that line and what followed it, then splice both ways until both have closed
//!   5 record     pass → allowlist; one report → one log line and the metrics
//! ```
//!
//! [`connection`] reads as this list; start there.
//!
//! # The floors
//!
//! A module uses only those before it in this line, so no circle can exist (`tests/floors.rs` enforces it):
//!
//! `spelling time id smtp proxy_protocol dns table allowlist rate limits tls wire screen policy dialogue handoff relay
//! report connection metrics config admin server demo main`
//!
//! # What it refuses to do
//!
//! - answer 2xx to end-of-data: only the backend accepts mail, so nothing accepted can be lost here;
//! - open a backend without proof of screening: see [`screen::Passed`] and [`dialogue::Checked`];
//! - refuse a client for a fault of our own, of DNS or of a store.

mod spelling;

mod time;

pub mod id;

pub mod smtp;

pub mod proxy_protocol;

pub mod dns;

pub mod table;

pub mod allowlist;

pub mod rate;

pub mod limits;

pub mod tls;

pub mod wire;

pub mod screen;

pub mod policy;

pub mod dialogue;

pub mod handoff;

pub mod relay;

pub mod report;

pub mod connection;

pub mod metrics;

pub mod config;

pub mod admin;

pub mod server;

pub mod demo;
