//! What describes the site: its name, networks, domains, addresses, certificates and DNS lists.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::lists::Knowledge;
use super::main_cf::Setting;
use super::translation::{Translation, comment, list};
use crate::config::slot::quoted;
use crate::table::{network, words};

/// Which domains are ours: Postfix's parameters and our keys.
const DOMAINS: [(&str, &str); 4] = [
    ("mydestination", "domains.local"),
    ("relay_domains", "domains.relay"),
    ("virtual_alias_domains", "domains.virtual_alias"),
    ("virtual_mailbox_domains", "domains.virtual_mailbox"),
];

/// Which addresses exist. Where one table of aliases cannot be read, nobody may be called unknown.
const RECIPIENTS: [(&str, &str); 7] = [
    ("local_recipient_maps", "recipients.local_recipient_maps"),
    ("relay_recipient_maps", "recipients.relay_recipient_maps"),
    ("virtual_mailbox_maps", "recipients.virtual_mailbox_maps"),
    ("virtual_alias_maps", "recipients.virtual_alias_maps"),
    ("canonical_maps", "recipients.canonical_maps"),
    ("recipient_canonical_maps", "recipients.recipient_canonical_maps"),
    ("sender_canonical_maps", "recipients.sender_canonical_maps"),
];

/// What makes Postfix offer STARTTLS, most decisive first.
const LEVELS: [&str; 4] =
    ["postscreen_tls_security_level", "smtpd_tls_security_level", "smtpd_use_tls", "smtpd_enforce_tls"];

impl Translation<'_> {
    /// `hostname`, where it is set.
    pub(super) fn hostname(&mut self) {
        self.done.extend(["mydomain", "myorigin", "mail_name", "compatibility_level"].map(str::to_owned));
        match self.take("myhostname") {
            Some(setting) => {
                let name = self.postfix.value("myhostname");
                self.write("hostname", quoted(&name), vec![comment("myhostname", &setting)]);
            }
            None => {
                let what = "myhostname is not set: Postfix and prescreen both take the system's own name; set hostname \
                            if they run in different containers";
                self.report.traps.push(what.to_owned());
            }
        }
    }

    /// `mynetworks`.
    pub(super) fn networks(&mut self) {
        let style = self.take("mynetworks_style");
        let Some(setting) = self.take("mynetworks") else {
            let style = style.map_or_else(|| self.postfix.value("mynetworks_style"), |setting| setting.value);
            self.report.attention.push(format!(
                "mynetworks is not set: with mynetworks_style = {style} Postfix works it out from this host's \
                 interfaces. prescreen was given the loopback addresses; add the host's own, or its networks"
            ));
            let what = format!("mynetworks is not set; mynetworks_style = {style}");
            return self.write("mynetworks", list(["127.0.0.0/8", "::1"]), vec![what]);
        };
        let (items, comments) = self.all_trusted("mynetworks", &setting);
        self.write("mynetworks", list(items), comments);
    }

    /// What a list of networks becomes, and what is written above it.
    fn all_trusted(&mut self, parameter: &str, setting: &Setting) -> (Vec<String>, Vec<String>) {
        let mut comments = vec![comment(parameter, setting)];
        let mut items = Vec::new();
        for word in words(&self.postfix.value(parameter)) {
            let (sign, item) = word.strip_prefix('!').map_or(("", word), |item| ("!", item));
            match self.trusted(parameter, item) {
                Ok(Some(item)) => items.push(format!("{sign}{item}")),
                Ok(None) => {
                    comments.push(format!("left out: {item} (an IPv4 client is known by its IPv4 address)"));
                }
                Err(why) => {
                    comments.push(format!("left out: {item} ({why})"));
                    self.report
                        .attention
                        .push(format!("{}: {parameter}: {item} is left out: {why}", setting.origin));
                }
            }
        }
        (items, comments)
    }

    /// One item; nothing where it can never match.
    fn trusted(&mut self, parameter: &str, item: &str) -> Result<Option<String>, String> {
        if item.starts_with('/') {
            return Ok(Some(self.file(item)));
        }
        let bare = item.replace(['[', ']'], "");
        if let Ok(net) = bare.parse::<IpNet>() {
            if matches!(net.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
                return Ok(None);
            }
            if net.trunc() != net {
                let meant = net.trunc();
                // smtpd makes nothing of it where it only looks for exceptions from its rates.
                let effect = match parameter {
                    "smtpd_client_event_limit_exceptions" => "",
                    _ => ": Postfix answers 451 to everybody because of it",
                };
                self.report
                    .traps
                    .push(format!("{parameter}: {item} is a host in {meant}{effect}; {meant} is written"));
                return Ok(Some(meant.to_string()));
            }
        }
        // A table of networks is told from one network by what its type may be.
        if item.contains(':') && network(item).is_err() {
            return self.table(item).map(Some);
        }
        Ok(Some(item.to_owned()))
    }

    /// `[domains]` and `[recipients]`, as far as files tell; and what relay control can therefore do.
    pub(super) fn domains(&mut self) -> Knowledge {
        let mut unknown = Vec::new();
        let mut written = Vec::new();
        for (parameter, key) in DOMAINS {
            let setting = self.take(parameter);
            let mut items = Vec::new();
            for word in words(&self.postfix.value(parameter)) {
                let (sign, item) = word.strip_prefix('!').map_or(("", word), |item| ("!", item));
                let item = match item {
                    file if file.starts_with('/') => Ok(self.file(file)),
                    table if table.contains(':') && !table.starts_with('[') => self.table(table),
                    name => Ok(name.to_owned()),
                };
                match item {
                    Ok(item) => items.push(format!("{sign}{item}")),
                    Err(_) => unknown
                        .push(format!("{parameter} names {}", word.strip_prefix("proxy:").unwrap_or(word))),
                }
            }
            let comments = match setting {
                Some(setting) => vec![comment(parameter, &setting)],
                None => vec![format!("{parameter} is not set; this is Postfix's default")],
            };
            let mut seen = BTreeSet::new();
            items.retain(|item: &String| seen.insert(item.clone()));
            if !items.is_empty() {
                written.push((key, list(items), comments));
            }
        }
        let recipients = unknown.is_empty() && self.recipients();
        self.done.extend(RECIPIENTS.map(|(parameter, _)| parameter.to_owned()));
        self.done.extend(
            ["virtual_maps", "alias_maps", "smtpd_relay_before_recipient_restrictions"].map(str::to_owned),
        );
        if unknown.is_empty() {
            written.into_iter().for_each(|(key, value, comments)| self.write(key, value, comments));
            return Knowledge { domains_unknown: None, recipients };
        }
        self.report.attention.push(format!(
            "relay control stays with the backend, because prescreen cannot know all domains: {}. The backend's \
             refusals are passed on word for word, but each relay attempt costs it a connection. To have relay control \
             here, write the domains to a file, name it in [domains], and put reject_unauth_destination into \
             restrictions.relay",
            unknown.join(", ")
        ));
        Knowledge {
            domains_unknown: Some("the backend alone knows all domains".to_owned()),
            recipients: false,
        }
    }

    /// Whether the recipient tables that are set could all be taken over.
    fn recipients(&mut self) -> bool {
        let set: Vec<_> = RECIPIENTS
            .iter()
            .filter_map(|(parameter, key)| Some((*parameter, *key, self.postfix.setting(parameter)?.clone())))
            .collect();
        let mut written = Vec::new();
        for (parameter, key, setting) in set {
            let value = self.postfix.value(parameter);
            let table = |spec: &str| {
                if self.is_alias_file(spec) {
                    return Err(format!("{spec} is an alias file, which has another form"));
                }
                self.table(spec)
            };
            let tables: Result<Vec<_>, String> = words(&value).map(table).collect();
            match tables {
                Ok(tables) if tables.is_empty() => {}
                Ok(tables) => written.push((key, list(tables), vec![comment(parameter, &setting)])),
                Err(why) => {
                    self.report.attention.push(format!(
                        "{}: {parameter} cannot be read in full, so nobody is called unknown here and [recipients] \
                         is left out: {why}. The backend's refusals of unknown users are passed on",
                        setting.origin
                    ));
                    return false;
                }
            }
        }
        // Aliases alone say who exists only together with the mailboxes.
        let mailboxes = written.iter().any(|(key, ..)| !key.contains("alias") && !key.contains("canonical"));
        if mailboxes {
            written.into_iter().for_each(|(key, value, comments)| self.write(key, value, comments));
        }
        mailboxes
    }

    /// `[dnsbl] sites` and `[screen] access_list`.
    pub(super) fn screening(&mut self) {
        if let Some(setting) = self.take("postscreen_dnsbl_sites") {
            let mut comments = vec![comment("postscreen_dnsbl_sites", &setting)];
            let mut sites = Vec::new();
            for site in words(&self.postfix.value("postscreen_dnsbl_sites")) {
                match self.dns_list("postscreen_dnsbl_sites", site) {
                    Ok(site) => sites.push(site),
                    Err(dead) => comments.push(format!("left out: {site} ({})", dead.why)),
                }
            }
            self.write("dnsbl.sites", list(sites), comments);
        }
        if let Some(setting) = self.take("postscreen_access_list") {
            let mut comments = vec![comment("postscreen_access_list", &setting)];
            let mut items = Vec::new();
            for word in words(&self.postfix.value("postscreen_access_list")) {
                match if word.contains(':') { self.table(word) } else { Ok(word.to_owned()) } {
                    Ok(item) => items.push(item),
                    Err(why) => {
                        comments.push(format!("left out: {word} ({why})"));
                        self.report.attention.push(format!(
                            "{}: postscreen_access_list: {word} is left out: {why}",
                            setting.origin
                        ));
                    }
                }
            }
            self.write("screen.access_list", list(items), comments);
        }
        self.deep_tests();
    }

    /// What was off because it cost a 450 is on here, where it costs nothing.
    fn deep_tests(&mut self) {
        for test in ["pipelining", "non_smtp_command", "bare_newline"] {
            let parameter = format!("postscreen_{test}_enable");
            let Some(setting) = self.take(&parameter) else { continue };
            if self.postfix.is_yes(&parameter) {
                let key = format!("screen.{test}_enable");
                self.write(&key, quoted("yes"), vec![comment(&parameter, &setting)]);
            } else {
                self.report.traps.push(format!(
                    "{}: {parameter} = no is not taken over: in postscreen this test cost every client a 450, here \
                     clients that pass go on in the same connection. It is on by default",
                    setting.origin
                ));
            }
        }
    }

    /// The exceptions from limits.
    pub(super) fn exceptions(&mut self) {
        for parameter in ["smtpd_client_event_limit_exceptions", "smtpd_client_connection_limit_exceptions"] {
            let Some(setting) = self.take(parameter) else { continue };
            let (items, comments) = self.all_trusted(parameter, &setting);
            self.write("limits.client_event_limit_exceptions", list(items), comments);
        }
    }

    /// How many connections Postfix serves at once is how many may be handed to it.
    pub(super) fn backend_seats(&mut self) {
        let service = self.postfix.on_port_25().filter(|service| service.command == "smtpd");
        let own = service.filter_map(|service| Some((service.limit?, service.origin.clone()))).next();
        let set = ["postscreen_post_queue_limit", "default_process_limit"]
            .into_iter()
            .filter_map(|parameter| Some((parameter, self.take(parameter)?)))
            .collect::<Vec<_>>();
        let number = |parameter| self.postfix.value(parameter).parse::<u32>().ok();
        let (limit, origin) = match (own, set.first()) {
            (Some((limit, origin)), _) => (limit, format!("{origin}: smtpd runs {limit} processes at most")),
            (None, Some((parameter, setting))) => {
                (number(*parameter).unwrap_or(100), comment(parameter, setting))
            }
            (None, None) => (100, "default_process_limit is not set; this is Postfix's default".to_owned()),
        };
        let why = "what is handed over beyond that would only wait for a free process".to_owned();
        self.write("limits.post_queue_limit", limit.max(5).to_string(), vec![origin, why]);
    }

    /// STARTTLS stays offered if it was.
    pub(super) fn tls(&mut self) {
        let set: Vec<_> =
            LEVELS.into_iter().filter_map(|parameter| Some((parameter, self.take(parameter)?))).collect();
        let on = |parameter: &str| !matches!(self.postfix.value(parameter).as_str(), "" | "no" | "none");
        let Some((parameter, setting)) = set.into_iter().find(|(parameter, _)| on(parameter)) else { return };
        let mut comments = vec![comment(parameter, &setting)];
        let certificate = self.postfix.value("smtpd_tls_cert_file");
        for parameter in ["smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_chain_files"] {
            self.done.insert(parameter.to_owned());
        }
        let chain_files = self.postfix.value("smtpd_tls_chain_files");
        // Postfix wants a key in front of its chain, in one file or in two.
        let files: Vec<_> = words(&chain_files).collect();
        let mut pairs: Vec<_> = files
            .chunks(2)
            .map(|pair| match pair {
                [key, chain] => format!("{chain} {key}"),
                both => both.concat(),
            })
            .collect();
        if pairs.is_empty() && !certificate.is_empty() && certificate != "none" {
            pairs.push(format!("{certificate} {}", self.postfix.value("smtpd_tls_key_file")));
        }
        if pairs.is_empty() {
            pairs.push("/etc/ssl/certs/mx.pem /etc/ssl/private/mx.key".to_owned());
        }
        comments.push(
            "TLS ends at the backend, with its certificate; to have the envelope checked inside TLS, too:"
                .to_owned(),
        );
        comments.push("starttls = \"terminate\"".to_owned());
        let pairs: Vec<_> = pairs.iter().map(|pair| quoted(pair)).collect();
        comments.push(format!("certificates = [{}]", pairs.join(", ")));
        self.write("tls.starttls", quoted("passthrough"), comments);
        if self.postfix.value(parameter) == "encrypt" {
            self.report.missing(
                "refuses mail without TLS; the backend goes on doing so",
                parameter,
                &setting.origin,
            );
        }
    }
}
