//! Another program in our place, without a client that would notice.
//!
//! The successor is started as a child. It is given the listening sockets themselves, not others on the same
//! addresses: closing one of two resets what waits in its queue. The two then talk over a stream socket, which is the
//! child's standard input:
//!
//! ```text
//! successor    prepared      configuration, tables, certificates and sockets are good
//! predecessor  yours         the allowlist's file is free
//! successor    ready         clients are taken
//! ```
//!
//! Until `ready` the predecessor serves, and whatever goes wrong with the successor leaves it serving: what is said
//! instead of a word is the reason. Then it takes no more clients and lets those who are here finish.

mod predecessor;
mod program;
mod successor;

use std::process;
use std::time::Duration;

pub(super) use predecessor::Predecessor;
pub use program::Program;
use successor::Successor;

use super::Server;

/// Names the predecessor to the successor, by its process id.
const VARIABLE: &str = "PRESCREEN_PREDECESSOR";

const PREPARED: &str = "prepared";
const YOURS: &str = "yours";
const READY: &str = "ready";

/// How long a successor may take for a step: a large table is read in seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no successor. All goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Whoever is process 1 takes all others with it when it ends.
    #[error("process 1 of a container cannot be succeeded: start another container in its place")]
    ProcessOne,
    /// It could not be started.
    #[error("cannot start {program}: {error}")]
    Start {
        /// What was to be started.
        program: String,
        /// Why not.
        error: std::io::Error,
    },
    /// It was started, and has not come to serve.
    #[error("the new process would not start: {0}")]
    Refused(String),
}

impl Server {
    /// Starts `program` as our successor and returns its process id once it serves; this server is to
    /// hand over to it then. On error it serves on.
    pub async fn upgrade(&self, program: &Program) -> Result<u32, UpgradeError> {
        if process::id() == 1 {
            return Err(UpgradeError::ProcessOne);
        }
        let sockets = self.doors.handles();
        let mut successor = sockets
            .and_then(|sockets| Successor::start(program, sockets))
            .map_err(|error| UpgradeError::Start { program: program.to_string(), error })?;
        successor.says(PREPARED).await?;
        self.let_go().await;
        match successor.takes_over().await {
            Ok(()) => Ok(successor.release()),
            Err(error) => {
                drop(successor);
                self.take_back().await;
                Err(error)
            }
        }
    }

    /// Closes what only one process can have.
    async fn let_go(&self) {
        let allowlist = self.house.allowlist.clone();
        let _ = tokio::task::spawn_blocking(move || allowlist.close()).await;
    }

    async fn take_back(&self) {
        let allowlist = self.house.allowlist.clone();
        let _ = tokio::task::spawn_blocking(move || allowlist.attach()).await;
    }
}
