//! What goes into a relay and what comes out of it.

use std::io;

/// What was read before the relay began, and goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Early {
    /// From the client.
    pub to_backend: Vec<u8>,
    /// From the backend.
    pub to_client: Vec<u8>,
}

/// What a relay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// From the client to the backend, early bytes included.
    pub up: Moved,
    /// From the backend to the client, early bytes included.
    pub down: Moved,
    /// Why it ended.
    pub ended: How,
}

/// Bytes that were handed to the receiver's socket, by how they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Through a buffer.
    pub copied: u64,
    /// Through a pipe.
    pub spliced: u64,
}

impl Moved {
    /// All bytes.
    pub fn total(self) -> u64 {
        self.copied + self.spliced
    }
}

/// Why a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both sides have finished.
    Finished {
        /// Who finished first.
        first: Side,
    },
    /// Neither side sent anything for the idle timeout.
    Idle,
    /// The caller's `stop` came.
    Stopped,
    /// A connection broke. What its owner had said before was passed on.
    Broken {
        /// Whose.
        side: Side,
        /// In which way.
        error: io::ErrorKind,
    },
}

/// An end of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client.
    Client,
    /// The backend.
    Backend,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Backend,
            Self::Backend => Self::Client,
        }
    }
}
