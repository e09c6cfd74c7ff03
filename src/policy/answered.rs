//! Follows what an access table or a policy server answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::table::{Live, Table};

use super::action::{Action, Unfit, is_code_without_text};
use super::codes::RejectCode;
use super::judgement::{Decision, NoteKind};
use super::judging::{Consent, End, Judging, Outcome, Place, TOO_DEEP};
use super::list::{self, Surroundings};
use super::reply::{Rejection, Subject, split_status, status};
use super::service::Service;
use super::trace::Said;

/// An answer, and who gave it.
#[derive(Debug)]
pub(super) struct Answered {
    /// The table or server as configured.
    pub(super) by: String,
    /// The key that a table answered.
    pub(super) key: Option<String>,
    /// The right-hand side.
    pub(super) value: String,
    /// What its words are about; `None`: whatever the list is about.
    pub(super) about: Option<Subject>,
    /// What becomes of an OK.
    pub(super) grant: Grant,
}

/// What becomes of an OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// It permits.
    Permits,
    /// It says nothing: the recipient may lead elsewhere.
    SaysNothing,
    /// It is a mistake: what was asked for is under the client's control, not under ours.
    IsForbidden,
}

impl Judging<'_> {
    pub(super) async fn follow(&mut self, place: Place<'_>, answered: Answered) -> Result<Consent, End> {
        let Answered { by, key, value, about, grant } = answered;
        let before = self.source.replace((by, key));
        let consent = self.act(place, about.unwrap_or(place.about), &value).await?;
        let consent = match (consent, grant) {
            (Consent::Ok, Grant::SaysNothing) => {
                self.trace.because(|| "OK does not count: the recipient may lead elsewhere".to_owned());
                self.trace.say(place.step, Said::Dunno, None);
                Consent::Dunno
            }
            (Consent::Ok, Grant::IsForbidden) => {
                let what =
                    "OK is not for this table to say, since clients choose what it is asked: write DUNNO";
                self.note(place.entry, NoteKind::Trouble, what);
                self.settle(place, Outcome::Fault(Rejection::server_error())).await?
            }
            (consent, _) => consent,
        };
        self.source = before;
        Ok(consent)
    }

    async fn act(&mut self, place: Place<'_>, about: Subject, value: &str) -> Result<Consent, End> {
        let outcome = match Action::parse(value) {
            Ok(Action::List(text)) => return self.restrictions(place, about, text).await,
            Ok(Action::HangUp(text)) => {
                self.trace.say(place.step, Said::HangUp, None);
                self.note(place.entry, NoteKind::HangUp, text);
                return Err(Box::new(Decision::HangUp { cause: self.cause(place.entry) }));
            }
            Ok(action) => {
                if is_code_without_text(value) {
                    let what = format!("`{value}` without text means OK: write REJECT, or `{value} text`");
                    self.note(place.entry, NoteKind::Trouble, what);
                }
                self.outcome(place, about, action)
            }
            Err(unfit) => {
                self.note(place.entry, NoteKind::Trouble, unfit.to_string());
                match unfit {
                    Unfit::NoHeader | Unfit::NoAddress => Outcome::Dunno,
                    Unfit::Empty => no_answer(about),
                    Unfit::NeedsQueue(_) | Unfit::NamesTable(_) => Outcome::Fault(Rejection::server_error()),
                }
            }
        };
        self.trace.because(|| value.to_owned());
        self.settle(place, outcome).await
    }

    /// What a simple action comes to.
    fn outcome(&mut self, place: Place<'_>, about: Subject, action: Action<'_>) -> Outcome {
        let codes = &self.policy.settings.codes;
        let refusal = |code: RejectCode, text: &str, default: &'static str| {
            let (status, text) = split_status(text, status(7, 1), about);
            let why = if text.is_empty() { default.into() } else { text.to_owned().into() };
            Rejection { code, status, text: super::reply::Text::Rejected(about, why), unanswered: false }
        };
        match action {
            Action::Ok => Outcome::Ok,
            Action::Dunno => Outcome::Dunno,
            Action::Reject(text) => {
                Outcome::Reject(refusal(codes.access_map_reject_code, text, "Access denied"))
            }
            Action::Defer(text) => {
                Outcome::Reject(refusal(codes.access_map_defer_code, text, "Access denied"))
            }
            Action::Code(code, text) => Outcome::Reject(refusal(code, text, "Access denied")),
            Action::DeferIfPermit(text) => {
                Outcome::DeferIfPermit(refusal(codes.access_map_defer_code, text, "Service unavailable"))
            }
            Action::DeferIfReject(text) => {
                Outcome::DeferIfReject(refusal(codes.access_map_defer_code, text, "Service unavailable"))
            }
            Action::Info(text) => {
                self.note(place.entry, NoteKind::Info, text);
                Outcome::Dunno
            }
            Action::Warn(text) => {
                self.note(place.entry, NoteKind::Warn, text);
                Outcome::Dunno
            }
            Action::Prepend(_) | Action::Bcc(_) if self.facts.mail.is_none() => {
                self.note(place.entry, NoteKind::Trouble, "there is no mail yet to prepend to, or to copy");
                Outcome::Dunno
            }
            Action::Prepend(line) => {
                self.effects.prepend.push(line.to_owned());
                Outcome::Dunno
            }
            Action::Bcc(address) => {
                self.effects.bcc.push(address.to_owned());
                Outcome::Dunno
            }
            // Both are followed before it comes to this.
            Action::List(_) | Action::HangUp(_) => Outcome::Dunno,
        }
    }

    /// A right-hand side that is a list of restrictions and classes.
    async fn restrictions(&mut self, place: Place<'_>, about: Subject, text: &str) -> Result<Consent, End> {
        let problem = match list::parse(text, None, &mut &self.policy.vocabulary) {
            Ok(entries) if self.may_go_deeper() => return self.nested(place, &entries, about).await,
            Ok(_) => TOO_DEEP.to_owned(),
            Err(errors) => list::told(&errors),
        };
        self.note(place.entry, NoteKind::Trouble, problem);
        self.settle(place, Outcome::Fault(Rejection::server_error())).await
    }
}

/// A table that cannot answer. Unlike other faults of ours this one gives way to `warn_if_reject`, as in Postfix.
pub(super) fn no_answer(about: Subject) -> Outcome {
    let why = "Server configuration error";
    Outcome::Reject(Rejection::of(about, RejectCode::LOCAL_ERROR, status(3, 5), why))
}

/// Why `value` could not stand in an access table: what [`Judging::follow`] would stumble upon, said when the table
/// is read.
pub(super) fn unfit(value: &str, vocabulary: &Vocabulary) -> Option<String> {
    if is_code_without_text(value) {
        let value = value.trim();
        return Some(format!(
            "`{value}` without text means OK, not a refusal: write `{value} text`, or REJECT, or OK if that is meant"
        ));
    }
    match Action::parse(value) {
        Ok(Action::List(text)) => match list::parse(text, None, &mut &*vocabulary) {
            Ok(_) => None,
            Err(errors) => Some(format!("`{value}` is no action, and as a list: {}", list::told(&errors))),
        },
        Ok(_) => None,
        Err(unfit) => Some(unfit.to_string()),
    }
}

/// What a right-hand side can refer to: classes, but no tables and no servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary {
    /// The classes, each with its index in the policy.
    pub(super) classes: BTreeMap<String, usize>,
    /// Restrictions and classes that lack what they need, in small letters, with what that is.
    pub(super) unmet: BTreeMap<String, String>,
}

impl Surroundings for &Vocabulary {
    fn class(&self, name: &str) -> Option<usize> {
        self.classes.get(name).copied()
    }

    fn unmet(&self, word: &str) -> Option<String> {
        self.unmet.get(&word.to_ascii_lowercase()).cloned()
    }

    fn classes(&self) -> Vec<&str> {
        self.classes.keys().map(String::as_str).collect()
    }

    fn table(&mut self, spec: &str) -> Result<Arc<Live<Table>>, Vec<String>> {
        Err(vec![Unfit::NamesTable(spec.to_owned()).to_string()])
    }

    fn service(&mut self, text: &str) -> Result<Arc<Service>, String> {
        Err(Unfit::NamesTable(text.to_owned()).to_string())
    }
}
