//! `prescreen dnsbl`

use std::process::ExitCode;

use clap::Args;
use prescreen::admin::desk::{DnsList, Request};

use super::running::{Running, print_json, table};
use super::status::listed;
use super::{Stopped, print};

/// Show the state of each DNS list, and what it has been good for since the start.
///
/// Hits are clients whose answer counted; unique ones no other list knew; overlap says which other lists knew how many of
/// them. Errors are answers that said something of the list instead of a client.
#[derive(Args)]
pub(super) struct Dnsbl {
    #[command(flatten)]
    running: Running,
    /// Print a line of JSON for each.
    #[arg(long)]
    json: bool,
}

pub(super) fn dnsbl(options: &Dnsbl) -> Result<ExitCode, Stopped> {
    let lists: Vec<DnsList> = options.running.ask_all(&Request::Dnsbl)?;
    if options.json {
        return print_json(&lists);
    }
    if lists.is_empty() {
        print("no list in dnsbl.sites\n")?;
    }
    for list in &lists {
        print(&shown(list))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(list: &DnsList) -> String {
    let state = list.suspended.as_ref().map_or_else(|| "works".to_owned(), |why| format!("SUSPENDED: {why}"));
    let overlap = list.overlap.iter().map(|other| (other.with.clone(), other.hits)).collect();
    let rows = [
        ("state", state),
        ("queries", listed(&list.queries, "none")),
        ("hits", format!("{}, {} of them unique", list.hits, list.unique_hits)),
        ("overlap", listed(&overlap, "none")),
        ("errors", listed(&list.errors, "none")),
        ("latency", format!("{:.1} ms on average", list.latency * 1000.0)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, what)| vec![format!("  {name}"), what]).collect();
    format!("{}\n{}", list.list, table(&rows))
}
