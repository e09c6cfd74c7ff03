//! The relay: bytes to and fro between client and backend until both have finished.
//!
//! Bytes go through a scratch buffer that belongs to the worker; a flow that proves to be bulk is spliced through a
//! pipe that it holds only while bytes are in it. A connection that waits holds neither.

use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::wire::Socket;

/// `[relay]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much of a connection is screened. Default: `connection`.
    pub inspect: Inspect,
    /// How long neither side may send anything. Default 900 s: a server may take 10 minutes to answer the final
    /// dot (RFC 5321 §4.5.3.2.6).
    pub idle_timeout: Duration,
    /// Bytes that one pipe shall hold; one splice moves no more. Default 262144.
    pub pipe_size: usize,
    /// Pipes of the whole process; 0 never splices. Default 128, half of what an ordinary user is given.
    pub max_pipes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inspect: Inspect::Connection,
            idle_timeout: Duration::from_secs(900),
            pipe_size: 256 * 1024,
            max_pipes: 128,
        }
    }
}

/// How much of a connection is screened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Inspect {
    /// Up to the first DATA or BDAT.
    #[default]
    Connection,
    /// Every MAIL transaction.
    Transaction,
}

impl FromStr for Inspect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connection" => Ok(Self::Connection),
            "transaction" => Ok(Self::Transaction),
            _ => Err(format!("{text:?} is no way to inspect; write connection or transaction")),
        }
    }
}

impl fmt::Display for Inspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connection",
            Self::Transaction => "transaction",
        })
    }
}

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
    /// From the client to the backend.
    pub up: Moved,
    /// From the backend to the client.
    pub down: Moved,
    /// Why it ended.
    pub ended: How,
}

/// Bytes that went one way, by how they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Through a buffer.
    pub copied: u64,
    /// Through a pipe.
    pub spliced: u64,
}

/// Why a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both sides have finished; `first` finished first.
    Finished {
        /// Who finished first.
        first: Side,
    },
    /// Neither side sent anything for the idle timeout.
    Idle,
    /// The caller's `stop` came.
    Stopped,
    /// A connection broke.
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

/// Relays until both sides have finished, one breaks, neither moves for the idle timeout, or `stop` is ready.
///
/// Dropping the future closes both connections and loses nothing but the [`Transfer`].
pub async fn splice(
    client: TcpStream,
    backend: Socket,
    early: Early,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> Transfer {
    copy(client, backend, early, settings, stop).await
}

/// Like [`splice`], for streams that the kernel can not join, such as TLS: every byte is copied.
pub async fn copy<C, B>(
    mut client: C,
    mut backend: B,
    _early: Early,
    _settings: &Settings,
    _stop: impl Future<Output = ()>,
) -> Transfer
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
    Transfer { up: Moved::default(), down: Moved::default(), ended: How::Finished { first: Side::Client } }
}

/// What all relays of the process have done, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From clients to backends.
    pub up: Moved,
    /// From backends to clients.
    pub down: Moved,
    /// Pipes that exist now, in use or waiting for use.
    pub pipes: usize,
    /// How often a bulk flow had to copy because there was no pipe for it: `max_pipes`, descriptors, the user's
    /// quota.
    pub pipe_limited: u64,
    /// How often the kernel would not splice.
    pub splice_refused: u64,
}

/// What all relays of the process have done so far.
pub fn totals() -> Totals {
    Totals::default()
}
