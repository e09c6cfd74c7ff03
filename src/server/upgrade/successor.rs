//! The predecessor's side: the process that is to take over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pipe;
use std::process::{Child, Stdio, id};

use command_fds::{CommandFdExt, FdMapping};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::program::Program;
use super::{PATIENCE, READY, UpgradeError, VARIABLE, YOURS};

/// The first descriptor behind standard input, output and error (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// Reasons that are kept of a successor that has many.
const REASONS: usize = 50;

/// A child that is to take over. Ended when dropped, unless it was released.
pub(super) struct Successor {
    child: Option<Child>,
    talk: BufReader<UnixStream>,
}

impl Successor {
    /// Starts it with `sockets` in its hands.
    pub(super) fn start(program: &Program, sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let (ours, theirs) = Pipe::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = program.command();
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .env("LISTEN_FDS", sockets.len().to_string())
            .env(VARIABLE, id().to_string());
        // These name a process that the successor is not.
        for variable in ["LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_FDS_FIRST_FD", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        let mappings = (FIRST..).zip(sockets).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
        let child = command.spawn()?;
        Ok(Self { child: Some(child), talk: BufReader::new(UnixStream::from_std(ours)?) })
    }

    /// Waits until it says `word`. Anything else it says is why it will not.
    pub(super) async fn says(&mut self, word: &str) -> Result<(), UpgradeError> {
        match timeout(PATIENCE, self.listen(word)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reasons)) => Err(UpgradeError::Refused(reasons)),
            Err(_) => {
                Err(UpgradeError::Refused(format!("it was not {word} within {} s", PATIENCE.as_secs())))
            }
        }
    }

    async fn listen(&mut self, word: &str) -> Result<(), String> {
        let mut reasons = Vec::new();
        loop {
            let mut line = String::new();
            match self.talk.read_line(&mut line).await {
                Ok(0) | Err(_) => break,
                Ok(_) if line.trim_end() == word => return Ok(()),
                Ok(_) if reasons.len() < REASONS => reasons.push(line.trim_end().to_owned()),
                Ok(_) => {}
            }
        }
        if reasons.is_empty() {
            // It has closed its end, so it has ended or is about to.
            let status = self.child.take().and_then(|mut child| {
                let _ = child.kill();
                child.wait().ok()
            });
            let status = status.map_or_else(String::new, |status| format!(" ({status})"));
            reasons.push(format!("it ended without a word{status}; see the log"));
        }
        Err(reasons.join("\n"))
    }

    /// Leaves it what only one can have, and waits until it serves.
    pub(super) async fn takes_over(&mut self) -> Result<(), UpgradeError> {
        // Where it does not listen any more it will not answer either, and that tells more.
        let _ = self.talk.get_mut().write_all(format!("{YOURS}\n").as_bytes()).await;
        self.says(READY).await
    }

    /// Lets it live on, and tells its process id.
    pub(super) fn release(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
