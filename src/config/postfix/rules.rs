//! Postfix's names and ours: parameters whose value moves over, with nothing to decide.

use crate::time::Unit;

/// A parameter and the key that takes its value.
pub(super) struct Rule {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    pub(super) how: How,
}

/// How a value is written here.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// As it is.
    Text,
    /// A number.
    Number,
    /// A time; a bare number counts this unit.
    Time(Unit),
    /// A time that Postfix shortens under stress, and the key for that.
    StressTime(Unit, &'static str),
    /// `yes` or `no`.
    YesNo,
    /// `ignore`, `enforce`, `drop`.
    Action,
    /// Words.
    Words,
    /// Tables.
    Tables,
    /// Words and tables.
    Items,
}

use How::{Action, Items, Number, StressTime, Tables, Text, Time, Words, YesNo};
use Unit::{Days, Hours, Seconds};

/// Where two parameters lead to one key, the first that is set wins.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // Before the greeting.
    rule("postscreen_denylist_action", "screen.denylist_action", Action),
    rule("postscreen_blacklist_action", "screen.denylist_action", Action),
    rule("postscreen_greet_wait", "screen.greet_wait", StressTime(Seconds, "screen.stress_greet_wait")),
    rule("postscreen_greet_banner", "screen.greet_banner", Text),
    rule("postscreen_greet_action", "screen.greet_action", Action),
    rule("postscreen_greet_ttl", "screen.greet_ttl", Time(Days)),
    rule("postscreen_pipelining_action", "screen.pipelining_action", Action),
    rule("postscreen_pipelining_ttl", "screen.pipelining_ttl", Time(Days)),
    rule("postscreen_non_smtp_command_action", "screen.non_smtp_command_action", Action),
    rule("postscreen_non_smtp_command_ttl", "screen.non_smtp_command_ttl", Time(Days)),
    rule("postscreen_bare_newline_action", "screen.bare_newline_action", Action),
    rule("postscreen_bare_newline_ttl", "screen.bare_newline_ttl", Time(Days)),
    rule("postscreen_dnsbl_threshold", "dnsbl.threshold", Number),
    rule("postscreen_dnsbl_allowlist_threshold", "dnsbl.allowlist_threshold", Number),
    rule("postscreen_dnsbl_whitelist_threshold", "dnsbl.allowlist_threshold", Number),
    rule("postscreen_dnsbl_action", "dnsbl.action", Action),
    rule("postscreen_dnsbl_reply_map", "dnsbl.reply_map", Tables),
    rule("postscreen_dnsbl_min_ttl", "dnsbl.min_ttl", Time(Seconds)),
    rule("postscreen_dnsbl_max_ttl", "dnsbl.max_ttl", Time(Hours)),
    rule("postscreen_dnsbl_ttl", "dnsbl.max_ttl", Time(Hours)),
    rule("postscreen_cache_retention_time", "allowlist.retention_time", Time(Days)),

    // The dialogue. Where smtpd and postscreen have one each, smtpd's is the one that good clients met.
    rule("smtpd_banner", "smtp.banner", Text),
    rule("smtpd_helo_required", "smtp.helo_required", YesNo),
    rule("postscreen_helo_required", "smtp.helo_required", YesNo),
    rule("disable_vrfy_command", "smtp.disable_vrfy_command", YesNo),
    rule("postscreen_disable_vrfy_command", "smtp.disable_vrfy_command", YesNo),
    rule("strict_rfc821_envelopes", "smtp.strict_rfc821_envelopes", YesNo),
    rule("smtpd_forbidden_commands", "smtp.forbidden_commands", Items),
    rule("postscreen_forbidden_commands", "smtp.forbidden_commands", Items),
    rule("smtpd_discard_ehlo_keywords", "smtp.discard_ehlo_keywords", Words),
    rule("postscreen_discard_ehlo_keywords", "smtp.discard_ehlo_keywords", Words),
    rule("smtpd_discard_ehlo_keyword_address_maps", "smtp.discard_ehlo_keyword_address_maps", Tables),
    rule("postscreen_discard_ehlo_keyword_address_maps", "smtp.discard_ehlo_keyword_address_maps", Tables),
    rule("smtpd_reject_footer", "smtp.reject_footer", Text),
    rule("postscreen_reject_footer", "smtp.reject_footer", Text),
    rule("smtpd_reject_footer_maps", "smtp.reject_footer_maps", Tables),
    rule("postscreen_reject_footer_maps", "smtp.reject_footer_maps", Tables),
    rule("soft_bounce", "smtp.soft_bounce", YesNo),
    rule("smtpd_hard_error_limit", "errors.hard_error_limit", Number),
    rule("smtpd_soft_error_limit", "errors.soft_error_limit", Number),
    rule("smtpd_error_sleep_time", "errors.error_sleep_time", Time(Seconds)),
    rule("smtpd_junk_command_limit", "errors.junk_command_limit", Number),

    // Limits.
    rule("postscreen_pre_queue_limit", "limits.pre_queue_limit", Number),
    rule("postscreen_command_count_limit", "limits.command_count_limit", Number),
    rule("postscreen_command_time_limit", "limits.command_time_limit", StressTime(Seconds, "limits.stress_command_time_limit")),
    rule("smtpd_timeout", "limits.command_time_limit", StressTime(Seconds, "limits.stress_command_time_limit")),
    rule("line_length_limit", "limits.line_length_limit", Number),
    rule("message_size_limit", "limits.message_size_limit", Number),
    rule("smtpd_recipient_limit", "limits.recipient_limit", Number),
    rule("smtpd_recipient_overshoot_limit", "limits.recipient_overshoot_limit", Number),
    rule("smtpd_client_connection_count_limit", "limits.client_connection_count_limit", Number),
    rule("postscreen_client_connection_count_limit", "limits.client_connection_count_limit", Number),
    rule("smtpd_client_connection_rate_limit", "limits.client_connection_rate_limit", Number),
    rule("smtpd_client_message_rate_limit", "limits.client_message_rate_limit", Number),
    rule("smtpd_client_recipient_rate_limit", "limits.client_recipient_rate_limit", Number),
    rule("anvil_rate_time_unit", "limits.rate_time_unit", Time(Seconds)),
    rule("anvil_status_update_time", "limits.status_update_time", Time(Seconds)),
    rule("smtpd_client_ipv4_prefix_length", "limits.client_ipv4_prefix_length", Number),
    rule("smtpd_client_ipv6_prefix_length", "limits.client_ipv6_prefix_length", Number),

    // What lists refer to, and what they answer.
    rule("smtpd_delay_reject", "restrictions.delay_reject", YesNo),
    rule("smtpd_reject_unlisted_recipient", "restrictions.reject_unlisted_recipient", YesNo),
    rule("smtpd_reject_unlisted_sender", "restrictions.reject_unlisted_sender", YesNo),
    rule("smtpd_peername_lookup", "restrictions.peername_lookup", YesNo),
    rule("parent_domain_matches_subdomains", "restrictions.parent_domain_matches_subdomains", Text),
    rule("smtpd_null_access_lookup_key", "restrictions.null_access_lookup_key", Text),
    rule("unknown_helo_hostname_tempfail_action", "restrictions.unknown_helo_hostname_tempfail_action", Text),
    rule("unknown_address_tempfail_action", "restrictions.unknown_address_tempfail_action", Text),
    rule("recipient_delimiter", "domains.recipient_delimiter", Text),
    rule("default_rbl_reply", "replies.default_rbl_reply", Text),
    rule("rbl_reply_maps", "replies.rbl_reply_maps", Tables),
    rule("show_user_unknown_table_name", "replies.show_user_unknown_table_name", YesNo),
    rule("access_map_reject_code", "replies.access_map_reject_code", Number),
    rule("access_map_defer_code", "replies.access_map_defer_code", Number),
    rule("reject_code", "replies.reject_code", Number),
    rule("defer_code", "replies.defer_code", Number),
    rule("invalid_hostname_reject_code", "replies.invalid_hostname_reject_code", Number),
    rule("maps_rbl_reject_code", "replies.maps_rbl_reject_code", Number),
    rule("multi_recipient_bounce_reject_code", "replies.multi_recipient_bounce_reject_code", Number),
    rule("non_fqdn_reject_code", "replies.non_fqdn_reject_code", Number),
    rule("plaintext_reject_code", "replies.plaintext_reject_code", Number),
    rule("relay_domains_reject_code", "replies.relay_domains_reject_code", Number),
    rule("unknown_address_reject_code", "replies.unknown_address_reject_code", Number),
    rule("unknown_client_reject_code", "replies.unknown_client_reject_code", Number),
    rule("unknown_hostname_reject_code", "replies.unknown_hostname_reject_code", Number),
    rule("unknown_local_recipient_reject_code", "replies.unknown_local_recipient_reject_code", Number),
    rule("unknown_relay_recipient_reject_code", "replies.unknown_relay_recipient_reject_code", Number),
    rule("unknown_virtual_alias_reject_code", "replies.unknown_virtual_alias_reject_code", Number),
    rule("unknown_virtual_mailbox_reject_code", "replies.unknown_virtual_mailbox_reject_code", Number),
    rule("unverified_recipient_reject_code", "verification.unverified_recipient_reject_code", Number),
    rule("unverified_recipient_defer_code", "verification.unverified_recipient_defer_code", Number),
    rule("unverified_recipient_reject_reason", "verification.unverified_recipient_reject_reason", Text),
    rule("unverified_recipient_tempfail_action", "verification.unverified_recipient_tempfail_action", Text),
    rule("unverified_sender_reject_code", "verification.unverified_sender_reject_code", Number),
    rule("unverified_sender_defer_code", "verification.unverified_sender_defer_code", Number),
    rule("unverified_sender_reject_reason", "verification.unverified_sender_reject_reason", Text),
    rule("unverified_sender_tempfail_action", "verification.unverified_sender_tempfail_action", Text),
    rule("address_verify_positive_expire_time", "verification.positive_expire_time", Time(Days)),
    rule("address_verify_positive_refresh_time", "verification.positive_refresh_time", Time(Days)),
    rule("address_verify_negative_expire_time", "verification.negative_expire_time", Time(Days)),
    rule("address_verify_negative_refresh_time", "verification.negative_refresh_time", Time(Hours)),
    rule("address_verify_sender", "verification.sender", Text),
    rule("address_verify_negative_cache", "verification.negative_cache", YesNo),
    rule("address_verify_pending_request_limit", "verification.pending_request_limit", Number),
    rule("smtpd_policy_service_timeout", "policy_service.timeout", Time(Seconds)),
    rule("smtpd_policy_service_max_idle", "policy_service.max_idle", Time(Seconds)),
    rule("smtpd_policy_service_max_ttl", "policy_service.max_ttl", Time(Seconds)),
    rule("smtpd_policy_service_request_limit", "policy_service.request_limit", Number),
    rule("smtpd_policy_service_try_limit", "policy_service.try_limit", Number),
    rule("smtpd_policy_service_retry_delay", "policy_service.retry_delay", Time(Seconds)),
    rule("smtpd_policy_service_default_action", "policy_service.default_action", Text),
    rule("smtpd_policy_service_policy_context", "policy_service.policy_context", Text),
];

const fn rule(old: &'static str, new: &'static str, how: How) -> Rule {
    Rule { old, new, how }
}

impl Rule {
    /// Whether the name is more than the old one without its prefix.
    pub(super) fn renames(&self) -> bool {
        let old = ["postscreen_dnsbl_", "postscreen_", "smtpd_policy_service_", "smtpd_", "address_verify_"]
            .iter()
            .find_map(|prefix| self.old.strip_prefix(prefix))
            .unwrap_or(self.old);
        self.new.rsplit('.').next() != Some(old)
    }
}

/// Parameters that take more than copying.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("myhostname", "hostname"),
    ("mynetworks", "mynetworks"),
    ("inet_interfaces", "listen"),
    ("mydestination", "domains.local"),
    ("relay_domains", "domains.relay"),
    ("virtual_alias_domains", "domains.virtual_alias"),
    ("virtual_mailbox_domains", "domains.virtual_mailbox"),
    ("default_process_limit", "limits.post_queue_limit"),
    ("postscreen_post_queue_limit", "limits.post_queue_limit"),
    ("postscreen_access_list", "screen.access_list"),
    ("postscreen_dnsbl_sites", "dnsbl.sites"),
    ("postscreen_pipelining_enable", "screen.pipelining_enable"),
    ("postscreen_non_smtp_command_enable", "screen.non_smtp_command_enable"),
    ("postscreen_bare_newline_enable", "screen.bare_newline_enable"),
    ("smtpd_client_event_limit_exceptions", "limits.client_event_limit_exceptions"),
    ("smtpd_client_restrictions", "restrictions.client"),
    ("smtpd_helo_restrictions", "restrictions.helo"),
    ("smtpd_sender_restrictions", "restrictions.sender"),
    ("smtpd_relay_restrictions", "restrictions.relay"),
    ("smtpd_recipient_restrictions", "restrictions.recipient"),
    ("smtpd_data_restrictions", "restrictions.data"),
    ("smtpd_etrn_restrictions", "restrictions.etrn"),
    ("smtpd_restriction_classes", "restrictions.classes"),
    ("smtpd_upstream_proxy_protocol", "listen.proxy_protocol"),
    ("postscreen_upstream_proxy_protocol", "listen.proxy_protocol"),
    ("smtpd_tls_security_level", "tls.starttls"),
    ("smtpd_tls_chain_files", "tls.certificates"),
    ("smtpd_tls_cert_file", "tls.certificates"),
];

/// Parameters of the server side that have no counterpart here, and why none is missed.
#[rustfmt::skip]
pub(super) const WITHOUT_COUNTERPART: &[(&str, &str)] = &[
    ("address_verify_cache_cleanup_interval", "what was learnt of addresses is kept in memory"),
    ("address_verify_default_transport", "probes go to the backend"),
    ("address_verify_local_transport", "probes go to the backend"),
    ("address_verify_map", "what was learnt of addresses is kept in memory"),
    ("address_verify_poll_", "a client waits for a probe at most for verification.timeout, 9 seconds as Postfix's polls"),
    ("address_verify_relay_transport", "probes go to the backend"),
    ("address_verify_relayhost", "probes go to the backend"),
    ("address_verify_sender_dependent_", "probes go to the backend"),
    ("address_verify_sender_ttl", "verification.sender stays the same"),
    ("address_verify_service_name", "prescreen probes by itself"),
    ("address_verify_transport_maps", "probes go to the backend"),
    ("address_verify_virtual_transport", "probes go to the backend"),
    ("body_checks", "looks into messages, which prescreen only passes on; Postfix goes on doing it"),
    ("content_filter", "filters messages in the queue; Postfix goes on doing it"),
    ("dnsblog_", "prescreen asks DNS lists itself, without processes for it"),
    ("header_checks", "looks into messages, which prescreen only passes on; Postfix goes on doing it"),
    ("milter_", "milters go on working behind prescreen, and see the real client"),
    ("mime_header_checks", "looks into messages, which prescreen only passes on; Postfix goes on doing it"),
    ("notify_classes", "mails transcripts to the postmaster; prescreen has a log line and metrics for each connection"),
    ("permit_mx_backup_networks", "permit_mx_backup lets anybody's MX record decide what is relayed"),
    ("postscreen_allowlist_interfaces", "prescreen takes a pass on every address that it listens on; on a backup MX, list nothing"),
    ("postscreen_bare_newline_enable", ""),
    ("postscreen_cache_cleanup_interval", "prescreen tidies its allowlist continuously"),
    ("postscreen_cache_map", "prescreen's allowlist is a file of its own: allowlist.path"),
    ("postscreen_command_filter", "rewrites commands before they are read; nothing here does that"),
    ("postscreen_dnsbl_timeout", "dns.timeout holds for all lookups; a client never waits longer than screen.greet_wait"),
    ("postscreen_expansion_filter", "what is not printable ASCII never stands in a reply"),
    ("postscreen_tls_", "set up TLS in [tls]"),
    ("postscreen_watchdog_timeout", "nothing here can stand still for all at once"),
    ("postscreen_whitelist_interfaces", "prescreen takes a pass on every address that it listens on; on a backup MX, list nothing"),
    ("smtpd_authorized_xclient_hosts", "prescreen takes the client's address from PROXY headers only: listen.proxy_protocol"),
    ("smtpd_authorized_xforward_hosts", "is for content filters behind Postfix; they go on working"),
    ("smtpd_client_auth_rate_limit", "clients log in at the backend"),
    ("smtpd_client_new_tls_session_rate_limit", "tls.handshake_count_limit bounds handshakes instead"),
    ("smtpd_client_port_logging", "the log always shows the port"),
    ("smtpd_command_filter", "rewrites commands before they are read; nothing here does that"),
    ("smtpd_data_restrictions", ""),
    ("smtpd_dns_reply_filter", "DNS answers are taken as they are; each DNS list has a filter of its own"),
    ("smtpd_end_of_data_restrictions", "are judged behind the message, which prescreen only passes on; Postfix goes on doing it"),
    ("smtpd_expansion_filter", "what is not printable ASCII never stands in a reply"),
    ("smtpd_forbid_bare_newline", "is judged in the message, which prescreen only passes on; leave it on in Postfix"),
    ("smtpd_forbid_unauth_pipelining", "screen.pipelining_enable does it before Postfix hears of the client"),
    ("smtpd_log_access_permit_actions", "log.format = \"json\" shows every decision"),
    ("smtpd_milter", "milters go on working behind prescreen, and see the real client"),
    ("smtpd_min_data_rate", "relay.idle_timeout bounds silence; a slow message costs no process here"),
    ("smtpd_noop_commands", "commands that nobody knows are errors here"),
    ("smtpd_per_record_deadline", "limits.command_time_limit is for a whole line in any case"),
    ("smtpd_per_request_deadline", "limits.command_time_limit is for a whole line in any case"),
    ("smtpd_proxy_", "the before-queue filter goes on working behind prescreen"),
    ("smtpd_reject_filter_maps", "replies are not rewritten; smtp.reject_footer adds to them"),
    ("smtpd_sasl_", "clients log in at the backend: on ports 587 and 465 as before; on port 25 only with smtp.auth = \"handoff\""),
    ("smtpd_sender_login_maps", "clients log in at the backend, which goes on asking these tables"),
    ("smtpd_tls_", "TLS on other ports stays as it is; for port 25 see [tls]"),
    ("smtpd_upstream_proxy_", ""),
    ("tlsproxy_", "set up TLS in [tls]"),
];

/// Our key for Postfix's `parameter`.
pub(in crate::config) fn key_of(parameter: &str) -> Option<&'static str> {
    let mut known = RULES.iter().map(|rule| (rule.old, rule.new)).chain(NAMED.iter().copied());
    known.find(|(old, _)| *old == parameter).map(|(_, new)| new)
}

/// The parameters that are known here by name.
pub(super) fn parameters() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.old).chain(NAMED.iter().map(|(old, _)| *old))
}

/// Why `parameter` has no counterpart; empty where it has been dealt with otherwise.
pub(super) fn without_counterpart(parameter: &str) -> Option<&'static str> {
    let begins = |(name, _): &&(&str, &str)| match name.strip_suffix('_') {
        Some(_) => parameter.starts_with(name),
        None => {
            parameter == *name
                || parameter.strip_prefix(name).is_some_and(|rest| rest.starts_with('_') || rest == "s")
        }
    };
    WITHOUT_COUNTERPART.iter().find(begins).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::apply::Names;
    use crate::config::file::{Name, Names as _};

    #[test]
    fn prefixes_cover_their_family() {
        assert!(without_counterpart("smtpd_sasl_auth_enable").is_some());
        assert!(without_counterpart("smtpd_milters").is_some());
        assert!(without_counterpart("smtpd_forbid_bare_newline_exclusions").is_some());
        assert!(without_counterpart("queue_directory").is_none());
        assert!(without_counterpart("smtpd_client_restrictions").is_none());
    }

    #[test]
    fn every_key_exists() {
        let names = Names::new();
        for (old, new) in RULES.iter().map(|rule| (rule.old, rule.new)).chain(NAMED.iter().copied()) {
            assert!(!matches!(names.at(new), Name::Unknown), "{old} leads to {new}");
        }
    }

    #[test]
    fn a_parameter_that_moves_over_does_not_also_lack_a_counterpart() {
        for rule in RULES {
            assert_eq!(without_counterpart(rule.old), None, "{}", rule.old);
        }
    }

    #[test]
    fn only_real_renames_are_told() {
        let renames = |old: &str| RULES.iter().find(|rule| rule.old == old).unwrap().renames();
        assert!(!renames("postscreen_greet_wait") && !renames("smtpd_hard_error_limit"));
        assert!(renames("postscreen_blacklist_action") && renames("anvil_rate_time_unit"));
    }
}
