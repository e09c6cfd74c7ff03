//! Policy servers as Debian packages them.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::daemon::Daemon;
use super::free_address;

/// How long postgrey puts a stranger off: one second is the least.
const DELAY: &str = "--delay=1";

/// Greylisting: puts off every stranger, for each recipient anew.
pub struct Postgrey {
    _daemon: Daemon,
    /// The unix socket that it listens on.
    pub socket: PathBuf,
}

/// Firewall rules for mail.
pub struct Postfwd {
    _daemon: Daemon,
    /// The TCP address that it listens on.
    pub address: SocketAddr,
}

impl Postgrey {
    /// Starts it with an empty memory.
    pub fn start() -> Self {
        let scratch = scratch("postgrey");
        let socket = scratch.join("data/socket");
        let data = folder_of("postgrey", &scratch);
        let command = [
            "postgrey",
            &format!("--unix={}", socket.display()),
            &format!("--dbdir={}", data.display()),
            &format!("--pidfile={}", data.join("pid").display()),
            DELAY,
            "--auto-whitelist-clients=0",
            // Each test has an address of its own.
            "--lookup-by-host",
        ];
        let mut daemon = Daemon::start_with_scratch(&command, &scratch.join("console"), &scratch);
        daemon.await_ready("postgrey", || UnixStream::connect(&socket).is_ok());
        Self { _daemon: daemon, socket }
    }
}

impl Postfwd {
    /// Starts it with these rules.
    pub fn start(rules: &str) -> Self {
        let scratch = scratch("postfwd");
        let data = folder_of("postfw", &scratch);
        fs::write(data.join("rules"), rules).unwrap();
        let address = free_address();
        let server = format!(
            "cd {}; postfwd1 --daemon --file=rules --interface={} --port={} --nodns --user=postfw --group=postfw \
             --pidfile={0}/pid",
            data.display(),
            address.ip(),
            address.port()
        );
        // It leaves for the background; a process namespace of its own brings it back to end with the test.
        let command = [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            &format!("{server}; exec sleep infinity"),
        ];
        let mut daemon = Daemon::start_with_scratch(&command, &scratch.join("console"), &scratch);
        daemon.await_ready("postfwd", || TcpStream::connect(address).is_ok());
        Self { _daemon: daemon, address }
    }
}

fn scratch(name: &str) -> PathBuf {
    let scratch = TempDir::with_prefix(format!("prescreen-{name}-")).unwrap().keep();
    fs::set_permissions(&scratch, Permissions::from_mode(0o755)).unwrap();
    scratch
}

/// A folder that the server's own user may write to.
fn folder_of(user: &str, scratch: &Path) -> PathBuf {
    let folder = scratch.join("data");
    fs::create_dir(&folder).unwrap();
    let id = Command::new("id").args(["--user", user]).output().unwrap();
    let id = String::from_utf8(id.stdout).unwrap();
    let id = id.trim().parse().unwrap_or_else(|_| panic!("no user {user}; tests/run installs its package"));
    chown(&folder, Some(id), None).unwrap();
    folder
}
