//! Mailbox addresses as they stand in an envelope (RFC 5321 §4.1.2), with the leniency that Postfix has.

use std::fmt;

/// A mailbox: the local part without quotes, the domain as written (no domain: `postmaster`, or a lenient client).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    local: String,
    domain: Option<String>,
    external: String,
}

impl Address {
    /// The local part, dequoted, case kept.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain as written, case kept; an address literal keeps its brackets.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The address in external (quoted) form, source route removed: what logs and replies show inside `<>`.
    pub fn as_str(&self) -> &str {
        &self.external
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.external)
    }
}

/// What MAIL FROM names: a mailbox, or nobody (`<>`, a bounce).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`
    Null,
    /// A mailbox.
    Mailbox(Address),
}

impl ReversePath {
    /// The mailbox, unless it is the null sender.
    pub fn mailbox(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Mailbox(address) => Some(address),
        }
    }

    /// The text inside `<>`; empty for the null sender.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Address::as_str)
    }
}
