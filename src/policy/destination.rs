//! Where an address leads, and whether mail may be relayed there.
//!
//! A local part may hide a second destination: `user%elsewhere@here`, `elsewhere!user@here`, `"user@elsewhere"@here`.
//! At a domain that is delivered on this site such an address means what is hidden in it, so it is unwrapped and
//! judged again. At any other domain nobody knows what the next host makes of it, so it is never authorised.

use std::borrow::Cow;

use crate::smtp::address::Address;
use crate::smtp::host::address_literal;
use crate::table::LookupError;

use super::codes::RejectCode;
use super::helo::without_final_dot;
use super::judging::{Judging, Outcome};
use super::reply::{Rejection, Subject, Text, status};

/// What separates a user from a further destination in a local part.
const ROUTING: [char; 3] = ['@', '%', '!'];

/// What kind of domain an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `domains.local`, or an address of ours in brackets.
    Local,
    /// `domains.virtual_alias`
    VirtualAlias,
    /// `domains.virtual_mailbox`
    VirtualMailbox,
    /// `domains.relay`
    Relay,
    /// Anything else.
    Elsewhere,
}

/// Where an address leads once everything local is unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination<'a> {
    /// The local part, dequoted.
    pub(super) local: Cow<'a, str>,
    /// The domain without its final dot; our own name where there is none.
    pub(super) domain: Cow<'a, str>,
    pub(super) class: Class,
    /// The local part may lead elsewhere, and it is not ours to unwrap.
    pub(super) is_routed: bool,
}

impl<'a> Judging<'a> {
    /// Where `address` leads.
    pub(super) fn destination(&self, address: &'a Address) -> Result<Destination<'a>, LookupError> {
        let mut local = Cow::Borrowed(address.local());
        let mut domain = address.domain().map(|domain| Cow::Borrowed(without_final_dot(domain)));
        // Every turn takes a domain away, so this ends.
        loop {
            // What has no domain is ours, whatever our domains are.
            let class = domain.as_deref().map_or(Ok(Class::Local), |domain| self.class_of(domain))?;
            let hidden = if class == Class::Local { unwrapped(&local) } else { None };
            let Some((inner, next)) = hidden else {
                let is_routed = local.contains(ROUTING);
                let domain = domain.unwrap_or(Cow::Borrowed(&self.policy.settings.hostname));
                return Ok(Destination { local, domain, class, is_routed });
            };
            domain = Some(Cow::Owned(without_final_dot(next).to_owned()));
            local = Cow::Owned(inner.to_owned());
        }
    }

    fn class_of(&self, domain: &str) -> Result<Class, LookupError> {
        let domains = &self.policy.domains;
        if !domains.any {
            return Ok(Class::Elsewhere);
        }
        if let Some(address) = address_literal(domain) {
            return Ok(if self.is_ours(address.to_canonical()) { Class::Local } else { Class::Elsewhere });
        }
        for (class, list) in &domains.classes {
            if list.current().matches_name(domain)? {
                return Ok(*class);
            }
        }
        Ok(Class::Elsewhere)
    }

    /// Whether the recipient is ours to take: in one of our domains, and leading nowhere else.
    pub(super) fn is_authorized(&mut self, recipient: &'a Address) -> Result<bool, LookupError> {
        let Destination { domain, class, is_routed, .. } = self.destination(recipient)?;
        self.trace.because(|| match (class, is_routed) {
            (Class::Elsewhere, _) => format!("{domain} is not among our domains"),
            (_, true) => "the local part may lead elsewhere".to_owned(),
            (Class::Local, _) => format!("{domain} is a local domain"),
            (Class::VirtualAlias, _) => format!("{domain} is a virtual alias domain"),
            (Class::VirtualMailbox, _) => format!("{domain} is a virtual mailbox domain"),
            (Class::Relay, _) => format!("{domain} is a relay domain"),
        });
        Ok(class != Class::Elsewhere && !is_routed)
    }

    pub(super) fn permit_auth_destination(&mut self) -> Outcome {
        let Some(recipient) = self.facts.recipient(self.stage) else { return Outcome::Dunno };
        match self.is_authorized(recipient) {
            Ok(true) => Outcome::Ok,
            Ok(false) => Outcome::Dunno,
            Err(error) => self.domains_do_not_answer(&error, Subject::Recipient),
        }
    }

    pub(super) fn unauth_destination(&mut self, code: RejectCode) -> Outcome {
        let Some(recipient) = self.facts.recipient(self.stage) else { return Outcome::Dunno };
        match self.is_authorized(recipient) {
            Ok(true) => Outcome::Dunno,
            Ok(false) => {
                let text = Text::Named(Subject::Recipient, "Relay access denied".into());
                Outcome::Reject(Rejection { code, status: status(7, 1), text, unanswered: false })
            }
            Err(error) => self.domains_do_not_answer(&error, Subject::Recipient),
        }
    }

    pub(super) fn domains_do_not_answer(&mut self, error: &LookupError, about: Subject) -> Outcome {
        self.trouble(error.to_string());
        Outcome::Fault(Rejection::lookup_failure(about))
    }
}

/// The destination that a local part hides, in the order in which Postfix looks: `user@domain`, `domain!user`,
/// `user%domain`.
fn unwrapped(local: &str) -> Option<(&str, &str)> {
    let (inner, domain) = if let Some(split) = local.rsplit_once('@') {
        split
    } else if let Some((domain, inner)) = local.split_once('!') {
        (inner, domain)
    } else {
        local.rsplit_once('%')?
    };
    Some((inner, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_destinations_come_out_in_postfix_order() {
        assert_eq!(unwrapped("user"), None);
        assert_eq!(unwrapped("a@b@c"), Some(("a@b", "c")));
        assert_eq!(unwrapped("b!a"), Some(("a", "b")));
        assert_eq!(unwrapped("c!b!a"), Some(("b!a", "c")));
        assert_eq!(unwrapped("a%b%c"), Some(("a%b", "c")));
        assert_eq!(unwrapped("x!a%b@c"), Some(("x!a%b", "c")));
        assert_eq!(unwrapped("x!a%b"), Some(("a%b", "x")));
    }
}
