//! What only shows when several keys are seen together.

use super::apply::Origins;
use super::problem::{Problem, Warning};
use super::{Config, Listener, ProxyProtocol};

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

/// Looks at everything.
pub(super) fn check(config: &Config, origins: &Origins) -> Findings {
    let mut judge = Judge { origins, findings: Findings::default() };
    judge.listeners(&config.listen);
    judge.hostname(&config.hostname);
    judge.findings
}

struct Judge<'a> {
    origins: &'a Origins,
    findings: Findings,
}

impl Judge<'_> {
    fn listeners(&mut self, listeners: &[Listener]) {
        if listeners.is_empty() {
            self.refuse("listen", "nowhere to listen; give at least one address, such as 0.0.0.0:25");
        }
        for (number, listener) in listeners.iter().enumerate() {
            let twin = listeners[..number].iter().position(|earlier| overlap(earlier, listener));
            if let Some(twin) = twin {
                let what =
                    format!("overlaps {} of listen.{twin}; keep one of the two", listeners[twin].address);
                self.refuse(&format!("listen.{number}.address"), &what);
            }
            let trusted = format!("listen.{number}.trusted");
            match listener.proxy_protocol {
                ProxyProtocol::Required if listener.trusted.is_empty() => {
                    self.refuse(
                        &trusted,
                        "nobody may send PROXY headers, so nobody could connect; name the proxies' networks",
                    );
                }
                ProxyProtocol::Off if !listener.trusted.is_empty() => {
                    self.warn(&trusted, "has no effect without proxy_protocol = \"required\"");
                }
                _ => {}
            }
            if listener.trusted.iter().any(|network| network.prefix_len() == 0) {
                self.refuse(
                    &trusted,
                    "lets the whole Internet name any address as its own; name the proxies' networks",
                );
            }
        }
    }

    fn hostname(&mut self, hostname: &str) {
        if !hostname.contains('.') {
            let what = format!(
                "{hostname} is not fully qualified and shows in every greeting; write the name that the MX record has"
            );
            self.warn("hostname", &what);
        }
    }

    fn refuse(&mut self, key: &str, what: &str) {
        let problem = Problem::of(self.origins, key, what);
        self.findings.problems.push(problem);
    }

    fn warn(&mut self, key: &str, what: &str) {
        let problem = Problem::of(self.origins, key, what);
        self.findings.warnings.push(Warning(problem));
    }
}

/// Whether one of two addresses takes what the other would.
fn overlap(a: &Listener, b: &Listener) -> bool {
    let (a, b) = (a.address, b.address);
    if a.port() != b.port() || a.port() == 0 || a.is_ipv4() != b.is_ipv4() {
        return false;
    }
    a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
}
