//! The permanent access list: who is let through, and who is refused, without any test.
//!
//! Elements are tried from left to right, and the first that says something stops. What cannot be looked up says
//! nothing and ends the list, so that a broken table costs a good client a wait and not its mail.

use std::net::IpAddr;
use std::path::Path;

use crate::allowlist::Order;
use crate::table::{File, LoadError, LookupError, MatchList, Sources, Table, words};

/// An access list, loaded.
#[derive(Debug, Default)]
pub(super) struct AccessList(Vec<Element>);

#[derive(Debug)]
enum Element {
    Word(Word),
    Table(Box<Table>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    PermitMynetworks,
    Permit,
    Reject,
    Dunno,
}

/// What the list says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Let it through, untested.
    Permit,
    /// Refuse it, as `denylist_action` has it.
    Reject,
    /// Test it.
    Undecided,
}

/// What an operator has ordered stands above every list.
impl From<Order> for Access {
    fn from(order: Order) -> Self {
        match order {
            Order::Allow => Self::Permit,
            Order::Deny => Self::Reject,
        }
    }
}

impl AccessList {
    /// Reads a list and loads its tables; relative file names are taken from `base`. All errors are told at once.
    pub(super) fn load(text: &str, base: &Path) -> Result<Self, Vec<LoadError>> {
        let mut elements = Vec::new();
        let mut errors = Vec::new();
        for item in words(text) {
            if !item.contains(':') {
                match word(item) {
                    Ok(word) => elements.push(Element::Word(word)),
                    Err(what) => errors.push(LoadError::Spec { spec: item.to_owned(), what }),
                }
                continue;
            }
            match Table::load(item, base) {
                Ok(table) => {
                    errors.extend(wrong_values(&table));
                    elements.push(Element::Table(Box::new(table)));
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
        if errors.is_empty() { Ok(Self(elements)) } else { Err(errors) }
    }

    /// What the list says of `client`.
    pub(super) fn judge(&self, client: IpAddr, mynetworks: &MatchList) -> Access {
        let judged = self.try_judge(client.to_canonical(), mynetworks);
        judged.unwrap_or_else(|error| {
            let error = error.to_string();
            tracing::warn!(error, "the access list cannot be looked up, so its clients are tested");
            Access::Undecided
        })
    }

    fn try_judge(&self, client: IpAddr, mynetworks: &MatchList) -> Result<Access, LookupError> {
        for element in &self.0 {
            match element {
                Element::Word(Word::Dunno) => return Ok(Access::Undecided),
                Element::Word(word) => {
                    if let Some(access) = word.says(client, mynetworks)? {
                        return Ok(access);
                    }
                }
                Element::Table(table) => {
                    let Some(value) = table.lookup_address(client)? else { continue };
                    // `dunno` in a table means "ask the next element"; the words are known since loading.
                    for word in
                        words(&value).map_while(|item| word(item).ok()).take_while(|w| *w != Word::Dunno)
                    {
                        if let Some(access) = word.says(client, mynetworks)? {
                            return Ok(access);
                        }
                    }
                }
            }
        }
        Ok(Access::Undecided)
    }
}

impl Sources for AccessList {
    fn files(&self) -> Vec<File> {
        let tables = self.0.iter().filter_map(|element| match element {
            Element::Table(table) => Some(&**table),
            Element::Word(_) => None,
        });
        tables.flat_map(Sources::files).collect()
    }
}

impl Word {
    fn says(self, client: IpAddr, mynetworks: &MatchList) -> Result<Option<Access>, LookupError> {
        Ok(match self {
            Self::PermitMynetworks => mynetworks.matches_address(client)?.then_some(Access::Permit),
            Self::Permit => Some(Access::Permit),
            Self::Reject => Some(Access::Reject),
            Self::Dunno => None,
        })
    }
}

fn word(text: &str) -> Result<Word, String> {
    match text.to_ascii_lowercase().as_str() {
        "permit_mynetworks" => Ok(Word::PermitMynetworks),
        "permit" => Ok(Word::Permit),
        "reject" => Ok(Word::Reject),
        "dunno" => Ok(Word::Dunno),
        _ => Err(format!(
            "`{text}` says nothing here; write permit_mynetworks, permit, reject, dunno or type:table"
        )),
    }
}

/// What a table holds that would say nothing.
fn wrong_values(table: &Table) -> Vec<LoadError> {
    let mut errors = Vec::new();
    for value in table.values() {
        for item in words(value.text) {
            let what = match word(item) {
                Ok(_) => continue,
                Err(_) if item.contains(':') => {
                    format!("`{item}`: a table cannot lead to another; name it in the list")
                }
                Err(what) => what,
            };
            errors.push(LoadError::Line { file: table.name().to_owned(), line: value.line, what });
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use crate::table::ParentDomains;

    use super::*;

    fn judge(list: &str, client: &str) -> Access {
        let base = Path::new("/");
        let mynetworks = MatchList::load("10.0.0.0/8 2001:db8:1::/48", base, ParentDomains::Match).unwrap();
        AccessList::load(list, base).unwrap().judge(client.parse().unwrap(), &mynetworks)
    }

    #[test]
    fn the_first_element_that_says_something_decides() {
        use Access::{Permit, Reject, Undecided};
        for (list, client, access) in [
            ("", "192.0.2.1", Undecided),
            ("permit_mynetworks", "10.1.2.3", Permit),
            ("permit_mynetworks", "::ffff:10.1.2.3", Permit),
            ("permit_mynetworks", "2001:db8:1::1", Permit),
            ("permit_mynetworks", "192.0.2.1", Undecided),
            ("Permit_Mynetworks, REJECT", "192.0.2.1", Reject),
            ("dunno reject", "192.0.2.1", Undecided),
            ("permit reject", "192.0.2.1", Permit),
            ("cidr:{{192.0.2.0/24 reject}} permit", "192.0.2.1", Reject),
            ("cidr:{{192.0.2.0/24 dunno}} permit", "192.0.2.1", Permit),
            ("cidr:{{192.0.2.0/24 reject}} permit", "198.51.100.1", Permit),
            ("cidr:{{0.0.0.0/0 permit_mynetworks, reject}}", "10.1.2.3", Permit),
            ("inline:{192.0.2.1=reject}", "192.0.2.1", Reject),
            ("inline:{192.0.2=reject}", "192.0.2.1", Undecided),
            ("fail:broken reject", "192.0.2.1", Undecided),
            ("cidr:{{192.0.2.0/24 permit}} fail:broken", "192.0.2.1", Permit),
        ] {
            assert_eq!(judge(list, client), access, "{list}: {client}");
        }
    }

    #[test]
    fn unknown_words_are_errors_wherever_they_stand() {
        for (list, part) in [
            ("permit_mynetwork", "`permit_mynetwork` says nothing here"),
            ("inline:{192.0.2.1=ok}", "`ok` says nothing here"),
            ("inline:{192.0.2.1=static:permit}", "cannot lead to another"),
            ("nosuch:table", "nosuch"),
        ] {
            let errors = AccessList::load(list, Path::new("/")).unwrap_err();
            assert!(errors.iter().any(|error| error.to_string().contains(part)), "{list}: {errors:?}");
        }
        let both = AccessList::load("allow deny", Path::new("/")).unwrap_err();
        assert_eq!(both.len(), 2);
    }
}
