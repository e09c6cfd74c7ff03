//! `reject_unverified_recipient` and `reject_unverified_sender`: would mail to this address be taken?
//!
//! Nobody knows better than the backend, so it is asked with a probe that ends before DATA. Answers are remembered,
//! good ones longer than bad ones; a probe that brought no answer is not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::{Instant, timeout};

use crate::smtp::address::Address;

use super::codes::{ProbeCode, RejectCode};
use super::judging::{Judging, Outcome};
use super::reply::{Rejection, status};
use super::restriction::Party;
use super::settings::Verification;

/// Asks a mail server about an address, without sending it anything.
pub trait Verifier: Send + Sync {
    /// What the server says of mail to `address`. Keeps to time limits of its own; the caller has one besides.
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

/// Probes, and what they brought.
pub(super) struct Verifications {
    verifier: Option<Arc<dyn Verifier>>,
    known: Cache<String, Known>,
    settings: Verification,
}

/// What is known of an address. `why` it is undeliverable; empty: it is deliverable.
#[derive(Clone)]
struct Known {
    probed: Probed,
    at: Instant,
}

impl Verifications {
    pub(super) fn new(settings: Verification) -> Self {
        let known = Cache::builder()
            .max_capacity(settings.max_entries)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(settings.positive_expire_time.max(settings.negative_expire_time))
            .build();
        Self { verifier: None, known, settings }
    }

    pub(super) fn ask(&mut self, verifier: Arc<dyn Verifier>) {
        self.verifier = Some(verifier);
    }

    /// What is known of `address`, or what a probe brings.
    async fn of(&self, address: &Address) -> Probed {
        let key = address.as_str().to_lowercase();
        let known = self.known.get(&key).filter(|known| self.age(known) < self.limits(known).expire);
        if let Some(known) = &known
            && self.age(known) < self.limits(known).refresh
        {
            return known.probed.clone();
        }
        let Some(verifier) = &self.verifier else { return Probed::Failed };
        let probe = timeout(self.settings.timeout, verifier.probe(address));
        match (probe.await.unwrap_or_else(|_| Probed::Deferred("no answer in time".to_owned())), known) {
            (probed @ (Probed::Deliverable | Probed::Undeliverable(_)), _) => {
                self.known.insert(key, Known { probed: probed.clone(), at: Instant::now() });
                probed
            }
            // What was known is old, and better than nothing.
            (Probed::Deferred(_) | Probed::Failed, Some(known)) => known.probed,
            (probed, None) => probed,
        }
    }

    fn age(&self, known: &Known) -> std::time::Duration {
        known.at.elapsed()
    }

    fn limits(&self, known: &Known) -> Limits {
        let settings = &self.settings;
        match known.probed {
            Probed::Deliverable => {
                Limits { expire: settings.positive_expire_time, refresh: settings.positive_refresh_time }
            }
            _ => Limits { expire: settings.negative_expire_time, refresh: settings.negative_refresh_time },
        }
    }
}

/// How long an answer is kept, and after how long it is asked for again.
struct Limits {
    expire: std::time::Duration,
    refresh: std::time::Duration,
}

impl fmt::Debug for Verifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifications").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Judging<'_> {
    pub(super) async fn reject_unverified(&mut self, party: Party) -> Outcome {
        let Some(address) = self.address_of(party) else { return Outcome::Dunno };
        let probed = self.policy.verifications.of(address).await;
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
        let (code, why) = match probed {
            Probed::Deliverable => return Outcome::Dunno,
            Probed::Undeliverable(why) => (reject, why),
            Probed::Deferred(why) => (defer, why),
            Probed::Failed => {
                let why = "address verification problem";
                return action.with(Rejection::of(party.into(), RejectCode::TRY_AGAIN, status, why));
            }
        };
        let ProbeCode::Refuse(code) = code else { return Outcome::Dunno };
        let why = if reason.is_empty() { &why } else { reason };
        // The code, not the probe, decides how the refusal reads; so it is in Postfix.
        if code.get() < 500 {
            let why: String = why.chars().take(250).collect();
            action.with(Rejection::of(party.into(), code, status, format!("unverified address: {why}")))
        } else {
            Outcome::Reject(Rejection::of(
                party.into(),
                code,
                status,
                format!("undeliverable address: {why}"),
            ))
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
