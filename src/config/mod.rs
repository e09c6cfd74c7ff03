//! The configuration: one TOML file, the environment and the command line over it, into the settings of every module.
//!
//! ```text
//! defaults  <  prescreen.toml  <  PRESCREEN_SECTION_KEY=…  <  --set section.key=…
//! ```
//!
//! Each module owns its `Settings` and the grammar of its values; this one only fills them, from one [table of
//! keys](keys) that everything else derives from. It names every error at once, each with file, line, key, value and
//! what would be right, and it refuses rather than guesses: unknown keys, junk behind a number, networks with host
//! bits. Loading happens off the network path; a configuration never changes once loaded.

mod admin;
mod apply;
mod check;
mod example;
mod file;
mod grammar;
mod keys;
mod layers;
mod listen;
mod lists;
mod parts;
pub mod postfix;
mod problem;
mod raw;
mod slot;

pub use admin::Admin;
pub use example::{example, reference};
pub use layers::{Override, variable};
pub use listen::{Listener, ProxyProtocol};
pub use problem::{Place, Problem, Warning};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::report::log;
use crate::screen::{self, dnsbl};
use crate::table::{Live, MatchList, Refresh};
use crate::{allowlist, dialogue, dns, handoff, limits, metrics, policy, rate, relay, tls};

/// Everything that can be set, with its defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that relative file names are taken from: the configuration file's.
    pub base: PathBuf,
    /// The name in greetings and replies. Default: the system's host name.
    pub hostname: String,
    /// Whether refusals are told to clients, or only to whoever runs this.
    pub mode: screen::Mode,
    /// Trusted clients, as written. Default: nobody.
    pub mynetworks: String,
    /// The same, loaded.
    pub networks: Arc<Live<MatchList>>,
    /// Where clients come in. Default: port 25 on all IPv4 addresses.
    pub listen: Vec<Listener>,
    /// Where clean connections go.
    pub backend: handoff::Settings,
    /// Whom to ask for names.
    pub dns: dns::Settings,
    /// The tests.
    pub screen: screen::Settings,
    /// DNS lists.
    pub dnsbl: dnsbl::Settings,
    /// How prescreen talks, and which errors end a session.
    pub dialogue: dialogue::Settings,
    /// What becomes of AUTH.
    pub auth: dialogue::Auth,
    /// Restriction lists, and what they refer to.
    pub policy: policy::Settings,
    /// How much at once.
    pub limits: limits::Settings,
    /// How much of one client.
    pub rate: rate::Settings,
    /// Clients that `rate` does not count, as written. Default: `mynetworks`.
    pub client_event_limit_exceptions: Option<String>,
    /// Who has passed the tests.
    pub allowlist: allowlist::Settings,
    /// STARTTLS with the client.
    pub tls: tls::Settings,
    /// Clients that must use it, as written. Default: nobody.
    pub tls_required: String,
    /// The same, loaded.
    pub tls_required_list: Arc<Live<MatchList>>,
    /// Forwarding.
    pub relay: relay::Settings,
    /// Where monitoring asks.
    pub metrics: metrics::Settings,
    /// Where operators ask.
    pub admin: Admin,
    /// What is logged, and how it looks.
    pub log: log::Settings,
}

/// Where the configuration is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: defaults, environment and overrides alone.
    Defaults,
    /// A file.
    File(PathBuf),
    /// A text, as read from standard input.
    Text {
        /// What errors call it.
        name: String,
        /// TOML.
        text: String,
        /// The folder that relative file names are taken from.
        base: PathBuf,
    },
}

impl Config {
    /// Reads and checks everything, or says all that is wrong with it.
    ///
    /// `environment` may hold foreign variables; [`std::env::vars`] will do where all are UTF-8.
    pub fn load(
        source: &Source,
        overrides: &[Override],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        let names = apply::Names::new();
        let Read { mut config, origins, mut problems, mut warnings } =
            read(source, overrides, environment, &names).map_err(|problem| vec![problem])?;
        problems.extend(lists::load(&mut config, &origins));
        for found in [parts::check(&config, &origins, &names), check::check(&config, &origins)] {
            problems.extend(found.problems);
            warnings.extend(found.warnings);
        }
        // People read a file from top to bottom.
        problems.sort_by_key(|problem| problem.place.order());
        warnings.sort_by_key(|warning| warning.0.place.order());
        if problems.is_empty() { Ok((config, warnings)) } else { Err(problems) }
    }

    /// The lists that several modules share, and the tables of the dialogue; they follow their files, once somebody
    /// refreshes them.
    pub fn files(&self) -> Vec<Arc<dyn Refresh>> {
        let lists: [Arc<dyn Refresh>; 3] =
            [self.networks.clone(), self.rate.event_limit_exceptions.clone(), self.tls_required_list.clone()];
        lists.into_iter().chain(self.dialogue.tables.files()).collect()
    }

    /// Reads the keys alone: no file that they name, and nothing that is wrong with them; what is wrong keeps its
    /// default. For who wants to know where a running server listens, whatever became of its file since.
    pub fn glance(
        source: &Source,
        overrides: &[Override],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problem> {
        read(source, overrides, environment, &apply::Names::new()).map(|read| read.config)
    }

    /// Fills in what follows from other keys or from the system.
    fn settle(&mut self) {
        if self.hostname.is_empty() {
            self.hostname = system_hostname();
        }
        self.dialogue.hostname.clone_from(&self.hostname);
        (self.screen.mode, self.dialogue.mode) = (self.mode, self.mode);
        self.policy.hostname.clone_from(&self.hostname);
        self.policy.mynetworks.clone_from(&self.mynetworks);
        if self.dialogue.banner.is_empty() {
            self.dialogue.banner = format!("{} ESMTP", self.hostname);
        }
        let deep = self.screen.deep_tests().map(|(_, test)| test.ttl);
        let ttls = [self.screen.greet_ttl, self.dnsbl.max_ttl, self.dnsbl.min_ttl];
        self.allowlist.longest_ttl = deep.into_iter().chain(ttls).max().unwrap_or_default();
        let base = &self.base;
        let files = self.tls.certificates.iter_mut().flat_map(|pair| [&mut pair.chain, &mut pair.key]);
        let shared = &mut self.allowlist.shared;
        let allowlist = [&mut self.allowlist.path, &mut shared.password_file, &mut shared.ca_file];
        let own = allowlist.into_iter().chain([&mut self.backend.tls_ca, &mut self.admin.socket]);
        for file in files.chain(own.flatten()) {
            *file = base.join(&*file);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base: PathBuf::new(),
            hostname: String::new(),
            mode: screen::Mode::default(),
            mynetworks: String::new(),
            networks: Arc::new(Live::fixed(MatchList::default())),
            listen: vec![Listener::default()],
            backend: handoff::Settings::default(),
            dns: dns::Settings::default(),
            screen: screen::Settings::default(),
            dnsbl: dnsbl::Settings::default(),
            dialogue: dialogue::Settings {
                hostname: String::new(),
                banner: String::new(),
                ..Default::default()
            },
            auth: dialogue::Auth::default(),
            policy: policy::Settings::default(),
            limits: limits::Settings::default(),
            rate: rate::Settings::default(),
            client_event_limit_exceptions: None,
            allowlist: allowlist::Settings::default(),
            tls: tls::Settings::default(),
            tls_required: String::new(),
            tls_required_list: Arc::new(Live::fixed(MatchList::default())),
            relay: relay::Settings::default(),
            metrics: metrics::Settings::default(),
            admin: Admin::default(),
            log: log::Settings::default(),
        }
    }
}

/// The keys of all layers, read.
struct Read {
    config: Config,
    origins: apply::Origins,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

fn read(
    source: &Source,
    overrides: &[Override],
    environment: impl IntoIterator<Item = (String, String)>,
    names: &apply::Names,
) -> Result<Read, Problem> {
    let (mut assignments, mut problems, base) = match source {
        Source::Defaults => (Vec::new(), Vec::new(), PathBuf::new()),
        Source::File(path) => {
            let file = path.display().to_string();
            let (assignments, problems) = file::read(&text_of(path, &file)?, &file, names);
            (assignments, problems, path.parent().map(Path::to_path_buf).unwrap_or_default())
        }
        Source::Text { name, text, base } => {
            let (assignments, problems) = file::read(text, name, names);
            (assignments, problems, base.clone())
        }
    };
    let (set, wrong, warnings) = layers::environment(environment, &names.variables());
    assignments.extend(set);
    problems.extend(wrong);
    assignments.extend(layers::command_line(overrides));

    let mut config = Config { base, ..Config::default() };
    let (origins, wrong) = apply::apply(&mut config, assignments, names);
    problems.extend(wrong);
    config.settle();
    Ok(Read { config, origins, problems, warnings })
}

fn text_of(path: &Path, file: &str) -> Result<String, Problem> {
    let place = || Place::File(file.into());
    let bytes = fs::read(path).map_err(|error| {
        Problem::at(place(), format!("cannot be read: {error}; create it, or name another with --config"))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count();
        Problem::at(Place::Line(file.into(), line), "not UTF-8; save the file as UTF-8")
    })
}

fn system_hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests;
