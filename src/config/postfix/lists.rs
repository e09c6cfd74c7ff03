//! Restriction lists and the tables, DNS lists and services that they name.

use std::iter::Peekable;
use std::path::Path;

use super::dead_lists;
use super::translation::{Translation, comment, list};
use crate::config::raw::shortened;
use crate::policy::{Argument, List, Needs, Verb};
use crate::table::{Words, unbrace, words};

/// Postfix's parameter for each list, and our key.
const LISTS: [(&str, List, &str); 7] = [
    ("smtpd_client_restrictions", List::Client, "restrictions.client"),
    ("smtpd_helo_restrictions", List::Helo, "restrictions.helo"),
    ("smtpd_sender_restrictions", List::Sender, "restrictions.sender"),
    ("smtpd_relay_restrictions", List::Relay, "restrictions.relay"),
    ("smtpd_recipient_restrictions", List::Recipient, "restrictions.recipient"),
    ("smtpd_data_restrictions", List::Data, "restrictions.data"),
    ("smtpd_etrn_restrictions", List::Etrn, "restrictions.etrn"),
];

/// Tables that are read from the text that they were made of.
const FILE_TABLES: [&str; 9] = ["hash", "btree", "cdb", "dbm", "lmdb", "sdbm", "texthash", "cidr", "regexp"];

/// Those that postalias(1) makes as postmap(1) does: of a text of another form, `name: value`.
const INDEXED: [&str; 6] = ["hash", "btree", "cdb", "dbm", "lmdb", "sdbm"];

/// What the surroundings allow.
#[derive(Clone, Debug)]
pub(super) struct Knowledge {
    /// Why prescreen cannot tell which domains are ours, where it cannot.
    pub(super) domains_unknown: Option<String>,
    /// Whether it knows the recipients.
    pub(super) recipients: bool,
}

impl Translation<'_> {
    /// All lists. Those that are empty in Postfix are written as such: ours have other defaults.
    pub(super) fn restriction_lists(&mut self, knowledge: &Knowledge) {
        let classes: Vec<String> =
            words(&self.postfix.value("smtpd_restriction_classes")).map(str::to_owned).collect();
        let classes_setting = self.take("smtpd_restriction_classes");
        for class in &classes {
            let key = format!("restrictions.classes.{class}");
            self.restriction_list(class, List::Recipient, &key, &classes, knowledge);
        }
        if let Some(setting) = classes_setting.filter(|_| classes.is_empty()) {
            let origin = setting.origin;
            self.postfix.note(format!("{origin}: smtpd_restriction_classes names no class"));
        }
        for (parameter, which, key) in LISTS {
            self.restriction_list(parameter, which, key, &classes, knowledge);
        }
    }

    fn restriction_list(
        &mut self,
        parameter: &str,
        which: List,
        key: &str,
        classes: &[String],
        knowledge: &Knowledge,
    ) {
        let setting = self.take(parameter);
        let text = self.postfix.value(parameter);
        let quiet = setting.is_none() && matches!(which, List::Data | List::Etrn | List::Client);
        if quiet {
            return;
        }
        let mut comments = vec![match &setting {
            Some(setting) => comment(parameter, setting),
            None if text.is_empty() => {
                format!("{parameter} is not set, and empty in Postfix; prescreen would check more")
            }
            None => format!("{parameter} is not set; Postfix's default is {}", shortened(&text)),
        }];
        let in_class = key.starts_with("restrictions.classes.");
        let mut reader = Reader { words: words(&text).peekable(), which, in_class, classes, knowledge };
        let mut items = Vec::new();
        let mut only_warn = false;
        while let Some(word) = reader.words.next() {
            if word.eq_ignore_ascii_case("warn_if_reject") {
                only_warn = true;
                continue;
            }
            let prefix = if std::mem::take(&mut only_warn) { "warn_if_reject " } else { "" };
            match self.restriction(&mut reader, word) {
                Ok(restrictions) => {
                    items.extend(restrictions.into_iter().map(|item| format!("{prefix}{item}")));
                }
                Err(LeftOut { what, why }) => comments.push(format!("left out: {what} ({why})")),
            }
        }
        if in_class && items.is_empty() {
            // Lists and tables may name the class, so it must go on to exist; this says nothing.
            comments.push("nothing is left of it".to_owned());
            items.push("sleep 0".to_owned());
        }
        self.write(key, list(items), comments);
    }

    /// What `word` and its argument become.
    fn restriction(&mut self, reader: &mut Reader<'_>, word: &str) -> Result<Vec<String>, LeftOut> {
        match word.to_ascii_lowercase().as_str() {
            "reject_maps_rbl" => return self.reject_maps_rbl(),
            "check_relay_domains" => {
                self.report.renamed.push("check_relay_domains is reject_unauth_destination".to_owned());
                return self.restriction(reader, "reject_unauth_destination");
            }
            "permit_sasl_authenticated" | "permit_tls_clientcerts" | "permit_tls_all_clientcerts" => {
                return Err(LeftOut::new(
                    word,
                    "clients log in at the backend, and nobody has when prescreen judges",
                ));
            }
            _ => {}
        }
        if word.contains(':') {
            let verb = reader.which.default_verb().map_or("check_recipient_access", Verb::name);
            if reader.in_class {
                let what =
                    format!("{word} in a class means what the list around it is about; {verb} is written");
                self.report.attention.push(what);
            }
            let table = self.table(word).map_err(|why| self.left_out(verb, word, &why))?;
            return Ok(vec![format!("{verb} {table}")]);
        }
        let Some(verb) = Verb::find(word) else {
            if reader.classes.iter().any(|class| class == word) {
                return Ok(vec![word.to_owned()]);
            }
            return Err(self.left_out(word, "", "no restriction that is known, and no class"));
        };
        if let Some(advice) = verb.advice() {
            let argument = reader.words.next_if(|next| next.contains(':')).unwrap_or_default();
            return Err(self.left_out(verb.name(), argument, advice));
        }
        if !verb.name().eq_ignore_ascii_case(word) {
            self.report.renamed.push(format!("{word} is {}", verb.name()));
        }
        let argument = match verb.argument() {
            Argument::None => "",
            _ => reader.words.next().unwrap_or_default(),
        };
        if verb.argument() != Argument::None && argument.is_empty() {
            return Err(self.left_out(verb.name(), "", "what it needs behind it is missing"));
        }
        match (verb.needs(), reader.knowledge) {
            (Needs::Domains | Needs::Recipients, Knowledge { domains_unknown: Some(why), .. }) => {
                return Err(LeftOut::new(&format!("{} {argument}", verb.name()), why));
            }
            (Needs::Recipients, Knowledge { recipients: false, .. }) => {
                return Err(LeftOut::new(
                    verb.name(),
                    "the backend knows the recipients, and its refusal is passed on",
                ));
            }
            _ => {}
        }
        let argument = match verb.argument() {
            Argument::None => return Ok(vec![verb.name().to_owned()]),
            Argument::Table => {
                self.table(argument).map_err(|why| self.left_out(verb.name(), argument, &why))?
            }
            Argument::DnsList => self.dns_list(verb.name(), argument)?,
            Argument::Service => {
                self.service(argument).map_err(|why| self.left_out(verb.name(), argument, &why))?
            }
            Argument::Seconds => argument.to_owned(),
        };
        Ok(vec![format!("{} {argument}", verb.name())])
    }

    /// One `reject_rbl_client` for each of `maps_rbl_domains`.
    fn reject_maps_rbl(&mut self) -> Result<Vec<String>, LeftOut> {
        self.take("maps_rbl_domains");
        self.report.renamed.push("reject_maps_rbl and maps_rbl_domains are reject_rbl_client".to_owned());
        let domains = self.postfix.value("maps_rbl_domains");
        let living: Vec<_> = words(&domains)
            .filter_map(|domain| self.dns_list("reject_rbl_client", domain).ok())
            .map(|domain| format!("reject_rbl_client {domain}"))
            .collect();
        if living.is_empty() {
            return Err(LeftOut::new("reject_maps_rbl", "no list of maps_rbl_domains is alive"));
        }
        Ok(living)
    }

    /// Notes a restriction that will be missed.
    fn left_out(&mut self, verb: &str, argument: &str, why: &str) -> LeftOut {
        let left = LeftOut::new(format!("{verb} {argument}").trim(), why);
        self.report.attention.push(format!("{} is left out: {why}", left.what));
        left
    }

    /// A DNS list, unless it is dead.
    pub(super) fn dns_list(&mut self, verb: &str, argument: &str) -> Result<String, LeftOut> {
        let domain = argument.split(['=', '*']).next().unwrap_or_default();
        if let Some(fate) = dead_lists::fate(domain) {
            self.report.dead_lists.push(format!("{domain}: {fate}"));
            return Err(LeftOut::new(&format!("{verb} {argument}"), fate));
        }
        if let Some(condition) = dead_lists::condition(domain) {
            self.report.traps.push(format!("{domain} {condition}"));
        }
        Ok(argument.to_owned())
    }

    /// `type:table` as we read it, or why we cannot.
    pub(super) fn table(&mut self, spec: &str) -> Result<String, String> {
        let spec = spec.strip_prefix("proxy:").unwrap_or(spec);
        let Some((kind, name)) = spec.split_once(':') else {
            return Err(format!(
                "`{spec}` is no table: a type and a name are wanted, such as cidr:/etc/postfix/clients"
            ));
        };
        match kind {
            "inline" | "static" | "fail" => Ok(spec.to_owned()),
            _ if FILE_TABLES.contains(&kind) || kind == "pcre" => {
                if name.starts_with('{') {
                    return Ok(spec.to_owned());
                }
                Ok(format!("{kind}:{}", self.file(name)))
            }
            "mysql" | "pgsql" | "sqlite" | "ldap" | "mongodb" | "memcache" | "nis" | "nisplus"
            | "netinfo" => Err(format!(
                "{kind}: tables ask a database, which prescreen never waits for; write its content to a file"
            )),
            "tcp" | "socketmap" => {
                Err(format!("{kind}: tables ask a server; check_policy_service is the way to do that here"))
            }
            _ => Err(format!("{kind}: tables are Postfix's alone")),
        }
    }

    /// Whether `spec` is among Postfix's alias files, aliases(5), which we cannot read.
    pub(super) fn is_alias_file(&self, spec: &str) -> bool {
        let file = |spec: &str| {
            let (kind, file) = spec.strip_prefix("proxy:").unwrap_or(spec).split_once(':')?;
            INDEXED.contains(&kind).then(|| file.to_owned())
        };
        let Some(wanted) = file(spec) else { return false };
        ["alias_maps", "alias_database"].iter().any(|parameter| {
            words(&self.postfix.value(parameter)).any(|spec| file(spec).as_ref() == Some(&wanted))
        })
    }

    /// A file's name; of a configuration that was copied from elsewhere, the copy's.
    pub(super) fn file(&self, name: &str) -> String {
        let path = Path::new(name);
        let inside = path.strip_prefix("/etc/postfix").ok().or_else(|| path.file_name().map(Path::new));
        let copy = inside.and_then(|inside| std::path::absolute(self.postfix.folder().join(inside)).ok());
        match copy {
            Some(copy) if !path.exists() && copy.exists() => copy.display().to_string(),
            _ => name.to_owned(),
        }
    }

    /// A policy service; Postfix's relative socket names begin in its queue directory. What stands in `private` there
    /// opens for Postfix's own user alone: asked by anybody else, it would defer every recipient.
    fn service(&self, argument: &str) -> Result<String, String> {
        let inner = unbrace(argument).unwrap_or(argument);
        let queue = self.postfix.value("queue_directory");
        let absolute = |word: &str| match word.strip_prefix("unix:") {
            Some(path) if !path.starts_with('/') => format!("unix:{queue}/{path}"),
            _ => word.to_owned(),
        };
        let words: Vec<_> = words(inner).map(absolute).collect();
        let private = format!("unix:{queue}/private/");
        if words.iter().any(|word| word.starts_with(&private)) {
            return Err(format!(
                "only Postfix may open what is in {queue}/private, and goes on asking it. To have it asked here, too, \
                 give it a port in master.cf, such as `127.0.0.1:10045 inet n n n - 0 spawn` for `unix … spawn`, and \
                 write check_policy_service inet:127.0.0.1:10045"
            ));
        }
        Ok(if argument.starts_with('{') { format!("{{ {} }}", words.join(", ")) } else { words.join(" ") })
    }
}

/// A list as it is read.
struct Reader<'a> {
    words: Peekable<Words<'a>>,
    which: List,
    in_class: bool,
    classes: &'a [String],
    knowledge: &'a Knowledge,
}

/// A restriction that is not taken over.
pub(super) struct LeftOut {
    pub(super) what: String,
    pub(super) why: String,
}

impl LeftOut {
    fn new(what: &str, why: &str) -> Self {
        Self { what: what.trim().to_owned(), why: why.to_owned() }
    }
}
