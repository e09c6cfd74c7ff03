//! What only shows when several keys are seen together.
//!
//! Errors are what could not work or would open a hole; warnings are what works, but hardly as meant.

mod addresses;
mod screening;

use super::Config;
use super::apply::Origins;
use super::listen::{Listener, ProxyProtocol};
use super::problem::{Problem, Warning};
use crate::dialogue::Auth;
use crate::handoff::{Address, BackendTls, Identity};
use crate::relay::Inspect;
use crate::table::{network, words};
use crate::tls::Starttls;

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
    judge.sharing();
    judge.encryption();
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

    /// A backend that takes every client for this host must not be reachable from elsewhere through it. Who stands
    /// behind a proxy is from elsewhere, wherever the proxy stands.
    fn identity(&mut self) {
        let loopback = |server: &Address| match server {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
            Address::Name { .. } => false,
        };
        let backend = &self.config.backend;
        let own_clients = |listener: &Listener| {
            listener.address.ip().is_loopback() && listener.proxy_protocol == ProxyProtocol::Off
        };
        let at_home = self.config.listen.iter().all(own_clients) && backend.servers.iter().all(loopback);
        let is_checked = self.config.relay.inspect == Inspect::Transaction;
        if backend.identity == Identity::None && !at_home && !is_checked {
            self.refuse(
                "backend.identity",
                "with none the backend takes every client for this host, and after the first message nothing stands \
                 between them; write \"proxy-v2\", or relay.inspect = \"transaction\", or listen on loopback \
                 addresses only, behind no proxy",
            );
        }
        if backend.identity == Identity::None && !at_home {
            let unchecked = "a session that is handed over here is never checked again, and with backend.identity = \
                             \"none\" the backend takes its client for this host";
            if self.config.tls.starttls == Starttls::Passthrough {
                self.refuse("tls.starttls", format!("{unchecked}; write \"terminate\" or \"off\""));
            }
            if self.config.auth == Auth::Handoff {
                self.refuse("smtp.auth", format!("{unchecked}; write \"hide\""));
            }
        }
        let is_unix = |server: &Address| matches!(server, Address::Unix(_));
        if backend.identity == Identity::Transparent && backend.servers.iter().any(is_unix) {
            self.refuse(
                "backend.servers",
                "a unix socket has no source address; write an IP address and a port",
            );
        }
        if self.config.backend.servers.is_empty() {
            self.refuse("backend.servers", "nowhere to hand mail to; write at least one server");
        }
    }

    /// Who asks for what nobody has.
    fn encryption(&mut self) {
        let Config { tls, tls_required, backend, .. } = self.config;
        if tls.starttls == Starttls::Off && !tls_required.is_empty() {
            self.refuse(
                "tls.required",
                "these clients could never send mail, since STARTTLS is off; write tls.starttls = \"terminate\" or \
                 \"passthrough\"",
            );
        }
        if tls.starttls != Starttls::Terminate && !tls.certificates.is_empty() {
            self.warn("tls.certificates", "has no effect without tls.starttls = \"terminate\"");
        }
        if backend.tls == BackendTls::Off {
            let unused = [
                ("backend.tls_ca", backend.tls_ca.is_some()),
                ("backend.tls_name", backend.tls_name.is_some()),
            ];
            for (key, _) in unused.into_iter().filter(|(_, is_set)| *is_set) {
                self.warn(key, "has no effect without backend.tls = \"starttls\"");
            }
            return;
        }
        if tls.starttls == Starttls::Passthrough {
            self.refuse(
                "backend.tls",
                "a client's TLS cannot be passed through inside our own; write tls.starttls = \"terminate\", or \
                 backend.tls = \"off\"",
            );
        }
        let is_unix = |server: &Address| matches!(server, Address::Unix(_));
        if backend.tls_name.is_none() && backend.servers.iter().any(is_unix) {
            self.refuse(
                "backend.tls_name",
                "a unix socket has no name; write the one in its server's certificate",
            );
        }
    }

    fn sharing(&mut self) {
        if self.config.rate.shared_rates && self.config.allowlist.shared.address.is_none() {
            self.refuse(
                "limits.shared_rates",
                "hosts count together through the server that allowlist.shared names; name one, or write \"no\"",
            );
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

    /// Warns about a value that is not for showing.
    fn warn_discreetly(&mut self, key: &str, what: impl Into<String>) {
        let shown = Problem::of(self.origins, key, what);
        self.findings.warnings.push(Warning(Problem { value: None, ..shown }));
    }

    fn warn(&mut self, key: &str, what: impl Into<String>) {
        self.findings.warnings.push(Warning(Problem::of(self.origins, key, what)));
    }
}
