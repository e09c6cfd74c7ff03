//! DNS of our own: rbldnsd serves block lists, unbound resolves for prescreen and makes up the rest of the Internet.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::{eventually, free_address};

/// The block list that rbldnsd serves.
pub const LIST: &str = "bl.example.net";

/// A resolver and the block list behind it.
///
/// The world that it knows: every domain of [`DOMAINS`] takes mail; nothing else exists.
pub struct Dns {
    resolver: Daemon,
    list: Daemon,
    list_file: PathBuf,
    list_address: SocketAddr,
    _scratch: TempDir,
    /// Where the resolver answers.
    pub address: SocketAddr,
}

/// Domains that exist, each with an MX, and an address for `mail.` in it.
pub const DOMAINS: [&str; 2] = ["example.com", "example.org"];

impl Dns {
    /// Starts both with a list of these addresses besides the test entry 127.0.0.2 (RFC 5782 §5).
    pub fn start(listed: &[Ipv4Addr]) -> Self {
        let scratch = TempDir::with_prefix("prescreen-dns-").unwrap();
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
        let file = |name: &str| scratch.path().join(name);

        let list_address = free_address();
        let list_file = file("list");
        write_list(&list_file, listed);
        let command = [
            "rbldnsd",
            "-n",
            "-c1s",
            &format!("-w{}", scratch.path().display()),
            &format!("-b{}/{}", list_address.ip(), list_address.port()),
            &format!("{LIST}:ip4set:list"),
        ];
        let list = Daemon::start(&command, &file("rbldnsd.log"));

        let address = free_address();
        let config = file("unbound.conf");
        fs::write(&config, unbound_conf(address, list_address)).unwrap();
        let command = ["unbound", "-d", "-c", config.to_str().unwrap()];
        let resolver = Daemon::start(&command, &file("unbound.log"));

        let mut dns = Self { resolver, list, list_file, list_address, _scratch: scratch, address };
        dns.list.await_ready("rbldnsd", || answers(list_address, &format!("2.0.0.127.{LIST}")));
        dns.resolver.await_ready("unbound", || answers(address, &format!("2.0.0.127.{LIST}")));
        dns
    }

    /// Replaces what the list holds, and returns when rbldnsd serves the new one.
    ///
    /// What a resolver remembers of the old list stays until its TTL is over: ask for addresses that nobody has
    /// asked for.
    pub fn list(&self, listed: &[Ipv4Addr]) {
        write_list(&self.list_file, listed);
        self.list.signal("HUP");
        for address in listed {
            let [a, b, c, d] = address.octets();
            let name = format!("{d}.{c}.{b}.{a}.{LIST}");
            eventually("rbldnsd to serve the new list", || answers(self.list_address, &name).then_some(()));
        }
    }
}

fn write_list(file: &Path, listed: &[Ipv4Addr]) {
    let mut text = String::from(":127.0.0.2:Listed, see https://bl.example.net/?$\n127.0.0.2\n");
    for address in listed {
        text.push_str(&format!("{address}\n"));
    }
    // Renamed into place, so that no half of it is ever read; rbldnsd looks at nothing but size and whole seconds.
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    let version = fs::metadata(file).map_or(SystemTime::now(), |old| old.modified().unwrap());
    File::options().write(true).open(&new).unwrap().set_modified(version - Duration::from_secs(60)).unwrap();
    fs::rename(&new, file).unwrap();
}

fn unbound_conf(address: SocketAddr, list: SocketAddr) -> String {
    let mut text = format!(
        "server:
  interface: {}@{}
  access-control: 127.0.0.0/8 allow
  username: \"\"
  chroot: \"\"
  directory: \"\"
  pidfile: \"\"
  use-syslog: no
  logfile: \"\"
  do-daemonize: no
  num-threads: 1
  module-config: \"iterator\"
  do-not-query-localhost: no
  local-zone: \".\" static
  local-zone: \"{LIST}.\" transparent
",
        address.ip(),
        address.port()
    );
    for domain in DOMAINS {
        text.push_str(&format!(
            "  local-zone: \"{domain}.\" static
  local-data: \"{domain}. 300 IN MX 10 mail.{domain}.\"
  local-data: \"mail.{domain}. 300 IN A 192.0.2.25\"
"
        ));
    }
    text.push_str(&format!(
        "stub-zone:
  name: \"{LIST}.\"
  stub-addr: {}@{}
remote-control:
  control-enable: no
",
        list.ip(),
        list.port()
    ));
    text
}

/// Whether a server answers with at least one address for a name.
fn answers(server: SocketAddr, name: &str) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    // Header: id, recursion desired, one question (RFC 1035 §4.1.1).
    let mut query = vec![0x2a, 0x2a, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut answer = [0; 512];
    socket.send_to(&query, server).is_ok()
        && socket.recv(&mut answer).is_ok_and(|n| n > 12 && u16::from_be_bytes([answer[6], answer[7]]) > 0)
}
