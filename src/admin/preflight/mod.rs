//! `prescreen preflight`: what would go wrong, found out before mail comes.
//!
//! It asks the things themselves: each server what it understands and whether it would relay, each resolver for a name
//! that cannot exist, each DNS list for its test entries, the system for its limits. No mail is sent, unless the
//! operator names who is to have it.

mod host;
mod names;
mod server;

use std::fmt;

use crate::config::Config;
use crate::screen::Screen;
use crate::smtp::address::Address;

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether something must be done.
    pub weight: Weight,
    /// The thing: a server, a resolver, a list, this host.
    pub of: String,
    /// What it does, or lacks.
    pub what: String,
    /// What to do about it, where something is to be done.
    pub remedy: Option<String>,
}

/// Whether something must be done; the worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is as it should be.
    Good,
    /// Mail flows, though not as well as it could.
    Warning,
    /// Mail does not flow, or flows to whom it should not.
    Grave,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Grave => "grave",
        })
    }
}

impl Finding {
    fn good(of: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self { weight: Weight::Good, of: of.to_string(), what: what.to_string(), remedy: None }
    }

    fn warning(of: impl fmt::Display, what: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        let remedy = Some(remedy.to_string());
        Self { weight: Weight::Warning, of: of.to_string(), what: what.to_string(), remedy }
    }

    fn grave(of: impl fmt::Display, what: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self { weight: Weight::Grave, ..Self::warning(of, what, remedy) }
    }
}

/// How much is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth<'a> {
    /// Whether it works as configured, and what would if it does not: for every start, and without a noise in its log.
    Configured,
    /// All that it understands.
    Everything,
    /// That, and what it takes for the end of a message: the one for this address is sent.
    Message(&'a Address),
}

/// Asks everything, all at once.
pub async fn examine(config: &Config, screen: &Screen, depth: Depth<'_>) -> Vec<Finding> {
    let servers = server::examine(config, depth);
    let (servers, resolvers, lists) =
        tokio::join!(servers, names::resolvers(config), names::lists(config, screen));
    [servers, resolvers, lists, host::examine(config)].concat()
}
