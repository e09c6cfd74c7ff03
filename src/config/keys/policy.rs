//! Keys of the restriction lists and of what they refer to.

use std::time::Duration;

use super::{SECOND, Section, key, section};
use crate::config::grammar::{address, choice, line, number, time, word, yes_no};
use crate::config::slot::{entries, list, one, preset, whole};
use crate::policy::{Codes, Domains, Recipients, Settings, Verification, service};
use crate::time::Unit::{Days, Hours, Seconds};

const LIST: &str = "restrictions";
const CODE: &str = "code from 400 to 599";

#[rustfmt::skip]
pub(super) fn sections(policy: &mut Settings) -> [Section<'_>; 6] {
    let Domains { local, relay, virtual_alias, virtual_mailbox } = &mut policy.domains;
    [
        section("restrictions", "Postfix's restriction lists, judged at each RCPT: client, helo, sender, relay, recipient.", vec![
            key("client", whole(&mut policy.client, word(LIST)),
                "What the client's address and name lead to."),
            key("helo", whole(&mut policy.helo, word(LIST)),
                "What HELO or EHLO leads to."),
            key("sender", whole(&mut policy.sender, word(LIST)),
                "What MAIL leads to."),
            key("relay", preset(&mut policy.relay, word(LIST)),
                "Who may send where. Default: permit_mynetworks, reject_unauth_destination as soon as [domains] names \
                 any; else nothing, and relay control is the backend's."),
            key("recipient", whole(&mut policy.recipient, word(LIST)),
                "What RCPT leads to."),
            key("data", whole(&mut policy.data, word(LIST)),
                "Judged at DATA and BDAT."),
            key("etrn", whole(&mut policy.etrn, word(LIST)),
                "Judged at ETRN, behind client and helo."),
            key("classes", entries(&mut policy.classes, word(LIST)),
                "Names for lists, to be used in lists and tables: greylist = \"check_policy_service unix:/run/postgrey\""),
            key("delay_reject", one(&mut policy.delay_reject, yes_no()),
                "Whether client, helo and sender wait for RCPT; else each is judged at its own command."),
            key("reject_unlisted_recipient", one(&mut policy.reject_unlisted_recipient, yes_no()),
                "Whether recipients are looked for in [recipients], where that names tables."),
            key("reject_unlisted_sender", one(&mut policy.reject_unlisted_sender, yes_no()),
                "Whether senders in our domains are."),
            key("peername_lookup", one(&mut policy.peername_lookup, yes_no()),
                "Whether clients' names are looked up at all."),
            key("unknown_helo_hostname_tempfail_action",
                one(&mut policy.unknown_helo_hostname_tempfail_action, choice()),
                "What DNS trouble in reject_unknown_helo_hostname leads to."),
            key("unknown_address_tempfail_action", one(&mut policy.unknown_address_tempfail_action, choice()),
                "What DNS trouble in reject_unknown_sender_domain and its sister leads to."),
            key("parent_domain_matches_subdomains", whole(&mut policy.parent_domain_matches_subdomains, word("names")),
                "Where example.com also means what is below it. Elsewhere .example.com says so."),
            key("null_access_lookup_key", one(&mut policy.null_access_lookup_key, word("text")),
                "What access tables are asked for the null sender."),
        ]),
        section("domains", "Domains that mail is for, by class. None given: relay control is the backend's.", vec![
            key("local", whole(local, word("names, tables")),
                "Delivered on this site (Postfix: mydestination)."),
            key("relay", whole(relay, word("names, tables")),
                "Forwarded to another site, with what is below them."),
            key("virtual_alias", whole(virtual_alias, word("names, tables")),
                "Aliased as a whole."),
            key("virtual_mailbox", whole(virtual_mailbox, word("names, tables")),
                "Hosted."),
            key("recipient_delimiter", one(&mut policy.recipient_delimiter, word("characters")),
                "Any of these ends the user name in front of an address extension: \"+\""),
            key("inet_interfaces", list(&mut policy.inet_interfaces, address()),
                "Own addresses, beside the one that a client has connected to: user@[192.0.2.1] is local."),
        ]),
        recipients(&mut policy.recipients),
        replies(&mut policy.codes, &mut policy.default_rbl_reply, &mut policy.rbl_reply_maps,
            &mut policy.show_user_unknown_table_name),
        verification(&mut policy.verification),
        policy_service(&mut policy.policy_service),
    ]
}

#[rustfmt::skip]
fn recipients(known: &mut Recipients) -> Section<'_> {
    section("recipients", "Tables of addresses that exist. A class without a table is not checked; the backend knows.", vec![
        key("local_recipient_maps", whole(&mut known.local_recipient_maps, word("tables")),
            "Users of local domains."),
        key("relay_recipient_maps", whole(&mut known.relay_recipient_maps, word("tables")),
            "Addresses in relay domains."),
        key("virtual_mailbox_maps", whole(&mut known.virtual_mailbox_maps, word("tables")),
            "Addresses in virtual mailbox domains."),
        key("virtual_alias_maps", whole(&mut known.virtual_alias_maps, word("tables")),
            "Aliases: an address found here exists, whatever its domain."),
        key("canonical_maps", whole(&mut known.canonical_maps, word("tables")),
            "Rewritten addresses: likewise."),
        key("recipient_canonical_maps", whole(&mut known.recipient_canonical_maps, word("tables")),
            "Rewritten recipients: likewise."),
        key("sender_canonical_maps", whole(&mut known.sender_canonical_maps, word("tables")),
            "Rewritten senders: likewise, for senders."),
    ])
}

#[rustfmt::skip]
fn replies<'a>(
    codes: &'a mut Codes,
    default_rbl_reply: &'a mut String,
    rbl_reply_maps: &'a mut String,
    show_user_unknown_table_name: &'a mut bool,
) -> Section<'a> {
    section("replies", "Codes and texts of refusals.", vec![
        key("access_map_reject_code", one(&mut codes.access_map_reject_code, word(CODE).bare()),
            "REJECT in an access table."),
        key("access_map_defer_code", one(&mut codes.access_map_defer_code, word(CODE).bare()),
            "DEFER in an access table."),
        key("reject_code", one(&mut codes.reject_code, word(CODE).bare()),
            "reject"),
        key("defer_code", one(&mut codes.defer_code, word(CODE).bare()),
            "defer"),
        key("invalid_hostname_reject_code", one(&mut codes.invalid_hostname_reject_code, word(CODE).bare()),
            "reject_invalid_helo_hostname"),
        key("maps_rbl_reject_code", one(&mut codes.maps_rbl_reject_code, word(CODE).bare()),
            "reject_rbl_client and its sisters"),
        key("multi_recipient_bounce_reject_code",
            one(&mut codes.multi_recipient_bounce_reject_code, word(CODE).bare()),
            "reject_multi_recipient_bounce"),
        key("non_fqdn_reject_code", one(&mut codes.non_fqdn_reject_code, word(CODE).bare()),
            "reject_non_fqdn_helo_hostname, _sender, _recipient"),
        key("plaintext_reject_code", one(&mut codes.plaintext_reject_code, word(CODE).bare()),
            "reject_plaintext_session"),
        key("relay_domains_reject_code", one(&mut codes.relay_domains_reject_code, word(CODE).bare()),
            "reject_unauth_destination; defer_unauth_destination takes 100 less"),
        key("unknown_address_reject_code", one(&mut codes.unknown_address_reject_code, word(CODE).bare()),
            "reject_unknown_sender_domain, reject_unknown_recipient_domain"),
        key("unknown_client_reject_code", one(&mut codes.unknown_client_reject_code, word(CODE).bare()),
            "reject_unknown_client_hostname, reject_unknown_reverse_client_hostname"),
        key("unknown_hostname_reject_code", one(&mut codes.unknown_hostname_reject_code, word(CODE).bare()),
            "reject_unknown_helo_hostname"),
        key("unknown_local_recipient_reject_code",
            one(&mut codes.unknown_local_recipient_reject_code, word(CODE).bare()),
            "An unknown user of a local domain."),
        key("unknown_relay_recipient_reject_code",
            one(&mut codes.unknown_relay_recipient_reject_code, word(CODE).bare()),
            "An unknown address in a relay domain."),
        key("unknown_virtual_alias_reject_code",
            one(&mut codes.unknown_virtual_alias_reject_code, word(CODE).bare()),
            "An unknown address in a virtual alias domain."),
        key("unknown_virtual_mailbox_reject_code",
            one(&mut codes.unknown_virtual_mailbox_reject_code, word(CODE).bare()),
            "An unknown address in a virtual mailbox domain."),
        key("default_rbl_reply", one(default_rbl_reply, line()),
            "What clients on a DNS list are told."),
        key("rbl_reply_maps", whole(rbl_reply_maps, word("tables")),
            "The same for single lists."),
        key("show_user_unknown_table_name", one(show_user_unknown_table_name, yes_no()),
            "Whether a refusal says which table a recipient is missing from."),
    ])
}

#[rustfmt::skip]
fn verification(probes: &mut Verification) -> Section<'_> {
    let code = || word("code from 400 to 599, or 250").bare();
    let doc = "How reject_unverified_recipient and reject_unverified_sender probe, and what they answer.";
    section("verification", doc, vec![
        key("sender", one(&mut probes.sender, word("mail address, or <>")),
            "In whose name the backend is asked."),
        key("timeout", one(&mut probes.timeout, time(Seconds, SECOND)),
            "How long a client waits for a probe before it is told to come back."),
        key("positive_expire_time", one(&mut probes.positive_expire_time, time(Days, SECOND)),
            "How long a deliverable address is believed."),
        key("positive_refresh_time", one(&mut probes.positive_refresh_time, time(Days, SECOND)),
            "After how long it is probed anew."),
        key("negative_expire_time", one(&mut probes.negative_expire_time, time(Days, SECOND)),
            "How long an undeliverable address is believed."),
        key("negative_refresh_time", one(&mut probes.negative_refresh_time, time(Hours, SECOND)),
            "After how long it is probed anew."),
        key("negative_cache", one(&mut probes.negative_cache, yes_no()),
            "Whether undeliverable addresses are remembered at all."),
        key("pending_request_limit", one(&mut probes.pending_request_limit, number(1..=10_000)),
            "Probes under way at most; who needs one more is told to come back."),
        key("max_entries", one(&mut probes.max_entries, number(1..=u64::MAX)),
            "Addresses remembered at most."),
        key("unverified_recipient_reject_code", one(&mut probes.unverified_recipient_reject_code, code()),
            "An undeliverable recipient."),
        key("unverified_recipient_defer_code", one(&mut probes.unverified_recipient_defer_code, code()),
            "A recipient of which nothing is known yet."),
        key("unverified_recipient_reject_reason", one(&mut probes.unverified_recipient_reject_reason, line()),
            "What the client is told. Empty: the backend's words."),
        key("unverified_recipient_tempfail_action",
            one(&mut probes.unverified_recipient_tempfail_action, choice()),
            "What a probe without result leads to."),
        key("unverified_sender_reject_code", one(&mut probes.unverified_sender_reject_code, code()),
            "An undeliverable sender."),
        key("unverified_sender_defer_code", one(&mut probes.unverified_sender_defer_code, code()),
            "A sender of which nothing is known yet."),
        key("unverified_sender_reject_reason", one(&mut probes.unverified_sender_reject_reason, line()),
            "What the client is told. Empty: the backend's words."),
        key("unverified_sender_tempfail_action",
            one(&mut probes.unverified_sender_tempfail_action, choice()),
            "What a probe without result leads to."),
    ])
}

#[rustfmt::skip]
fn policy_service(options: &mut service::Options) -> Section<'_> {
    section("policy_service", "How check_policy_service asks; a list can override each for one server.", vec![
        key("timeout", one(&mut options.timeout, time(Seconds, SECOND)),
            "How long one attempt may take."),
        key("max_idle", one(&mut options.max_idle, time(Seconds, SECOND)),
            "After how long without a request a connection is not used again."),
        key("max_ttl", one(&mut options.max_ttl, time(Seconds, SECOND)),
            "After how long a connection is not used again."),
        key("request_limit", one(&mut options.request_limit, number(0..=u32::MAX)),
            "After how many requests a connection is not used again; 0 is no limit."),
        key("try_limit", one(&mut options.try_limit, number(1..=u32::MAX)),
            "How often a request is tried in all."),
        key("retry_delay", one(&mut options.retry_delay, time(Seconds, Duration::ZERO)),
            "How long to wait between tries."),
        key("default_action", one(&mut options.default_action, word("access(5) action")),
            "What is done when the server does not answer."),
        key("policy_context", one(&mut options.policy_context, word("text")),
            "Told to the server as it stands."),
    ])
}
