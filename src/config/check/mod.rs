//! What only shows when several keys are seen together.
//!
//! Errors are what could not work or would open a hole; warnings are what works, but hardly as meant.

mod addresses;
mod screening;

use super::Config;
use super::apply::Origins;
use super::problem::{Problem, Warning};
use crate::handoff::{Address, Identity};
use crate::relay::Inspect;
use crate::table::{network, words};

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

/// Looks at everything.
pub(super) fn check(config: &Config, origins: &Origins) -> Findings {
    let mut judge = Judge { config, origins, findings: Findings::default() };
    judge.hostname();
    judge.trust();
    judge.addresses();
    judge.identity();
    judge.relay_control();
    judge.waits();
    judge.dns_lists();
    judge.findings
}

struct Judge<'a> {
    config: &'a Config,
    origins: &'a Origins,
    findings: Findings,
}

impl Judge<'_> {
    fn hostname(&mut self) {
        let hostname = &self.config.hostname;
        if !hostname.contains('.') {
            self.warn(
                "hostname",
                format!(
                    "`{hostname}` is not fully qualified and shows in every greeting; write the name that the MX \
                     record has"
                ),
            );
        }
    }

    /// Whoever is in `mynetworks` may relay.
    fn trust(&mut self) {
        let everybody = |word: &&str| network(word).is_ok_and(|network| network.prefix_len() == 0);
        if let Some(word) = words(&self.config.mynetworks).find(everybody) {
            let what = format!(
                "`{word}` trusts the whole Internet, and makes an open relay; name your own networks"
            );
            self.refuse("mynetworks", what);
        }
    }

    /// A backend that takes every client for this host must not be reachable from elsewhere through it.
    fn identity(&mut self) {
        // Until transactions are looked at, nothing may be set up that relies on it.
        if self.config.relay.inspect == Inspect::Transaction {
            self.refuse("relay.inspect", "not supported yet; write \"connection\"");
        }
        let loopback = |server: &Address| match server {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        };
        let at_home = self.config.listen.iter().all(|listener| listener.address.ip().is_loopback())
            && self.config.backend.servers.iter().all(loopback);
        if self.config.backend.identity == Identity::None && !at_home {
            self.refuse(
                "backend.identity",
                "with none the backend takes every client for this host, and after the first message nothing stands \
                 between them; write \"proxy-v2\", or listen on loopback addresses only",
            );
        }
        if self.config.backend.servers.is_empty() {
            self.refuse("backend.servers", "nowhere to hand mail to; write at least one server");
        }
    }

    fn relay_control(&mut self) {
        let policy = &self.config.policy;
        if !policy.domains.any() && policy.relay.is_none() {
            self.warn("domains.local", "no domains are given, so relay control is the backend's alone");
        }
    }

    fn refuse(&mut self, key: &str, what: impl Into<String>) {
        self.findings.problems.push(Problem::of(self.origins, key, what));
    }

    fn warn(&mut self, key: &str, what: impl Into<String>) {
        self.findings.warnings.push(Warning(Problem::of(self.origins, key, what)));
    }
}
