//! Thousands of sessions of every kind leave nothing behind.
//!
//! A tenth of them fills what is meant to be filled: caches, pools, the runtime's own. From then on the process must
//! hold no more descriptors and no more memory. `PRESCREEN_SOAK=200000` makes it a long one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use prescreen::demo::{CAST, Character, Sink};
use prescreen::dns::{Responder, Zone};
use support::eventually;
use support::prescreen::{Config, Prescreen};
use tokio::task::JoinSet;

/// Sessions, and how many of them at once: that they wait is what takes the time.
const SESSIONS: usize = 2_000;
const AT_ONCE: usize = 100;
const AT_ONCE_IN_A_LONG_ONE: usize = 1_000;

/// Clients come again, so that what is remembered of each of them is remembered once.
const CLIENTS: usize = 500;

/// Octets of memory for the last connections, so few that a tenth of the sessions fills them.
const HISTORY: &str = "131072";

/// Memory that comes and goes with the allocator's pages.
const SLACK: u64 = 4 << 20;

const ZONE: &str = "
    example.net               MX  10 mail.example.net
    mail.example.net          A   127.0.2.1
    bl.example.net            SOA 120
    2.0.0.127.bl.example.net  A   127.0.0.2
    *.77.127.bl.example.net   A   127.0.0.4
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_every_kind_leave_nothing_behind() {
    let sink = Sink::start(local()).await.unwrap();
    let responder = Responder::bind(local(), Zone::parse(ZONE).unwrap()).await.unwrap();
    let prescreen = Config::before_address(sink.address(), responder.address())
        .set("domains.local", "['example.com']")
        .set("dnsbl.sites", "['bl.example.net']")
        .set("screen.greet_wait", "'20ms'")
        .set("admin.history_size", HISTORY);
    let prescreen = tokio::task::spawn_blocking(|| prescreen.start()).await.unwrap();
    let idle = descriptors(&prescreen);
    assert!(idle > 0);

    let sessions = std::env::var("PRESCREEN_SOAK").map_or(SESSIONS, |count| count.parse().unwrap());
    let first = sessions / 10;
    let at_once = if sessions > SESSIONS { AT_ONCE_IN_A_LONG_ONE } else { AT_ONCE };
    visit(&prescreen, 0..first, at_once).await;
    gone(&prescreen, idle).await;
    let (memory, messages) = (memory(&prescreen), sink.messages().len());
    visit(&prescreen, first..sessions, at_once).await;
    gone(&prescreen, idle).await;
    assert!(sink.messages().len() > messages, "mail is still delivered");
    let now = self::memory(&prescreen);
    println!("{memory} bytes after {first} sessions, {now} after {sessions}");
    assert!(now <= memory + SLACK, "{memory} bytes after {first} sessions, {now} after {sessions}");
}

/// Visits by the demo's cast, each member from addresses of its own.
async fn visit(prescreen: &Prescreen, sessions: impl Iterator<Item = usize>, at_once: usize) {
    let mut visits = JoinSet::new();
    for session in sessions {
        if visits.len() >= at_once {
            visits.join_next().await.unwrap().unwrap();
        }
        let kind = session % CAST.len();
        let client = session / CAST.len() % (CLIENTS / CAST.len());
        let network = if CAST[kind].name == "listed on a DNSBL" { 77 } else { 70 };
        let address = Ipv4Addr::new(127, network, kind as u8, client as u8 + 1);
        let (character, to) = (Character { address, ..CAST[kind] }, prescreen.smtp);
        visits.spawn(async move {
            // Some are reset while they talk: that is what happens to them.
            let _ = character.visit(to).await;
        });
    }
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
}

/// Waits until only what was open before any client is open; pipes of the relay's pool are kept, and sockets for later
/// DNS queries, which lead nowhere.
async fn gone(prescreen: &Prescreen, idle: usize) {
    tokio::task::block_in_place(|| {
        eventually("connections to be closed", || (descriptors(prescreen) <= idle).then_some(()));
    });
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// How many of the process's descriptors are TCP's.
fn descriptors(prescreen: &Prescreen) -> usize {
    let process = format!("/proc/{}", prescreen.pid());
    // The inode is the tenth column.
    let inodes: HashSet<_> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| fs::read_to_string(format!("{process}/net/{table}")))
        .flat_map(|table| {
            let inode = |line: &str| line.split_whitespace().nth(9).map(|inode| format!("socket:[{inode}]"));
            table.lines().skip(1).filter_map(inode).collect::<Vec<_>>()
        })
        .collect();
    fs::read_dir(format!("{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|file| inodes.contains(&*file.to_string_lossy()))
        .count()
}

fn memory(prescreen: &Prescreen) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", prescreen.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
