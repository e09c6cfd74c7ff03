//! The tests before the 220: permanent access list, temporary allowlist, greet wait and DNSBL.
//!
//! This module alone makes [`Passed`] and [`Screened`], and nothing behind it works without one of them.

use crate::allowlist::{Record, Test};
use crate::smtp::reply::Reply;

/// What screening says of a connection.
#[derive(Debug)]
pub enum Verdict {
    /// Permanently permitted: the backend greets, every byte is forwarded.
    Forward(Passed),
    /// Talk on: passed so far, or `enforce` and the refusal comes at RCPT.
    Converse(Screened),
    /// Say this and close.
    Refuse(Reply),
    /// The client hung up. Counted, never punished.
    HungUp,
}

/// Proof that the permanent access list permits the client; only [`screen`](self) makes it.
#[derive(Debug)]
pub struct Passed(());

/// A client that has been through the tests before the greeting; only [`screen`](self) makes it.
#[derive(Debug)]
pub struct Screened {
    /// What every RCPT is answered, where a test failed under `enforce`; the first failure's reply stands.
    standing: Option<Reply>,
    /// What the allowlist knew at connect, with the tests that were passed since.
    record: Record,
    /// Deep tests to hold the client to, with what a failure does.
    deep: Vec<(Test, Action)>,
    /// Whether the teaser `220-` has been sent.
    teased: bool,
}

/// What a failed test leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Count it, log it, go on.
    #[default]
    Ignore,
    /// Go on, and refuse every recipient.
    Enforce,
    /// Refuse now and close.
    Drop,
}

/// What a failed test comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing but a note.
    GoOn,
    /// The session goes on, and every recipient is told this.
    Stand(Reply),
    /// This is said, and the connection closed.
    Refuse(Reply),
}

impl Action {
    /// What failing a test comes to: the one place that gives `ignore`, `enforce` and `drop` their meaning.
    pub fn consequence(self, enforced: Reply, dropped: Reply) -> Consequence {
        match self {
            Self::Ignore => Consequence::GoOn,
            Self::Enforce => Consequence::Stand(enforced),
            Self::Drop => Consequence::Refuse(dropped),
        }
    }
}

#[cfg(test)]
impl Screened {
    /// What screening would have brought, for tests of what comes behind it.
    pub(crate) fn for_test(standing: Option<Reply>, deep: Vec<(Test, Action)>, teased: bool) -> Self {
        Self { standing, record: Record::default(), deep, teased }
    }
}

impl Screened {
    /// What every RCPT is answered, where a test failed under `enforce`.
    pub fn standing(&self) -> Option<&Reply> {
        self.standing.as_ref()
    }

    /// What the allowlist knew, with the tests passed since.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Deep tests to hold the client to.
    pub fn deep(&self) -> &[(Test, Action)] {
        &self.deep
    }

    /// Whether the teaser `220-` has been sent, so that the greeting must complete a multi-line reply.
    pub fn teased(&self) -> bool {
        self.teased
    }
}
