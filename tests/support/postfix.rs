//! A Postfix of our own: two listeners on loopback, one that wants the PROXY protocol and one that takes anybody,
//! both delivering to maildirs in a scratch folder.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::daemon::Daemon;
use super::mailbox::Mailbox;
use super::{eventually, free_address};

/// The domain whose mail Postfix takes. Anybody in it exists, except those whose name starts with `nobody`; mail for
/// names starting with `crowd` is accepted and thrown away.
pub const DOMAIN: &str = "example.org";

/// A running Postfix. Ends when dropped, or with the test program.
pub struct Postfix {
    daemon: Daemon,
    scratch: PathBuf,
    /// Where messages end. All users share one maildir, as virtual(8) makes no folder name of an address.
    pub mailbox: Mailbox,
    /// Wants a PROXY header: where prescreen hands over.
    pub proxied: SocketAddr,
    /// Wants none: what a client would meet if prescreen weren't there.
    pub direct: SocketAddr,
}

impl Postfix {
    /// Starts one; returns when both listeners answer.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further main.cf settings.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_at(free_address(), free_address(), settings)
    }

    /// Starts one with further lines of master.cf, and of main.cf.
    pub fn start_serving(services: &str, settings: &[&str]) -> Self {
        Self::start_master(free_address(), free_address(), services, settings)
    }

    /// Starts one at given addresses: for a backend that comes (back) later.
    pub fn start_at(proxied: SocketAddr, direct: SocketAddr, settings: &[&str]) -> Self {
        Self::start_master(proxied, direct, "", settings)
    }

    fn start_master(proxied: SocketAddr, direct: SocketAddr, services: &str, settings: &[&str]) -> Self {
        let scratch = TempDir::with_prefix("prescreen-postfix-").unwrap().keep();
        let folder = |name: &str| {
            let path = scratch.join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        // Postfix's own users must get through to what is theirs.
        fs::set_permissions(&scratch, Permissions::from_mode(0o755)).unwrap();
        let (config, _queue, mail) = (folder("config"), folder("queue"), folder("mail"));
        fs::set_permissions(&mail, Permissions::from_mode(0o777)).unwrap();
        let data = folder("data");
        give_to_postfix(&data);
        fs::write(config.join("main.cf"), main_cf(&scratch, settings)).unwrap();
        fs::write(config.join("master.cf"), master_cf(proxied, direct) + services).unwrap();
        fs::write(config.join("mailboxes"), "!/^nobody/ inbox/\n").unwrap();
        fs::write(config.join("transport"), "/^[0-9]*crowd/ discard:\n").unwrap();

        let config = config.to_str().unwrap();
        let console = scratch.join("console");
        run("postfix", &["-c", config, "check"]);
        // What `postfix start` would do next, without leaving our hands.
        let master = run("postconf", &["-c", config, "-h", "daemon_directory"]) + "/master";
        let command = [&*master, "-c", config, "-d"];
        let daemon = Daemon::start_with_scratch(&command, &console, &scratch);
        let mailbox = Mailbox::at(&scratch.join("mail/inbox"));
        let mut postfix = Self { daemon, scratch, mailbox, proxied, direct };
        postfix.await_start(1);
        postfix
    }

    /// Ends Postfix and starts it anew, at the same addresses and over the same queue and mailbox.
    #[track_caller]
    pub fn restart(&mut self) {
        let before = self.starts();
        self.daemon.restart();
        self.await_start(before + 1);
    }

    /// The socket of a service that stands in master.cf as `unix`, and not as private.
    pub fn socket(&self, service: &str) -> PathBuf {
        self.scratch.join("queue/public").join(service)
    }

    /// How often it has started.
    fn starts(&self) -> usize {
        self.log().matches("daemon started").count()
    }

    /// Waits for its so-manieth start.
    #[track_caller]
    fn await_start(&mut self, times: usize) {
        let (log, proxied, direct) = (self.scratch.join("log"), self.proxied, self.direct);
        self.daemon.await_ready("Postfix", || {
            fs::read_to_string(&log).unwrap_or_default().matches("daemon started").count() >= times
                && TcpStream::connect(direct).is_ok()
                && TcpStream::connect(proxied).is_ok()
        });
    }

    /// The master process, whose children all others are.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What Postfix has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.scratch.join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits for a log line that contains all of `words`, and returns it.
    #[track_caller]
    pub fn await_log(&self, words: &[&str]) -> String {
        eventually(&format!("Postfix to log {words:?}"), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// The smtpd process that serves a client, as its log line names it.
    #[track_caller]
    pub fn server_of(&self, client: &str) -> u32 {
        let line = self.await_log(&["smtpd[", &format!(": connect from unknown[{client}]")]);
        let rest = line.split("smtpd[").nth(1).unwrap();
        rest.split(']').next().unwrap().parse().unwrap()
    }
}

/// What the master process wants to know; everything is spelt out that Debian or this machine could make different.
fn main_cf(scratch: &Path, settings: &[&str]) -> String {
    let at = scratch.display();
    let mut text = format!(
        "compatibility_level = 3.6
queue_directory = {at}/queue
data_directory = {at}/data
maillog_file = {at}/log
maillog_file_prefixes = {at}
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
myhostname = backend.{DOMAIN}
mydestination =
mynetworks = 192.0.2.1/32
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_base = {at}/mail
virtual_mailbox_maps = regexp:{at}/config/mailboxes
virtual_mailbox_limit = 0
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = regexp:{at}/config/transport
message_size_limit = 104857600
default_process_limit = 200
notify_classes =
"
    );
    for setting in settings {
        // A name that stands twice costs a warning in each of Postfix's many processes.
        let name = setting.split('=').next().unwrap_or(setting).trim();
        text = text
            .lines()
            .filter(|line| line.split('=').next().unwrap_or(line).trim() != name)
            .fold(String::new(), |kept, line| kept + line + "\n");
        writeln!(text, "{setting}").unwrap();
    }
    text
}

fn master_cf(proxied: SocketAddr, direct: SocketAddr) -> String {
    format!(
        "{proxied} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
{direct} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}

/// Hands a folder to the user that Postfix's processes run as.
fn give_to_postfix(folder: &Path) {
    run("chown", &["postfix", folder.to_str().unwrap()]);
}

/// Runs a command to its end and returns what it printed.
fn run(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}; tests/run installs Postfix"));
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {arguments:?}: {said}{complaint}; tests/run runs as root");
    said
}
