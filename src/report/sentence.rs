//! A report as one sentence: what it came to, who it was, and why.

use std::fmt::Write;

use super::Report;
use super::line::{self, Bracketed, Client};
use super::text::{Delay, printable};
use crate::screen::History;

/// Findings that a sentence tells.
const REASONS: usize = 6;

/// `01KC… relayed [192.0.2.1]:4711 after 6.3 s, new; helo=<a> from=<b> to=<c>; to 127.0.0.1:25 in 0.02 s; …`
pub(super) fn of(report: &Report) -> String {
    let outcome = report.outcome().map_or("", |outcome| outcome.as_str());
    let after = Delay(report.duration().unwrap_or_default());
    let mut text = format!("{} {outcome} {} after {after} s", report.id(), Bracketed(report.ends().client));
    if let Some(history) = report.history {
        text.push_str(match history {
            History::New => ", new",
            History::Old => ", old",
        });
    }
    if let Some(would) = report.would_have() {
        let _ = write!(text, ", would have been {}", would.as_str());
    }
    let parts = [who(report), why(report), handed_over(report), relayed(report), tls(report)];
    for part in parts.into_iter().flatten() {
        let _ = write!(text, "; {part}");
    }
    text
}

fn who(report: &Report) -> Option<String> {
    let talk = report.talk.as_ref()?;
    let envelope = talk.envelope.as_ref()?;
    let mut words = Vec::new();
    if let Some(helo) = &envelope.helo {
        words.push(format!("helo=<{}>", printable(helo)));
    }
    if let Some(sender) = &envelope.sender {
        words.push(format!("from=<{}>", printable(sender)));
    }
    match (talk.recipients.first(), &envelope.recipient) {
        (Some(first), _) => words.push(format!("to=<{first}>")),
        (None, Some(refused)) => words.push(format!("to=<{}>", printable(refused))),
        (None, None) => {}
    }
    if talk.accepted > 1 {
        words.push(format!("and {} more", talk.accepted - 1));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

fn why(report: &Report) -> Option<String> {
    let told = report.findings.iter().flat_map(|(_, finding)| line::lines(finding, Client::Understood));
    let mut reasons: Vec<_> = told.map(|line| line.text).collect();
    let untold = report.untold as usize + reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    if untold > 0 {
        reasons.push(format!("and {untold} more"));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn handed_over(report: &Report) -> Option<String> {
    let handoff = report.handoff()?;
    let took = Delay(handoff.took);
    Some(match &handoff.server {
        Some(server) => format!("to {server} in {took} s"),
        None => format!("no backend in {took} s"),
    })
}

fn relayed(report: &Report) -> Option<String> {
    let transfer = report.transfer()?;
    let (up, down) = (transfer.up, transfer.down);
    Some(format!(
        "{} bytes to the backend, {} back, {} of them spliced",
        up.copied + up.spliced,
        down.copied + down.spliced,
        up.spliced + down.spliced
    ))
}

fn tls(report: &Report) -> Option<String> {
    report.tls().map(|tls| format!("{} {}", tls.protocol, tls.cipher))
}
