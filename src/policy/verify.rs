//! `reject_unverified_recipient` and `reject_unverified_sender`: would mail to this address be taken?
//!
//! Nobody knows better than the backend, so it is asked with a probe that ends before DATA. It knows its own users
//! only: Postfix calls the servers of strange senders too, which got its callers listed; here a sender in no domain
//! of ours is let pass unasked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::smtp::address::Address;

use super::codes::{ProbeCode, RejectCode};
use super::destination::Class;
use super::judging::{Judging, Outcome};
use super::reply::{Rejection, status};
use super::restriction::Party;

/// Asks a mail server about an address, without sending it anything.
pub trait Verifier: Send + Sync {
    /// What the server says of mail to `address`. Keeps to time limits of its own: whoever asked may have gone, but
    /// who asks next is glad of the answer.
    fn probe<'a>(&'a self, address: &'a Address) -> Pin<Box<dyn Future<Output = Probed> + Send + 'a>>;
}

/// What a probe brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The server would take mail.
    Deliverable,
    /// The server refused for good, in these words: `host mx[192.0.2.1] said: 550 5.1.1 unknown`.
    Undeliverable(String),
    /// The server refused for now, in these words.
    Deferred(String),
    /// Nobody could be asked.
    Failed,
}

impl Judging<'_> {
    pub(super) async fn reject_unverified(&mut self, party: Party) -> Outcome {
        let Some(address) = self.address_of(party) else { return Outcome::Dunno };
        if party == Party::Sender {
            match self.destination(address).map(|destination| destination.class) {
                Ok(Class::Elsewhere) => {
                    self.trace.because(|| format!("{address} is in none of our domains"));
                    return Outcome::Dunno;
                }
                Ok(_) => {}
                Err(error) => return self.domains_do_not_answer(&error, party.into()),
            }
        }
        let probed = self.policy.probes.of(address).await;
        self.trace.lookup(|| format!("probe of {address}: {probed}"));

        let settings = &self.policy.settings.verification;
        let (reject, defer, reason, action, status) = match party {
            Party::Recipient => (
                settings.unverified_recipient_reject_code,
                settings.unverified_recipient_defer_code,
                &settings.unverified_recipient_reject_reason,
                settings.unverified_recipient_tempfail_action,
                status(1, 1),
            ),
            Party::Sender => (
                settings.unverified_sender_reject_code,
                settings.unverified_sender_defer_code,
                &settings.unverified_sender_reject_reason,
                settings.unverified_sender_tempfail_action,
                status(1, 7),
            ),
        };
        let is_known = matches!(probed, Probed::Undeliverable(_));
        let refusal = |code, why| {
            let rejection = Rejection::of(party.into(), code, status, why);
            if is_known { rejection } else { rejection.for_want_of_an_answer() }
        };
        let (code, why) = match probed {
            Probed::Deliverable => return Outcome::Dunno,
            Probed::Undeliverable(why) => (reject, why),
            Probed::Deferred(why) => (defer, why),
            Probed::Failed => {
                return action
                    .with(refusal(RejectCode::TRY_AGAIN, "address verification problem".to_owned()));
            }
        };
        let ProbeCode::Refuse(code) = code else { return Outcome::Dunno };
        let why = if reason.is_empty() { &why } else { reason };
        // The code, not the probe, decides how the refusal reads; so it is in Postfix.
        if code.get() < 500 {
            let why: String = why.chars().take(250).collect();
            action.with(refusal(code, format!("unverified address: {why}")))
        } else {
            Outcome::Reject(refusal(code, format!("undeliverable address: {why}")))
        }
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliverable => f.write_str("deliverable"),
            Self::Undeliverable(why) => write!(f, "undeliverable, {why}"),
            Self::Deferred(why) => write!(f, "no answer yet, {why}"),
            Self::Failed => f.write_str("nobody could be asked"),
        }
    }
}
