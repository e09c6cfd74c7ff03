//! The successor's side: the process that serves until we do.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::{PATIENCE, PREPARED, READY, VARIABLE, YOURS};

/// The process that has started us to take its place.
///
/// Its calls wait, for a few bytes from a process on this host: there is nothing else to do meanwhile.
#[derive(Debug)]
pub(in crate::server) struct Predecessor(BufReader<UnixStream>);

impl Predecessor {
    /// The one that `variable` names, if there is one.
    pub(in crate::server) fn of(variable: impl Fn(&'static str) -> Option<OsString>) -> Option<Self> {
        variable(VARIABLE)?;
        let socket = io::stdin().as_fd().try_clone_to_owned().ok()?;
        let socket = UnixStream::from(socket);
        // Nobody there if this is no socket, or one with nobody at its other end.
        socket.peer_addr().ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self(BufReader::new(socket)))
    }

    /// We could serve; waits until what only one can have is ours. A predecessor that is gone has left it, too.
    pub(in crate::server) fn prepared(&mut self) {
        self.say(PREPARED);
        let mut line = String::new();
        while self.0.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim_end() != YOURS {
            line.clear();
        }
    }

    /// We serve.
    pub(in crate::server) fn ready(mut self) {
        self.say(READY);
    }

    /// We shall not, and why.
    pub(in crate::server) fn refused(&mut self, why: &str) {
        self.say(why);
    }

    fn say(&mut self, words: &str) {
        if let Err(error) = self.0.get_mut().write_all(format!("{words}\n").as_bytes()) {
            tracing::debug!(?error, "the predecessor is gone");
        }
    }
}
