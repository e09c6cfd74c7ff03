//! Match lists: `mynetworks`, `relay_domains`, `mydestination`, `event_limit_exceptions`.
//!
//! Items stand between commas or blanks and are tried from left to right; the first that matches decides. An item is
//! a host or domain name, an address, a network, `/file` with more items, or `type:table`, where having the key is
//! all that counts. `!` in front turns "match" into "no match".

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixSet;

use super::error::{LoadError, LookupError, Warning};
use super::items::Reader;
use super::keys::{ParentDomains, host_keys};
use super::source::File;
use super::strings::fold;
use super::{Sources, Table};

/// A list, loaded. The default one matches nothing.
#[derive(Clone, Debug, Default)]
pub struct MatchList {
    pub(super) items: Vec<Item>,
    pub(super) parents: ParentDomains,
    pub(super) files: Vec<File>,
    pub(super) warnings: Vec<Warning>,
}

/// What is compared, and what it means that it matches.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) sign: Sign,
    pub(super) matcher: Matcher,
}

/// What a matching item says of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sign {
    #[default]
    Match,
    NoMatch,
}

#[derive(Clone, Debug)]
pub(super) enum Matcher {
    /// Items that follow one another with the same sign: which of them matches makes no difference.
    Literals(Literals),
    Table(Arc<Table>),
}

/// Folded names, and networks.
#[derive(Clone, Debug, Default)]
pub(super) struct Literals {
    pub(super) names: HashSet<Box<str>>,
    pub(super) nets: JointPrefixSet<IpNet>,
}

impl MatchList {
    /// Reads a list and loads what it names; the files of tables are taken from `base` if relative.
    ///
    /// All errors are told at once.
    pub fn load(text: &str, base: &Path, parents: ParentDomains) -> Result<Self, Vec<LoadError>> {
        Reader::new(base, parents).read(text)
    }

    /// Whether the list matches an address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn matches_address(&self, address: IpAddr) -> Result<bool, LookupError> {
        self.matches_client(None, address)
    }

    /// Whether the list matches a host or domain name, in any case.
    pub fn matches_name(&self, name: &str) -> Result<bool, LookupError> {
        let name = fold(name);
        self.decide(|matcher| matcher.has_name(&name, self.parents))
    }

    /// Whether the list matches a client by its address or, where it has one, its verified name.
    ///
    /// Each item is tried with both, so `!192.0.2.1, example.com` leaves out that one host of example.com.
    pub fn matches_client(&self, name: Option<&str>, address: IpAddr) -> Result<bool, LookupError> {
        let name = name.map(fold);
        let address = address.to_canonical();
        self.decide(|matcher| match &name {
            Some(name) if matcher.has_name(name, self.parents)? => Ok(true),
            _ => matcher.has_address(address),
        })
    }

    /// Whether a name could match. If not, nobody needs to ask DNS for one.
    pub fn has_names(&self) -> bool {
        self.items.iter().any(|item| match &item.matcher {
            Matcher::Literals(literals) => !literals.names.is_empty(),
            Matcher::Table(table) => table.has_names(),
        })
    }

    /// Whether there is no item, so that nothing can match.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Items that work, but hardly as meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn decide(&self, has: impl Fn(&Matcher) -> Result<bool, LookupError>) -> Result<bool, LookupError> {
        for item in &self.items {
            if has(&item.matcher)? {
                return Ok(item.sign == Sign::Match);
            }
        }
        Ok(false)
    }
}

impl Sources for MatchList {
    fn files(&self) -> Vec<File> {
        self.files.clone()
    }
}

impl Matcher {
    /// `name` is folded.
    fn has_name(&self, name: &str, parents: ParentDomains) -> Result<bool, LookupError> {
        match self {
            Self::Literals(literals) => {
                Ok(host_keys(name, parents).any(|key| literals.names.contains(key.as_str())))
            }
            Self::Table(table) => Ok(table.find(host_keys(name, parents))?.is_some()),
        }
    }

    fn has_address(&self, address: IpAddr) -> Result<bool, LookupError> {
        match self {
            Self::Literals(literals) => Ok(literals.nets.get_lpm(&address.into()).is_some()),
            Self::Table(table) => Ok(table.lookup_address(address)?.is_some()),
        }
    }
}
