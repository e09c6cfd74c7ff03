//! The settings that a case can name.

use prescreen::policy::Settings;

/// Settings without any list, so that a case shows what it is about and nothing else.
pub(crate) fn bare() -> Settings {
    Settings {
        client: String::new(),
        helo: String::new(),
        sender: String::new(),
        relay: Some(String::new()),
        recipient: String::new(),
        hostname: "mx.example".into(),
        ..Settings::default()
    }
}

/// Sets what the configuration calls `key`.
pub(crate) fn set(settings: &mut Settings, key: &str, value: &str) -> Result<(), String> {
    let text = value.to_owned();
    let yes_or_no = || match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{value}` is neither yes nor no")),
    };
    let (domains, recipients) = (&mut settings.domains, &mut settings.recipients);
    let (codes, verification) = (&mut settings.codes, &mut settings.verification);
    match key {
        "client" => settings.client = text,
        "helo" => settings.helo = text,
        "sender" => settings.sender = text,
        "relay" => settings.relay = Some(text).filter(|list| list != "default"),
        "recipient" => settings.recipient = text,
        "data" => settings.data = text,
        "etrn" => settings.etrn = text,
        "defaults" => {
            let Settings { client, helo, sender, relay, recipient, data, etrn, .. } = Settings::default();
            *settings = Settings { client, helo, sender, relay, recipient, data, etrn, ..settings.clone() };
        }
        "delay_reject" => settings.delay_reject = yes_or_no()?,
        "reject_unlisted_recipient" => settings.reject_unlisted_recipient = yes_or_no()?,
        "reject_unlisted_sender" => settings.reject_unlisted_sender = yes_or_no()?,
        "peername_lookup" => settings.peername_lookup = yes_or_no()?,
        "hostname" => settings.hostname = text,
        "mynetworks" => settings.mynetworks = text,
        "inet_interfaces" => {
            settings.inet_interfaces = value.split(", ").map(|ip| ip.parse().unwrap()).collect();
        }
        "local" => domains.local = text,
        "relay_domains" => domains.relay = text,
        "virtual_alias" => domains.virtual_alias = text,
        "virtual_mailbox" => domains.virtual_mailbox = text,
        "local_recipient_maps" => recipients.local_recipient_maps = text,
        "relay_recipient_maps" => recipients.relay_recipient_maps = text,
        "virtual_mailbox_maps" => recipients.virtual_mailbox_maps = text,
        "virtual_alias_maps" => recipients.virtual_alias_maps = text,
        "canonical_maps" => recipients.canonical_maps = text,
        "recipient_canonical_maps" => recipients.recipient_canonical_maps = text,
        "sender_canonical_maps" => recipients.sender_canonical_maps = text,
        "recipient_delimiter" => settings.recipient_delimiter = text,
        "parent_domain_matches_subdomains" => settings.parent_domain_matches_subdomains = text,
        "null_access_lookup_key" => settings.null_access_lookup_key = text,
        "default_rbl_reply" => settings.default_rbl_reply = text,
        "rbl_reply_maps" => settings.rbl_reply_maps = text,
        "unknown_helo_hostname_tempfail_action" => {
            settings.unknown_helo_hostname_tempfail_action = value.parse()?;
        }
        "unknown_address_tempfail_action" => settings.unknown_address_tempfail_action = value.parse()?,
        "show_user_unknown_table_name" => settings.show_user_unknown_table_name = yes_or_no()?,
        "access_map_reject_code" => codes.access_map_reject_code = value.parse()?,
        "access_map_defer_code" => codes.access_map_defer_code = value.parse()?,
        "reject_code" => codes.reject_code = value.parse()?,
        "defer_code" => codes.defer_code = value.parse()?,
        "invalid_hostname_reject_code" => codes.invalid_hostname_reject_code = value.parse()?,
        "maps_rbl_reject_code" => codes.maps_rbl_reject_code = value.parse()?,
        "multi_recipient_bounce_reject_code" => codes.multi_recipient_bounce_reject_code = value.parse()?,
        "non_fqdn_reject_code" => codes.non_fqdn_reject_code = value.parse()?,
        "plaintext_reject_code" => codes.plaintext_reject_code = value.parse()?,
        "relay_domains_reject_code" => codes.relay_domains_reject_code = value.parse()?,
        "unknown_address_reject_code" => codes.unknown_address_reject_code = value.parse()?,
        "unknown_client_reject_code" => codes.unknown_client_reject_code = value.parse()?,
        "unknown_hostname_reject_code" => codes.unknown_hostname_reject_code = value.parse()?,
        "unknown_local_recipient_reject_code" => codes.unknown_local_recipient_reject_code = value.parse()?,
        "unknown_relay_recipient_reject_code" => codes.unknown_relay_recipient_reject_code = value.parse()?,
        "unknown_virtual_alias_reject_code" => codes.unknown_virtual_alias_reject_code = value.parse()?,
        "unknown_virtual_mailbox_reject_code" => codes.unknown_virtual_mailbox_reject_code = value.parse()?,
        "unverified_recipient_reject_code" => {
            verification.unverified_recipient_reject_code = value.parse()?;
        }
        "unverified_recipient_defer_code" => verification.unverified_recipient_defer_code = value.parse()?,
        "unverified_recipient_reject_reason" => verification.unverified_recipient_reject_reason = text,
        "unverified_recipient_tempfail_action" => {
            verification.unverified_recipient_tempfail_action = value.parse()?;
        }
        "unverified_sender_reject_code" => verification.unverified_sender_reject_code = value.parse()?,
        "unverified_sender_defer_code" => verification.unverified_sender_defer_code = value.parse()?,
        "unverified_sender_reject_reason" => verification.unverified_sender_reject_reason = text,
        "unverified_sender_tempfail_action" => {
            verification.unverified_sender_tempfail_action = value.parse()?;
        }
        "policy_service.default_action" => settings.policy_service.default_action = text,
        _ => match key.strip_prefix("class ") {
            Some(class) => {
                settings.classes.insert(class.to_owned(), text);
            }
            None => return Err("is no setting".to_owned()),
        },
    }
    Ok(())
}
