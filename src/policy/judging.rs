//! One judgement under way: runs lists, and makes decisions of what single restrictions say.
//!
//! The rules are Postfix's. A restriction says nothing (DUNNO), permits (OK: this list ends), or refuses (all ends).
//! `warn_if_reject` takes the force of the next restriction, with all that it leads to, but not of our own faults:
//! a broken configuration must not let through what it was to stop. `defer_if_permit` and `defer_if_reject` remember
//! a reply for later, because what could not be asked now might have decided otherwise.

use std::net::IpAddr;

use crate::smtp::address::Address;
use crate::smtp::reply::Reply;

use super::answered::Answered;
use super::facts::{Facts, Stage};
use super::judgement::{Cause, Decision, Effects, List, Note, NoteKind, Refusal};
use super::reply::{Rejection, Subject};
use super::restriction::{Entry, Party, Restriction};
use super::trace::{Said, StepId, Trace};
use super::{Policy, Reach};

/// How deep classes and table results may lead. Postfix goes to 100; but each level takes stack, and a list that needs
/// more than these has lost its way.
const MAX_DEPTH: usize = 16;

/// What is noted where they would lead on.
pub(super) const TOO_DEEP: &str =
    "restrictions lead to restrictions that lead on and on; this one is one too many";

/// What a single restriction says.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing.
    Dunno,
    /// Permits: the list ends.
    Ok,
    /// Refuses.
    Reject(Rejection),
    /// Cannot be followed, and that is our fault: all ends, even behind `warn_if_reject`.
    Fault(Rejection),
    /// What would be permitted is refused with this.
    DeferIfPermit(Rejection),
    /// What would be refused for good is refused with this.
    DeferIfReject(Rejection),
    /// What a table or policy server says.
    Follow(Answered),
    /// What a class says.
    Class(usize),
}

/// What is left of a list that does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// It said nothing.
    Dunno,
    /// It permits.
    Ok,
}

/// Anything but permission, and so the end of a judgement.
pub(super) type End = Box<Decision>;

/// The restriction that is judged, and what generic verbs in its list are about.
#[derive(Clone, Copy)]
pub(super) struct Place<'e> {
    pub(super) entry: &'e Entry,
    pub(super) about: Subject,
    pub(super) step: StepId,
}

/// One judgement under way.
pub(super) struct Judging<'a> {
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a Facts<'a>,
    pub(super) stage: Stage,
    pub(super) trace: &'a mut Trace,
    pub(super) effects: Effects,
    pub(super) notes: Vec<Note>,
    pub(super) consulted: Vec<Box<str>>,
    pub(super) defer_if_permit: Option<Refusal>,
    pub(super) defer_if_reject: Option<Refusal>,
    /// The table or server whose answer is followed, and the key that a table answered.
    pub(super) source: Option<(String, Option<String>)>,
    /// Trouble that the restriction under way has met.
    troubles: Vec<String>,
    /// Whom `reject_unlisted_*` has looked for, so that it need not do so again behind the lists.
    looked_for: Vec<Party>,
    list: List,
    /// How many lists are open: 1 in the list itself.
    depth: usize,
    /// The depth at which the `warn_if_reject` stands that is in force.
    warning_from: Option<usize>,
}

impl<'a> Judging<'a> {
    pub(super) fn new(policy: &'a Policy, stage: Stage, facts: &'a Facts<'a>, trace: &'a mut Trace) -> Self {
        Self {
            policy,
            facts,
            stage,
            trace,
            effects: Effects::default(),
            notes: Vec::new(),
            consulted: Vec::new(),
            defer_if_permit: None,
            defer_if_reject: None,
            source: None,
            troubles: Vec::new(),
            looked_for: Vec::new(),
            list: List::Client,
            depth: 0,
            warning_from: None,
        }
    }

    /// Begins a stage: what an earlier one has put off stays so, what was to put off its refusals does not.
    pub(super) fn begin(&mut self, put_off: &Option<Refusal>) {
        self.defer_if_permit.clone_from(put_off);
        self.defer_if_reject = None;
    }

    /// Judges a list from its start.
    pub(super) async fn list(&mut self, list: List) -> Result<Consent, End> {
        self.list = list;
        let policy = self.policy;
        self.run(policy.list(list), Subject::of(list)).await
    }

    /// Judges restrictions that stand in no list, as a list of their own.
    pub(super) async fn single(&mut self, list: List, entry: &Entry) -> Result<Consent, End> {
        self.list = list;
        self.run(std::slice::from_ref(entry), Subject::of(list)).await
    }

    /// Judges the restrictions of a list, a class or a table's answer.
    pub(super) async fn run(&mut self, entries: &[Entry], about: Subject) -> Result<Consent, End> {
        self.depth += 1;
        let mut consent = Consent::Dunno;
        for entry in entries {
            if let Restriction::WarnIfReject = entry.restriction {
                self.warning_from.get_or_insert(self.depth);
                continue;
            }
            let step = self.trace.open(self.list, self.depth - 1, &entry.text);
            if entry.restriction.consults() {
                self.consulted.push(entry.text.clone());
            }
            let outcome = match self.policy.reach {
                Reach::Everybody => self.ask(&entry.restriction, about).await,
                Reach::NobodyElse if entry.restriction.is_felt_elsewhere() => {
                    self.trace.because(|| "not asked: somebody would feel it".to_owned());
                    Outcome::Dunno
                }
                Reach::NobodyElse => self.ask(&entry.restriction, about).await,
            };
            for trouble in std::mem::take(&mut self.troubles) {
                self.note(entry, NoteKind::Trouble, trouble);
            }
            consent = match outcome {
                Outcome::Dunno => Consent::Dunno,
                // Boxed: the words of a refusal may have to wait for DNS, and few restrictions refuse.
                outcome => Box::pin(self.settle(Place { entry, about, step }, outcome)).await?,
            };
            self.stop_warning();
            let is_deferred_anyway = self.defer_if_permit.is_some() && self.defer_if_reject.is_some();
            if consent == Consent::Ok || is_deferred_anyway {
                break;
            }
        }
        self.stop_warning();
        self.depth -= 1;
        Ok(consent)
    }

    /// A `warn_if_reject` is used up by what stood behind it.
    fn stop_warning(&mut self) {
        self.warning_from = self.warning_from.filter(|from| *from < self.depth);
    }

    /// Makes of what a restriction says what becomes of its list.
    pub(super) async fn settle(&mut self, place: Place<'_>, outcome: Outcome) -> Result<Consent, End> {
        let warns = self.warning_from.is_some();
        match outcome {
            Outcome::Dunno => Ok(Consent::Dunno),
            Outcome::Ok => {
                self.trace.say(place.step, Said::Ok, None);
                Ok(Consent::Ok)
            }
            Outcome::Reject(rejection) | Outcome::DeferIfPermit(rejection) if warns => {
                let reply = self.reply(rejection).await;
                self.trace.say(place.step, Said::Warning, Some(&reply));
                self.note(place.entry, NoteKind::RejectWarning, reply.to_string());
                Ok(Consent::Dunno)
            }
            Outcome::Reject(rejection) | Outcome::Fault(rejection) => {
                let refusal = self.in_words(place, Said::Reject, rejection).await;
                Err(Box::new(self.refuse(refusal)))
            }
            Outcome::DeferIfPermit(rejection) => {
                let refusal = self.in_words(place, Said::DeferIfPermit, rejection).await;
                self.defer_if_permit.get_or_insert(refusal);
                Ok(Consent::Dunno)
            }
            Outcome::DeferIfReject(rejection) => {
                let refusal = self.in_words(place, Said::DeferIfReject, rejection).await;
                self.defer_if_reject.get_or_insert(refusal);
                Ok(Consent::Dunno)
            }
            Outcome::Follow(answered) => Box::pin(self.follow(place, answered)).await,
            Outcome::Class(_) if self.depth > MAX_DEPTH => self.too_deep(place).await,
            Outcome::Class(class) => {
                let policy = self.policy;
                Box::pin(self.nested(place, policy.class(class), place.about)).await
            }
        }
    }

    /// What restrictions inside a restriction say counts for it.
    pub(super) async fn nested(
        &mut self,
        place: Place<'_>,
        entries: &[Entry],
        about: Subject,
    ) -> Result<Consent, End> {
        let result = self.run(entries, about).await;
        match &result {
            Ok(Consent::Dunno) => {}
            Ok(Consent::Ok) => self.trace.say(place.step, Said::Ok, None),
            Err(end) => {
                let said = if matches!(**end, Decision::HangUp { .. }) { Said::HangUp } else { Said::Reject };
                self.trace.say(place.step, said, None);
            }
        }
        result
    }

    /// Whether another list may be opened inside this one.
    pub(super) fn may_go_deeper(&self) -> bool {
        self.depth <= MAX_DEPTH
    }

    async fn too_deep(&mut self, place: Place<'_>) -> Result<Consent, End> {
        let what =
            format!("restrictions lead to restrictions more than {MAX_DEPTH} times; this one would be next");
        self.note(place.entry, NoteKind::Trouble, what);
        Box::pin(self.settle(place, Outcome::Fault(Rejection::server_error()))).await
    }

    async fn in_words(&mut self, place: Place<'_>, said: Said, rejection: Rejection) -> Refusal {
        let unanswered = rejection.unanswered;
        let reply = self.reply(rejection).await;
        self.trace.say(place.step, said, Some(&reply));
        Refusal { reply, cause: Cause { unanswered, ..self.cause(place.entry) } }
    }

    /// The refusal; a rejection for good gives way to an earlier `defer_if_reject`.
    fn refuse(&mut self, refusal: Refusal) -> Decision {
        let put_off = if refusal.reply.is_transient() { None } else { self.defer_if_reject.take() };
        if let Some(Refusal { cause, .. }) = &put_off {
            self.trace.because(|| format!("put off by `{}`", cause.restriction));
        }
        let Refusal { reply, cause } = put_off.unwrap_or(refusal);
        Decision::Refuse { reply, cause }
    }

    /// Permission gives way to an earlier `defer_if_permit`.
    pub(super) fn permit(&mut self) -> Result<(), End> {
        match self.defer_if_permit.take() {
            None => Ok(()),
            Some(Refusal { reply, cause }) => {
                let step = self.trace.open(self.list, 0, &cause.restriction);
                self.trace.because(|| "everything else would permit, and this could not be asked".to_owned());
                self.trace.say(step, Said::Reject, Some(&reply));
                Err(Box::new(Decision::Refuse { reply, cause }))
            }
        }
    }

    /// The words of a refusal, with the name of what it refuses; a client's name may have to be asked of DNS.
    async fn reply(&mut self, rejection: Rejection) -> Reply {
        let name = match rejection.names() {
            Some(subject) => self.name_of(subject).await,
            None => String::new(),
        };
        rejection.into_reply(&name)
    }

    /// The client's address; IPv4 even where it came mapped into IPv6.
    pub(super) fn client(&self) -> IpAddr {
        self.facts.client.ip().to_canonical()
    }

    /// Postfix's reply name.
    async fn name_of(&mut self, subject: Subject) -> String {
        match subject {
            Subject::Client => {
                let address = self.client();
                format!("{}[{address}]", self.names().await.name())
            }
            Subject::ReverseClient => self.names().await.reverse().to_owned(),
            Subject::Helo => self.facts.helo.map_or(String::new(), |helo| helo.name.clone()),
            Subject::Sender => self.facts.sender().map(Address::unquoted).unwrap_or_default(),
            Subject::Recipient => self.facts.recipient(self.stage).map(Address::unquoted).unwrap_or_default(),
            Subject::Data => "DATA".to_owned(),
            Subject::Etrn => self.facts.etrn.unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn cause(&self, entry: &Entry) -> Cause {
        let (table, key) = self.source.clone().unzip();
        let restriction = entry.text.to_string();
        Cause {
            list: self.list,
            verb: entry.verb.name(),
            restriction,
            table,
            key: key.flatten(),
            unanswered: false,
        }
    }

    pub(super) fn note(&mut self, entry: &Entry, kind: NoteKind, text: impl Into<String>) {
        let cause = self.cause(entry);
        self.notes.push(Note { kind, cause, text: text.into() });
    }

    /// The restriction under way has met trouble of ours or of DNS.
    pub(super) fn trouble(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.trace.because(|| what.clone());
        self.troubles.push(what);
    }

    /// Whether `party` has yet to be looked for among the recipients; it counts as looked for from here on, unless
    /// that would only lead to a warning.
    pub(super) fn look_for(&mut self, party: Party) -> bool {
        let is_new = !self.looked_for.contains(&party);
        if is_new && self.warning_from.is_none() {
            self.looked_for.push(party);
        }
        is_new
    }
}
