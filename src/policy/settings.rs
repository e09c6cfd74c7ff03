//! What an administrator sets: the lists, what they refer to, and the codes of refusals.
//!
//! Names are Postfix's parameter names without `smtpd_`. Lists and tables are texts here; [`Policy::new`] reads them,
//! since what a word means depends on the classes and tables around it.
//!
//! [`Policy::new`]: super::Policy::new

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::smtp::address::ReversePath;

use super::codes::{ProbeCode, RejectCode, TempfailAction};
use super::judgement::List;
use super::service;

/// What `[restrictions]`, `[domains]`, `[recipients]` and the parameters that bear on them hold.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The client list; default empty.
    pub client: String,
    /// The HELO list; default: the name must be valid and fully qualified.
    pub helo: String,
    /// The sender list; default: fully qualified, with a domain that exists.
    pub sender: String,
    /// The relay list, judged before the recipient list. Default `None`: `permit_mynetworks,
    /// reject_unauth_destination` as soon as a domain is given, else empty, and relay control is the backend's.
    pub relay: Option<String>,
    /// The recipient list; default: fully qualified.
    pub recipient: String,
    /// The DATA list; default empty.
    pub data: String,
    /// The ETRN list; default empty.
    pub etrn: String,
    /// Restriction classes: a name for a list; default none.
    pub classes: BTreeMap<String, String>,
    /// Whether client, HELO and sender lists wait for RCPT (or ETRN); default yes.
    pub delay_reject: bool,
    /// Whether recipients are looked for in the recipient tables, where there are any; default yes.
    pub reject_unlisted_recipient: bool,
    /// Whether senders in our domains are looked for in the recipient tables; default no.
    pub reject_unlisted_sender: bool,
    /// Whether clients' names are looked up at all; default yes.
    pub peername_lookup: bool,
    /// Our name: `$server_name` in templates, and the domain of unqualified addresses; default `localhost`.
    pub hostname: String,
    /// Networks of trusted clients; default none.
    pub mynetworks: String,
    /// Own addresses, beside the one that a client has connected to and the loopback ones; default none.
    pub inet_interfaces: Vec<IpAddr>,
    /// Domains that mail is for.
    pub domains: Domains,
    /// Tables of known recipients.
    pub recipients: Recipients,
    /// Any of these characters ends the user name in front of an address extension; default none.
    pub recipient_delimiter: String,
    /// Parameters in whose lists and tables `example.com` also means what is below it; default `mynetworks,
    /// relay_domains, smtpd_access_maps`. Where a parameter is not named, `.example.com` says so.
    pub parent_domain_matches_subdomains: String,
    /// The key under which access tables are asked for the null sender; default `<>`.
    pub null_access_lookup_key: String,
    /// Reply template for DNS lists.
    pub default_rbl_reply: String,
    /// Tables with reply templates for single DNS lists; default none.
    pub rbl_reply_maps: String,
    /// Reply codes.
    pub codes: Codes,
    /// What DNS trouble in `reject_unknown_helo_hostname` leads to; default defer_if_permit.
    pub unknown_helo_hostname_tempfail_action: TempfailAction,
    /// What DNS trouble in `reject_unknown_sender_domain` and its sister leads to; default defer_if_permit.
    pub unknown_address_tempfail_action: TempfailAction,
    /// Whether a refusal says which table a recipient is missing from; default yes.
    pub show_user_unknown_table_name: bool,
    /// Probes of single addresses.
    pub verification: Verification,
    /// What `check_policy_service` starts from.
    pub policy_service: service::Options,
}

/// Domains by class, each a list of names and tables. None given: relay control is the backend's.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    /// Delivered on this site (`mydestination`); exact names.
    pub local: String,
    /// Forwarded to another site (`relay_domains`); names and, by default, what is below them.
    pub relay: String,
    /// Aliased as a whole (`virtual_alias_domains`); exact names.
    pub virtual_alias: String,
    /// Hosted (`virtual_mailbox_domains`); exact names.
    pub virtual_mailbox: String,
}

/// Tables of addresses that exist, each a list of tables. A class without a table is not checked.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    /// Users of local domains.
    pub local_recipient_maps: String,
    /// Addresses in relay domains.
    pub relay_recipient_maps: String,
    /// Addresses in virtual mailbox domains.
    pub virtual_mailbox_maps: String,
    /// Aliases: an address found here exists, whatever its domain.
    pub virtual_alias_maps: String,
    /// Rewritten addresses: likewise.
    pub canonical_maps: String,
    /// Rewritten recipients: likewise.
    pub recipient_canonical_maps: String,
    /// Rewritten senders: likewise, for senders.
    pub sender_canonical_maps: String,
}

/// What single verbs answer: Postfix's parameters of the same names, with their defaults.
#[derive(Clone, Debug)]
pub struct Codes {
    /// REJECT in an access table; 554.
    pub access_map_reject_code: RejectCode,
    /// DEFER and its sisters in an access table; 450.
    pub access_map_defer_code: RejectCode,
    /// `reject`; 554.
    pub reject_code: RejectCode,
    /// `defer`; 450.
    pub defer_code: RejectCode,
    /// `reject_invalid_helo_hostname`; 501.
    pub invalid_hostname_reject_code: RejectCode,
    /// `reject_rbl_client` and its sisters; 554.
    pub maps_rbl_reject_code: RejectCode,
    /// `reject_multi_recipient_bounce`; 550.
    pub multi_recipient_bounce_reject_code: RejectCode,
    /// `reject_non_fqdn_*`; 504.
    pub non_fqdn_reject_code: RejectCode,
    /// `reject_plaintext_session`; 450.
    pub plaintext_reject_code: RejectCode,
    /// `reject_unauth_destination`; 554. `defer_unauth_destination` takes 100 less.
    pub relay_domains_reject_code: RejectCode,
    /// `reject_unknown_sender_domain`, `reject_unknown_recipient_domain`; 450.
    pub unknown_address_reject_code: RejectCode,
    /// `reject_unknown_client_hostname`, `reject_unknown_reverse_client_hostname`; 450.
    pub unknown_client_reject_code: RejectCode,
    /// `reject_unknown_helo_hostname`; 450.
    pub unknown_hostname_reject_code: RejectCode,
    /// An unknown user of a local domain; 550.
    pub unknown_local_recipient_reject_code: RejectCode,
    /// An unknown address in a relay domain; 550.
    pub unknown_relay_recipient_reject_code: RejectCode,
    /// An unknown address in a virtual alias domain; 550.
    pub unknown_virtual_alias_reject_code: RejectCode,
    /// An unknown address in a virtual mailbox domain; 550.
    pub unknown_virtual_mailbox_reject_code: RejectCode,
}

/// How `reject_unverified_recipient` and `reject_unverified_sender` probe, and what they answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// In whose name the backend is asked; default nobody's, `<>`.
    pub sender: ReversePath,
    /// How long a client waits for a probe before it is told to come back; default 9 s.
    pub timeout: Duration,
    /// How long a deliverable address is believed; default 31 days.
    pub positive_expire_time: Duration,
    /// After how long it is probed anew; default 7 days.
    pub positive_refresh_time: Duration,
    /// How long an undeliverable address is believed; default 3 days.
    pub negative_expire_time: Duration,
    /// After how long it is probed anew; default 3 hours.
    pub negative_refresh_time: Duration,
    /// Whether undeliverable addresses are remembered at all; default yes.
    pub negative_cache: bool,
    /// Probes under way at most; who needs one more is told to come back. Default 20.
    pub pending_request_limit: usize,
    /// Addresses remembered at most; default 100,000.
    pub max_entries: u64,
    /// An undeliverable recipient; 450.
    pub unverified_recipient_reject_code: ProbeCode,
    /// A recipient of which nothing is known yet; 450.
    pub unverified_recipient_defer_code: ProbeCode,
    /// What the client is told instead of the backend's words; default empty: the backend's words.
    pub unverified_recipient_reject_reason: String,
    /// What a probe without result leads to; default defer_if_permit.
    pub unverified_recipient_tempfail_action: TempfailAction,
    /// An undeliverable sender; 450.
    pub unverified_sender_reject_code: ProbeCode,
    /// A sender of which nothing is known yet; 450.
    pub unverified_sender_defer_code: ProbeCode,
    /// What the client is told instead of the backend's words; default empty: the backend's words.
    pub unverified_sender_reject_reason: String,
    /// What a probe without result leads to; default defer_if_permit.
    pub unverified_sender_tempfail_action: TempfailAction,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client: String::new(),
            helo: "permit_mynetworks, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname".into(),
            sender: "permit_mynetworks, reject_non_fqdn_sender, reject_unknown_sender_domain".into(),
            relay: None,
            recipient: "reject_non_fqdn_recipient".into(),
            data: String::new(),
            etrn: String::new(),
            classes: BTreeMap::new(),
            delay_reject: true,
            reject_unlisted_recipient: true,
            reject_unlisted_sender: false,
            peername_lookup: true,
            hostname: "localhost".into(),
            mynetworks: String::new(),
            inet_interfaces: Vec::new(),
            domains: Domains::default(),
            recipients: Recipients::default(),
            recipient_delimiter: String::new(),
            parent_domain_matches_subdomains: "mynetworks, relay_domains, smtpd_access_maps".into(),
            null_access_lookup_key: "<>".into(),
            default_rbl_reply: "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using \
                                $rbl_domain${rbl_reason?; $rbl_reason}"
                .into(),
            rbl_reply_maps: String::new(),
            codes: Codes::default(),
            unknown_helo_hostname_tempfail_action: TempfailAction::DeferIfPermit,
            unknown_address_tempfail_action: TempfailAction::DeferIfPermit,
            show_user_unknown_table_name: true,
            verification: Verification::default(),
            policy_service: service::Options::default(),
        }
    }
}

impl Settings {
    /// The text of a list.
    pub(crate) fn list(&self, list: List) -> &str {
        match list {
            List::Client => &self.client,
            List::Helo => &self.helo,
            List::Sender => &self.sender,
            List::Relay => self.relay_list(),
            List::Recipient => &self.recipient,
            List::Data => &self.data,
            List::Etrn => &self.etrn,
        }
    }

    /// The relay list that holds: the one given, or the default that fits the domains.
    pub fn relay_list(&self) -> &str {
        match &self.relay {
            Some(list) => list,
            None if self.domains.any() => "permit_mynetworks, reject_unauth_destination",
            None => "",
        }
    }
}

impl Domains {
    /// Whether any domain or table of domains is given.
    pub fn any(&self) -> bool {
        [&self.local, &self.relay, &self.virtual_alias, &self.virtual_mailbox]
            .iter()
            .any(|list| !list.trim().is_empty())
    }
}

impl Recipients {
    /// Whether there is any table of recipients to look into.
    pub fn any(&self) -> bool {
        [
            &self.local_recipient_maps,
            &self.relay_recipient_maps,
            &self.virtual_mailbox_maps,
            &self.virtual_alias_maps,
        ]
        .iter()
        .any(|tables| !tables.trim().is_empty())
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self {
            access_map_reject_code: RejectCode::of(554),
            access_map_defer_code: RejectCode::of(450),
            reject_code: RejectCode::of(554),
            defer_code: RejectCode::of(450),
            invalid_hostname_reject_code: RejectCode::of(501),
            maps_rbl_reject_code: RejectCode::of(554),
            multi_recipient_bounce_reject_code: RejectCode::of(550),
            non_fqdn_reject_code: RejectCode::of(504),
            plaintext_reject_code: RejectCode::of(450),
            relay_domains_reject_code: RejectCode::of(554),
            unknown_address_reject_code: RejectCode::of(450),
            unknown_client_reject_code: RejectCode::of(450),
            unknown_hostname_reject_code: RejectCode::of(450),
            unknown_local_recipient_reject_code: RejectCode::of(550),
            unknown_relay_recipient_reject_code: RejectCode::of(550),
            unknown_virtual_alias_reject_code: RejectCode::of(550),
            unknown_virtual_mailbox_reject_code: RejectCode::of(550),
        }
    }
}

impl Default for Verification {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let defer = ProbeCode::Refuse(RejectCode::of(450));
        Self {
            sender: ReversePath::Null,
            timeout: Duration::from_secs(9),
            positive_expire_time: days(31),
            positive_refresh_time: days(7),
            negative_expire_time: days(3),
            negative_refresh_time: Duration::from_secs(3 * 3600),
            negative_cache: true,
            pending_request_limit: 20,
            max_entries: 100_000,
            unverified_recipient_reject_code: defer,
            unverified_recipient_defer_code: defer,
            unverified_recipient_reject_reason: String::new(),
            unverified_recipient_tempfail_action: TempfailAction::DeferIfPermit,
            unverified_sender_reject_code: defer,
            unverified_sender_defer_code: defer,
            unverified_sender_reject_reason: String::new(),
            unverified_sender_tempfail_action: TempfailAction::DeferIfPermit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_control_begins_with_the_first_domain() {
        let mut settings = Settings::default();
        assert_eq!(settings.relay_list(), "");
        settings.domains.relay = "example.org".into();
        assert_eq!(settings.relay_list(), "permit_mynetworks, reject_unauth_destination");
        settings.relay = Some(String::new());
        assert_eq!(settings.relay_list(), "");
    }
}
