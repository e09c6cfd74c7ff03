//! The program under test, as an operator runs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;

use super::daemon::{Daemon, kill};
use super::dns::Dns;
use super::postfix::Postfix;
use super::{PATIENCE, eventually_or, free_address};

/// The program that cargo built.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_prescreen");

/// The configuration file in the folder of a prescreen.
const CONFIG: &str = "prescreen.toml";

/// The allowlist's file in the folder of a prescreen.
const STORE: &str = "allowlist";

/// The admin socket in the folder of a prescreen.
const SOCKET: &str = "admin.sock";

/// Reloads by result.
const RELOADS: &str = "prescreen_config_reloads_total";

/// Connections by outcome.
const CONNECTIONS: &str = "prescreen_connections_total";

/// A configuration, key by key. It starts as what every test needs; the rest is prescreen's own default.
#[derive(Clone)]
pub struct Config {
    keys: BTreeMap<String, String>,
    listener: BTreeMap<String, String>,
    more: Vec<SocketAddr>,
    /// Where prescreen listens for SMTP.
    pub smtp: SocketAddr,
    /// Where it answers `/metrics`, `/healthz` and `/readyz`.
    pub admin: SocketAddr,
}

impl Config {
    /// In front of a Postfix, asking a resolver of ours.
    pub fn before(postfix: &Postfix, dns: &Dns) -> Self {
        Self::before_address(postfix.proxied, dns.address)
    }

    /// In front of whatever listens, or does not, at an address.
    pub fn before_address(backend: SocketAddr, resolver: SocketAddr) -> Self {
        let (smtp, admin) = (free_address(), free_address());
        Self { keys: BTreeMap::new(), listener: BTreeMap::new(), more: Vec::new(), smtp, admin }
            .set("hostname", "'mx.example.org'")
            // Every client of the tests is on loopback, and none of them is a friend.
            .set("mynetworks", "[]")
            .set("backend.servers", &format!("['{backend}']"))
            .set("dns.servers", &format!("['{resolver}']"))
            .set("domains.local", "['example.org']")
            // Refusals are compared word for word; whoever wants the connection's name in them says so.
            .set("smtp.reject_footer", "''")
            // The wait is there, and is waited for; how long it is shows nothing.
            .set("screen.greet_wait", "'300ms'")
            .set("backend.probe_interval", "'1s'")
            .set("backend.rest_time", "'1s'")
            .set("metrics.listen", &format!("'{admin}'"))
            .set("log.format", "'json'")
    }

    /// The same at other addresses, for a second one beside it.
    #[must_use]
    pub fn elsewhere(mut self) -> Self {
        (self.smtp, self.admin) = (free_address(), free_address());
        let admin = self.admin;
        self.set("metrics.listen", &format!("'{admin}'"))
    }

    /// Sets a key, given with dots, to a value written in TOML.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of the listener.
    pub fn listener(mut self, key: &str, value: &str) -> Self {
        self.listener.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Listens at one more address.
    pub fn listens_at(mut self, address: SocketAddr) -> Self {
        self.more.push(address);
        self
    }

    /// And no longer there.
    pub fn listens_no_more_at(mut self, address: SocketAddr) -> Self {
        self.more.retain(|other| *other != address);
        self
    }

    /// The file's text.
    pub fn toml(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.keys {
            writeln!(text, "{key} = {value}").unwrap();
        }
        writeln!(text, "[[listen]]\naddress = '{}'", self.smtp).unwrap();
        for (key, value) in &self.listener {
            writeln!(text, "{key} = {value}").unwrap();
        }
        for address in &self.more {
            writeln!(text, "[[listen]]\naddress = '{address}'").unwrap();
        }
        text
    }

    /// Starts prescreen and waits until it is ready: listening, with a backend that answers.
    #[track_caller]
    pub fn start(self) -> Prescreen {
        let mut prescreen = self.launch();
        prescreen.await_status("/readyz", 200);
        prescreen
    }

    /// Starts prescreen and waits until it is alive, backend or no backend.
    #[track_caller]
    pub fn launch(self) -> Prescreen {
        let home = TempDir::with_prefix("prescreen-").unwrap();
        Prescreen::launch(self, home, &[])
    }

    /// Starts prescreen by way of a wrapper: a command that starts what stands behind it.
    #[track_caller]
    pub fn launch_under(self, wrapper: &[&str]) -> Prescreen {
        let home = TempDir::with_prefix("prescreen-").unwrap();
        Prescreen::launch(self, home, wrapper)
    }

    /// Starts prescreen with a limit on open files.
    #[track_caller]
    pub fn launch_with_files(self, limit: u32) -> Prescreen {
        let home = TempDir::with_prefix("prescreen-").unwrap();
        Prescreen::launch(self, home, &["prlimit", &format!("--nofile={limit}:{limit}")])
    }

    /// Starts prescreen, by way of a wrapper if there is one, and lets it be succeeded by others.
    #[track_caller]
    pub fn start_generations(self, wrapper: &[&str]) -> Prescreen {
        let home = TempDir::with_prefix("prescreen-").unwrap();
        let mut prescreen = Prescreen::launch_by(Daemon::start_generations, self, home, wrapper);
        prescreen.await_status("/readyz", 200);
        prescreen
    }
}

/// A running prescreen. Ends when dropped, or with the test program.
pub struct Prescreen {
    daemon: Daemon,
    config: Config,
    home: TempDir,
    /// Where it listens for SMTP.
    pub smtp: SocketAddr,
    /// Of the process that serves.
    pid: u32,
}

impl Prescreen {
    #[track_caller]
    fn launch(config: Config, home: TempDir, wrapper: &[&str]) -> Self {
        Self::launch_by(Daemon::start, config, home, wrapper)
    }

    #[track_caller]
    fn launch_by(
        start: impl FnOnce(&[&str], &Path) -> Daemon,
        config: Config,
        home: TempDir,
        wrapper: &[&str],
    ) -> Self {
        let file = home.path().join(CONFIG);
        let store = home.path().join(STORE);
        let config = config
            .set("allowlist.path", &format!("'{}'", store.display()))
            .set("admin.socket", &format!("'{}'", home.path().join(SOCKET).display()));
        fs::write(&file, config.toml()).unwrap();
        let mut command = wrapper.to_vec();
        command.extend([PROGRAM, "run", "--config", file.to_str().unwrap()]);
        let daemon = start(&command, &home.path().join("log"));
        let smtp = config.smtp;
        let pid = daemon.pid();
        let mut prescreen = Self { daemon, config, home, smtp, pid };
        prescreen.await_status("/healthz", 200);
        prescreen
    }

    /// Ends it by a signal; what it leaves behind can be started again at the same addresses.
    pub fn stop(self, signal: &str) -> Stopped {
        let Self { mut daemon, config, home, .. } = self;
        daemon.signal(signal);
        daemon.wait();
        fs::rename(home.path().join("log"), home.path().join("log.before")).unwrap();
        Stopped { config, home }
    }

    /// Its own folder: configuration, store, log.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.home.path().join(CONFIG)
    }

    /// Writes another configuration for the running process to read again.
    pub fn reconfigure(&self, text: &str) {
        fs::write(self.config_file(), text).unwrap();
        self.signal("HUP");
    }

    /// What it runs with, unless it was reconfigured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes another configuration where this one reads it, and nothing more.
    pub fn rewrite(&mut self, config: Config) {
        fs::write(self.config_file(), config.toml()).unwrap();
        self.config = config;
    }

    /// Has it read its configuration again; `result` says what shall come of it: `ok` or `failed`.
    #[track_caller]
    pub fn reload(&self, result: &str) {
        let labels = [&*format!("result=\"{result}\"")];
        let before = self.metric(RELOADS, &labels);
        self.signal("HUP");
        self.await_metric(RELOADS, &labels, before + 1.0);
    }

    /// Where it answers `/metrics` and the like.
    pub fn admin(&self) -> SocketAddr {
        self.config.admin
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Runs a command that asks it.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> Ended {
        self.ask_with(arguments, "")
    }

    /// The same, with something on standard input.
    #[track_caller]
    pub fn ask_with(&self, arguments: &[&str], input: &str) -> Ended {
        let socket = self.home.path().join(SOCKET);
        let mut asking = Command::new(PROGRAM)
            .args(arguments)
            .arg("--socket")
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        asking.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ended::of(&asking.wait_with_output().unwrap())
    }

    /// Has it replaced by a new process, and waits until that serves.
    #[track_caller]
    pub fn upgrade(&mut self) {
        const SAYS: &str = "a successor serves";
        let before = self.log().matches(SAYS).count();
        self.signal("USR2");
        eventually_or(
            || format!("waited in vain for a successor\n{}", self.log()),
            || (self.log().matches(SAYS).count() > before).then_some(()),
        );
        let log = self.log();
        let told = log.lines().rfind(|line| line.contains(SAYS)).unwrap();
        let process = told.split("process").nth(1).unwrap().trim_start_matches(['"', ':', '=']);
        let digits = process.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        self.pid = digits.parse().unwrap();
    }

    /// Sends a signal, by name.
    pub fn signal(&self, signal: &str) {
        kill(self.pid, signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.daemon.wait()
    }

    /// Its exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.daemon.ended()
    }

    /// Everything it has written since it started.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Waits until its log contains some words.
    #[track_caller]
    pub fn await_log(&self, words: &str) {
        eventually_or(
            || format!("waited in vain for prescreen to log {words:?}\n{}", self.log()),
            || self.log().contains(words).then_some(()),
        );
    }

    /// Asks its HTTP endpoint; `None` while nobody answers.
    pub fn fetch(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.config.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// Waits until a path of its HTTP endpoint answers with a status.
    #[track_caller]
    pub fn await_status(&mut self, path: &str, status: u16) {
        let log = self.home.path().join("log");
        let log = || fs::read_to_string(&log).unwrap_or_default();
        eventually_or(
            || format!("waited in vain for {status} from {path}\n{}", log()),
            || {
                if let Some(exit) = self.daemon.ended() {
                    panic!("prescreen ended, {exit}:\n{}", log());
                }
                self.fetch(path).filter(|(found, _)| *found == status).map(drop)
            },
        );
    }

    /// The sum of a metric over all series whose labels contain all of `labels`, each given as `name="value"`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, body) = self.fetch("/metrics").expect("the metrics endpoint answers");
        sum(&body, name, labels)
    }

    /// Waits until what the allowlist knows is on disk, too.
    #[track_caller]
    pub fn await_stored(&self) {
        self.await_metric("prescreen_allowlist_writes_total", &["result=\"written\""], 1.0);
    }

    /// Connections that have come to an end, by the labels of their outcome.
    #[track_caller]
    pub fn connections(&self, labels: &[&str]) -> f64 {
        self.metric(CONNECTIONS, labels)
    }

    /// Every connection ends in exactly one outcome: waits for the last, and expects no more.
    #[track_caller]
    pub fn one_outcome_for_each_of(&self, connections: u32) {
        self.await_connections(f64::from(connections));
        assert_eq!(self.connections(&[]), f64::from(connections), "outcomes\n{}", self.log());
    }

    /// Waits until so many connections have come to an end.
    #[track_caller]
    pub fn await_connections(&self, at_least: f64) {
        self.await_metric(CONNECTIONS, &[], at_least);
    }

    /// Waits until a metric has reached a value.
    #[track_caller]
    pub fn await_metric(&self, name: &str, labels: &[&str], at_least: f64) {
        eventually_or(
            || format!("waited in vain for {name}{labels:?} to reach {at_least}\n{}", self.log()),
            || (self.metric(name, labels) >= at_least).then_some(()),
        );
    }
}

/// What an ended prescreen leaves behind.
pub struct Stopped {
    /// Its configuration; may be changed before it is started again.
    pub config: Config,
    home: TempDir,
}

impl Stopped {
    /// The folder of its configuration, its store and its logs.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The allowlist's file.
    pub fn store(&self) -> PathBuf {
        self.home.path().join(STORE)
    }

    /// Starts it again, over the same store.
    #[track_caller]
    pub fn start(self) -> Prescreen {
        let mut prescreen = Prescreen::launch(self.config, self.home, &[]);
        prescreen.await_status("/readyz", 200);
        prescreen
    }
}

/// Sums the samples of one metric in Prometheus' text format.
fn sum(body: &str, name: &str, labels: &[&str]) -> f64 {
    body.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|label| rest.contains(label))
        })
        .map(|(_, value)| value.parse::<f64>().unwrap_or(0.0))
        .sum()
}

/// How a run of prescreen that is expected to end has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output and standard error.
    pub said: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let said = [&*output.stdout, &*output.stderr].concat();
        Self { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
    }
}

/// Runs a command of prescreen's to its end.
pub fn command(arguments: &[&str]) -> Ended {
    Ended::of(&Command::new(PROGRAM).args(arguments).output().unwrap())
}

/// A configuration file in a folder of its own.
pub fn config_file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("prescreen-config-").unwrap();
    let file = folder.path().join(CONFIG);
    fs::write(&file, text).unwrap();
    (folder, file)
}
