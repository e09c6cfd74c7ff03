//! prescreen beside the programs that it is compared with, on the same work, on this machine, now.
//!
//! `benches/compare/run` installs the rivals from Debian's packages and starts this in a network of its own. Each
//! workload runs in a process of its own, everything in it on one processor: what forwards cheaply must not look
//! cheaper because its neighbours pay on another one.
//!
//! - Contenders take turns, and the order turns round with every round, so that what else happens on the machine
//!   happens to all of them.
//! - Processor time is read from the clocks of the processes, before and after a bout. The clients and the sink
//!   count into "the whole system" only.
//! - prescreen runs twice under two names: the ratio between the two is the noise, and a difference that is no
//!   larger means nothing. With `PRESCREEN_BEFORE` the second one is another build, which shows what a change has done.
//! - Ratios are medians over the rounds with a bootstrap interval. Absolute figures are this machine's.
//!
//! The first round of each workload warms up and is not counted. A session that fails stops the run: there is no
//! figure for work that was not done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]

mod clients;
mod clock;
mod figures;
mod rivals;
mod sink;
#[path = "../../tests/support/mod.rs"]
mod support;
mod work;

use std::env;
use std::io;
use std::process::{Command, ExitCode};

use tokio::runtime::Builder;

use work::World;

const WORKLOADS: [&str; 10] =
    ["clean", "sink", "zombies", "held", "contact", "bulk", "relay", "unix", "idle", "lookups"];
const ROUNDS: usize = 7;

fn main() -> ExitCode {
    // `cargo bench` adds its own option.
    let mut arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "--only") {
        arguments.remove(0);
        return finish(run(&arguments));
    }
    if arguments.first().is_some_and(|first| first == "lookups-child") {
        return finish(runtime().and_then(|runtime| runtime.block_on(World::lookups_child())));
    }
    if env::var_os("PRESCREEN_COMPARE").is_none() {
        println!("skipped: this wants a network of its own; start it with benches/compare/run");
        return ExitCode::SUCCESS;
    }
    let rounds = arguments.iter().find_map(|argument| argument.strip_prefix("--rounds=")).map(str::to_owned);
    arguments.retain(|argument| !argument.starts_with("--"));
    if let Some(unknown) = arguments.iter().find(|name| !WORKLOADS.contains(&name.as_str())) {
        eprintln!("no workload is called {unknown}; there are: {}", WORKLOADS.join(" "));
        return ExitCode::FAILURE;
    }
    let wanted = WORKLOADS.iter().filter(|name| arguments.is_empty() || arguments.iter().any(|a| a == *name));
    let mut failed = false;
    for workload in wanted {
        eprint!("{workload} ");
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(env::current_exe().expect("this program")).args(["--only", workload]);
        command.args(&rounds);
        failed |= !command.status().is_ok_and(|status| status.success());
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// One workload, in this process.
fn run(arguments: &[String]) -> io::Result<()> {
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    runtime()?.block_on(async {
        let world = World::new(rounds).await?;
        match arguments.first().map(String::as_str) {
            Some("clean") => world.clean().await,
            Some("sink") => world.clean_to_sink().await,
            Some("zombies") => world.zombies().await,
            Some("held") => world.held().await,
            Some("contact") => world.first_contact().await,
            Some("bulk") => world.bulk().await,
            Some("relay") => world.relay().await,
            Some("unix") => world.unix().await,
            Some("idle") => world.idle().await,
            _ => world.lookups().await,
        }
    })
}

fn finish(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
