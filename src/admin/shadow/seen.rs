//! What is handed to the shadow of a connection that has ended.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::admin::explain::Case;
use crate::allowlist::{Order, Test};
use crate::id::Id;
use crate::policy::{NameStatus, TlsFacts};
use crate::report::{Decided, Heard, Outcome, Report, TestResult};
use crate::screen::Access;

/// A connection as the live policy saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub(super) id: Id,
    pub(super) client: IpAddr,
    /// What an operator has ordered.
    pub(super) order: Option<Order>,
    pub(super) outcome: Outcome,
    pub(super) offence: Option<Outcome>,
    tests: [Option<TestResult>; Test::ALL.len()],
    tls: Option<TlsFacts>,
    pub(super) heard: Heard,
    ended: SystemTime,
}

/// What is known of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The client has passed it, now or before.
    Passed,
    /// The client has failed it, whatever came of that.
    Failed,
    /// It was not made, or not to its end.
    Not,
}

impl Seen {
    /// What was `heard`, in the connection of `report`; `None` while it lives.
    pub fn of(heard: Heard, report: &Report, order: Option<Order>) -> Option<Self> {
        let outcome = report.outcome()?;
        let mut tests = [None; Test::ALL.len()];
        report.tests().for_each(|(test, result)| tests[test as usize] = Some(result));
        Some(Self {
            id: report.id(),
            client: report.ends().client.ip().to_canonical(),
            order,
            outcome,
            offence: report.offence(),
            tests,
            tls: report.tls().cloned(),
            heard,
            ended: SystemTime::now(),
        })
    }

    /// Decisions of which nothing was kept.
    pub fn unkept(&self) -> usize {
        self.heard.unkept
    }

    pub(super) fn access(&self, configured: Access) -> Access {
        self.order.map_or(configured, Access::from)
    }

    pub(super) fn known(&self, test: Test) -> Known {
        match self.tests[test as usize] {
            Some(TestResult::Failed | TestResult::Ignored) => Known::Failed,
            Some(TestResult::Passed) => Known::Passed,
            None if self.heard.remembered.passed(test, self.ended) => Known::Passed,
            None if self.heard.watched.contains(&test) => Known::Passed,
            None => Known::Not,
        }
    }

    /// What the client said, up to `decisions`, which share all but the recipient; as a case to be played through.
    pub(super) fn case(&self, decisions: &[Decided]) -> Case {
        let mut case = Case::new(self.client);
        case.tls.clone_from(&self.tls);
        // Where DNS had no answer then, it is asked again.
        if let Some(names) = self.heard.names.as_ref().filter(|names| {
            names.status != NameStatus::Temporary && names.reverse_status != NameStatus::Temporary
        }) {
            case.client_name = Some(names.name().to_owned());
            case.reverse_name = Some(names.reverse().to_owned());
        }
        if let Some(first) = decisions.first() {
            let envelope = &first.envelope;
            case.helo.clone_from(&envelope.helo);
            case.protocol = envelope.protocol;
            case.from.clone_from(&envelope.sender);
            case.to = decisions.iter().filter_map(|decided| decided.envelope.recipient.clone()).collect();
        }
        case
    }
}
