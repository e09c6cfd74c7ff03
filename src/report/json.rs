//! A report as one JSON object: every fact, bounded.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::line::{self, Client};
use super::text::{REPLY, excerpt, printable, printable_up_to};
use super::{Finding, Outcome, Rank, Report, Talk};
use crate::dialogue::{self, Envelope, RefusedBy};
use crate::id::Id;
use crate::policy::Cause;
use crate::relay::{How, Moved, Side, Transfer};
use crate::screen::{self, History};

/// The facts, in the order in which a reader wants them.
#[derive(Serialize)]
struct Facts<'a> {
    #[serde(serialize_with = "text")]
    id: Id,
    outcome: &'static str,
    /// What it would have been, had everything been enforced that was only observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_have: Option<&'static str>,
    client: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    server: IpAddr,
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
    #[serde(serialize_with = "tests", skip_serializing_if = "no_tests")]
    tests: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    dnsbl: Option<Dnsbl<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    helo: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Recipients<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    accepted: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    handoff: Option<HandedOver<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<Relayed>,
    #[serde(serialize_with = "events", skip_serializing_if = "<[_]>::is_empty")]
    events: &'a [(Duration, Finding)],
    #[serde(skip_serializing_if = "is_zero")]
    more_events: u32,
}

#[derive(Serialize)]
struct Dnsbl<'a> {
    score: i64,
    hits: Vec<Hit<'a>>,
    unanswered: Vec<&'a str>,
}

#[derive(Serialize)]
struct Hit<'a> {
    list: &'a str,
    answers: &'a [Ipv4Addr],
}

#[derive(Serialize)]
struct Tls<'a> {
    protocol: &'a str,
    cipher: &'a str,
    bits: u16,
}

/// All that were accepted, or else the one that was refused.
#[derive(Serialize)]
#[serde(untagged)]
enum Recipients<'a> {
    Accepted(&'a [String]),
    Refused(Cow<'a, str>),
}

#[derive(Serialize)]
struct HandedOver<'a> {
    server: Option<&'a str>,
    seconds: f64,
}

#[derive(Serialize)]
struct Relayed {
    to_backend: Bytes,
    to_client: Bytes,
    ended: String,
}

#[derive(Serialize)]
struct Bytes {
    copied: u64,
    spliced: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn text<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn tests<S: Serializer>(report: &&Report, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(report.tests().map(|(test, result)| (test.as_str(), result.as_str())))
}

fn no_tests(report: &&Report) -> bool {
    report.tests().next().is_none()
}

impl<'a> From<&'a Report> for Facts<'a> {
    fn from(report: &'a Report) -> Self {
        let (ends, talk) = (report.ends(), report.talk.as_deref());
        let envelope = talk.and_then(|talk| talk.envelope.as_deref());
        Self {
            id: report.id(),
            outcome: report.outcome().map_or("", |outcome| outcome.as_str()),
            would_have: report.would_have().map(Outcome::as_str),
            client: ends.client.ip().to_canonical(),
            port: ends.client.port(),
            name: talk.and_then(|talk| talk.name.as_deref()),
            server: ends.server.ip().to_canonical(),
            server_port: ends.server.port(),
            stage: report.stage().as_str(),
            duration: seconds(report.duration().unwrap_or_default()),
            waited: report.waited().map(seconds),
            passed: report.history.map(|history| match history {
                History::New => "new",
                History::Old => "old",
            }),
            tests: report,
            dnsbl: report.score().map(Dnsbl::of),
            tls: report.tls().map(|tls| Tls { protocol: &tls.protocol, cipher: &tls.cipher, bits: tls.bits }),
            helo: envelope.and_then(|envelope| envelope.helo.as_deref()).map(printable),
            protocol: envelope.map(|envelope| envelope.protocol.as_str()),
            from: envelope.and_then(|envelope| envelope.sender.as_deref()).map(printable),
            to: talk.and_then(Recipients::of),
            accepted: talk.map_or(0, |talk| talk.accepted),
            handoff: report.handoff().map(|handoff| HandedOver {
                server: handoff.server.as_deref(),
                seconds: seconds(handoff.took),
            }),
            relay: report.transfer().map(Relayed::of),
            events: &report.findings,
            more_events: report.untold,
        }
    }
}

/// One object with every fact, bounded.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Facts::from(self).serialize(to)
    }
}

/// Seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl<'a> Dnsbl<'a> {
    fn of(score: Rank<'a>) -> Self {
        let hits = score.hits.iter().map(|hit| Hit { list: &hit.list, answers: &hit.answers });
        let unanswered = score.unanswered.iter().map(|list| &**list);
        Self { score: score.total, hits: hits.collect(), unanswered: unanswered.collect() }
    }
}

impl<'a> Recipients<'a> {
    fn of(talk: &'a Talk) -> Option<Self> {
        if !talk.recipients.is_empty() {
            return Some(Self::Accepted(&talk.recipients));
        }
        talk.envelope.as_ref()?.recipient.as_deref().map(printable).map(Self::Refused)
    }
}

impl Relayed {
    fn of(transfer: &Transfer) -> Self {
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
        Self { to_backend: Bytes::of(transfer.up), to_client: Bytes::of(transfer.down), ended }
    }
}

impl Bytes {
    fn of(Moved { copied, spliced }: Moved) -> Self {
        Self { copied, spliced }
    }
}

fn events<S: Serializer>(findings: &&[(Duration, Finding)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(findings.iter().map(|(at, finding)| Event { at: *at, finding }))
}

/// A finding: when, in which words a log line would tell it, and its facts.
struct Event<'a> {
    at: Duration,
    finding: &'a Finding,
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let lines = line::lines(self.finding, Client::Understood);
        let what: Vec<_> = lines.iter().map(|line| &*line.text).collect();
        let mut object = to.serialize_map(None)?;
        object.serialize_entry("at", &seconds(self.at))?;
        object.serialize_entry("what", &what.join("; "))?;
        match self.finding {
            Finding::Screen(finding) => screened(&mut object, finding)?,
            Finding::Dialogue(finding) => said(&mut object, finding)?,
            Finding::Exceeded(exceeded) => {
                object.serialize_entry("limit", exceeded.limit.as_str())?;
                object.serialize_entry("count", &exceeded.count)?;
                object.serialize_entry("allowed", &exceeded.allowed)?;
            }
        }
        object.end()
    }
}

fn screened<M: SerializeMap>(object: &mut M, finding: &screen::Finding) -> Result<(), M::Error> {
    use screen::Finding as F;
    match finding {
        F::Pregreet { count, after, text } => {
            object.serialize_entry("bytes", count)?;
            object.serialize_entry("after", &seconds(*after))?;
            object.serialize_entry("text", &excerpt(text))
        }
        F::Answered(reply) => {
            object.serialize_entry("list", &*reply.list)?;
            object.serialize_entry("seconds", &seconds(reply.took))
        }
        F::HungUp { after } => object.serialize_entry("after", &seconds(*after)),
        _ => Ok(()),
    }
}

fn said<M: SerializeMap>(object: &mut M, finding: &dialogue::Finding) -> Result<(), M::Error> {
    use dialogue::Finding as F;
    match finding {
        F::Reject { envelope, reply, by } | F::WouldReject { envelope, reply, by } => {
            of_envelope(object, envelope)?;
            object.serialize_entry("reply", &line::said(reply))?;
            match by {
                RefusedBy::Test => object.serialize_entry("by", "test"),
                RefusedBy::Limit => object.serialize_entry("by", "limit"),
                RefusedBy::Restriction(cause) => of_cause(object, cause),
            }
        }
        F::BackendReject { envelope, reply } => {
            of_envelope(object, envelope)?;
            object.serialize_entry("reply", &line::said(reply))?;
            object.serialize_entry("by", "backend")
        }
        F::HungUpOn { envelope, cause } => {
            of_envelope(object, envelope)?;
            of_cause(object, cause)
        }
        F::Note { envelope, note } => {
            of_envelope(object, envelope)?;
            of_cause(object, &note.cause)?;
            object.serialize_entry("note", note.kind.as_str())?;
            object.serialize_entry("text", &printable_up_to(REPLY, &note.text))
        }
        F::Unavailable { envelope } => of_envelope(object, envelope),
        _ => Ok(()),
    }
}

fn of_envelope<M: SerializeMap>(object: &mut M, envelope: &Envelope) -> Result<(), M::Error> {
    object.serialize_entry("command", envelope.command)?;
    optional(object, "helo", envelope.helo.as_deref())?;
    object.serialize_entry("protocol", envelope.protocol.as_str())?;
    optional(object, "from", envelope.sender.as_deref())?;
    optional(object, "to", envelope.recipient.as_deref())
}

fn of_cause<M: SerializeMap>(object: &mut M, cause: &Cause) -> Result<(), M::Error> {
    object.serialize_entry("by", "restriction")?;
    object.serialize_entry("list", cause.list.as_str())?;
    object.serialize_entry("restriction", &printable(&cause.restriction))?;
    optional(object, "table", cause.table.as_deref())?;
    optional(object, "key", cause.key.as_deref())
}

fn optional<M: SerializeMap>(object: &mut M, name: &str, value: Option<&str>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| object.serialize_entry(name, &printable(value)))
}
