//! What a session costs in instructions, as callgrind counts them: figures that do not change with what else the
//! machine does, and can be compared from one commit to the next.
//!
//! `cargo bench --bench instructions`; wants valgrind.
//!
//! The program is started under callgrind and serves a few sessions; then the counting begins. So neither the start is
//! in the figures (where a clock is calibrated, for as long as that takes) nor the end. The kernel's part, which is the
//! larger, is not in them either. Two runs of one commit differ by less than one percent, because hash tables are seeded
//! anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;

use stage::clients;
use stage::support::daemon::Daemon;
use stage::support::prescreen::PROGRAM;
use stage::{Stage, Way, block_on};

/// Sessions before the counting begins, and while it goes on.
const BEFORE: usize = 40;
const COUNTED: usize = 400;

/// What is done, so many times.
type Work = fn(SocketAddr, usize) -> io::Result<()>;

const WORKS: [(&str, Way, Work); 3] = [
    ("a known client delivers 4 KiB, every restriction on", Way::Tcp, deliveries),
    ("the same to a backend on a unix socket", Way::Unix, deliveries),
    ("a zombie, a like number of each kind", Way::Tcp, |to, count| block_on(clients::zombies(to, count))),
];

fn main() {
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: this wants valgrind");
        return;
    }
    println!("| | instructions |\n|---|---:|");
    for (name, way, work) in WORKS {
        println!("| {name} | {} |", counted(way, work) / COUNTED as u64);
    }
}

/// The instructions that it takes to do `work` so many times.
fn counted(way: Way, work: Work) -> u64 {
    let stage = Stage::set();
    let dump = stage.folder().join("callgrind");
    let dumps = format!("--callgrind-out-file={}", dump.display());
    let command = ["env", "TOKIO_WORKER_THREADS=1", "valgrind", "--tool=callgrind", &dumps, PROGRAM];
    let (mut daemon, smtp) = stage.start(&command, way);
    work(smtp, BEFORE).unwrap();
    control("--zero", &daemon);
    work(smtp, COUNTED).unwrap();
    control("--dump", &daemon);
    daemon.signal("TERM");
    daemon.wait();
    let dumped = fs::read_to_string(dump.with_extension("1")).expect("what was counted until then");
    let total = dumped.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    total.trim().parse().expect("a number")
}

fn deliveries(to: SocketAddr, count: usize) -> io::Result<()> {
    block_on(clients::deliveries(to, clients::message(4096), count, 1)).map(drop)
}

/// Tells callgrind something while the program runs.
fn control(what: &str, daemon: &Daemon) {
    let said = Command::new("callgrind_control").args([what, &daemon.pid().to_string()]).output().unwrap();
    assert!(said.status.success(), "callgrind_control {what}: {said:?}");
}
