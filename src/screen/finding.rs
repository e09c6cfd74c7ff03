//! What screening noticed of a client, as it notices it: facts for the log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::dnsbl::Reply;
use super::score::Score;
use crate::allowlist::Test;

/// One thing noticed.
#[derive(Clone, Debug)]
pub enum Finding {
    /// The permanent access list permits the client. postscreen's `ALLOWLISTED`.
    Permitted,
    /// The permanent access list rejects the client, whatever the action. postscreen's `DENYLISTED`.
    Rejected,
    /// Every test was passed before, and still counts. postscreen's `PASS OLD` at connect.
    Known,
    /// The client spoke before it was greeted. postscreen's `PREGREET`.
    Pregreet {
        /// Bytes that had arrived when it was noticed.
        count: usize,
        /// How long after the beginning of the wait.
        after: Duration,
        /// The first of the bytes, at most 100, raw.
        text: Vec<u8>,
    },
    /// A DNS list answered. dnsblog's `addr … listed by domain … as …`, once for each record.
    Answered(Box<Reply>),
    /// What DNS lists make of the client. postscreen's `DNSBL rank`, where it is listed.
    Scored(Arc<Score>),
    /// The client hung up. postscreen's `HANGUP … in tests before SMTP handshake`.
    HungUp {
        /// How long after the beginning of the wait.
        after: Duration,
    },
    /// How long the client was kept waiting, if it was.
    Waited(Duration),
    /// A test was passed now.
    Passed(Test),
    /// A test was failed.
    Failed {
        /// Which; none for the permanent access list.
        test: Option<Test>,
        /// What that leads to.
        action: Action,
    },
}
