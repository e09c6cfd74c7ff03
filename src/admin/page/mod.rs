//! The status page: one look from a telephone, no Prometheus needed.
//!
//! Self-contained: no script at all, nothing loaded from anywhere. It shows no client and no mail address, nothing on
//! it can be pressed, and what it shows of the configuration is what `/metrics` shows, too.

mod chart;
mod html;
mod words;

use std::time::Duration;

use super::http::Readiness;
use crate::allowlist::StoreState;
use crate::handoff;
use crate::limits::State;
use crate::metrics::{Freshness, Hour, Snapshot};
use crate::report::Outcome;
use crate::screen::ListStatistics;

use html::{Page, Text};
use words::{Group, span};

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Status {
    /// The name in greetings.
    pub hostname: String,
    /// How long the process has been running.
    pub uptime: Duration,
    /// Whether mail can come in.
    pub readiness: Readiness,
    /// What the rooms have counted.
    pub snapshot: Snapshot,
    /// Verdicts of the last hour.
    pub hour: Hour,
    /// The share of one address among the last connections.
    pub busiest: f64,
}

/// From which share on one address is too much of the world.
const TOO_BUSY: f64 = 0.5;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn html(status: &Status) -> String {
    let mut page = Page::default();
    page.put(format_args!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"10\"><title>{} · prescreen</title><style>{STYLE}</style></head><body>",
        Text(&status.hostname)
    ));
    head(&mut page, status);
    notices(&mut page, status);
    page.put(format_args!("<main>"));
    hour(&mut page, &status.hour);
    sessions(&mut page, &status.snapshot);
    lists(&mut page, &status.snapshot.lists);
    backends(&mut page, &status.snapshot.backends);
    rest(&mut page, &status.snapshot);
    page.put(format_args!(
        "</main><footer>prescreen {} · up {} · <a href=\"metrics\">metrics</a> · this page asks again every 10 s\
         </footer></body></html>\n",
        env!("CARGO_PKG_VERSION"),
        span(status.uptime)
    ));
    page.into_string()
}

fn head(page: &mut Page, status: &Status) {
    let (class, word) = match &status.readiness {
        Readiness::Ready => ("good", "ready".to_owned()),
        Readiness::NotReady(why) => ("bad", format!("not ready: {why}")),
    };
    page.put(format_args!(
        "<header><h1>{}</h1><span class=\"badge {class}\">{}</span></header>",
        Text(&status.hostname),
        Text(&word)
    ));
}

/// What needs somebody.
fn notices(page: &mut Page, status: &Status) {
    let snapshot = &status.snapshot;
    let mut notices = Vec::new();
    for list in &snapshot.lists {
        if let Some(ailment) = list.suspended {
            notices.push(format!("DNS list {} is suspended: {ailment}.", list.list));
        }
    }
    for backend in snapshot.backends.iter().filter(|backend| backend.health == handoff::Health::Down) {
        notices.push(format!("Backend {} does not answer.", backend.server));
    }
    if matches!(snapshot.allowlist.store, StoreState::Ill | StoreState::Locked) {
        let state = snapshot.allowlist.store.as_str();
        notices.push(format!("The allowlist's file is {state}: passes are kept in memory alone."));
    }
    if snapshot.configuration.freshness == Freshness::Stale {
        notices.push("The last reload was refused: the configuration before it is in force.".to_owned());
    }
    if status.busiest >= TOO_BUSY {
        let share = (status.busiest * 100.0).round();
        notices.push(format!(
            "{share} % of the last connections came from one address: are the clients' addresses lost on the way?"
        ));
    }
    if snapshot.log_dropped > 0 {
        notices.push(format!("{} log lines were dropped: their reader is too slow.", snapshot.log_dropped));
    }
    for notice in notices {
        page.put(format_args!("<p class=\"notice\" role=\"alert\">{}</p>", Text(&notice)));
    }
}

fn hour(page: &mut Page, hour: &Hour) {
    page.put(format_args!("<section class=\"wide\"><h2>The last hour</h2><div class=\"sums\">"));
    for group in Group::ALL {
        let sum: u64 =
            Outcome::ALL.into_iter().filter(|o| Group::of(*o) == group).map(|o| hour.total(o)).sum();
        let (class, words) = (group.class(), group.words());
        page.put(format_args!("<div class=\"{class}\"><b>{sum}</b><span>{words}</span></div>"));
    }
    page.put(format_args!("</div>"));
    chart::draw(page, hour);
    let mut verdicts: Vec<_> =
        Outcome::ALL.into_iter().map(|outcome| (outcome, hour.total(outcome))).collect();
    verdicts.retain(|(_, count)| *count > 0);
    verdicts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    page.put(format_args!("<table><tbody>"));
    for (outcome, count) in &verdicts {
        let (class, word, meaning) =
            (Group::of(*outcome).class(), outcome.as_str().replace('_', " "), words::meaning(*outcome));
        page.put(format_args!(
            "<tr><th><i class=\"{class}\"></i>{word}</th><td>{meaning}</td><td class=\"n\">{count}</td></tr>"
        ));
    }
    if verdicts.is_empty() {
        page.put(format_args!("<tr><td>Nobody has come.</td></tr>"));
    }
    page.put(format_args!("</tbody></table></section>"));
}

fn sessions(page: &mut Page, snapshot: &Snapshot) {
    let [screen, dialogue, relay] = State::ALL.map(|state| snapshot.seats.sessions[state as usize]);
    let limits = &snapshot.limits;
    page.put(format_args!("<section><h2>Now</h2>"));
    for (what, count, limit) in [
        ("being tested", screen, limits.pre_queue_limit),
        ("talking", dialogue, limits.pre_queue_limit),
        ("relayed", relay, limits.post_queue_limit),
    ] {
        page.put(format_args!(
            "<div class=\"gauge\"><span>{what}</span><meter min=\"0\" max=\"{limit}\" high=\"{}\" value=\"{count}\">\
             </meter><b>{count}</b></div>",
            limit / 10 * 9
        ));
    }
    let refused = snapshot.seats.refused_screening + snapshot.seats.refused_backend;
    page.put(format_args!(
        "<p class=\"small\">Room for {} before the hand-off and {} after it; {refused} refused for want of it.</p>\
         </section>",
        limits.pre_queue_limit, limits.post_queue_limit
    ));
}

fn lists(page: &mut Page, lists: &[ListStatistics]) {
    page.put(format_args!("<section><h2>DNS lists</h2>"));
    if lists.is_empty() {
        return page.put(format_args!("<p class=\"small\">None is configured.</p></section>"));
    }
    page.put(format_args!(
        "<table><thead><tr><th>list</th><th class=\"n\">hits</th><th class=\"n\">alone</th>\
         <th class=\"n\">mean</th></tr></thead><tbody>"
    ));
    for list in lists {
        let (class, state) = match list.suspended {
            None => ("good", String::new()),
            Some(ailment) => ("bad", format!("suspended: {ailment}")),
        };
        page.put(format_args!(
            "<tr><th><i class=\"{class}\"></i>{}<small>{}</small></th><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{} ms</td></tr>",
            Text(&list.list),
            Text(&state),
            list.hits,
            list.unique_hits,
            list.latency.mean().as_millis()
        ));
    }
    page.put(format_args!(
        "</tbody></table><p class=\"small\">Clients since the start that a list knew, and that no other did.</p></section>"
    ));
}

fn backends(page: &mut Page, backends: &[handoff::Totals]) {
    page.put(format_args!(
        "<section><h2>Backends</h2><table><thead><tr><th>server</th><th>state</th><th class=\"n\">failures</th></tr>\
         </thead><tbody>"
    ));
    for backend in backends {
        let class = match backend.health {
            handoff::Health::Up => "good",
            handoff::Health::Down => "bad",
            handoff::Health::Unknown => "left",
        };
        let failures: u64 = backend.failures.iter().flatten().sum();
        page.put(format_args!(
            "<tr><th><i class=\"{class}\"></i>{}</th><td>{}</td><td class=\"n\">{failures}</td></tr>",
            Text(&backend.server),
            backend.health.as_str()
        ));
    }
    page.put(format_args!("</tbody></table></section>"));
}

fn rest(page: &mut Page, snapshot: &Snapshot) {
    let allowlist = &snapshot.allowlist;
    let configuration = match snapshot.configuration.freshness {
        Freshness::Fresh => "as in the file",
        Freshness::Stale => "older than the file",
    };
    page.put(format_args!(
        "<section><h2>Memory</h2><table><tbody>\
         <tr><th>clients on the allowlist</th><td class=\"n\">{}</td></tr>\
         <tr><th>its file</th><td class=\"n\">{}</td></tr>\
         <tr><th>configuration</th><td class=\"n\">{configuration}</td></tr></tbody></table></section>",
        allowlist.entries,
        allowlist.store.as_str()
    ));
}

#[cfg(test)]
mod tests;
