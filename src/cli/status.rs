//! `prescreen status`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use prescreen::admin::desk::{Request, State, span};

use super::running::{Running, now, print_json, table};
use super::{Stopped, count, print};

/// Show how the running server is, on one screen.
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    running: Running,
    /// Show it again every two seconds, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

const PAUSE: Duration = Duration::from_secs(2);

/// Goes to the upper left and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn status(options: &Status) -> Result<ExitCode, Stopped> {
    loop {
        let state: State = options.running.ask(&Request::Status)?;
        match (options.json, options.watch) {
            (true, _) => print_json(&[&state]).map(drop)?,
            (false, true) => print(&format!("{CLEAR}{}", screen(&state)))?,
            (false, false) => print(&screen(&state))?,
        }
        if !options.watch {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(PAUSE);
    }
}

fn screen(state: &State) -> String {
    let ready =
        state.not_ready.as_ref().map_or_else(|| "ready".to_owned(), |why| format!("not ready: {why}"));
    let mut text = format!(
        "prescreen {} at {}, process {}, up {}: {ready}\n\n",
        state.version,
        state.hostname,
        state.pid,
        span(state.uptime)
    );
    let mut rows = vec![
        row("listening", &state.listeners.join(", ")),
        row("configuration", &configuration(state)),
        row("sessions", &sessions(state)),
        row("last hour", &listed(&state.last_hour, "nobody came")),
        row("allowlist", &allowlist(state)),
    ];
    rows.extend(state.backends.iter().enumerate().map(|(place, backend)| {
        let failures = match backend.failures {
            0 => String::new(),
            n => format!(", {}", count(usize::try_from(n).unwrap_or(usize::MAX), "failure")),
        };
        let what = format!(
            "{} {}, {} connections, {:.0} ms{failures}",
            backend.server,
            backend.health,
            backend.connections,
            backend.connect * 1000.0
        );
        row(if place == 0 { "backends" } else { "" }, &what)
    }));
    rows.extend(state.dnsbl.iter().enumerate().map(|(place, list)| {
        let asked: u64 = list.queries.values().sum();
        let health = list.suspended.as_ref().map_or_else(String::new, |why| format!(", SUSPENDED: {why}"));
        let what = format!("{} {asked} lookups, {} hits{health}", list.list, list.hits);
        row(if place == 0 { "DNS lists" } else { "" }, &what)
    }));
    if state.log_dropped > 0 {
        rows.push(row("log", &format!("{} lines dropped: whoever reads it is too slow", state.log_dropped)));
    }
    text.push_str(&table(&rows));
    text
}

fn row(name: &str, what: &str) -> Vec<String> {
    vec![name.to_owned(), what.to_owned()]
}

fn configuration(state: &State) -> String {
    let it = &state.configuration;
    let age = span(now().saturating_sub(it.loaded));
    let last = if it.last_taken { "" } else { "; THE LAST RELOAD WAS REFUSED" };
    format!("loaded {age} ago, {} reloads, {} refused{last}", it.reloads, it.refused)
}

fn sessions(state: &State) -> String {
    let of = |name: &str| state.sessions.get(name).copied().unwrap_or(0);
    let limits = &state.limits;
    let mut text = format!(
        "{} in tests and {} in dialogue of {}, {} at a backend of {}",
        of("screen"),
        of("dialogue"),
        limits.pre_queue_limit,
        of("relay"),
        limits.post_queue_limit
    );
    let refused = limits.refused_screening + limits.refused_backend;
    if refused > 0 {
        text.push_str(&format!("; {refused} turned away, stress {} times", limits.stressed));
    }
    text
}

fn allowlist(state: &State) -> String {
    let it = &state.allowlist;
    let asked = it.hits + it.misses;
    let known =
        (100 * it.hits).checked_div(asked).map_or_else(String::new, |share| format!(", {share} % known"));
    format!("{} clients{known}, file {}, {}", it.entries, it.store.0, count(it.orders, "order"))
}

/// `relayed 12, dnsbl 3`, the most frequent first.
pub(super) fn listed(counts: &BTreeMap<String, u64>, none: &str) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() { none.to_owned() } else { counts.join(", ") }
}
