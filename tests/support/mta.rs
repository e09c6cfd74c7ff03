//! Other mail servers than Postfix, each in front of its own maildir.
//!
//! Debian's packages of them exclude each other, so `tests/mtas` unpacks them side by side, and each runs in a mount
//! namespace where its own tree lies over `/usr`, `/etc` and `/var`. Where the kernel grants no such namespace there
//! is no server, and the test says that it was skipped.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::free_address;
use super::mailbox::Mailbox;

/// The unpacked server, brought here on first use, for all test programs.
fn tree(server: &str) -> PathBuf {
    // One at a time: two tests may want the same one first.
    static UNPACKING: Mutex<()> = Mutex::new(());
    let _alone = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mtas");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mtas");
    let output = Command::new(script).arg(&folder).arg(server).output().unwrap();
    assert!(output.status.success(), "tests/mtas {server}: {}", String::from_utf8_lossy(&output.stderr));
    folder.join(server)
}

/// Users that the packages would have made.
const USERS: [&str; 5] = ["Debian-exim", "opensmtpd", "opensmtpq", "smmta", "smmsp"];

/// Lays a server's tree over the machine's folders, for this process alone, and becomes the server.
const STAGE: &str = r#"
    set -e
    tree=$1 scratch=$2
    shift 2
    mount -t overlay overlay -o "lowerdir=$tree/usr:/usr" /usr
    mount -t overlay overlay -o "lowerdir=$scratch/etc:$tree/etc:/etc" /etc
    mount -t tmpfs tmpfs "$scratch/var"
    mkdir "$scratch/var/upper" "$scratch/var/work"
    mount -t overlay overlay \
        -o "lowerdir=$tree/var:/var,upperdir=$scratch/var/upper,workdir=$scratch/var/work" /var
    mkdir -p /var/lib/opensmtpd/empty
    # The rest of /var ends with the server; what OpenSMTPD has taken and not yet delivered must not.
    mkdir -p -m 711 "$scratch/smtpd" /var/spool/smtpd
    mount --bind "$scratch/smtpd" /var/spool/smtpd
    exec "$@"
"#;

/// What the page on identities has operators write: the block with these words, with ports of the test's own.
fn recipe(words: &str) -> String {
    let page = include_str!("../../deploy/docs/identity.md");
    let block = page.split("```").skip(1).step_by(2).find(|block| block.contains(words)).unwrap();
    let (_language, text) = block.split_once('\n').unwrap();
    text.trim_end().replace("10025", "@PROXIED@").replace("[0.0.0.0]:587 ; [::0]:587", "[127.0.0.1]:@DIRECT@")
}

/// A running mail server. Ends when dropped, or with the test program.
pub struct Mta {
    name: &'static str,
    daemon: Daemon,
    scratch: PathBuf,
    /// Where messages end.
    pub mailbox: Mailbox,
    /// Wants a PROXY header, of the versions that the server knows; Sendmail knows none and does not listen here.
    pub proxied: SocketAddr,
    /// Wants none. Haraka asks all clients from 127.0.0.1 for one, so meet it from another address.
    pub direct: SocketAddr,
}

impl Mta {
    /// Brings a server here that is to be started where there is no network.
    pub fn fetch(server: &str) {
        tree(server);
    }

    /// Exim: PROXY of either version.
    pub fn exim() -> Option<Self> {
        let mta = Draft::for_stage("exim")?;
        let config = include_str!("mta/exim.conf").replace("@RECIPE@", &recipe("hosts_proxy"));
        mta.file("etc/exim4/exim4.conf", &config);
        Some(mta.staged(&["/usr/sbin/exim4", "-bdf", "-q1h"]))
    }

    /// Exim as a client, which sends all that it takes onward, over TLS to the hosts of a list.
    pub fn exim_towards(onward: SocketAddr, tls: &str) -> Option<Self> {
        let mta = Draft::for_stage("exim")?;
        let config = include_str!("mta/exim-client.conf");
        let onward = config.replace("@ONWARD@", &onward.port().to_string()).replace("@TLS@", tls);
        mta.file("etc/exim4/exim4.conf", &onward);
        Some(mta.staged(&["/usr/sbin/exim4", "-bdf", "-q1h"]))
    }

    /// OpenSMTPD: PROXY version 2.
    pub fn opensmtpd() -> Option<Self> {
        let mta = Draft::for_stage("opensmtpd")?;
        let config = include_str!("mta/opensmtpd.conf").replace("@RECIPE@", &recipe("proxy-v2\n"));
        let config = mta.file("config/smtpd.conf", &config);
        Some(mta.staged(&["/usr/sbin/smtpd", "-d", "-f", &config]))
    }

    /// Sendmail: no way to be told the client's address but the connection itself.
    pub fn sendmail() -> Option<Self> {
        let mta = Draft::for_stage("sendmail")?;
        mta.file("config/keep.sh", include_str!("mta/keep.sh"));
        let listen = recipe("DAEMON_OPTIONS").replace("@PROXIED@", "@DIRECT@");
        let source =
            mta.file("config/sendmail.mc", &include_str!("mta/sendmail.mc").replace("@RECIPE@", &listen));
        let compile_and_run =
            "m4 \"$0\" >\"$0.cf\" && exec /usr/libexec/sendmail/sendmail -C \"$0.cf\" -bD -q1h";
        Some(mta.staged(&["sh", "-c", compile_and_run, &source]))
    }

    /// Haraka: PROXY version 1.
    pub fn haraka() -> Self {
        Self::haraka_with(&recipe("[haproxy]").replace("[haproxy]\n", ""))
    }

    /// Haraka: XCLIENT, and from nobody PROXY.
    pub fn haraka_without_proxy() -> Self {
        Self::haraka_with("hosts[] =")
    }

    fn haraka_with(hosts: &str) -> Self {
        let mta = Draft::new("haraka");
        let home = tree("haraka").join("node_modules/Haraka");
        let defaults = fs::read_to_string(home.join("config/connection.ini")).unwrap();
        let connection = defaults.replace("hosts[] =\n", &format!("{hosts}\n"));
        mta.file("config/connection.ini", &connection.replace("bytes=26214400", "bytes=104857600"));
        mta.file("config/smtp.ini", "listen=127.0.0.1:@PROXIED@,127.0.0.1:@DIRECT@\nnodes=0\n");
        mta.file("config/me", "backend.example.org\n");
        mta.file("config/host_list", "example.org\n");
        mta.file("config/plugins", "xclient\nrcpt_to.in_host_list\nqueue/keep\n");
        mta.file("plugins/queue/keep.js", include_str!("mta/keep.js"));
        let scratch = mta.scratch.to_str().unwrap().to_owned();
        mta.start(&["node", home.join("bin/haraka").to_str().unwrap(), "-c", &scratch])
    }

    /// What it has written so far, to its console and to its own log.
    pub fn log(&self) -> String {
        let own = fs::read_to_string(self.scratch.join("log/main")).unwrap_or_default();
        self.daemon.log() + &own
    }

    /// Ends the server and starts it anew, at the same addresses and over the same mailbox.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.restart();
        self.await_ready();
    }

    #[track_caller]
    fn await_ready(&mut self) {
        let direct = self.direct;
        self.daemon.await_ready(self.name, || TcpStream::connect(direct).is_ok());
    }
}

/// A server in the making.
struct Draft {
    name: &'static str,
    scratch: PathBuf,
    proxied: SocketAddr,
    direct: SocketAddr,
}

impl Draft {
    fn for_stage(name: &'static str) -> Option<Self> {
        if Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
            return Some(Self::new(name));
        }
        eprintln!("skipped: no mount namespace for {name}; that takes root and a kernel that allows it");
        None
    }

    fn new(name: &'static str) -> Self {
        let scratch = TempDir::with_prefix(format!("prescreen-{name}-")).unwrap().keep();
        let open = |folder: &Path| fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        open(&scratch);
        for folder in ["etc", "var", "config", "queue"] {
            fs::create_dir(scratch.join(folder)).unwrap();
        }
        for folder in ["mail", "mail/new", "spool", "log"] {
            fs::create_dir(scratch.join(folder)).unwrap();
            fs::set_permissions(scratch.join(folder), Permissions::from_mode(0o777)).unwrap();
        }
        let mut mta = Self { name, scratch, proxied: free_address(), direct: free_address() };
        mta.furnish();
        mta
    }

    /// Users, and a host that knows its own name and asks nobody for others'.
    fn furnish(&mut self) {
        let mut passwd = fs::read_to_string("/etc/passwd").unwrap();
        let mut group = fs::read_to_string("/etc/group").unwrap();
        for (user, id) in USERS.iter().zip(64_001..) {
            passwd.push_str(&format!("{user}:x:{id}:{id}::/var/empty:/usr/sbin/nologin\n"));
            group.push_str(&format!("{user}:x:{id}:\n"));
        }
        self.file("etc/passwd", &passwd);
        self.file("etc/group", &group);
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        self.file("etc/hosts", &format!("127.0.0.1 backend.example.org {} localhost\n", host.trim()));
        self.file("etc/resolv.conf", "nameserver 127.0.0.1\n");
    }

    /// Writes a file of the scratch folder, with the names of ports and folder filled in; returns its path.
    fn file(&self, name: &str, template: &str) -> String {
        let path = self.scratch.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = template
            .replace("@SCRATCH@", self.scratch.to_str().unwrap())
            .replace("@PROXIED@", &self.proxied.port().to_string())
            .replace("@DIRECT@", &self.direct.port().to_string());
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts the server with its tree over the machine's folders.
    fn staged(self, server: &[&str]) -> Mta {
        let (tree, scratch) = (tree(self.name), self.scratch.clone());
        let mut command = vec!["unshare", "--mount", "bash", "-c", STAGE, "stage"];
        command.extend([tree.to_str().unwrap(), scratch.to_str().unwrap()]);
        command.extend(server);
        self.start(&command)
    }

    fn start(self, command: &[&str]) -> Mta {
        let Self { name, scratch, proxied, direct } = self;
        let daemon = Daemon::start_with_scratch(command, &scratch.join("console"), &scratch);
        let mailbox = Mailbox::at(&scratch.join("mail"));
        let mut mta = Mta { name, daemon, scratch, mailbox, proxied, direct };
        mta.await_ready();
        mta
    }
}
