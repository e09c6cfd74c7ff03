//! `import-postfix` on configurations as they are found: what comes out is shown in tests/import/, and works.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use prescreen::config::postfix::{Imported, Source, import};
use prescreen::config::{self, Config};
use prescreen::tls::Starttls;

/// Imports `name`, compares what comes out with what was read by eye, and loads it.
///
/// `UPDATE=1 cargo test --test import` writes it anew.
fn imports(name: &str) -> (Imported, Config) {
    let folder = Path::new("tests/import").join(name);
    let imported = import(&Source::open(&folder).unwrap());
    let told = format!("{}\n{}", imported.report, imported.postfix_side);
    for (file, text) in [("prescreen.toml", &imported.toml), ("report.txt", &told)] {
        let file = folder.join(file);
        let text = &text.replace(env!("CARGO_MANIFEST_DIR"), "");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), *text, "{}: UPDATE=1 writes it anew", file.display());
    }
    let config = loaded(name, &imported);
    (imported, config)
}

fn loaded(name: &str, imported: &Imported) -> Config {
    let text = imported.toml.clone();
    let source = config::Source::Text { name: format!("{name}.toml"), text, base: ".".into() };
    match Config::load(&source, &[], []) {
        Ok((config, _)) => config,
        Err(problems) => {
            panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
        }
    }
}

/// Whether the report says so, wherever its lines are broken.
fn tells(imported: &Imported, what: &str) -> bool {
    imported.report.split_whitespace().collect::<Vec<_>>().join(" ").contains(what)
}

/// The lists that ended up in the configuration, without the blanks that do not matter.
fn list(text: &str) -> Vec<&str> {
    text.split(", ").filter(|item| !item.is_empty()).collect()
}

#[test]
fn debian() {
    let (imported, config) = imports("debian");
    assert_eq!(config.hostname, "mx.example.org");
    assert_eq!(list(config.policy.relay_list()), ["permit_mynetworks", "defer_unauth_destination"]);
    // Lists that are empty in Postfix stay so; prescreen's own defaults check more.
    assert_eq!((config.policy.helo.as_str(), config.policy.sender.as_str()), ("", ""));
    assert_eq!(config.tls.starttls, Starttls::Passthrough);
    assert_eq!(config.limits.post_queue_limit, 100);
    assert!(imported.postfix_side.contains("127.0.0.1:10025 inet n - y - - smtpd\n"));
    assert!(imported.postfix_side.contains("-o smtpd_upstream_proxy_protocol=haproxy"));
}

#[test]
fn docker_mailserver() {
    let (imported, config) = imports("docker-mailserver");
    assert!(tells(&imported, "dnsbl.sorbs.net: SORBS, closed on 5 June 2024"));
    assert_eq!(config.dnsbl.sites.len(), 10);
    // Nobody but Postfix may open what is in private/.
    assert!(!config.policy.recipient.contains("check_policy_service"), "{}", config.policy.recipient);
    assert!(tells(&imported, "check_policy_service unix:private/policyd-spf is left out: only Postfix"));
    // What -o sets for the service on port 25 moves with it.
    assert_eq!(config.rate.client_connection_count_limit, 20);
    assert!(imported.postfix_side.contains("-o { smtpd_client_connection_count_limit = 20 }"));
}

#[test]
fn mailcow() {
    let (imported, config) = imports("mailcow");
    // A database knows the domains, so nobody here may refuse to relay.
    assert!(!config.policy.domains.any());
    assert!(!imported.toml.contains("\"reject_unauth_destination"));
    assert_eq!(config.screen.greet_wait.as_secs(), 3);
    assert_eq!(config.screen.stress_greet_wait.as_secs(), 2);
    assert_eq!(config.dialogue.errors.hard_error_limit, 5);
    // 10025 is taken there.
    assert_eq!(config.backend.servers[0].to_string(), "127.0.0.1:10125");
}

#[test]
fn iredmail() {
    let (imported, config) = imports("iredmail");
    assert_eq!(
        list(&config.policy.recipient),
        [
            "reject_non_fqdn_recipient",
            "check_policy_service inet:127.0.0.1:7777",
            "permit_mynetworks",
            "check_policy_service inet:127.0.0.1:12340",
        ]
    );
    assert!(tells(&imported, "b.barracudacentral.org answers only to resolvers that are registered"));
    assert!(
        imported
            .report
            .contains("smtpd_end_of_data_restrictions (main.cf:36): are judged behind the message")
    );
}

#[test]
fn modoboa() {
    let (_, config) = imports("modoboa");
    assert_eq!(config.listen.len(), 1, "inet_protocols = ipv4");
    assert_eq!(config.screen.greet_banner.as_deref(), Some("Welcome, please wait..."));
    assert!(config.policy.recipient.contains("reject_unverified_recipient"));
}

#[test]
fn error_limits() {
    let (imported, config) = imports("error-limits");
    assert!(tells(&imported, "did you mean smtpd_relay_restrictions?"));
    assert!(tells(&imported, "127.0.0.1/8 is a host in 127.0.0.0/8"));
    assert_eq!(config.mynetworks, "192.168.1.0/24, 127.0.0.0/8");
    assert_eq!(config.dnsbl.max_ttl.as_secs(), 300, "5mh");
    assert_eq!(config.dialogue.errors.hard_error_limit, 1);
    assert!(!config.policy.sender.contains("securitysage"));
}

#[test]
fn manual_2000() {
    let (_, config) = imports("manual-2000");
    assert_eq!(
        list(&config.policy.client)[..3],
        ["permit_mynetworks", "reject_unknown_client_hostname", "reject_rbl_client zen.spamhaus.org"]
    );
    assert!(config.policy.recipient.ends_with("reject_unauth_destination"), "{}", config.policy.recipient);
    // Before 2.10 there was no relay list; at compatibility level 0 there is none yet.
    assert_eq!(config.policy.relay.as_deref(), Some(""));
}

#[test]
fn main_cf_limits() {
    let (_, config) = imports("main-cf-limits");
    assert!(config.policy.client.contains("warn_if_reject reject_unknown_client_hostname"));
    assert_eq!(config.rate.client_connection_rate_limit, 30);
    assert_eq!(config.limits.post_queue_limit, 200);
}

#[test]
fn centos_guide() {
    let (_, config) = imports("centos-guide");
    assert_eq!(
        config.policy.classes["greylist"],
        "check_policy_service unix:/var/spool/postfix/postgrey/socket"
    );
    assert_eq!(list(&config.policy.data), ["reject_unauth_pipelining", "permit"]);
}

#[test]
fn postconf_output_will_do() {
    let imported = import(&Source::text(
        "mydestination = example.org\nmyhostname = mx.example.org\nmynetworks = 127.0.0.0/8\n\
         smtpd_client_restrictions = permit_mynetworks, reject_rbl_client bl.spamcop.net\n",
    ));
    assert!(
        imported.toml.contains("# main.cf:4: smtpd_client_restrictions = permit_mynetworks"),
        "{}",
        imported.toml
    );
    assert!(imported.toml.contains("\"reject_rbl_client bl.spamcop.net\""), "{}", imported.toml);
}

#[test]
fn an_empty_configuration_is_one_too() {
    let imported = import(&Source::text(""));
    assert!(imported.report.contains("mynetworks is not set"), "{}", imported.report);
    loaded("empty", &imported);
}

#[test]
fn nonsense_is_told_and_stops_nothing() {
    let imported = import(&Source::text(
        "  leading\nno equals sign\nmynetworks = ${mynetworks\nsmtpd_client_restrictions = permit_mynetwork, $a\n\
         a = $a\nmyhostname = mx.example.org\nsmtpd_hard_error_limit = many\npostscreen_greet_wait = soon\n",
    ));
    for told in [
        "`no equals sign` sets nothing",
        "has no closing }",
        "refers to itself",
        "smtpd_hard_error_limit = many",
    ] {
        assert!(imported.report.contains(told), "{told}: {}", imported.report);
    }
    loaded("nonsense", &imported);
}

#[test]
fn what_no_key_takes_is_told_and_left_out() {
    let imported = import(&Source::text(
        "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\nsmtpd_hard_error_limit = 0\n\
         smtpd_banner = gr\u{fc}\u{df} gott\npostscreen_dnsbl_sites = bl..example\n",
    ));
    for told in ["errors.hard_error_limit = 0 is out of range", "smtp.banner", "dnsbl.sites"] {
        assert!(tells(&imported, told), "{told}: {}", imported.report);
    }
    assert!(!tells(&imported, "smtpd_hard_error_limit = 0 is taken over"), "{}", imported.report);
    loaded("untaken", &imported);
}

#[test]
fn what_the_dialogue_looks_up_moves_over() {
    let imported = import(&Source::text(
        "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\n\
         smtpd_forbidden_commands = !GETX CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}\n\
         smtpd_discard_ehlo_keyword_address_maps = cidr:{{192.0.2.0/24 starttls}}\n\
         smtpd_reject_footer = \\c. $localtime $client\n\
         smtpd_reject_footer_maps = regexp:{{/^4/ later}}\n",
    ));
    let smtp = loaded("dialogue", &imported).dialogue;
    assert_eq!(smtp.forbidden_commands, "!GETX CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}");
    assert_eq!(smtp.discard_ehlo_keyword_address_maps, "cidr:{{192.0.2.0/24 starttls}}");
    assert_eq!(
        smtp.reject_footer.map(|footer| footer.to_string()).as_deref(),
        Some("\\c. $localtime $client")
    );
    assert_eq!(smtp.reject_footer_maps, "regexp:{{/^4/ later}}");
}

/// In aliases(5) a name ends with a colon; read as hash(5) nobody of these would exist.
#[test]
fn who_has_an_alias_is_not_unknown() {
    for table in ["hash:/etc/aliases", "$alias_maps", "proxy:hash:/etc/mail/aliases", "$alias_database"] {
        let imported = import(&Source::text(format!(
            "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\nmydestination = example.org\n\
             alias_maps = hash:/etc/aliases, lmdb:/etc/mail/aliases\n\
             local_recipient_maps = inline:{{{{ user = x }}}} {table}\n\
             smtpd_recipient_restrictions = reject_unlisted_recipient\n",
        )));
        assert!(tells(&imported, "is an alias file, which has another form"), "{table}: {}", imported.report);
        let policy = loaded("aliases", &imported).policy;
        assert_eq!((policy.recipients.local_recipient_maps.as_str(), policy.recipient.as_str()), ("", ""));
    }
}

#[test]
fn what_check_warns_of_is_told() {
    let imported =
        import(&Source::text("myhostname = mx\nmynetworks = 127.0.0.0/8\nmydestination = example.org\n"));
    assert!(tells(&imported, "What `prescreen check` warns of - prescreen.toml:"), "{}", imported.report);
}

#[test]
fn one_parameter_may_be_the_default_of_several_keys() {
    let imported = import(&Source::text(
        "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\nreject_tempfail_action = defer\n\
         unverified_sender_tempfail_action = defer_if_permit\nx = $reject_tempfail_action\n",
    ));
    assert!(imported.toml.contains("unknown_address_tempfail_action = \"defer\""), "{}", imported.toml);
    assert!(
        imported.toml.contains("unverified_sender_tempfail_action = \"defer_if_permit\""),
        "{}",
        imported.toml
    );
    assert!(!tells(&imported, "reject_tempfail_action"), "{}", imported.report);
    let defaulted = import(&Source::text("unverified_recipient_tempfail_action = $reject_tempfail_action\n"));
    assert!(
        defaulted.toml.contains("_recipient_tempfail_action = \"defer_if_permit\""),
        "{}",
        defaulted.toml
    );
    assert!(!tells(&defaulted, "counts as empty"), "{}", defaulted.report);
}

#[test]
fn each_certificate_comes_with_its_key() {
    let imported =
        import(&Source::text("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = /k1, /c1, /k2, /c2\n"));
    assert!(imported.toml.contains("# certificates = [\"/c1 /k1\", \"/c2 /k2\"]"), "{}", imported.toml);
}

#[test]
fn exceptions_from_limits_are_read_as_networks_are() {
    let imported = import(&Source::text(
        "smtpd_client_event_limit_exceptions = !10.0.0.1, 10.0.0.0/8, mysql:/etc/postfix/friends.cf\n",
    ));
    assert!(tells(
        &imported,
        "smtpd_client_event_limit_exceptions: mysql:/etc/postfix/friends.cf is left out"
    ));
    let exceptions = loaded("exceptions", &imported).client_event_limit_exceptions;
    assert_eq!(exceptions.as_deref(), Some("!10.0.0.1, 10.0.0.0/8"));
}

#[test]
fn a_class_of_which_nothing_is_left_goes_on_to_exist() {
    let imported = import(&Source::text(
        "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\nsmtpd_restriction_classes = insiders\n\
         insiders = check_sasl_access hash:/etc/postfix/x, permit_sasl_authenticated\n\
         smtpd_client_restrictions = check_client_access inline:{ example.org=insiders }\n",
    ));
    let config = loaded("class", &imported);
    assert_eq!(config.policy.classes["insiders"], "sleep 0");
}

#[test]
fn a_table_that_is_missing_is_told_as_check_tells_it() {
    let imported = import(&Source::text(
        "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\n\
         smtpd_client_restrictions = check_client_access cidr:/nonexistent/clients\n",
    ));
    assert!(tells(&imported, "To be put right before it works"), "{}", imported.report);
    assert!(tells(&imported, "cannot read /nonexistent/clients"), "{}", imported.report);
}
