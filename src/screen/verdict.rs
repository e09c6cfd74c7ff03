//! What screening says of a connection, and the proofs that it was screened.

use std::sync::Arc;
use std::time::SystemTime;

use super::action::Action;
use super::settings::Settings;
use crate::allowlist::{Record, Test};
use crate::smtp::reply::Reply;

/// What screening says of a connection.
///
/// Whoever is refused, or has failed, also loses what the allowlist holds of it.
#[derive(Debug)]
pub enum Verdict {
    /// Permanently permitted: the backend greets, every byte is forwarded; but for a backend that is not told of clients,
    /// which is to get no byte that was not looked at.
    Forward(Passed),
    /// Talk on: passed so far, or `enforce` and the refusal comes at RCPT.
    Converse(Screened),
    /// Say this and close.
    Refuse(Reply),
    /// The client hung up. Counted, never punished.
    HungUp,
    /// It was not waited for the end. No fault of the client's.
    Stopped,
}

/// Proof that the permanent access list permits the client; only [`screen`](super) makes it.
#[derive(Debug)]
pub struct Passed(pub(super) ());

/// A client that has been through the tests before the greeting; only [`screen`](super) makes it.
#[derive(Debug)]
pub struct Screened {
    pub(super) standing: Option<Reply>,
    pub(super) record: Record,
    pub(super) deep: Vec<(Test, Action)>,
    pub(super) proven: Vec<Test>,
    pub(super) teased: bool,
    pub(super) history: History,
    pub(super) failed: bool,
    pub(super) permitted: bool,
    pub(super) settings: Arc<Settings>,
}

/// Whether a client has been here before: the `NEW` or `OLD` of postscreen's `PASS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It had never passed one of the tests that are on.
    New,
    /// It had passed them all, though perhaps long ago.
    Old,
}

impl Screened {
    /// What every RCPT is answered, where a test failed under `enforce`. The first failure's reply stands.
    pub fn standing(&self) -> Option<&Reply> {
        self.standing.as_ref()
    }

    /// What the allowlist knew at connect, with the tests passed since; none of these if the client has
    /// [failed](Self::failed).
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Deep tests to hold the client to, with what a failure does.
    pub fn deep(&self) -> &[(Test, Action)] {
        &self.deep
    }

    /// Deep tests that the client has passed before, and that still count. It is watched nevertheless: who breaks
    /// them now is not refused for it, but loses its passes.
    pub fn proven(&self) -> &[Test] {
        &self.proven
    }

    /// Whether the teaser `220-` has been sent, so that the greeting must complete a multi-line reply.
    pub fn teased(&self) -> bool {
        self.teased
    }

    /// Whether the client had been here before.
    pub fn history(&self) -> History {
        self.history
    }

    /// Whether the client has failed a test, be it under `ignore`: it earns nothing, and what the allowlist holds of
    /// it should go.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether the permanent access list permits the client: no restriction holds for it, and it earns nothing.
    pub fn permitted(&self) -> bool {
        self.permitted
    }

    /// What the allowlist shall hold from now on: `passed` are the deep tests that were passed in the dialogue. To be
    /// asked only if none was failed there. `None` if the client failed before: nothing is earned then.
    pub fn earned(&self, passed: &[Test], now: SystemTime) -> Option<Record> {
        if self.failed {
            return None;
        }
        let mut record = self.record;
        for (test, deep) in self.settings.deep_tests() {
            if passed.contains(&test) {
                record.pass(test, now, deep.ttl);
            }
        }
        Some(record)
    }
}

#[cfg(test)]
impl Passed {
    /// A client on the access list, for tests of what comes behind it.
    pub(crate) fn for_test() -> Self {
        Self(())
    }
}

#[cfg(test)]
impl Screened {
    /// What screening would have brought, for tests of what comes behind it.
    pub(crate) fn for_test(standing: Option<Reply>, deep: Vec<(Test, Action)>, teased: bool) -> Self {
        let failed = standing.is_some();
        let (record, history, settings) = (Record::default(), History::New, Arc::default());
        let (proven, permitted) = (Vec::new(), false);
        Self { standing, record, deep, proven, teased, history, failed, permitted, settings }
    }
}
