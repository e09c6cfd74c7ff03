//! The sessions from which the compiler learns what is done often (`deploy/build`).
//!
//! What is played here is made fast, and what is missing is made small: so there are no handshakes, whose time goes into
//! cryptography that the compiler has no hand in, and whose way would be as large as all the rest. On one processor and
//! on all of them, since those are two runtimes (`src/cli`).
//!
//! `cargo bench --bench training -- PROGRAM` plays to a program that was built to count what it does; without one it
//! shows only that the sessions can be played.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::env;
use std::io;
use std::net::SocketAddr;

use stage::clients;
use stage::support::prescreen::PROGRAM;
use stage::{Stage, Way, block_on};

/// Sessions of clients that are known, by the size of their message in octets. The last ones are spliced.
const DELIVERIES: [(usize, usize); 3] = [(2_000, 4 << 10), (200, 100 << 10), (50, 4 << 20)];
const AT_ONCE: usize = 8;

/// Zombies come in waves: each waits for its greeting.
const WAVES: usize = 5;
const ZOMBIES: usize = 400;

fn main() {
    // cargo puts `--bench` there, too.
    let named = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let program = named.unwrap_or(PROGRAM.to_owned());
    let stage = Stage::set();
    for way in [Way::Tcp, Way::Unix] {
        for on in [&["taskset", "-c", "0"][..], &[]] {
            let (mut daemon, smtp) = stage.start(&[on, &[program.as_str()]].concat(), way);
            block_on(sessions(smtp)).unwrap();
            daemon.signal("TERM");
            assert!(daemon.wait().success(), "{}", daemon.log());
        }
    }
}

async fn sessions(to: SocketAddr) -> io::Result<()> {
    for (count, size) in DELIVERIES {
        clients::deliveries(to, clients::message(size), count, AT_ONCE).await?;
    }
    for _ in 0..WAVES {
        clients::zombies(to, ZOMBIES).await?;
    }
    Ok(())
}
