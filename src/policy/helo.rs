//! What is said of the HELO name.

use crate::smtp::host::{address_literal, is_valid_hostname, valid_address};

use super::codes::{RejectCode, TempfailAction};
use super::judging::{Judging, Outcome};
use super::lookups::Existence;
use super::reply::{Rejection, Subject, status};

impl Judging<'_> {
    pub(super) fn reject_invalid_helo(&mut self) -> Outcome {
        let Some(helo) = self.facts.helo else { return Outcome::Dunno };
        if helo.name.starts_with('[') {
            return self.invalid_literal(&helo.name);
        }
        let name = without_final_dot(&helo.name);
        if is_valid_hostname(name) || valid_address(name).is_some() {
            return Outcome::Dunno;
        }
        let code = self.policy.settings.codes.invalid_hostname_reject_code;
        Outcome::Reject(Rejection::of(Subject::Helo, code, status(5, 2), "Invalid name"))
    }

    pub(super) fn reject_non_fqdn_helo(&mut self) -> Outcome {
        let Some(helo) = self.facts.helo else { return Outcome::Dunno };
        if helo.name.starts_with('[') {
            return self.invalid_literal(&helo.name);
        }
        if is_fully_qualified(&helo.name) {
            return Outcome::Dunno;
        }
        let code = self.policy.settings.codes.non_fqdn_reject_code;
        Outcome::Reject(Rejection::of(Subject::Helo, code, status(5, 2), "need fully-qualified hostname"))
    }

    pub(super) async fn reject_unknown_helo(&mut self) -> Outcome {
        let Some(helo) = self.facts.helo else { return Outcome::Dunno };
        if helo.name.starts_with('[') {
            return self.invalid_literal(&helo.name);
        }
        let settings = &self.policy.settings;
        let code = settings.codes.unknown_hostname_reject_code;
        let refusal = |code, why| Rejection::of(Subject::Helo, code, status(7, 1), why);
        match self.existence_of_host(&helo.name).await {
            // A name that takes no mail may well send some.
            Existence::Found | Existence::NullMx => Outcome::Dunno,
            Existence::Malformed => Outcome::Reject(refusal(code, "Malformed DNS server reply")),
            Existence::NotFound => Outcome::Reject(refusal(code, "Host not found")),
            Existence::Temporary => {
                let refusal = refusal(RejectCode::TRY_AGAIN, "Host not found");
                settings.unknown_helo_hostname_tempfail_action.with(refusal)
            }
        }
    }

    /// An address in brackets needs no name, but must be an address.
    fn invalid_literal(&mut self, helo: &str) -> Outcome {
        if address_literal(helo).is_some() {
            return Outcome::Dunno;
        }
        let code = self.policy.settings.codes.invalid_hostname_reject_code;
        Outcome::Reject(Rejection::of(Subject::Helo, code, status(5, 2), "invalid ip address"))
    }
}

impl TempfailAction {
    /// What becomes of a refusal that a lookup without answer leads to.
    pub(super) fn with(self, refusal: Rejection) -> Outcome {
        match self {
            Self::Defer => Outcome::Reject(refusal),
            Self::DeferIfPermit => Outcome::DeferIfPermit(refusal),
        }
    }
}

/// Whether `name` is a host name of more than one label. A final dot may stand.
pub(super) fn is_fully_qualified(name: &str) -> bool {
    let name = without_final_dot(name);
    is_valid_hostname(name) && name.contains('.')
}

/// The name without the dot that marks it as absolute; two dots are no such mark.
pub(super) fn without_final_dot(name: &str) -> &str {
    match name.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('.') => rest,
        _ => name,
    }
}
