//! What each restriction says of the facts.
//!
//! Most can say it at once. Those that must ask DNS, a server or a clock stand apart, so that a judgement that asks
//! nobody allocates nothing.

use super::codes::RejectCode;
use super::judging::{Judging, Outcome};
use super::reply::{Rejection, Subject, status};
use super::restriction::Restriction;

impl Judging<'_> {
    /// What `restriction` says in a list about `about`.
    pub(super) async fn ask(&mut self, restriction: &Restriction, about: Subject) -> Outcome {
        match self.at_once(restriction, about) {
            Some(outcome) => outcome,
            None => Box::pin(self.later(restriction, about)).await,
        }
    }

    /// What can be said without asking anybody; `None` where somebody must be asked.
    fn at_once(&mut self, restriction: &Restriction, about: Subject) -> Option<Outcome> {
        let codes = &self.policy.settings.codes;
        Some(match restriction {
            Restriction::Permit => Outcome::Ok,
            Restriction::Reject => {
                Outcome::Reject(Rejection::of(about, codes.reject_code, status(7, 1), "Access denied"))
            }
            Restriction::Defer => {
                Outcome::Reject(Rejection::of(about, codes.defer_code, status(3, 2), "Try again later"))
            }
            Restriction::DeferIfPermit => {
                Outcome::DeferIfPermit(requested(about, "defer_if_permit requested"))
            }
            Restriction::DeferIfReject => {
                Outcome::DeferIfReject(requested(about, "defer_if_reject requested"))
            }
            // It is no restriction: the list takes note of it.
            Restriction::WarnIfReject => Outcome::Dunno,
            Restriction::Class(class) => Outcome::Class(*class),
            Restriction::PermitLoggedIn => self.permit_logged_in(),
            Restriction::RejectUnauthPipelining => self.reject_unauth_pipelining(about),
            Restriction::RejectPlaintextSession => self.reject_plaintext_session(),
            Restriction::RejectMultiRecipientBounce => self.reject_multi_recipient_bounce(about),
            Restriction::PermitInetInterfaces => self.permit_inet_interfaces(),
            Restriction::PermitMynetworks => return self.permit_mynetworks(about),
            Restriction::RejectInvalidHelo => self.reject_invalid_helo(),
            Restriction::RejectNonFqdnHelo => self.reject_non_fqdn_helo(),
            Restriction::RejectNonFqdn(party) => self.reject_non_fqdn(*party),
            Restriction::RejectUnlisted(party) => self.reject_unlisted(*party),
            Restriction::PermitAuthDestination => self.permit_auth_destination(),
            Restriction::RejectUnauthDestination => self.unauth_destination(codes.relay_domains_reject_code),
            Restriction::DeferUnauthDestination => {
                self.unauth_destination(codes.relay_domains_reject_code.deferred())
            }
            Restriction::CheckAccess(subject, table) => return self.check_access(*subject, table),
            Restriction::Sleep(_)
            | Restriction::CheckPolicyService(_)
            | Restriction::RejectUnknownClientHostname
            | Restriction::RejectUnknownReverseClientHostname
            | Restriction::RejectUnknownHelo
            | Restriction::RejectUnknownDomain(_)
            | Restriction::RejectUnverified(_)
            | Restriction::RejectListedAddress(_)
            | Restriction::PermitListedAddress(_)
            | Restriction::RejectListedName(..)
            | Restriction::PermitListedName(_)
            | Restriction::CheckServers(..) => return None,
        })
    }

    /// What can only be said after somebody was asked.
    async fn later(&mut self, restriction: &Restriction, about: Subject) -> Outcome {
        match restriction {
            Restriction::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Outcome::Dunno
            }
            Restriction::CheckPolicyService(service) => self.check_policy_service(service).await,
            Restriction::RejectUnknownClientHostname => self.reject_unknown_client_hostname().await,
            Restriction::RejectUnknownReverseClientHostname => {
                self.reject_unknown_reverse_client_hostname().await
            }
            Restriction::RejectUnknownHelo => self.reject_unknown_helo().await,
            Restriction::RejectUnknownDomain(party) => self.reject_unknown_domain(*party).await,
            Restriction::RejectUnverified(party) => self.reject_unverified(*party).await,
            Restriction::RejectListedAddress(list) => self.reject_listed_address(list).await,
            Restriction::PermitListedAddress(list) => self.permit_listed_address(list).await,
            Restriction::RejectListedName(subject, list) => self.reject_listed_name(*subject, list).await,
            Restriction::PermitListedName(list) => self.permit_listed_name(list).await,
            Restriction::CheckServers(subject, servers, table) => {
                self.check_servers(*subject, *servers, table).await
            }
            // The rest waits for the client's name alone; with it, all is said at once.
            _ => {
                self.names().await;
                self.at_once(restriction, about).unwrap_or(Outcome::Dunno)
            }
        }
    }
}

fn requested(about: Subject, why: &'static str) -> Rejection {
    Rejection::of(about, RejectCode::TRY_AGAIN, status(7, 0), why)
}
