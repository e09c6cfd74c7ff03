//! The words that begin a restriction: what each needs, takes and means.

mod table;

pub use table::VERBS;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::table::{Live, Table};

use super::dnsbl::DnsList;
use super::judgement::List;
use super::restriction::{Party, Restriction};
use super::service::Service;

/// A word that begins a restriction.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    name: &'static str,
    old_name: Option<&'static str>,
    reads: Reads,
    needs: Needs,
    makes: Makes,
    help: &'static str,
}

/// What a verb must have been told before it can say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// Nothing but the connection.
    Session,
    Helo,
    Sender,
    Recipient,
    Etrn,
}

/// What a verb needs beside the session to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// DNS.
    Dns,
    /// `[domains]`.
    Domains,
    /// `[domains]` and `[recipients]`.
    Recipients,
    /// A backend that answers probes.
    Backend,
}

/// What follows a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// `type:table`
    Table,
    /// `domain` or `domain=filter`
    DnsList,
    /// `inet:host:port`, `unix:path`, or either in braces with options.
    Service,
    /// Whole seconds.
    Seconds,
}

/// How a verb becomes a restriction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Makes {
    Plain(fn() -> Restriction),
    OfTable(fn(Arc<Live<Table>>) -> Restriction),
    OfDnsList(fn(DnsList) -> Restriction),
    OfService(fn(Arc<Service>) -> Restriction),
    OfSeconds(fn(Duration) -> Restriction),
    /// It does not: the advice says what to write instead.
    Nothing(&'static str),
}

/// What stands for a class in causes and traces.
pub(super) static CLASS: Verb = Verb::new("class", Makes::Nothing(""), "the restrictions of a class");

impl Verb {
    /// The verb of this name, or of this old name, in any case.
    pub(crate) fn find(word: &str) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.names().any(|name| name.eq_ignore_ascii_case(word)))
    }

    /// The verb that judges addresses behind the last list, when they are to be known.
    pub(super) fn unlisted(party: Party) -> &'static Self {
        Self::find(match party {
            Party::Sender => "reject_unlisted_sender",
            Party::Recipient => "reject_unlisted_recipient",
        })
        .unwrap_or(&CLASS)
    }

    /// The modern name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The modern name, and the one that it had before.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.old_name)
    }

    /// What follows it.
    pub fn argument(&self) -> Argument {
        match self.makes {
            Makes::Plain(_) | Makes::Nothing(_) => Argument::None,
            Makes::OfTable(_) => Argument::Table,
            Makes::OfDnsList(_) => Argument::DnsList,
            Makes::OfService(_) => Argument::Service,
            Makes::OfSeconds(_) => Argument::Seconds,
        }
    }

    /// What it needs beside the session.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// What to write instead, of a verb that is understood and refused.
    pub fn advice(&self) -> Option<&'static str> {
        match self.makes {
            Makes::Nothing(advice) => Some(advice),
            _ => None,
        }
    }

    /// What it does, in one line.
    pub fn help(&self) -> &'static str {
        self.help
    }

    pub(super) fn makes(&self) -> Makes {
        self.makes
    }

    /// Why it could never say anything in `list`, where that is so.
    pub(super) fn unfit_for(&self, list: List, times: Times) -> Option<String> {
        let (what, seen) = match self.reads {
            Reads::Session => return None,
            Reads::Helo => ("a HELO", list != List::Client || times == Times::Delayed),
            Reads::Sender => ("a sender", list == List::Sender || list.sees_recipient(times)),
            Reads::Recipient => ("a recipient", list.sees_recipient(times)),
            Reads::Etrn => ("an ETRN domain", list.sees_etrn(times)),
        };
        if seen {
            return None;
        }
        let remedy = match (list, self.reads) {
            (List::Etrn, _) | (_, Reads::Etrn) => "take it out",
            _ => "move it to the list `recipient`, or set delay_reject",
        };
        Some(format!("`{}` never sees {what} in the list `{}`: {remedy}", self.name, list.as_str()))
    }

    const fn new(name: &'static str, makes: Makes, help: &'static str) -> Self {
        Self { name, old_name: None, reads: Reads::Session, needs: Needs::Nothing, makes, help }
    }

    const fn reading(self, reads: Reads) -> Self {
        Self { reads, ..self }
    }

    const fn needing(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    const fn once(self, old_name: &'static str) -> Self {
        Self { old_name: Some(old_name), ..self }
    }
}

/// When the client, HELO and sender lists are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// At RCPT or ETRN (`delay_reject = yes`).
    Delayed,
    /// Each at its own command.
    AtOnce,
}

impl List {
    fn sees_recipient(self, times: Times) -> bool {
        match self {
            Self::Relay | Self::Recipient | Self::Data => true,
            Self::Client | Self::Helo | Self::Sender => times == Times::Delayed,
            Self::Etrn => false,
        }
    }

    fn sees_etrn(self, times: Times) -> bool {
        self == Self::Etrn || (matches!(self, Self::Client | Self::Helo) && times == Times::Delayed)
    }

    /// The verb that a bare `type:table` stands for; none in the DATA list.
    pub(crate) fn default_verb(self) -> Option<&'static Verb> {
        Verb::find(match self {
            Self::Client => "check_client_access",
            Self::Helo => "check_helo_access",
            Self::Sender => "check_sender_access",
            Self::Relay | Self::Recipient => "check_recipient_access",
            Self::Data => return None,
            Self::Etrn => "check_etrn_access",
        })
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Table => "type:table",
            Self::DnsList => "domain[=filter]",
            Self::Service => "inet:host:port",
            Self::Seconds => "seconds",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        let mut names: Vec<_> = VERBS.iter().flat_map(Verb::names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(Verb::find("Reject_Unknown_CLIENT").unwrap().name(), "reject_unknown_client_hostname");
    }

    #[test]
    fn a_verb_helps_or_advises() {
        for verb in VERBS {
            assert!(verb.help().is_empty() == verb.advice().is_some(), "{}", verb.name());
        }
    }

    #[test]
    fn verbs_know_where_they_never_see_anything() {
        let unfit = |name: &str, list, times| Verb::find(name).unwrap().unfit_for(list, times);
        assert_eq!(unfit("reject_unauth_destination", List::Client, Times::Delayed), None);
        let why = unfit("reject_unauth_destination", List::Client, Times::AtOnce).unwrap();
        assert!(why.contains("never sees a recipient in the list `client`"), "{why}");
        assert!(unfit("check_sender_access", List::Sender, Times::AtOnce).is_none());
        assert!(unfit("check_sender_access", List::Etrn, Times::Delayed).is_some());
        assert!(unfit("check_helo_access", List::Client, Times::AtOnce).is_some());
        assert!(unfit("check_helo_access", List::Etrn, Times::AtOnce).is_none());
        assert!(unfit("check_etrn_access", List::Recipient, Times::Delayed).is_some());
        assert!(unfit("check_etrn_access", List::Client, Times::Delayed).is_none());
        assert!(unfit("reject", List::Data, Times::AtOnce).is_none());
    }
}
