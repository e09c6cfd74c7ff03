//! What stands around the program while a bench plays sessions to it: a backend that costs nothing, a name server with
//! a DNS list, a configuration; and the clients.

#[path = "../compare/clients.rs"]
#[expect(dead_code, reason = "the comparison uses the rest")]
pub(crate) mod clients;
#[path = "../compare/sink.rs"]
#[expect(dead_code, reason = "the comparison uses the rest")]
mod sink;
#[path = "../../tests/support/mod.rs"]
pub(crate) mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use prescreen::dns::{Responder, Zone};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use sink::Sink;
use support::daemon::Daemon;
use support::prescreen::Config;

/// How the backend is reached.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Tcp,
    Unix,
}

/// Goes when it is dropped.
pub(crate) struct Stage {
    folder: TempDir,
    sink: Sink,
    responder: Responder,
    /// The responder's.
    _runtime: Runtime,
}

impl Stage {
    /// With nobody on it yet.
    pub(crate) fn set() -> Self {
        let folder = TempDir::with_prefix("prescreen-stage-").unwrap();
        let sink = Sink::start(&unix(folder.path())).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let responder =
            runtime.block_on(Responder::bind(anywhere, Zone::parse(clients::ZONE).unwrap())).unwrap();
        Self { folder, sink, responder, _runtime: runtime }
    }

    /// For files that are nobody's for long.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the program, whose name is the command's last word, with the backend to be reached by `way`; returns where
    /// it listens, too. What it is to do: screen strangers, and hand on who is clean.
    pub(crate) fn start(&self, command: &[&str], way: Way) -> (Daemon, SocketAddr) {
        let config = Config::before_address(self.sink.announced, self.responder.address());
        let mut config = clients::expected(config).set("screen.greet_wait", "'1s'");
        if let Way::Unix = way {
            config = config.set("backend.servers", &format!("['unix:{}']", unix(self.folder()).display()));
        }
        let (file, log) = (self.folder().join("config"), self.folder().join("log"));
        fs::write(&file, config.toml()).unwrap();
        let command = [command, &["run", "--config", file.to_str().unwrap()]].concat();
        let mut daemon = Daemon::start(&command, &log);
        daemon.await_ready("prescreen", || TcpStream::connect(config.smtp).is_ok());
        (daemon, config.smtp)
    }
}

fn unix(folder: &Path) -> PathBuf {
    folder.join("backend")
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
