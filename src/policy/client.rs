//! What is said of the client, and of the session as such.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codes::RejectCode;
use super::facts::Stage;
use super::judging::{Judging, Outcome};
use super::names::NameStatus;
use super::reply::{Rejection, Subject, status};

impl Judging<'_> {
    /// `None`: whether the client is in mynetworks depends on its name, and that has not been asked for yet.
    pub(super) fn permit_mynetworks(&mut self, about: Subject) -> Option<Outcome> {
        let mynetworks = self.policy.mynetworks.current();
        let address = self.client();
        let found = match self.facts.names.found() {
            Some(names) => mynetworks.matches_client(names.name.as_deref(), address),
            None if mynetworks.has_names() => return None,
            None => mynetworks.matches_address(address),
        };
        Some(match found {
            Ok(true) => Outcome::Ok,
            Ok(false) => {
                self.trace.because(|| format!("{address} is not in mynetworks"));
                Outcome::Dunno
            }
            Err(error) => {
                self.trouble(error.to_string());
                Outcome::Fault(Rejection::lookup_failure(about))
            }
        })
    }

    pub(super) fn permit_inet_interfaces(&mut self) -> Outcome {
        let address = self.client();
        if self.is_ours(address) {
            return Outcome::Ok;
        }
        self.trace.because(|| format!("{address} is no address of ours"));
        Outcome::Dunno
    }

    /// Whether `address` is one that this host has.
    pub(super) fn is_ours(&self, address: IpAddr) -> bool {
        address == self.facts.server.ip().to_canonical()
            || address == Ipv4Addr::LOCALHOST
            || address == Ipv6Addr::LOCALHOST
            || self.policy.settings.inet_interfaces.contains(&address)
    }

    pub(super) fn permit_logged_in(&mut self) -> Outcome {
        self.trace.because(|| "clients log in at the backend; nobody has here".to_owned());
        Outcome::Dunno
    }

    pub(super) async fn reject_unknown_client_hostname(&mut self) -> Outcome {
        let why = "Client host rejected: cannot find your hostname";
        let found = self.names().await.status;
        self.nameless(found, 25, why)
    }

    pub(super) async fn reject_unknown_reverse_client_hostname(&mut self) -> Outcome {
        let why = "Client host rejected: cannot find your reverse hostname";
        let found = self.names().await.reverse_status;
        self.nameless(found, 1, why)
    }

    fn nameless(&mut self, found: NameStatus, detail: u16, why: &str) -> Outcome {
        let code = match found {
            NameStatus::Ok => return Outcome::Dunno,
            NameStatus::Temporary => RejectCode::TRY_AGAIN,
            NameStatus::Permanent | NameStatus::Forged => {
                self.policy.settings.codes.unknown_client_reject_code
            }
        };
        let text = format!("{why}, [{}]", self.client());
        Outcome::Reject(Rejection::whole(code, status(7, detail), text))
    }

    pub(super) fn reject_unauth_pipelining(&mut self, about: Subject) -> Outcome {
        if !self.facts.pipelined {
            return Outcome::Dunno;
        }
        let why = "Improper use of SMTP command pipelining";
        Outcome::Reject(Rejection::of(about, RejectCode::BAD_SEQUENCE, status(5, 0), why))
    }

    pub(super) fn reject_plaintext_session(&mut self) -> Outcome {
        if self.facts.tls.is_some() {
            return Outcome::Dunno;
        }
        let code = self.policy.settings.codes.plaintext_reject_code;
        Outcome::Reject(Rejection::whole(code, status(7, 1), "Session encryption is required"))
    }

    pub(super) fn reject_multi_recipient_bounce(&mut self, about: Subject) -> Outcome {
        // At RCPT the recipient in question is not among those accepted.
        let allowed = if self.stage == Stage::Rcpt { 0 } else { 1 };
        if !self.facts.has_null_sender() || self.facts.accepted <= allowed {
            return Outcome::Dunno;
        }
        let code = self.policy.settings.codes.multi_recipient_bounce_reject_code;
        Outcome::Reject(Rejection::of(about, code, status(5, 3), "Multi-recipient bounce"))
    }
}
