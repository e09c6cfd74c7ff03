//! `prescreen shadow`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prescreen::admin::desk::{self, Request, span};
use prescreen::admin::shadow::{Difference, Kind, News, Summary};
use tokio::signal;
use tokio::signal::unix::SignalKind;

use super::running::{Running, print_json, refused};
use super::status::listed;
use super::{EX_NOINPUT, EX_UNAVAILABLE, Stopped, failed, print, runtime};

/// Compare another configuration with the one that the running server uses: who would newly be refused, who let in?
///
/// The server checks it as it would at a reload, and then judges each connection that ends by it, too. Nothing comes of
/// that: nobody waits for it, no rate is counted, no allowlist written, no policy server asked and no address probed.
/// DNS is asked. What the server has not learnt of a client, because it had refused it before or does not make a test,
/// leaves the other configuration undecided.
///
/// Differences are told as they come up. It ends when the time is over, or when interrupted, with a summary.
#[derive(Args)]
pub(super) struct Shadow {
    /// The other configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The server's admin socket; without one, admin.socket of the other configuration.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// For how long: `1h`, `7d`. Until interrupted, if not given.
    #[arg(long = "for", value_name = "TIME", value_parser = desk::time)]
    time: Option<Duration>,
    /// Print lines of JSON: each difference as it comes up, then the summary.
    #[arg(long)]
    json: bool,
}

pub(super) fn shadow(options: &Shadow) -> Result<ExitCode, Stopped> {
    let Shadow { config, socket, time, json } = options;
    let cannot = |error| failed(EX_NOINPUT, format_args!("{}: {error}", config.display()));
    let text = fs::read_to_string(config).map_err(cannot)?;
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let request = Request::Shadow {
        name: config.display().to_string(),
        text,
        base: fs::canonicalize(folder).map_err(cannot)?,
        seconds: time.map(|time| time.as_secs()),
    };
    let mut call = Running::with(socket.clone(), config.clone()).call()?;
    let enough = call.enough().map_err(|error| failed(EX_UNAVAILABLE, error))?;
    let runtime = runtime()?;
    runtime.spawn(async move {
        interrupted().await;
        enough.said();
    });
    let each = |news: News| {
        // A reader that has read enough is told by the next line that cannot be written; the summary is for others.
        let told = if *json { print_json(&[&news]).map(drop) } else { print(&told(&news)) };
        told.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    };
    let ended = call.ask_each(&request, each).map_err(refused)?;
    let summary: Summary = serde_json::from_value(ended).map_err(|error| failed(EX_UNAVAILABLE, error))?;
    if *json {
        return print_json(&[&summary]);
    }
    print(&whole(&summary))?;
    Ok(ExitCode::SUCCESS)
}

async fn interrupted() {
    let terminate = async {
        match signal::unix::signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

fn told(news: &News) -> String {
    match news {
        News::Began(blind) => {
            blind.iter().map(|spot| format!("not seen: {spot}\n")).collect::<String>() + "comparing …\n"
        }
        News::Differs(difference) => format!("{}: {}\n", difference.kind.as_str(), one(difference)),
        News::Compared(_) => String::new(),
    }
}

/// `[192.0.2.7] from=<a@example.net> to=<b@example.org>: dnsbl: 550 5.7.1 …`
fn one(difference: &Difference) -> String {
    let mut text = format!("[{}]", difference.client);
    for (name, value) in [("from", &difference.sender), ("to", &difference.recipient)] {
        if let Some(value) = value {
            text.push_str(&format!(" {name}=<{value}>"));
        }
    }
    text.push_str(&format!(": {}", difference.rule));
    if !difference.reply.is_empty() {
        text.push_str(&format!(": {}", difference.reply));
    }
    format!("{text} ({})", difference.id)
}

fn whole(summary: &Summary) -> String {
    let share = |count: u64| match (1000 * count).checked_div(summary.compared) {
        Some(tenths) => format!("{count:>8}  {}.{} %", tenths / 10, tenths % 10),
        None => format!("{count:>8}"),
    };
    let mut text = format!(
        "\n{} for {}: {} connections, {} of which asked for nothing\n",
        summary.config,
        span(summary.seconds),
        summary.connections,
        summary.idle
    );
    text.push_str(&format!("  {:<20}{:>8}\n", "decisions compared", summary.compared));
    for (name, count, because) in [
        ("agreed", summary.agreed, None),
        ("newly refused", summary.newly_refused, Some(&summary.refused_by)),
        ("newly permitted", summary.newly_permitted, Some(&summary.no_longer_refused_by)),
        ("refused otherwise", summary.refused_otherwise, None),
        ("undecided", summary.undecided, Some(&summary.undecided_because)),
    ] {
        text.push_str(&format!("  {name:<20}{}\n", share(count)));
        if let Some(counts) = because.filter(|counts| !counts.is_empty()) {
            text.push_str(&format!("      {}\n", listed(counts, "")));
        }
    }
    if summary.dropped > 0 {
        text.push_str(&format!("  {:<20}{:>8}\n", "not compared", summary.dropped));
    }
    for kind in Kind::ALL {
        let mut of_kind = summary.examples.iter().filter(|example| example.kind == kind).peekable();
        if of_kind.peek().is_some() {
            text.push_str(&format!("\nmost often {}:\n", kind.as_str()));
        }
        for example in of_kind {
            text.push_str(&format!("  {:>6} times {}\n", example.count, one(example)));
        }
    }
    if !summary.blind.is_empty() {
        text.push_str("\nnot seen:\n");
        summary.blind.iter().for_each(|spot| text.push_str(&format!("  {spot}\n")));
    }
    text
}
