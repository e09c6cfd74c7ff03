//! From settings to a policy: reads every list, loads every table, and says everything that could not work.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::dns::Resolver;
use crate::spelling::nearest;
use crate::table::{Keys, Live, LoadError, MatchList, ParentDomains, Refresh, Sources, Table, words};

use super::answered::{Vocabulary, unfit};
use super::destination::Class;
use super::fitness;
use super::judgement::List;
use super::list::{self, Surroundings};
use super::probes::Probes;
use super::restriction::{Entry, Restriction};
use super::service::Service;
use super::settings::{Recipients, Settings};
use super::template::Template;
use super::unlisted::{RecipientTables, Tables};
use super::verbs::{Times, Verb};
use super::{Implied, OurDomains, Policy, Problem, Reach};

impl Policy {
    /// Reads every list and loads every table it names; relative file names are taken from `base`.
    ///
    /// Waits for the disk: call it off the network path. All problems are told at once; a `Policy` that exists can
    /// judge.
    pub fn new(settings: Settings, resolver: Resolver, base: &Path) -> Result<Self, Vec<Problem>> {
        let mut loader = Loader::new(&settings, base);
        let classes = loader.load_classes();
        let lists = List::ALL.map(|list| {
            let text = settings.list(list);
            loader.parse(list.as_str(), text, list.default_verb())
        });
        let mynetworks = loader.match_list("mynetworks", &settings.mynetworks, loader.parents("mynetworks"));
        let domains = loader.domains();
        let recipients = loader.recipients(&settings.recipients);
        let rbl_reply_maps = loader.tables("rbl_reply_maps", &settings.rbl_reply_maps, Kind::Templates);
        let default_rbl_reply = loader.template();
        loader.parent_names();
        let parents_in_tables = loader.parents("smtpd_access_maps");

        let Loader { mut problems, files, vocabulary, services, warnings, .. } = loader;
        problems.extend(fitness::of_default_actions(&settings, services.values()));
        problems.extend(fitness::of_classes(&vocabulary.classes, &classes));
        problems.extend(fitness::of_uses(&settings, &lists, &classes));
        let (Some(mynetworks), Some(domains), Some(default_rbl_reply)) =
            (mynetworks, domains, default_rbl_reply)
        else {
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            times: if settings.delay_reject { Times::Delayed } else { Times::AtOnce },
            lists,
            classes,
            vocabulary,
            mynetworks,
            domains,
            recipients,
            parents_in_tables,
            rbl_reply_maps,
            default_rbl_reply,
            implied: Implied::default(),
            probes: Probes::new(settings.verification.clone()),
            reach: Reach::default(),
            resolver,
            files,
            warnings,
            settings,
        })
    }
}

/// What the values of a table are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// access(5) actions.
    Actions,
    /// Reply templates.
    Templates,
    /// Of no interest.
    Keys,
}

/// What Postfix's `parent_domain_matches_subdomains` may name. Those that mean nothing here stand in many a main.cf.
const HAVE_PARENTS: [&str; 13] = [
    "debug_peer_list",
    "fast_flush_domains",
    "mynetworks",
    "permit_mx_backup_networks",
    "postscreen_access_list",
    "qmqpd_authorized_clients",
    "relay_domains",
    "smtpd_access_maps",
    "smtpd_authorized_verp_clients",
    "smtpd_authorized_xclient_hosts",
    "smtpd_authorized_xforward_hosts",
    "smtpd_client_event_limit_exceptions",
    "smtpd_sasl_exceptions_networks",
];

struct Loader<'s> {
    settings: &'s Settings,
    base: &'s Path,
    /// What tables may answer.
    vocabulary: Vocabulary,
    /// Every table once, however often it is named.
    access: HashMap<String, Result<Arc<Live<Table>>, Vec<String>>>,
    files: Vec<Arc<dyn Refresh>>,
    services: HashMap<String, Arc<Service>>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'s> Loader<'s> {
    fn new(settings: &'s Settings, base: &'s Path) -> Self {
        let classes = settings.classes.keys().cloned().zip(0..).collect();
        let vocabulary = Vocabulary { classes, unmet: fitness::unmet_words(settings) };
        Self {
            settings,
            base,
            vocabulary,
            access: HashMap::new(),
            files: Vec::new(),
            services: HashMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn problem(&mut self, key: &str, what: impl Into<String>) {
        self.problems.push(Problem { key: key.to_owned(), what: what.into() });
    }

    /// What a table is warned of while `load` loads it, is said of the key that names it.
    fn about<T>(&mut self, key: &str, load: impl FnOnce(&mut Self) -> T) -> T {
        let told = self.warnings.len();
        let loaded = load(self);
        for warning in self.warnings.iter_mut().skip(told) {
            *warning = format!("{key}: {warning}");
        }
        loaded
    }

    fn load_classes(&mut self) -> Vec<Vec<Entry>> {
        let settings = self.settings;
        let mut classes = Vec::new();
        for (name, text) in &settings.classes {
            let key = format!("classes.{name}");
            if Verb::find(name).is_some() {
                self.problem(&key, format!("`{name}` is a restriction already: give the class another name"));
            }
            if text.trim().is_empty() {
                self.problem(&key, "the class is empty: list what it stands for, or `permit`");
            }
            // Which list a class stands in is not known here, nor then what a bare table would be.
            classes.push(self.parse(&key, text, None));
        }
        classes
    }

    fn parse(&mut self, key: &str, text: &str, bare: Option<&'static Verb>) -> Vec<Entry> {
        let entries = match self.about(key, |loader| list::parse(text, bare, loader)) {
            Ok(entries) => entries,
            Err(errors) => {
                for error in errors {
                    self.problem(key, error.to_string());
                }
                return Vec::new();
            }
        };
        self.warn_of_what_is_never_asked(key, &entries);
        entries
    }

    fn warn_of_what_is_never_asked(&mut self, key: &str, entries: &[Entry]) {
        let mut only_warns = false;
        for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
            let ends = match entry.restriction {
                Restriction::Permit => true,
                Restriction::Reject | Restriction::Defer => !only_warns,
                _ => false,
            };
            if ends {
                self.warnings.push(format!(
                    "{key}: `{}` is never asked, because it stands behind `{}`",
                    next.text, entry.text
                ));
            }
            only_warns = matches!(entry.restriction, Restriction::WarnIfReject);
        }
    }

    fn match_list(&mut self, key: &str, text: &str, parents: ParentDomains) -> Option<Arc<Live<MatchList>>> {
        let (owned, base) = (text.to_owned(), self.base.to_owned());
        match Live::new(move || MatchList::load(&owned, &base, parents)) {
            Ok(list) => {
                self.warnings.extend(list.current().warnings().iter().map(|it| format!("{key}: {it}")));
                Some(self.keep(Arc::new(list)))
            }
            Err(errors) => {
                for error in errors {
                    self.problem(key, error.to_string());
                }
                None
            }
        }
    }

    /// Remembers what follows files, so that it can be told to look at them again.
    fn keep<T: Sources + Send + Sync + 'static>(&mut self, live: Arc<Live<T>>) -> Arc<Live<T>> {
        self.files.push(Arc::clone(&live) as Arc<dyn Refresh>);
        live
    }

    fn domains(&mut self) -> Option<OurDomains> {
        let domains = &self.settings.domains;
        let relay = self.parents("relay_domains");
        let lists = [
            (Class::Local, "domains.local", &domains.local, ParentDomains::Exact),
            (Class::VirtualAlias, "domains.virtual_alias", &domains.virtual_alias, ParentDomains::Exact),
            (
                Class::VirtualMailbox,
                "domains.virtual_mailbox",
                &domains.virtual_mailbox,
                ParentDomains::Exact,
            ),
            (Class::Relay, "domains.relay", &domains.relay, relay),
        ];
        let classes = lists.map(|(class, key, text, parents)| (class, self.match_list(key, text, parents)));
        let classes =
            classes.into_iter().map(|(class, list)| Some((class, list?))).collect::<Option<Vec<_>>>()?;
        Some(OurDomains { any: domains.any(), classes })
    }

    /// Whether `parameter` lets `example.com` mean what is below it too.
    fn parents(&self, parameter: &str) -> ParentDomains {
        let is_named = words(&self.settings.parent_domain_matches_subdomains).any(|word| word == parameter);
        if is_named { ParentDomains::Match } else { ParentDomains::DotOnly }
    }

    /// A misspelt name would leave out the one that was meant.
    fn parent_names(&mut self) {
        const KEY: &str = "parent_domain_matches_subdomains";
        for name in words(&self.settings.parent_domain_matches_subdomains) {
            if !HAVE_PARENTS.contains(&name) {
                let meant = nearest(name, HAVE_PARENTS).map(|near| format!("; did you mean `{near}`?"));
                let what = format!("`{name}` is no name of a list{}", meant.unwrap_or_default());
                self.problem(KEY, what);
            }
        }
    }

    fn recipients(&mut self, from: &Recipients) -> RecipientTables {
        let mut tables = |key: &str, text: &str| self.tables(key, text, Kind::Keys);
        RecipientTables {
            local: tables("recipients.local_recipient_maps", &from.local_recipient_maps),
            relay: tables("recipients.relay_recipient_maps", &from.relay_recipient_maps),
            virtual_mailbox: tables("recipients.virtual_mailbox_maps", &from.virtual_mailbox_maps),
            virtual_alias: tables("recipients.virtual_alias_maps", &from.virtual_alias_maps),
            canonical: tables("recipients.canonical_maps", &from.canonical_maps),
            recipient_canonical: tables(
                "recipients.recipient_canonical_maps",
                &from.recipient_canonical_maps,
            ),
            sender_canonical: tables("recipients.sender_canonical_maps", &from.sender_canonical_maps),
        }
    }

    fn tables(&mut self, key: &str, text: &str, kind: Kind) -> Tables {
        let mut tables = Tables::new();
        for spec in words(text) {
            match self.about(key, |loader| loader.live(spec, kind)) {
                Ok(table) => tables.push(table),
                Err(errors) => {
                    for error in errors {
                        self.problem(key, error);
                    }
                }
            }
        }
        tables
    }

    /// A table whose values are checked now, and whenever it is read again.
    fn live(&mut self, spec: &str, kind: Kind) -> Result<Arc<Live<Table>>, Vec<String>> {
        let (owned, base) = (spec.to_owned(), self.base.to_owned());
        let vocabulary = self.vocabulary.clone();
        let load = move || {
            let table = Table::load(&owned, &base)?;
            let errors = faults(&table, kind, &vocabulary);
            if errors.is_empty() { Ok(table) } else { Err(errors) }
        };
        match Live::new(load) {
            Ok(live) => {
                let live = self.keep(Arc::new(live));
                self.warnings.extend(live.current().warnings().iter().map(ToString::to_string));
                Ok(live)
            }
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    fn template(&mut self) -> Option<Template> {
        match self.settings.default_rbl_reply.parse() {
            Ok(template) => Some(template),
            Err(why) => {
                let why: String = why;
                self.problem("default_rbl_reply", why);
                None
            }
        }
    }
}

impl Surroundings for Loader<'_> {
    fn class(&self, name: &str) -> Option<usize> {
        self.vocabulary.classes.get(name).copied()
    }

    fn classes(&self) -> Vec<&str> {
        self.vocabulary.classes.keys().map(String::as_str).collect()
    }

    fn table(&mut self, spec: &str) -> Result<Arc<Live<Table>>, Vec<String>> {
        if let Some(known) = self.access.get(spec) {
            // What is wrong with it has been told.
            return known.clone().map_err(|_| Vec::new());
        }
        let table = self.live(spec, Kind::Actions);
        self.access.insert(spec.to_owned(), table.clone());
        table
    }

    fn service(&mut self, text: &str) -> Result<Arc<Service>, String> {
        if let Some(known) = self.services.get(text) {
            return Ok(Arc::clone(known));
        }
        let service = Arc::new(Service::parse(text, &self.settings.policy_service, self.base)?);
        self.services.insert(text.to_owned(), Arc::clone(&service));
        Ok(service)
    }
}

/// What is wrong with the values of `table`.
fn faults(table: &Table, kind: Kind, vocabulary: &Vocabulary) -> Vec<LoadError> {
    let file = table
        .files()
        .first()
        .map_or_else(|| table.name().to_owned(), |file| file.path().display().to_string());
    let is_dynamic = |value: &str| table.keys() == Keys::Pattern && value.contains('$');
    let fault = |value: &str| match kind {
        Kind::Keys => None,
        Kind::Templates => value.parse::<Template>().err(),
        // Whether a pattern's groups make a good action is seen when they are put in.
        Kind::Actions if is_dynamic(value) => None,
        Kind::Actions => unfit(value, vocabulary),
    };
    let values = table.values();
    let wrong = values.iter().filter_map(|value| Some((value.line, fault(value.text)?)));
    wrong.map(|(line, what)| LoadError::Line { file: file.clone(), line, what }).collect()
}
