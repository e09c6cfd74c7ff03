//! What is said of the sender's and the recipient's address.

use std::borrow::Cow;

use crate::smtp::address::Address;
use crate::smtp::host::to_ascii;

use super::codes::RejectCode;
use super::destination::Class;
use super::helo::{is_fully_qualified, without_final_dot};
use super::judging::{Judging, Outcome};
use super::lookups::Existence;
use super::reply::{Rejection, status};
use super::restriction::Party;

impl<'a> Judging<'a> {
    /// The address of `party`; none of the null sender.
    pub(super) fn address_of(&self, party: Party) -> Option<&'a Address> {
        match party {
            Party::Sender => self.facts.sender(),
            Party::Recipient => self.facts.recipient(self.stage),
        }
    }

    pub(super) fn reject_non_fqdn(&mut self, party: Party) -> Outcome {
        let Some(address) = self.address_of(party) else { return Outcome::Dunno };
        let domain = address.domain().unwrap_or_default();
        let is_utf8_name =
            || to_ascii(without_final_dot(domain)).is_some_and(|name| is_fully_qualified(&name));
        if domain.starts_with('[') || is_fully_qualified(domain) || (!domain.is_ascii() && is_utf8_name()) {
            return Outcome::Dunno;
        }
        let code = self.policy.settings.codes.non_fqdn_reject_code;
        Outcome::Reject(Rejection::of(party.into(), code, status(5, 2), "need fully-qualified address"))
    }

    pub(super) async fn reject_unknown_domain(&mut self, party: Party) -> Outcome {
        let Some(address) = self.address_of(party) else { return Outcome::Dunno };
        let destination = match self.destination(address) {
            Ok(destination) => destination,
            Err(error) => return self.domains_do_not_answer(&error, party.into()),
        };
        if destination.class.is_final() {
            self.trace.because(|| format!("{} is delivered here", destination.domain));
            return Outcome::Dunno;
        }
        if destination.domain.starts_with('[') {
            return Outcome::Dunno;
        }
        let name = to_ascii(&destination.domain).unwrap_or(Cow::Borrowed(&*destination.domain));
        let existence = self.existence_of_mail_domain(&name).await;
        self.unknown_domain(party, existence, &name)
    }

    fn unknown_domain(&self, party: Party, existence: Existence, name: &str) -> Outcome {
        let settings = &self.policy.settings;
        let code = settings.codes.unknown_address_reject_code;
        let (unknown, null_mx) = match party {
            Party::Sender => (status(1, 8), (RejectCode::UNAVAILABLE, status(7, 27))),
            Party::Recipient => (status(1, 2), (RejectCode::NO_MAIL, status(1, 10))),
        };
        let refusal = |code, why: &'static str| Rejection::of(party.into(), code, unknown, why);
        match existence {
            Existence::Found => Outcome::Dunno,
            Existence::NotFound => Outcome::Reject(refusal(code, "Domain not found")),
            Existence::Malformed => Outcome::Reject(refusal(code, "Malformed DNS server reply")),
            Existence::NullMx => {
                let why = format!("Domain {name} does not accept mail (nullMX)");
                Outcome::Reject(Rejection::of(party.into(), null_mx.0, null_mx.1, why))
            }
            Existence::Temporary => {
                let refusal = refusal(RejectCode::TRY_AGAIN, "Domain not found");
                settings.unknown_address_tempfail_action.with(refusal)
            }
        }
    }
}

impl Class {
    /// Whether mail for the class ends here, whatever DNS says of its domain.
    fn is_final(self) -> bool {
        matches!(self, Self::Local | Self::VirtualAlias | Self::VirtualMailbox)
    }
}
