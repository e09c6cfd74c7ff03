//! What a finding says of the client: which test it passed or failed, what was refused, and what is held against it.

use std::sync::Arc;

use super::{Finding, Judge, Outcome, Rank, Refusal, Report, TestResult, Verdict, push};
use crate::allowlist::Test;
use crate::dialogue::{self, Envelope, RefusedBy};
use crate::policy::NoteKind;
use crate::screen::{self, Action, History};

impl Report {
    /// The tests before the greeting have found something.
    pub fn screen(&mut self, finding: screen::Finding) {
        match &finding {
            screen::Finding::Passed(test) => self.tested(*test, TestResult::Passed),
            screen::Finding::Failed { test, action } => self.failed(*test, *action),
            screen::Finding::Scored(score) => {
                self.is_scored = true;
                self.score = (Rank::of(score) != Rank::default()).then(|| score.clone());
            }
            screen::Finding::Waited(waited) => self.waited = u32::try_from(waited.as_millis()).ok(),
            screen::Finding::Known => self.history = Some(History::Old),
            _ => {}
        }
        self.note(Finding::Screen(finding));
    }

    /// The dialogue has found something.
    pub fn dialogue(&mut self, finding: dialogue::Finding) {
        use dialogue::Finding as F;
        match &finding {
            F::Passed(tests) => tests.iter().for_each(|test| self.tested(*test, TestResult::Passed)),
            F::Failed { test, action } => self.failed(Some(*test), *action),
            F::InjectedBehindStartTls { .. } | F::CountLimit { .. } | F::LengthLimit { .. } => {
                self.blame(Outcome::TooManyErrors);
            }
            F::TimeLimit { .. } => self.blame(Outcome::TimedOut),
            F::Reject { envelope, reply, by } => {
                self.concerns(envelope);
                self.blame(Outcome::Rejected);
                self.refused(judge(by), Refusal::by_reply(reply));
            }
            F::BackendReject { envelope, reply } => {
                self.concerns(envelope);
                self.blame(Outcome::BackendRejected);
                self.refused(Judge::Backend, Refusal::by_reply(reply));
            }
            F::HungUpOn { envelope, cause } => {
                self.concerns(envelope);
                self.blame(Outcome::Rejected);
                self.refused(Judge::Restriction(cause.list, cause.verb), Refusal::HangUp);
            }
            F::Unavailable { envelope } => {
                self.concerns(envelope);
                self.blame(Outcome::Unavailable);
                self.refused(Judge::NoBackend, Refusal::Defer);
            }
            F::WouldReject { envelope, by, .. } => {
                self.concerns(envelope);
                self.let_off(Outcome::Rejected);
                self.refused(judge(by), Refusal::Warn);
            }
            F::WouldEnd { .. } => self.let_off(Outcome::TooManyErrors),
            F::Note { note, .. } if note.kind == NoteKind::RejectWarning => {
                self.let_off(Outcome::Rejected);
                self.refused(Judge::Restriction(note.cause.list, note.cause.verb), Refusal::Warn);
            }
            F::ProtocolError { reply, .. } => {
                self.blame(Outcome::TooManyErrors);
                self.refused(Judge::Protocol, Refusal::by_reply(reply));
            }
            _ => {}
        }
        if let Some(heard) = &mut self.heard {
            heard.note(&finding);
        }
        self.note(Finding::Dialogue(Box::new(finding)));
    }

    /// What it was about, the last time that anything was refused.
    fn concerns(&mut self, envelope: &Arc<Envelope>) {
        self.talk_mut().envelope = Some(Arc::clone(envelope));
    }

    fn failed(&mut self, test: Option<Test>, action: Action) {
        let result = if action == Action::Ignore { TestResult::Ignored } else { TestResult::Failed };
        if let Some(test) = test {
            self.tested(test, result);
        }
        let offence = Outcome::of_failure(test);
        match result {
            TestResult::Failed => self.blame(offence),
            TestResult::Ignored => self.let_off(offence),
            TestResult::Passed => {}
        }
    }

    /// A failure later on takes a pass back.
    fn tested(&mut self, test: Test, result: TestResult) {
        self.tests[test as usize] = Some(result);
    }

    /// Holds something against the client. Of several things the gravest counts, and of those the first.
    fn blame(&mut self, outcome: Outcome) {
        if self.offence.is_none_or(|before| outcome.gravity() > before.gravity()) {
            self.offence = Some(outcome);
        }
    }

    /// The same of something that was only observed.
    pub(super) fn let_off(&mut self, outcome: Outcome) {
        if self.would.is_none_or(|before| outcome.gravity() > before.gravity()) {
            self.would = Some(outcome);
        }
    }

    pub(super) fn refused(&mut self, by: Judge, action: Refusal) {
        let verdict = Verdict { by, action };
        let verdicts = &mut self.talk_mut().verdicts;
        match verdicts.iter_mut().find(|(known, _)| *known == verdict) {
            Some((_, count)) => *count += 1,
            None => push(verdicts, (verdict, 1)),
        }
    }
}

fn judge(by: &RefusedBy) -> Judge {
    match by {
        RefusedBy::Test => Judge::Test,
        RefusedBy::Restriction(cause) => Judge::Restriction(cause.list, cause.verb),
        RefusedBy::Limit => Judge::Limit,
    }
}
