//! The one table of verbs. Parsing, help and documentation are derived from it.

use std::sync::Arc;

use super::Needs::{Backend, Dns, Domains, Recipients};
use super::Reads::{Etrn, Helo, Recipient, Sender};
use super::{Makes, Verb};
use crate::policy::dnsbl::DnsList;
use crate::policy::reply::Subject;
use crate::policy::restriction::Party;
use crate::policy::restriction::Restriction::{self as R, CheckAccess, CheckServers, RejectListedName};
use crate::policy::restriction::Servers::{Mx, Ns, Own};
use crate::table::{Live, Table};

/// Every verb, by what it is about.
#[rustfmt::skip]
pub static VERBS: &[Verb] = &[
    // Whatever the list is about.
    plain("permit", || R::Permit, "permits; ends this list"),
    plain("reject", || R::Reject, "refuses for good (reject_code)"),
    plain("defer", || R::Defer, "refuses for now (defer_code)"),
    plain("warn_if_reject", || R::WarnIfReject, "what the next restriction would refuse is logged and let pass"),
    plain("defer_if_permit", || R::DeferIfPermit, "what would be permitted is refused for now"),
    plain("defer_if_reject", || R::DeferIfReject, "what would be refused for good is refused for now"),
    Verb::new("sleep", Makes::OfSeconds(R::Sleep), "waits"),
    Verb::new("check_policy_service", Makes::OfService(R::CheckPolicyService), "does what a policy server says"),
    plain("reject_unauth_pipelining", || R::RejectUnauthPipelining,
        "refuses a client that sent commands ahead of its turn"),
    plain("reject_plaintext_session", || R::RejectPlaintextSession,
        "refuses a session without TLS (plaintext_reject_code)"),
    plain("reject_multi_recipient_bounce", || R::RejectMultiRecipientBounce,
        "refuses the null sender more than one recipient").reading(Sender),

    // The client.
    plain("permit_mynetworks", || R::PermitMynetworks, "permits clients in mynetworks"),
    plain("permit_inet_interfaces", || R::PermitInetInterfaces, "permits clients with an address of ours"),
    plain("permit_sasl_authenticated", || R::PermitLoggedIn,
        "permits nobody here: a client logs in at the backend, after the lists have judged it"),
    plain("permit_tls_clientcerts", || R::PermitLoggedIn,
        "permits nobody here: client certificates are the backend's to ask for"),
    plain("permit_tls_all_clientcerts", || R::PermitLoggedIn,
        "permits nobody here: client certificates are the backend's to ask for"),
    plain("reject_unknown_client_hostname", || R::RejectUnknownClientHostname,
        "refuses a client whose address has no name that leads back to it (unknown_client_reject_code)")
        .needing(Dns).once("reject_unknown_client"),
    plain("reject_unknown_reverse_client_hostname", || R::RejectUnknownReverseClientHostname,
        "refuses a client whose address has no name (unknown_client_reject_code)").needing(Dns),
    dns_list("reject_rbl_client", R::RejectListedAddress,
        "refuses a client whose address is on a DNS list (maps_rbl_reject_code)").once("reject_rbl"),
    dns_list("permit_dnswl_client", R::PermitListedAddress,
        "permits a client whose address is on a DNS list, for recipients that are ours"),
    dns_list("reject_rhsbl_client", |list| RejectListedName(Subject::Client, list),
        "refuses a client whose confirmed name is on a DNS list"),
    dns_list("permit_rhswl_client", R::PermitListedName,
        "permits a client whose confirmed name is on a DNS list, for recipients that are ours"),
    dns_list("reject_rhsbl_reverse_client", |list| RejectListedName(Subject::ReverseClient, list),
        "refuses a client whose claimed name is on a DNS list"),
    access("check_client_access", |table| CheckAccess(Subject::Client, table),
        "does what a table says of the client's name, its address, or what is above them"),
    servers("check_client_a_access", |table| CheckServers(Subject::Client, Own, table),
        "does what a table says of the addresses of the client's name"),
    servers("check_client_mx_access", |table| CheckServers(Subject::Client, Mx, table),
        "does what a table says of the mail exchangers of the client's name"),
    servers("check_client_ns_access", |table| CheckServers(Subject::Client, Ns, table),
        "does what a table says of the name servers of the client's name"),
    servers("check_reverse_client_hostname_access", |table| CheckAccess(Subject::ReverseClient, table),
        "does what a table says of the client's claimed name; OK is not for it to say"),
    servers("check_reverse_client_hostname_a_access", |table| CheckServers(Subject::ReverseClient, Own, table),
        "does what a table says of the addresses of the client's claimed name"),
    servers("check_reverse_client_hostname_mx_access", |table| CheckServers(Subject::ReverseClient, Mx, table),
        "does what a table says of the mail exchangers of the client's claimed name"),
    servers("check_reverse_client_hostname_ns_access", |table| CheckServers(Subject::ReverseClient, Ns, table),
        "does what a table says of the name servers of the client's claimed name"),

    // HELO.
    plain("reject_invalid_helo_hostname", || R::RejectInvalidHelo,
        "refuses a HELO that is no host name (invalid_hostname_reject_code)")
        .reading(Helo).once("reject_invalid_hostname"),
    plain("reject_non_fqdn_helo_hostname", || R::RejectNonFqdnHelo,
        "refuses a HELO that is not fully qualified (non_fqdn_reject_code)")
        .reading(Helo).once("reject_non_fqdn_hostname"),
    plain("reject_unknown_helo_hostname", || R::RejectUnknownHelo,
        "refuses a HELO without address or MX record (unknown_hostname_reject_code)")
        .reading(Helo).needing(Dns).once("reject_unknown_hostname"),
    dns_list("reject_rhsbl_helo", |list| RejectListedName(Subject::Helo, list),
        "refuses a HELO that is on a DNS list").reading(Helo),
    access("check_helo_access", |table| CheckAccess(Subject::Helo, table),
        "does what a table says of the HELO name, or what is above it").reading(Helo),
    servers("check_helo_a_access", |table| CheckServers(Subject::Helo, Own, table),
        "does what a table says of the addresses of the HELO name").reading(Helo),
    servers("check_helo_mx_access", |table| CheckServers(Subject::Helo, Mx, table),
        "does what a table says of the mail exchangers of the HELO name").reading(Helo),
    servers("check_helo_ns_access", |table| CheckServers(Subject::Helo, Ns, table),
        "does what a table says of the name servers of the HELO name").reading(Helo),

    // The sender.
    plain("reject_non_fqdn_sender", || R::RejectNonFqdn(Party::Sender),
        "refuses a sender that is not fully qualified (non_fqdn_reject_code)").reading(Sender),
    plain("reject_unknown_sender_domain", || R::RejectUnknownDomain(Party::Sender),
        "refuses a sender whose domain takes no mail (unknown_address_reject_code)")
        .reading(Sender).needing(Dns).once("reject_unknown_address"),
    plain("reject_unlisted_sender", || R::RejectUnlisted(Party::Sender),
        "refuses a sender in our domains that does not exist").reading(Sender).needing(Recipients),
    plain("reject_unverified_sender", || R::RejectUnverified(Party::Sender),
        "refuses a sender in our domains whom the backend would refuse").reading(Sender).needing(Domains),
    dns_list("reject_rhsbl_sender", |list| RejectListedName(Subject::Sender, list),
        "refuses a sender whose domain is on a DNS list").reading(Sender),
    access("check_sender_access", |table| CheckAccess(Subject::Sender, table),
        "does what a table says of the sender, its domain, or its user name").reading(Sender),
    servers("check_sender_a_access", |table| CheckServers(Subject::Sender, Own, table),
        "does what a table says of the addresses of the sender's domain").reading(Sender),
    servers("check_sender_mx_access", |table| CheckServers(Subject::Sender, Mx, table),
        "does what a table says of the mail exchangers of the sender's domain").reading(Sender),
    servers("check_sender_ns_access", |table| CheckServers(Subject::Sender, Ns, table),
        "does what a table says of the name servers of the sender's domain").reading(Sender),

    // The recipient.
    plain("permit_auth_destination", || R::PermitAuthDestination,
        "permits recipients in our domains").reading(Recipient).needing(Domains),
    plain("reject_unauth_destination", || R::RejectUnauthDestination,
        "refuses recipients outside our domains (relay_domains_reject_code)").reading(Recipient).needing(Domains),
    plain("defer_unauth_destination", || R::DeferUnauthDestination,
        "refuses recipients outside our domains, for now").reading(Recipient).needing(Domains),
    plain("reject_non_fqdn_recipient", || R::RejectNonFqdn(Party::Recipient),
        "refuses a recipient that is not fully qualified (non_fqdn_reject_code)").reading(Recipient),
    plain("reject_unknown_recipient_domain", || R::RejectUnknownDomain(Party::Recipient),
        "refuses a recipient whose domain takes no mail (unknown_address_reject_code)")
        .reading(Recipient).needing(Dns),
    plain("reject_unlisted_recipient", || R::RejectUnlisted(Party::Recipient),
        "refuses a recipient in our domains that does not exist")
        .reading(Recipient).needing(Recipients).once("check_recipient_maps"),
    plain("reject_unverified_recipient", || R::RejectUnverified(Party::Recipient),
        "refuses a recipient whom the backend would refuse").reading(Recipient).needing(Backend),
    dns_list("reject_rhsbl_recipient", |list| RejectListedName(Subject::Recipient, list),
        "refuses a recipient whose domain is on a DNS list").reading(Recipient),
    access("check_recipient_access", |table| CheckAccess(Subject::Recipient, table),
        "does what a table says of the recipient, its domain, or its user name").reading(Recipient),
    servers("check_recipient_a_access", |table| CheckServers(Subject::Recipient, Own, table),
        "does what a table says of the addresses of the recipient's domain").reading(Recipient),
    servers("check_recipient_mx_access", |table| CheckServers(Subject::Recipient, Mx, table),
        "does what a table says of the mail exchangers of the recipient's domain").reading(Recipient),
    servers("check_recipient_ns_access", |table| CheckServers(Subject::Recipient, Ns, table),
        "does what a table says of the name servers of the recipient's domain").reading(Recipient),

    // ETRN.
    access("check_etrn_access", |table| CheckAccess(Subject::Etrn, table),
        "does what a table says of the ETRN domain, or what is above it").reading(Etrn),

    // What Postfix had, or what only the backend can do.
    refused("reject_maps_rbl",
        "it is gone since Postfix 3.9: write `reject_rbl_client` with each domain of maps_rbl_domains"),
    refused("check_relay_domains", "it is gone since Postfix 3.9: write `reject_unauth_destination`"),
    refused("permit_naked_ip_address", "it is gone since Postfix 3.9: write `permit_mynetworks`"),
    refused("permit_mx_backup", "it lets anybody's MX record decide what is relayed: list the domains in domains.relay"),
    refused("check_ccert_access", "client certificates are the backend's to ask for: leave it in the backend's lists"),
    refused("check_sasl_access", AT_THE_BACKEND),
    refused("reject_sender_login_mismatch", AT_THE_BACKEND),
    refused("reject_authenticated_sender_login_mismatch", AT_THE_BACKEND),
    refused("reject_unauthenticated_sender_login_mismatch", AT_THE_BACKEND),
    refused("reject_known_sender_login_mismatch", AT_THE_BACKEND),
];

const AT_THE_BACKEND: &str = "clients log in at the backend: leave it in the backend's lists";

const fn plain(name: &'static str, makes: fn() -> R, help: &'static str) -> Verb {
    Verb::new(name, Makes::Plain(makes), help)
}

const fn access(name: &'static str, makes: fn(Arc<Live<Table>>) -> R, help: &'static str) -> Verb {
    Verb::new(name, Makes::OfTable(makes), help)
}

/// An access table that is asked for what DNS says.
const fn servers(name: &'static str, makes: fn(Arc<Live<Table>>) -> R, help: &'static str) -> Verb {
    access(name, makes, help).needing(Dns)
}

const fn dns_list(name: &'static str, makes: fn(DnsList) -> R, help: &'static str) -> Verb {
    Verb::new(name, Makes::OfDnsList(makes), help).needing(Dns)
}

const fn refused(name: &'static str, advice: &'static str) -> Verb {
    Verb::new(name, Makes::Nothing(advice), "")
}
