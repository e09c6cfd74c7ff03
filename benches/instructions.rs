//! What a session costs in instructions, as callgrind counts them: figures that do not change with what else the
//! machine does, and can be compared from one commit to the next.
//!
//! `cargo bench --bench instructions`; wants valgrind.
//!
//! The program is started under callgrind and serves a few sessions; then the counting begins. So neither the start is
//! in the figures (where a clock is calibrated, for as long as that takes) nor the end. The kernel's part, which is the
//! larger, is not in them either. Two runs of one commit differ by about one percent, because hash tables are seeded
//! anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "compare/clients.rs"]
#[expect(dead_code, reason = "the comparison uses the rest")]
mod clients;
#[path = "compare/sink.rs"]
#[expect(dead_code, reason = "the comparison uses the rest")]
mod sink;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;

use prescreen::dns::{Responder, Zone};
use tokio::runtime::Builder;

use sink::Sink;
use support::daemon::Daemon;
use support::prescreen::{Config, PROGRAM};

const ZONE: &str = "
    example.net                   MX   10 mail.example.net
    mail.example.net              A    127.1.0.1
    bl.example.org                SOA  120
    2.0.0.127.bl.example.org      A    127.0.0.2
    *.128.127.bl.example.org      A    127.0.0.4
";

/// Sessions before the counting begins, and while it goes on.
const BEFORE: usize = 40;
const COUNTED: usize = 400;

/// What disturbs adds: the least of so many runs is the one to believe.
const RUNS: usize = 3;

/// What is done, so many times.
type Work = fn(SocketAddr, usize) -> io::Result<()>;

const WORKS: [(&str, Work); 2] = [
    ("a known client delivers 4 KiB, every restriction on", |to, count| {
        let message = clients::message(4096);
        block_on(async {
            // Whoever is to be known has been here before.
            clients::deliveries(to, message, 1, 1).await?;
            clients::deliveries(to, message, count, 1).await.map(drop)
        })
    }),
    ("a zombie, a like number of each kind", |to, count| block_on(clients::zombies(to, count))),
];

fn main() {
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: this wants valgrind");
        return;
    }
    println!("| | instructions |\n|---|---:|");
    for (name, work) in WORKS {
        let least = (0..RUNS).map(|_| counted(work)).min().expect("a run");
        println!("| {name} | {} |", least / COUNTED as u64);
    }
}

/// The instructions that it takes to do `work` so many times.
fn counted(work: Work) -> u64 {
    let folder = tempfile::TempDir::with_prefix("prescreen-instructions-").unwrap();
    let sink = Sink::start(&folder.path().join("backend")).unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let responder = runtime.block_on(Responder::bind(anywhere, Zone::parse(ZONE).unwrap())).unwrap();
    let config = Config::before_address(sink.announced, responder.address())
        // As it comes; tests read JSON.
        .set("log.format", "'text'")
        .set("dnsbl.sites", "['bl.example.org']")
        .set("screen.greet_wait", "'1s'")
        .set("limits.client_connection_count_limit", "0")
        .set("limits.client_connection_rate_limit", "0")
        .set("backend.probe_interval", "'60s'");
    let (file, log, out) =
        (folder.path().join("config"), folder.path().join("log"), folder.path().join("callgrind"));
    fs::write(&file, config.toml()).unwrap();
    let dump = format!("--callgrind-out-file={}", out.display());
    let file = file.display().to_string();
    let command = ["env", "TOKIO_WORKER_THREADS=1", "valgrind", "--tool=callgrind", &dump, PROGRAM, "run"];
    let command = [&command[..], &["--config", &file]].concat();
    let mut daemon = Daemon::start(&command, &log);
    daemon.await_ready("prescreen under callgrind", || std::net::TcpStream::connect(config.smtp).is_ok());
    work(config.smtp, BEFORE).unwrap();
    control("--zero", &daemon);
    work(config.smtp, COUNTED).unwrap();
    control("--dump", &daemon);
    daemon.signal("TERM");
    daemon.wait();
    let dumped = fs::read_to_string(out.with_extension("1")).expect("what was counted until then");
    let total = dumped.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    total.trim().parse().expect("a number")
}

/// Tells callgrind something while the program runs.
fn control(what: &str, daemon: &Daemon) {
    let said = Command::new("callgrind_control").args([what, &daemon.pid().to_string()]).output().unwrap();
    assert!(said.status.success(), "callgrind_control {what}: {said:?}");
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
