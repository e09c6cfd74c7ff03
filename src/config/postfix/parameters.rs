//! A Postfix configuration as a whole: what is set, what that means, and what Postfix assumes where nothing is.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use super::Source;
use super::expand::expand;
use super::main_cf::{Service, Setting, Settings, read_main, read_master};

/// Parameters of Postfix 3.x that others refer to, or that mean something to us, with their defaults.
const DEFAULTS: &[(&str, &str)] = &[
    ("alias_database", "hash:/etc/aliases"),
    ("alias_maps", "hash:/etc/aliases"),
    ("anvil_rate_time_unit", "60s"),
    ("command_directory", "/usr/sbin"),
    ("compatibility_level", "0"),
    ("daemon_directory", "/usr/lib/postfix/sbin"),
    ("data_directory", "/var/lib/postfix"),
    ("default_database_type", "hash"),
    ("default_process_limit", "100"),
    ("double_bounce_sender", "double-bounce"),
    ("inet_interfaces", "all"),
    ("inet_protocols", "all"),
    ("local_recipient_maps", "proxy:unix:passwd.byname $alias_maps"),
    ("mail_name", "Postfix"),
    ("mail_owner", "postfix"),
    ("mail_spool_directory", "/var/mail"),
    ("mail_version", "3.7"),
    ("mydestination", "$myhostname, localhost.$mydomain, localhost"),
    ("mynetworks_style", "${{$compatibility_level} <level {2} ? {subnet} : {host}}"),
    ("myorigin", "$myhostname"),
    (
        "postscreen_dnsbl_allowlist_threshold",
        "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
    ),
    ("process_id_directory", "pid"),
    ("process_name", "smtpd"),
    ("queue_directory", "/var/spool/postfix"),
    ("reject_tempfail_action", "defer_if_permit"),
    ("relay_domains", "${{$compatibility_level} <level {2} ? {$mydestination} : {}}"),
    ("smtpd_banner", "$myhostname ESMTP $mail_name"),
    ("smtpd_client_connection_count_limit", "50"),
    ("smtpd_hard_error_limit", "${stress?{1}:{20}}"),
    ("smtpd_junk_command_limit", "${stress?{1}:{100}}"),
    ("smtpd_relay_before_recipient_restrictions", "${{$compatibility_level} <level {3.6} ? {no} : {yes}}"),
    (
        "smtpd_relay_restrictions",
        "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}",
    ),
    ("smtpd_service_name", "smtpd"),
    ("smtpd_timeout", "${stress?{10}:{300}}s"),
    ("smtpd_tls_key_file", "$smtpd_tls_cert_file"),
    ("syslog_name", "postfix"),
    ("virtual_alias_domains", "$virtual_alias_maps"),
    ("virtual_alias_maps", "$virtual_maps"),
    ("virtual_mailbox_domains", "$virtual_mailbox_maps"),
];

/// Empty unless set, and referred to often enough that nobody need be told.
const EMPTY: &[&str] =
    &["stress", "virtual_maps", "virtual_mailbox_maps", "relayhost", "smtpd_tls_cert_file"];

/// Parameters whose `$` belongs to replies, not to main.cf.
const RAW: &[&str] = &[
    "default_rbl_reply",
    "postscreen_expansion_filter",
    "postscreen_reject_footer",
    "smtpd_expansion_filter",
    "smtpd_reject_footer",
];

/// What is set, and where.
pub(super) struct Postfix<'a> {
    source: &'a Source,
    settings: Settings,
    /// What `-o` sets for the service on port 25, over main.cf.
    overrides: Settings,
    pub(super) services: Vec<Service>,
    notes: RefCell<BTreeSet<String>>,
    /// Names that values refer to.
    referred: RefCell<BTreeSet<String>>,
}

impl<'a> Postfix<'a> {
    pub(super) fn read(source: &'a Source) -> Self {
        let main = read_main(&source.main, &source.main_name);
        let mut oddities = main.oddities;
        let services = source
            .master
            .as_deref()
            .map(|text| read_master(text, "master.cf", &mut oddities))
            .unwrap_or_default();
        let overrides = screened(&services).flat_map(|service| service.settings.clone()).collect();
        Self {
            source,
            settings: main.settings,
            overrides,
            services,
            notes: RefCell::new(oddities.into_iter().collect()),
            referred: RefCell::default(),
        }
    }

    /// The parameter as set, by `-o` or in main.cf; nothing where Postfix's default holds.
    pub(super) fn setting(&self, name: &str) -> Option<&Setting> {
        self.overrides.get(name).or_else(|| self.settings.get(name))
    }

    /// Everything that is set, by name.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &Setting)> {
        let main = self.settings.iter().filter(|(name, _)| !self.overrides.contains_key(*name));
        self.overrides.iter().chain(main).map(|(name, setting)| (name.as_str(), setting))
    }

    /// What a parameter means: set or default, with everything that it refers to filled in. Empty if unknown.
    pub(super) fn value(&self, name: &str) -> String {
        let text = self.unexpanded(name).unwrap_or_default();
        if RAW.contains(&name) { text } else { self.expanded(&text) }
    }

    /// `text` with everything that it refers to filled in.
    pub(super) fn expanded(&self, text: &str) -> String {
        let expanded = expand(text, &|name| {
            self.referred.borrow_mut().insert(name.to_owned());
            let value = self.unexpanded(name);
            if value.is_none()
                && !EMPTY.contains(&name)
                && !DEFAULT_EMPTY_PREFIXES.iter().any(|p| name.starts_with(p))
            {
                self.note(format!("`${name}` is not set anywhere and counts as empty"));
            }
            value
        });
        match expanded {
            Ok(expanded) => expanded,
            Err(what) => {
                self.note(what);
                String::new()
            }
        }
    }

    /// What `text` means when all of Postfix's processes are busy.
    pub(super) fn under_stress(&self, text: &str) -> String {
        let value =
            |name: &str| if name == "stress" { Some("yes".to_owned()) } else { self.unexpanded(name) };
        expand(text, &value).unwrap_or_default()
    }

    fn unexpanded(&self, name: &str) -> Option<String> {
        if let Some(setting) = self.setting(name) {
            return Some(self.first_line_of_file(&setting.value));
        }
        match name {
            "myhostname" => Some(self.source.hostname.clone()),
            "mydomain" => {
                let host = self.value("myhostname");
                Some(host.split_once('.').map_or("localdomain", |(_, domain)| domain).to_owned())
            }
            "config_directory" => Some(self.source.folder().display().to_string()),
            _ => DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, default)| (*default).to_owned()),
        }
    }

    /// Debian writes `myorigin = /etc/mailname` and means its first line.
    fn first_line_of_file(&self, value: &str) -> String {
        if value == "/etc/mailname" {
            let text = std::fs::read_to_string(value).unwrap_or_default();
            return text.lines().next().unwrap_or("$myhostname").trim().to_owned();
        }
        value.to_owned()
    }

    /// Whether `value` is `yes`.
    pub(super) fn is_yes(&self, name: &str) -> bool {
        self.value(name).eq_ignore_ascii_case("yes")
    }

    /// Whether a value that was asked for refers to `name`.
    pub(super) fn is_referred_to(&self, name: &str) -> bool {
        self.referred.borrow().contains(name)
    }

    /// Keeps a sentence for the report; the same one twice is kept once.
    pub(super) fn note(&self, what: String) {
        self.notes.borrow_mut().insert(what);
    }

    /// The sentences that were kept.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.borrow().iter().cloned().collect()
    }

    /// The folder that the configuration was read from.
    pub(super) fn folder(&self) -> &Path {
        self.source.folder()
    }

    /// The services that stand where prescreen will stand: on port 25, and what they hand connections to.
    pub(super) fn on_port_25(&self) -> impl Iterator<Item = &Service> {
        screened(&self.services)
    }

    /// Whether postscreen stands on port 25.
    pub(super) fn has_postscreen(&self) -> bool {
        self.services.iter().any(|service| service.is_port_25() && service.command == "postscreen")
    }
}

/// Without a value of their own these are empty in Postfix.
const DEFAULT_EMPTY_PREFIXES: [&str; 4] = ["smtpd_", "postscreen_", "smtp_", "virtual_"];

fn screened(services: &[Service]) -> impl Iterator<Item = &Service> {
    let postscreen = services.iter().any(|service| service.is_port_25() && service.command == "postscreen");
    services.iter().filter(move |service| {
        service.is_port_25() || (postscreen && service.kind == "pass" && service.command == "smtpd")
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What `postconf` of the installed Postfix prints; nothing where there is none.
    fn postconf(folder: &Path) -> Option<Vec<(String, String)>> {
        let folder = std::path::absolute(folder).unwrap();
        let printed = Command::new("postconf").arg("-c").arg(folder).arg("-nx").output().ok()?;
        let text = String::from_utf8(printed.stdout).unwrap();
        let pair = |line: &str| line.split_once(" =").map(|(name, value)| (name.to_owned(), squeezed(value)));
        Some(text.lines().filter_map(pair).collect())
    }

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_mean_what_postconf_says() {
        let mut compared = 0;
        for entry in std::fs::read_dir("tests/import").unwrap() {
            let folder = entry.unwrap().path();
            let source = Source::open(&folder).unwrap();
            let postfix = Postfix { overrides: Settings::new(), ..Postfix::read(&source) };
            let Some(printed) = postconf(&folder) else {
                eprintln!("skipped: no postconf here");
                return;
            };
            for (name, value) in printed {
                // postconf adds where it was told to look.
                if name == "config_directory" {
                    continue;
                }
                assert_eq!(squeezed(&postfix.value(&name)), value, "{name} in {}", folder.display());
                compared += 1;
            }
        }
        assert!(compared > 300, "only {compared} compared");
    }

    #[test]
    fn stress_is_known_where_it_matters() {
        let source = Source::text("smtpd_timeout = ${stress?{10}:{300}}s");
        let postfix = Postfix::read(&source);
        assert_eq!(postfix.value("smtpd_timeout"), "300s");
        assert_eq!(postfix.under_stress(&postfix.setting("smtpd_timeout").unwrap().value), "10s");
    }

    #[test]
    fn defaults_are_postfixs() {
        let source = Source::text("myhostname = mx.example.org\ncompatibility_level = 3.6");
        let postfix = Postfix::read(&source);
        assert_eq!(postfix.value("mydestination"), "mx.example.org, localhost.example.org, localhost");
        assert_eq!(
            postfix.value("smtpd_relay_restrictions"),
            "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"
        );
        assert_eq!(postfix.value("relay_domains"), "");
        assert_eq!(postfix.value("mynetworks_style"), "host");
    }
}
