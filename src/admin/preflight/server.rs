//! What each server understands, and whether it would relay.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Depth, Finding};
use crate::config::Config;
use crate::handoff::{Address as Server, AddressProbe, Backends, Identity, LoneDot, Settings, Trouble};
use crate::policy::{Probed, Verifier};
use crate::proxy_protocol::Endpoints;
use crate::smtp::address::Address;
use crate::smtp::capability::Capabilities;

/// How long a server has for anything: less than it would have from a client, since somebody waits for us.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody from anywhere (RFC 5737), whom no server can know.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));

/// An address that no server behind prescreen is there for (RFC 2606).
const ELSEWHERE: &str = "prescreen-preflight@example.net";

/// The ways to be told that a server can be asked for, the best first.
const TELLING: [Identity; 3] = [Identity::ProxyV2, Identity::ProxyV1, Identity::Xclient];

pub(super) async fn examine(config: &Config, depth: Depth<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in &config.backend.servers {
        findings.extend(Inquiry { config, server }.conducted(depth).await);
    }
    findings
}

struct Inquiry<'a> {
    config: &'a Config,
    server: &'a Server,
}

/// What came of speaking with a server in one way.
struct Spoken {
    identity: Identity,
    answer: Result<Capabilities, Trouble>,
}

impl Inquiry<'_> {
    async fn conducted(&self, depth: Depth<'_>) -> Vec<Finding> {
        let configured = self.config.backend.identity;
        let mut spoken = vec![self.speak(configured).await];
        let is_told = spoken.iter().all(|way| way.answer.is_ok()) && configured != Identity::None;
        if depth != Depth::Configured || !is_told {
            let [v2, v1, xclient] = TELLING.map(|identity| self.speak(identity));
            let (v2, v1, xclient, none) = tokio::join!(v2, v1, xclient, self.speak(Identity::None));
            spoken.extend([v2, v1, xclient, none]);
        }
        if let Some(finding) = self.unreachable(&spoken) {
            return vec![finding];
        }
        let mut findings = vec![self.understanding(&spoken)];
        let is_understood = spoken.iter().any(|way| way.identity == configured && way.answer.is_ok());
        if is_understood {
            findings.extend(self.relaying().await);
            if let Depth::Message(recipient) = depth {
                findings.push(self.lone_dot(recipient).await);
            }
        }
        findings
    }

    fn backends(&self, identity: Identity) -> Arc<Backends> {
        let configured = &self.config.backend;
        let settings = Settings {
            servers: vec![self.server.clone()],
            identity,
            connect_timeout: configured.connect_timeout.min(PATIENCE),
            greeting_timeout: configured.greeting_timeout.min(PATIENCE),
            command_timeout: configured.command_timeout.min(PATIENCE),
            ..configured.clone()
        };
        Arc::new(Backends::new(&settings, &self.config.hostname))
    }

    async fn speak(&self, identity: Identity) -> Spoken {
        let answer = self.backends(identity).inquire().await;
        Spoken { identity, answer: answer.map_err(|unavailable| unavailable.trouble) }
    }

    /// Where nobody can be spoken with in any way.
    fn unreachable(&self, spoken: &[Spoken]) -> Option<Finding> {
        if spoken.iter().any(|way| way.answer.is_ok()) {
            return None;
        }
        let trouble =
            spoken.iter().find_map(|way| way.answer.as_ref().err()).map_or("", |trouble| trouble.as_str());
        let what = format!("cannot be spoken with in any way ({trouble})");
        Some(Finding::grave(self.server, what, "start it, or correct backend.servers"))
    }

    /// Whether it is told who the client is.
    fn understanding(&self, spoken: &[Spoken]) -> Finding {
        let configured = self.config.backend.identity;
        let understood = |identity| {
            spoken.iter().find(|way| way.identity == identity).and_then(|way| way.answer.as_ref().ok())
        };
        let best = TELLING.into_iter().find(|way| understood(*way).is_some());
        let advice = match best {
            Some(best) => format!("write backend.identity = \"{best}\""),
            None => "let it take the PROXY protocol (Postfix: smtpd_upstream_proxy_protocol = haproxy) or XCLIENT \
                     (smtpd_authorized_xclient_hosts); or else write backend.identity = \"transparent\", or \"none\" \
                     with relay.inspect = \"transaction\""
                .to_owned(),
        };
        let Some(offers) = understood(configured) else {
            let what = format!("does not understand backend.identity = \"{configured}\"");
            return match configured {
                Identity::Transparent => Finding::grave(
                    self.server,
                    "no connection can be made with another source address",
                    "give prescreen CAP_NET_ADMIN, and its host the routes of transparent.sh",
                ),
                Identity::None if best.is_some() => {
                    Finding::grave(self.server, "wants to be told who the client is", advice)
                }
                _ => Finding::grave(self.server, what, advice),
            };
        };
        if let (Identity::None, Some(best)) = (configured, best) {
            let what = format!("could be told who the client is (\"{best}\"), and is not");
            return Finding::warning(self.server, what, advice);
        }
        let words: Vec<_> = offers.iter().map(|offer| offer.keyword.as_str()).collect();
        Finding::good(self.server, format!("understands {configured}; offers {}", words.join(" ")))
    }

    /// Whether it takes mail for elsewhere, from somebody whom it cannot know; and where it is not told whom it serves,
    /// from this host.
    async fn relaying(&self) -> Option<Finding> {
        let identity = self.config.backend.identity;
        let probe =
            AddressProbe::new(self.backends(identity), self.config.policy.verification.sender.clone());
        let (probe, who) = match identity {
            Identity::ProxyV2 | Identity::ProxyV1 | Identity::Xclient => {
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 25));
                let ends = Endpoints { client: SocketAddr::new(STRANGER, 4_242), server: here };
                (probe.on_behalf_of(ends), "strangers")
            }
            // A stranger's address would want routes that lead back here; of this host much can be learnt, too.
            Identity::Transparent | Identity::None => (probe, "this host"),
        };
        let elsewhere: Address = ELSEWHERE.parse().ok()?;
        match probe.probe(&elsewhere).await {
            Probed::Deliverable if identity == Identity::Transparent => None,
            Probed::Deliverable => Some(Finding::grave(
                self.server,
                format!("an open relay: it takes mail for {ELSEWHERE} from {who}"),
                match identity {
                    Identity::None => {
                        "it must trust this host with nothing: take it out of the server's mynetworks, \
                                       or let the server be told who the client is"
                    }
                    _ => {
                        "let it refuse mail for domains that are not its own (Postfix: smtpd_relay_restrictions = \
                          permit_mynetworks, reject_unauth_destination)"
                    }
                },
            )),
            Probed::Undeliverable(_) => Some(Finding::good(self.server, format!("relays nothing for {who}"))),
            Probed::Deferred(words) => Some(Finding::warning(
                self.server,
                format!("does not say whether it would relay: {words}"),
                "see in its log why, and ask again",
            )),
            Probed::Failed => None,
        }
    }

    /// What it takes for the end of a message.
    async fn lone_dot(&self, recipient: &Address) -> Finding {
        let configured = &self.config.backend;
        let sender = self.config.policy.verification.sender.clone();
        let probe = AddressProbe::new(self.backends(configured.identity), sender);
        match probe.lone_dot(recipient).await {
            LoneDot::Taken => Finding::warning(
                self.server,
                "takes <LF>.<CR><LF> for the end of a message, which invites SMTP smuggling",
                "let it refuse bare newlines (Postfix: smtpd_forbid_bare_newline = normalize), or write \
                 relay.inspect = \"transaction\", which refuses them here",
            ),
            LoneDot::Refused(words) => Finding::good(self.server, format!("refuses <LF>.<CR><LF>: {words}")),
            LoneDot::Content => Finding::good(self.server, "takes <LF>.<CR><LF> for content"),
            LoneDot::Unknown(words) => Finding::warning(
                self.server,
                format!("does not take a message for {recipient}, so nothing is known of its ends: {words}"),
                "name a mailbox of its own with --to",
            ),
        }
    }
}
