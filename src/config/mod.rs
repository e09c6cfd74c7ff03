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

pub use example::example;
pub use layers::{Override, variable};
pub use listen::{Listener, ProxyProtocol};
pub use problem::{Place, Problem, Warning};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::report::log;
use crate::screen::{self, dnsbl};
use crate::table::{Live, MatchList};
use crate::{allowlist, dialogue, dns, handoff, limits, metrics, policy, rate, relay, tls};

/// Everything that can be set, with its defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that relative file names are taken from: the configuration file's.
    pub base: PathBuf,
    /// The name in greetings and replies. Default: the system's host name.
    pub hostname: String,
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
    /// Forwarding.
    pub relay: relay::Settings,
    /// Where monitoring asks.
    pub metrics: metrics::Settings,
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
        let (mut assignments, mut problems, base) = match source {
            Source::Defaults => (Vec::new(), Vec::new(), PathBuf::new()),
            Source::File(path) => {
                let file = path.display().to_string();
                let text = text_of(path, &file).map_err(|problem| vec![problem])?;
                let (assignments, problems) = file::read(&text, &file, &names);
                (assignments, problems, path.parent().map(Path::to_path_buf).unwrap_or_default())
            }
            Source::Text { name, text, base } => {
                let (assignments, problems) = file::read(text, name, &names);
                (assignments, problems, base.clone())
            }
        };
        let (set, wrong, mut warnings) = layers::environment(environment, &names.variables());
        assignments.extend(set);
        problems.extend(wrong);
        assignments.extend(layers::command_line(overrides));

        let mut config = Self { base, ..Self::default() };
        let (origins, wrong) = apply::apply(&mut config, assignments, &names);
        problems.extend(wrong);
        config.settle();
        problems.extend(lists::load(&mut config, &origins));
        for found in [parts::check(&config, &origins, &names), check::check(&config, &origins)] {
            problems.extend(found.problems);
            warnings.extend(found.warnings);
        }
        if problems.is_empty() { Ok((config, warnings)) } else { Err(problems) }
    }

    /// Fills in what follows from other keys or from the system.
    fn settle(&mut self) {
        if self.hostname.is_empty() {
            self.hostname = system_hostname();
        }
        self.dialogue.hostname.clone_from(&self.hostname);
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
        for file in files.chain(self.allowlist.path.as_mut()) {
            *file = base.join(&*file);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base: PathBuf::new(),
            hostname: String::new(),
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
            relay: relay::Settings::default(),
            metrics: metrics::Settings::default(),
            log: log::Settings::default(),
        }
    }
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
mod tests {
    use super::*;

    fn load(text: &str) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
        load_with(text, &[], &[])
    }

    fn load_with(
        text: &str,
        overrides: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
        let source = Source::Text { name: "p.toml".to_owned(), text: text.to_owned(), base: PathBuf::new() };
        let overrides: Vec<Override> = overrides.iter().map(|set| set.parse().unwrap()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&source, &overrides, environment)
    }

    fn problems(text: &str) -> Vec<String> {
        load(text).unwrap_err().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn the_last_of_default_file_environment_and_command_line_wins() {
        let file = "[limits]\npre_queue_limit = 50";
        let environment = [("PRESCREEN_LIMITS_PRE_QUEUE_LIMIT", "60")];
        let limit = |loaded: Result<(Config, _), _>| loaded.unwrap().0.limits.pre_queue_limit;
        assert_eq!(limit(load("")), 10_000);
        assert_eq!(limit(load(file)), 50);
        assert_eq!(limit(load_with(file, &[], &environment)), 60);
        assert_eq!(limit(load_with(file, &["limits.pre_queue_limit=70"], &environment)), 70);
    }

    #[test]
    fn every_error_is_named_at_once_with_its_line() {
        let text = "hostnam = \"mx\"\n[limits]\npre_queue_limit = 5\ncommand_time_limit = \"6 parsecs\"\n\n[listne]\na = 1\n";
        assert_eq!(
            problems(text),
            [
                "p.toml:1: hostnam: no such key; did you mean hostname?",
                "p.toml:6: listne: no such key; did you mean listen?",
                "p.toml:4: limits.command_time_limit = \"6 parsecs\": not a time; write a number with s, m, h, d or w, such as 6s",
                "p.toml:3: limits.pre_queue_limit = 5: out of range; write a number from 10",
            ]
        );
    }

    #[test]
    fn syntax_errors_do_not_hide_each_other() {
        let found = problems(
            "hostname = \n[limits]\npre_queue_limit = 50\npre_queue_limit = 60\ndrain_time_limit = [",
        );
        assert!(found.iter().any(|problem| problem.starts_with("p.toml:1: ")), "{found:?}");
        assert!(found.contains(&"p.toml:4: given twice; remove one".to_owned()), "{found:?}");
        assert!(found.iter().any(|problem| problem.starts_with("p.toml:5: ")), "{found:?}");
    }

    #[test]
    fn a_wrong_type_is_explained() {
        assert_eq!(
            problems("hostname = [\"a\"]\nlimits = 5\nlisten = 25"),
            [
                "p.toml:2: limits = 5: a section, not a key; write [limits] and its keys below",
                "p.toml:3: listen = 25: a list of sections; write [[listen]] for each",
                "p.toml:1: hostname = [\"a\"]: a list; write one value, without brackets",
            ]
        );
    }

    #[test]
    fn listeners_come_as_sections_as_a_list_and_from_outside() {
        let sections = "[[listen]]\naddress = \"127.0.0.1:25\"\n[[listen]]\naddress = \"[::1]:25\"\nproxy_protocol = \"required\"\ntrusted = \"10.0.0.0/8\"";
        let (config, _) = load(sections).unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.listen[1].proxy_protocol, ProxyProtocol::Required);
        let (config, _) = load("listen = [\"127.0.0.1:25\", \"[::1]:25\"]").unwrap();
        assert_eq!(config.listen[1].address.to_string(), "[::1]:25");
        let (config, _) = load_with(sections, &["listen=127.0.0.1:2525"], &[]).unwrap();
        assert_eq!(config.listen.len(), 1);
        let environment =
            [("PRESCREEN_LISTEN_0_ADDRESS", "127.0.0.2:25"), ("PRESCREEN_LISTEN_PROXY_TIMEOUT", "9")];
        let (config, _) = load_with(sections, &[], &environment).unwrap();
        assert_eq!(config.listen[0].address.to_string(), "127.0.0.2:25");
        assert!(config.listen.iter().all(|listener| listener.proxy_timeout.as_secs() == 9));
    }

    #[test]
    fn a_listener_that_could_not_work_is_refused() {
        let text = "[[listen]]\naddress = \"0.0.0.0:25\"\n[[listen]]\naddress = \"127.0.0.1:25\"\nproxy_protocol = \"required\"\ntrusted = \"0.0.0.0/0\"";
        assert_eq!(
            problems(text),
            [
                "p.toml:4: listen.1.address = \"127.0.0.1:25\": overlaps 0.0.0.0:25 of listen.0; keep one of the two",
                "p.toml:6: listen.1.trusted = \"0.0.0.0/0\": lets the whole Internet name any address as its own; name the proxies' networks",
            ]
        );
    }

    #[test]
    fn secrets_come_from_files_and_foreign_variables_are_only_warned_about() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("name");
        fs::write(&secret, "mx.example.org\n").unwrap();
        let environment = [
            ("PRESCREEN_HOSTNAME_FILE", secret.to_str().unwrap()),
            ("PRESCREEN_PORT_25_TCP_ADDR", "10.0.0.1"),
            ("PRESCREEN_LIMITS_PREQUEUE_LIMIT", "60"),
            ("HOME", "/root"),
        ];
        let (config, warnings) = load_with("", &[], &environment).unwrap();
        assert_eq!(config.hostname, "mx.example.org");
        let warnings: Vec<_> = warnings.iter().map(Warning::to_string).collect();
        assert_eq!(
            warnings,
            [
                "environment PRESCREEN_LIMITS_PREQUEUE_LIMIT: names no key and is ignored; did you mean PRESCREEN_LIMITS_PRE_QUEUE_LIMIT?"
            ]
        );
        let missing = load_with("", &[], &[("PRESCREEN_HOSTNAME_FILE", "/nonexistent")]).unwrap_err();
        assert!(missing[0].to_string().contains("cannot read the file /nonexistent"));
    }

    #[test]
    fn the_example_is_the_commented_default() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prescreen.toml");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, example()).unwrap();
        }
        assert_eq!(fs::read_to_string(file).unwrap(), example(), "UPDATE=1 cargo test writes it anew");
    }

    #[test]
    fn the_example_loads_with_and_without_its_comment_signs() {
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(key) if !key.starts_with([' ', '#']) => key.to_owned(),
            _ if line == "# [[listen]]" => "[[listen]]".to_owned(),
            _ => line.to_owned(),
        };
        let all: Vec<_> = example().lines().map(uncommented).collect();
        let strip = |config: Config| format!("{config:?}");
        let commented = strip(load(&example()).unwrap().0);
        assert_eq!(commented, strip(load("").unwrap().0));
        assert_eq!(commented, strip(load(&all.join("\n")).unwrap().0));
    }
}
