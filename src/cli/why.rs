//! `prescreen why`

use std::process::ExitCode;

use clap::Args;
use prescreen::admin::desk::{Request, span};
use serde_json::Value;

use super::running::{Running, now, print_json};
use super::{Stopped, print};

/// Show what was decided about a client, and why.
///
/// The server remembers the last connections, as many as admin.history_size holds. A connection's name stands in the
/// log, and behind every refusal that smtp.reject_footer has not taken it from: `; id D207XF0H5GGB`.
#[derive(Args)]
pub(super) struct Why {
    #[command(flatten)]
    running: Running,
    /// Print the reports: a line of JSON for each.
    #[arg(long)]
    json: bool,
    /// A connection's name, an address or a network.
    about: String,
}

pub(super) fn why(options: &Why) -> Result<ExitCode, Stopped> {
    let reports: Vec<Value> = options.running.ask_all(&Request::Why { about: options.about.clone() })?;
    if options.json {
        return print_json(&reports);
    }
    if reports.is_empty() {
        eprintln!("prescreen: nothing is remembered about {}", options.about);
        return Ok(ExitCode::FAILURE);
    }
    for report in &reports {
        print(&story(report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What happened, in order.
fn story(report: &Value) -> String {
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    let ago = span(now().saturating_sub(report["time"].as_u64().unwrap_or_default()));
    let mut story = format!(
        "{} {} ago: {} [{}]:{} after {} s\n",
        text("id"),
        ago,
        text("outcome"),
        text("client"),
        report["port"],
        report["duration"]
    );
    for key in ["helo", "from"] {
        if !report[key].is_null() {
            story.push_str(&format!("  {key:<9} {}\n", text(key)));
        }
    }
    match &report["to"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).for_each(|to| {
            story.push_str(&format!("  {:<9} {to}\n", "to"));
        }),
        Value::String(to) => story.push_str(&format!("  {:<9} {to}\n", "to")),
        _ => {}
    }
    for event in report["events"].as_array().into_iter().flatten() {
        let at = event["at"].as_f64().unwrap_or_default();
        story.push_str(&format!("  {at:>7.3} s {}\n", event["what"].as_str().unwrap_or_default()));
    }
    if let Some(server) = report["handoff"]["server"].as_str() {
        story.push_str(&format!("  {:<9} {server}\n", "backend"));
    }
    story
}
