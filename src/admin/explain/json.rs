//! A ruling as one JSON object.

use serde::Serialize;

use crate::policy::{Note, NoteKind, Step};
use crate::smtp::reply::Reply;

use super::{Case, Course, Detail, Exchange, Ruling, Verdict};

/// What is printed for a case. `list`, `restriction`, `table` and `key` say what refused, and are null otherwise.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    verdict: &'static str,
    /// The reply to RCPT, or to the command at which the client was refused for good.
    reply: Option<String>,
    /// What is said behind it, before the connection is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    followed_by: Option<String>,
    list: Option<&'static str>,
    restriction: Option<&'a str>,
    table: Option<&'a str>,
    key: Option<&'a str>,
    /// The test that was failed, or `access_list` where that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<&'static str>,
    warnings: Vec<String>,
    /// Header lines that the message is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prepend: Vec<&'a str>,
    /// Recipients that the message is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<Considered<'a>>>,
    /// One for each, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<Self>,
}

/// A restriction that was considered.
#[derive(Serialize)]
struct Considered<'a> {
    list: &'static str,
    /// 0 in the list itself, one more inside each class or table result.
    #[serde(skip_serializing_if = "is_zero")]
    depth: usize,
    restriction: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    lookups: &'a [String],
    said: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
}

fn is_zero(depth: &usize) -> bool {
    *depth == 0
}

/// The answer to a case: that of the first recipient that is refused, or of the first if none is.
pub(super) fn answer<'a>(case: &'a Case, course: &'a Course, detail: Detail) -> Answer<'a> {
    let rulings = course.rulings(case);
    let refused = rulings.iter().find(|ruling| ruling.verdict() != Verdict::Permit);
    let leading = refused.or(rulings.first());
    let mut answer = match leading {
        Some(ruling) => of(ruling, course, detail),
        None => of(&Ruling::default(), course, detail),
    };
    answer.warnings.extend(case.oddities());
    if rulings.len() > 1 {
        let each = |ruling: &Ruling<'a>| Answer { to: ruling.to, ..of(ruling, course, detail) };
        answer.recipients = rulings.iter().map(each).collect();
    }
    answer
}

fn of<'a>(ruling: &Ruling<'a>, course: &Course, detail: Detail) -> Answer<'a> {
    let cause = ruling.cause();
    let replies = ruling.decisive().map_or(&[][..], |exchange| &exchange.replies);
    let exchanges = || ruling.exchanges();
    let is_forwarded = *course == Course::Forwarded;
    Answer {
        to: None,
        verdict: ruling.verdict().as_str(),
        reply: replies.first().map(shown),
        followed_by: replies.get(1).map(shown),
        list: cause.map(|cause| cause.list.as_str()),
        restriction: cause.map(|cause| cause.restriction.as_str()),
        table: cause.and_then(|cause| cause.table.as_deref()),
        key: cause.and_then(|cause| cause.key.as_deref()),
        test: if is_forwarded { Some("access_list") } else { ruling.test() },
        warnings: exchanges().flat_map(|exchange| &exchange.notes).map(warning).collect(),
        prepend: exchanges().flat_map(|exchange| &exchange.effects.prepend).map(String::as_str).collect(),
        bcc: exchanges().flat_map(|exchange| &exchange.effects.bcc).map(String::as_str).collect(),
        trace: (detail == Detail::Trace).then(|| exchanges().flat_map(considered).collect()),
        recipients: Vec::new(),
    }
}

fn considered(exchange: &Exchange) -> impl Iterator<Item = Considered<'_>> {
    exchange.steps.iter().map(|step: &Step| Considered {
        list: step.list.as_str(),
        depth: step.depth,
        restriction: &step.restriction,
        lookups: &step.lookups,
        said: step.said.as_str(),
        why: &step.why,
        reply: step.reply.as_deref(),
    })
}

/// `reject_warning: reject_unauth_destination: 554 5.7.1 …`
pub(super) fn warning(note: &Note) -> String {
    let kind = match note.kind {
        NoteKind::Trouble => "warning",
        kind => kind.as_str(),
    };
    let (restriction, text) = (&note.cause.restriction, &note.text);
    if text.is_empty() { format!("{kind}: {restriction}") } else { format!("{kind}: {restriction}: {text}") }
}

/// A reply as on the wire, without the last line's end.
pub(super) fn shown(reply: &Reply) -> String {
    let wire = reply.to_wire();
    String::from_utf8_lossy(wire.strip_suffix(b"\r\n").unwrap_or(&wire)).into_owned()
}
