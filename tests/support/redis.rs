//! Redis and Valkey servers of our own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::daemon::Daemon;
use super::{eventually, free_address};

/// The servers that this machine has: Debian's redis-server, and valkey-server where Debian has that.
pub fn servers() -> Vec<&'static str> {
    let found = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let servers: Vec<_> = ["redis-server", "valkey-server"].into_iter().filter(found).collect();
    assert!(!servers.is_empty(), "no redis-server; tests/run installs it");
    servers
}

/// A server in a folder of its own, that keeps nothing on disk.
pub struct Redis {
    daemon: Option<Daemon>,
    program: &'static str,
    options: Vec<String>,
    folder: TempDir,
    /// Where it listens, in clear.
    pub address: SocketAddr,
}

impl Redis {
    /// Starts `program` with options such as `--maxmemory 1mb`.
    #[track_caller]
    pub fn start(program: &'static str, options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("prescreen-redis-").unwrap();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut redis = Self { daemon: None, program, options, folder, address: free_address() };
        redis.restart();
        redis
    }

    /// Starts it, again if need be.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon = None;
        let (port, folder) =
            (self.address.port().to_string(), self.folder.path().to_str().unwrap().to_owned());
        let mut command =
            vec![self.program, "--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir", &folder];
        command.extend(self.options.iter().flat_map(|option| option.split(' ')));
        self.daemon = Some(Daemon::start(&command, &self.folder.path().join("log")));
        eventually("the server to answer", || self.ask(&["PING"]).contains("PONG").then_some(()));
    }

    /// Ends it as nothing else does.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal("KILL");
            daemon.wait();
        }
    }

    /// Says something to it and returns what redis-cli makes of the answer.
    pub fn ask(&self, words: &[&str]) -> String {
        let port = self.address.port().to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output();
        let output = output.unwrap_or_else(|error| panic!("redis-cli: {error}; tests/run installs it"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in its folder with this content.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.file(name);
        fs::write(&file, content).unwrap();
        file
    }
}
