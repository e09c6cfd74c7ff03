//! A network of a test's own: the host that prescreen and its backend run on, and another one, where clients live.
//!
//! Addresses are those of documentation (RFC 5737). Both hosts are network namespaces, joined by a virtual cable; they
//! end with the test. Where the kernel grants none, the test says that it was skipped.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::eventually;

/// Where prescreen listens.
pub const HERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Where clients come from.
pub const THERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

const MARK: &str = "PRESCREEN_TEST_NETWORK";

/// The other host.
pub struct Abroad {
    /// Its only process, which holds it open.
    holder: Child,
}

impl Abroad {
    /// The two hosts for the test of this name, which must do nothing if there are none: the test runs again in a
    /// process of its own, which lives on the first of them.
    #[track_caller]
    pub fn for_test(name: &str) -> Option<Self> {
        if std::env::var_os(MARK).is_some() {
            return Some(Self::join());
        }
        let probe = "ip link add here type veth peer name there";
        if !Command::new("unshare").args(["-n", "sh", "-c", probe]).status().is_ok_and(|run| run.success()) {
            eprintln!(
                "skipped: no network namespace for {name}; that takes root, ip, and a kernel with veth"
            );
            return None;
        }
        let test = std::env::current_exe().unwrap();
        let run = Command::new("unshare")
            .args(["-n", test.to_str().unwrap(), "--exact", name, "--nocapture"])
            .env(MARK, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
        None
    }

    fn join() -> Self {
        ip(&["link", "set", "lo", "up"]);
        let holder = Command::new("unshare").args(["-n", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
        let abroad = Self { holder };
        let here = fs::read_link("/proc/self/ns/net").unwrap();
        eventually("the other host", || {
            fs::read_link(abroad.namespace()).is_ok_and(|there| there != here).then_some(())
        });
        let pid = abroad.holder.id().to_string();
        ip(&["link", "add", "here", "type", "veth", "peer", "name", "there", "netns", &pid]);
        ip(&["address", "add", &format!("{HERE}/24"), "dev", "here"]);
        ip(&["link", "set", "here", "up"]);
        abroad.visit(|| {
            ip(&["address", "add", &format!("{THERE}/24"), "dev", "there"]);
            ip(&["link", "set", "lo", "up"]);
            ip(&["link", "set", "there", "up"]);
        });
        abroad
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// Does some work on the other host: the sockets that it opens and the programs that it starts are there.
    pub fn visit<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.namespace()).unwrap();
        let visit = || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| match scope.spawn(visit).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Abroad {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Leads a backend's answers to transparent connections back, as `deploy/transparent.sh` tells operators to.
#[track_caller]
pub fn transparent_routes(address: &str, port: u16) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/transparent.sh");
    let status = Command::new(script).args(["up", address, &port.to_string()]).status().unwrap();
    assert!(status.success());
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}
