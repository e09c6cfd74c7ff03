//! A report as one JSON object: every fact, bounded.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::line::{self, Client};
use super::text::{REPLY, excerpt, printable, printable_up_to};
use super::{Finding, Outcome, Report};
use crate::dialogue::{self, Envelope, RefusedBy};
use crate::policy::Cause;
use crate::relay::{How, Moved, Side, Transfer};
use crate::screen::{self, History};

/// The facts, in the order in which a reader wants them.
#[derive(Serialize)]
struct Facts<'a> {
    id: String,
    outcome: &'static str,
    /// What it would have been, had everything been enforced that was only observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_have: Option<&'static str>,
    client: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    server: String,
    server_port: u16,
    stage: &'static str,
    /// Seconds.
    duration: f64,
    /// Seconds before the greeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    waited: Option<f64>,
    /// `new` or `old`, once all tests were passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<&'static str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tests: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dnsbl: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Value>,
    #[serde(flatten)]
    envelope: Map<String, Value>,
    #[serde(skip_serializing_if = "is_zero")]
    accepted: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    handoff: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Value>,
    #[serde(skip_serializing_if = "is_zero")]
    more_events: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The object, on one line.
pub(super) fn of(report: &Report) -> String {
    let ends = report.ends;
    let facts = Facts {
        id: report.id.to_string(),
        outcome: report.outcome().map_or("", |outcome| outcome.as_str()),
        would_have: report.would_have().map(Outcome::as_str),
        client: ends.client.ip().to_canonical().to_string(),
        port: ends.client.port(),
        name: report.name.as_deref(),
        server: ends.server.ip().to_canonical().to_string(),
        server_port: ends.server.port(),
        stage: report.stage.as_str(),
        duration: seconds(report.duration().unwrap_or_default()),
        waited: report.waited.map(seconds),
        passed: report.history.map(|history| match history {
            History::New => "new",
            History::Old => "old",
        }),
        tests: report
            .tests()
            .map(|(test, result)| (test.as_str().to_owned(), result.as_str().into()))
            .collect(),
        dnsbl: report.score.as_ref().map(score),
        tls: report
            .tls
            .as_ref()
            .map(|tls| json!({"protocol": tls.protocol, "cipher": tls.cipher, "bits": tls.bits})),
        envelope: envelope(report),
        accepted: report.accepted,
        handoff: report
            .handoff
            .as_ref()
            .map(|handoff| json!({"server": handoff.server, "seconds": seconds(handoff.took)})),
        relay: report.transfer.as_ref().map(transfer),
        events: report.findings.iter().filter_map(|(at, finding)| event(seconds(*at), finding)).collect(),
        more_events: report.untold,
    };
    serde_json::to_string(&facts).unwrap_or_default()
}

/// Seconds, to the millisecond.
fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn score(score: &screen::Score) -> Value {
    let hits = score.hits.iter().map(|hit| json!({"list": &*hit.list, "answers": hit.answers}));
    let unanswered = score.unanswered.iter().map(|list| &**list);
    json!({
        "score": score.total,
        "hits": hits.collect::<Vec<_>>(),
        "unanswered": unanswered.collect::<Vec<_>>(),
    })
}

fn envelope(report: &Report) -> Map<String, Value> {
    let mut facts = report.envelope.as_ref().map(attributes).unwrap_or_default();
    facts.remove("command");
    if !report.recipients.is_empty() {
        facts.insert("to".to_owned(), report.recipients.clone().into());
    }
    facts
}

fn attributes(envelope: &Envelope) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), printable(value).into());
        }
    };
    fact("command", Some(envelope.command));
    fact("helo", envelope.helo.as_deref());
    fact("protocol", Some(envelope.protocol.as_str()));
    fact("from", envelope.sender.as_deref());
    fact("to", envelope.recipient.as_deref());
    facts
}

fn transfer(transfer: &Transfer) -> Value {
    let moved = |moved: &Moved| json!({"copied": moved.copied, "spliced": moved.spliced});
    let side = |side: Side| match side {
        Side::Client => "client",
        Side::Backend => "backend",
    };
    let ended = match transfer.ended {
        How::Finished { first } => format!("finished by {}", side(first)),
        How::Idle => "idle".to_owned(),
        How::Stopped => "stopped".to_owned(),
        How::Broken { side: whose, error } => format!("broken by {}: {error}", side(whose)),
    };
    json!({"to_backend": moved(&transfer.up), "to_client": moved(&transfer.down), "ended": ended})
}

/// A finding: when, in which words a log line would tell it, and its facts. Silence of a list is no event.
fn event(at: f64, finding: &Finding) -> Option<Value> {
    let what = line::lines(finding, Client::Understood).into_iter().map(|line| line.text).collect::<Vec<_>>();
    if what.is_empty() {
        return None;
    }
    let mut facts = match finding {
        Finding::Screen(finding) => screened(finding),
        Finding::Dialogue(finding) => said(finding),
        Finding::Exceeded(exceeded) => object(
            json!({"limit": exceeded.limit.as_str(), "count": exceeded.count, "allowed": exceeded.allowed}),
        ),
    };
    facts.insert("at".to_owned(), at.into());
    facts.insert("what".to_owned(), what.join("; ").into());
    Some(facts.into())
}

fn screened(finding: &screen::Finding) -> Map<String, Value> {
    use screen::Finding as F;
    match finding {
        F::Pregreet { count, after, text } => {
            object(json!({"bytes": count, "after": seconds(*after), "text": excerpt(text)}))
        }
        F::Answered(reply) => object(json!({"list": &*reply.list, "seconds": seconds(reply.took)})),
        F::HungUp { after } => object(json!({"after": seconds(*after)})),
        _ => Map::new(),
    }
}

fn said(finding: &dialogue::Finding) -> Map<String, Value> {
    use dialogue::Finding as F;
    match finding {
        F::Reject { envelope, reply, by } | F::WouldReject { envelope, reply, by } => {
            let mut facts = attributes(envelope);
            facts.insert("reply".to_owned(), line::said(reply).into());
            let by = match by {
                RefusedBy::Test => object(json!({"by": "test"})),
                RefusedBy::Limit => object(json!({"by": "limit"})),
                RefusedBy::Restriction(cause) => of_cause(cause),
            };
            facts.extend(by);
            facts
        }
        F::BackendReject { envelope, reply } => {
            let mut facts = attributes(envelope);
            facts.extend(object(json!({"by": "backend", "reply": line::said(reply)})));
            facts
        }
        F::HungUpOn { envelope, cause } => {
            let mut facts = attributes(envelope);
            facts.extend(of_cause(cause));
            facts
        }
        F::Note { envelope, note } => {
            let mut facts = attributes(envelope);
            facts.extend(of_cause(&note.cause));
            facts.extend(object(
                json!({"note": note.kind.as_str(), "text": printable_up_to(REPLY, &note.text)}),
            ));
            facts
        }
        F::Unavailable { envelope } => attributes(envelope),
        _ => Map::new(),
    }
}

fn of_cause(cause: &Cause) -> Map<String, Value> {
    let mut facts = object(json!({
        "by": "restriction",
        "list": cause.list.as_str(),
        "restriction": printable(&cause.restriction),
    }));
    for (name, value) in [("table", &cause.table), ("key", &cause.key)] {
        if let Some(value) = value {
            facts.insert(name.to_owned(), printable(value).into());
        }
    }
    facts
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
