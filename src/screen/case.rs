//! One client's case while it is being tested: what it passed, what it failed, what follows.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::action::{Action, Consequence, Failure, Mode};
use super::finding::Finding;
use super::settings::Settings;
use super::verdict::{History, Screened};
use crate::allowlist::{Record, Test};
use crate::smtp::reply::Reply;

/// A case that is not closed.
pub(super) struct Case<'a> {
    /// Boxed: most have none.
    remembered: Option<Box<Record>>,
    record: Record,
    mode: Mode,
    /// Boxed: most have none.
    standing: Option<Box<Reply>>,
    failed: bool,
    trusted: bool,
    pub(super) teased: bool,
    note: &'a mut (dyn FnMut(Finding) + Send),
}

/// Where a case stands after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Undecided.
    GoOn,
    /// No further test can change anything: on to the dialogue.
    Decided,
    /// Say this and close.
    Refused(Reply),
    /// The client is gone.
    HungUp,
    /// Nobody waits for more.
    Stopped,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        remembered: Option<Record>,
        mode: Mode,
        note: &'a mut (dyn FnMut(Finding) + Send),
    ) -> Self {
        Self {
            remembered: remembered.map(Box::new),
            record: remembered.unwrap_or_default(),
            mode,
            standing: None,
            failed: false,
            trusted: false,
            teased: false,
            note,
        }
    }

    pub(super) fn note(&mut self, finding: Finding) {
        (self.note)(finding);
    }

    /// Whether `test` was passed before and still counts.
    pub(super) fn has_passed(&self, test: Test) -> bool {
        self.record.passed(test, SystemTime::now())
    }

    /// Whether every one of `tests` was passed before and still counts.
    pub(super) fn is_known(&self, tests: &[Test]) -> bool {
        let now = SystemTime::now();
        !self.failed && !tests.is_empty() && tests.iter().all(|test| self.record.passed(*test, now))
    }

    pub(super) fn pass(&mut self, test: Test, ttl: Duration) {
        self.record.pass(test, SystemTime::now(), ttl);
        self.note(Finding::Passed(test));
    }

    /// DNS lists vouch for the client, so every test counts as passed, unless it has failed one already.
    pub(super) fn trust(&mut self, ttl: Duration) -> Fate {
        if self.failed {
            return Fate::GoOn;
        }
        for test in Test::ALL {
            self.pass(test, ttl);
        }
        self.trusted = true;
        Fate::Decided
    }

    /// Notes a failure. The first that is enforced stands, and ends the tests: whatever else they would find, the
    /// client is out.
    pub(super) fn fail(&mut self, failure: &Failure, action: Action) -> Fate {
        self.failed = true;
        let action = action.under(self.mode);
        self.note(Finding::Failed { test: failure.test(), action });
        match action.consequence(failure) {
            Consequence::GoOn => Fate::GoOn,
            Consequence::Stand(reply) => {
                self.standing.get_or_insert_with(|| Box::new(reply));
                Fate::Decided
            }
            Consequence::Refuse(reply) => Fate::Refused(reply),
        }
    }

    /// Closes the case with a client that may talk.
    pub(super) fn screened(self, settings: &Arc<Settings>, tests: &[Test]) -> Screened {
        let now = SystemTime::now();
        let remembered = self.remembered.as_deref().copied().unwrap_or_default();
        let record = if self.failed { remembered } else { self.record };
        let deep = settings.deep_tests().into_iter().filter(|(test, deep)| {
            // Who has failed once is held to everything.
            self.failed || (deep.enable && !self.trusted && !record.passed(*test, now))
        });
        let proven = settings
            .deep_tests()
            .into_iter()
            .filter(|(test, deep)| !self.failed && deep.enable && !self.trusted && record.passed(*test, now));
        let is_old = tests.iter().all(|test| remembered.ever_passed(*test));
        Screened {
            standing: self.standing.map(|reply| *reply),
            record,
            deep: deep.map(|(test, deep)| (test, deep.action.under(settings.mode))).collect(),
            proven: proven.map(|(test, _)| test).collect(),
            teased: self.teased,
            history: if is_old { History::Old } else { History::New },
            failed: self.failed,
            permitted: false,
            settings: Arc::clone(settings),
        }
    }
}
