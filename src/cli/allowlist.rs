//! `prescreen allowlist`

use std::io::{self, BufRead, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use prescreen::admin::desk::{Passes, Request, span, time};

use super::orders::{client, told};
use super::running::{Running, now, refused, table};
use super::{EX_DATAERR, EX_IOERR, Stopped, failed, print};

/// Show and change who has passed the tests.
#[derive(Args)]
pub(super) struct Allowlist {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show who is remembered, and how long each pass counts.
    List {
        #[command(flatten)]
        running: Running,
    },
    /// Show what one client has passed. Ends with 1 if it is not remembered.
    Get {
        #[command(flatten)]
        running: Running,
        /// The client.
        address: IpAddr,
    },
    /// Let a client count as having passed every test: no wait, no DNS lists. Restrictions judge its mail all the same.
    Add {
        #[command(flatten)]
        running: Running,
        /// The client.
        address: IpAddr,
        /// For how long: 7d, 12h; without it, for as long as the longest-lived pass. Never for longer.
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        lasting: Option<Duration>,
    },
    /// Forget a client: it is tested again.
    Remove {
        #[command(flatten)]
        running: Running,
        /// The client.
        address: IpAddr,
    },
    /// Print all of it, a line of JSON for each client.
    Export {
        #[command(flatten)]
        running: Running,
    },
    /// Take in what `export` has printed, from standard input, in addition to what is known.
    Import {
        #[command(flatten)]
        running: Running,
    },
}

/// Clients in one request; a client takes some 150 octets.
const BATCH: usize = 1_000;

pub(super) fn allowlist(options: &Allowlist) -> Result<ExitCode, Stopped> {
    match &options.command {
        Command::List { running } => {
            let all: Vec<Passes> = running.ask_all(&Request::Allowlist)?;
            print(&table(&all.iter().map(row).collect::<Vec<_>>()))?;
        }
        Command::Get { running, address } => {
            let passes: Passes = running.ask(&Request::Passes { client: *address })?;
            print(&table(&[row(&passes)]))?;
        }
        Command::Add { running, address, lasting } => {
            let seconds = lasting.map(|time| time.as_secs());
            told(running.ask(&Request::Pass { client: *address, seconds })?);
        }
        Command::Remove { running, address } => {
            let () = running.ask(&Request::Forget { client: *address })?;
        }
        Command::Export { running } => export(running)?,
        Command::Import { running } => import(running)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn row(passes: &Passes) -> Vec<String> {
    let now = now();
    let tests = passes.tests.iter().map(|(test, until)| match until.checked_sub(now) {
        Some(left) if left > 0 => format!("{test} {}", span(left)),
        _ => format!("{test} over"),
    });
    vec![client(passes.client), tests.collect::<Vec<_>>().join(", ")]
}

/// As it comes: a long list is not held.
fn export(running: &Running) -> Result<(), Stopped> {
    let mut out = io::stdout().lock();
    let each = |passes: Passes| {
        serde_json::to_writer(&mut out, &passes)?;
        out.write_all(b"\n")
    };
    running.call()?.ask_each(&Request::Allowlist, each).map(drop).map_err(refused)
}

fn import(running: &Running) -> Result<(), Stopped> {
    let mut call = running.call()?;
    let (mut batch, mut taken) = (Vec::new(), 0);
    let mut send = |passes: Vec<Passes>| -> Result<(), Stopped> {
        taken += call.ask::<usize>(&Request::Import { passes }).map_err(refused)?;
        Ok(())
    };
    for (number, line) in (1..).zip(io::stdin().lock().lines()) {
        let line = line.map_err(|error| failed(EX_IOERR, error))?;
        let passes = serde_json::from_str(&line);
        batch.push(passes.map_err(|error| failed(EX_DATAERR, format_args!("line {number}: {error}")))?);
        if batch.len() == BATCH {
            send(std::mem::take(&mut batch))?;
        }
    }
    send(batch)?;
    print(&format!("{taken} taken in\n"))
}
