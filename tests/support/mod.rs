//! What the tests against real servers stand on: private instances of Postfix, rbldnsd and unbound on loopback, a
//! prescreen in front of them, and clients to send through it.
//!
//! Every server lives in a scratch folder of its own and ends with the test program, however that ends. What is
//! missing on the machine fails the test that needs it: `tests/run` installs it.
//!
//! Clients have addresses of their own in 127.0.0.0/8. Two of them are taken: 127.0.0.1 must never stand in a DNSBL,
//! 127.0.0.2 always does (RFC 5782 §5).

// Each test program uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod authority;
pub mod browser;
pub mod clients;
pub mod daemon;
pub mod dns;
pub mod mailbox;
pub mod message;
pub mod mta;
pub mod network;
pub mod postfix;
pub mod prescreen;
pub mod redis;
pub mod services;
pub mod sink;
pub mod talk;
pub mod traffic;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything here may take before the test is called failed. Far beyond what is needed: no test measures.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An address of a client: 127.0.0.`host`.
pub const fn client(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, host)
}

/// A port of 127.0.0.1 where nothing listens.
///
/// Taken below the range from which the kernel draws the ports of outgoing connections, so that none of those can
/// take it before the server does.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(997) % u32::from(PORTS)) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < PORTS, "no free port");
        let port = FIRST + (start + step) % PORTS;
        let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Asks again and again until there is an answer, and gives up loudly.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_or(|| format!("waited in vain for {what}"), ask)
}

/// The same with something to say in the end: a log, for one.
#[track_caller]
pub fn eventually_or<T>(complaint: impl FnOnce() -> String, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if Instant::now() > deadline {
            panic!("{}", complaint());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
