//! One connection to a policy server: a request, an answer, and the next.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::wire::{Socket, fill};

use super::{Endpoint, Options};

/// What an answer may take. Postfix's own limit for a line is 2048.
const MAX_ANSWER: usize = 16 * 1024;

/// A connection that answers requests.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Socket,
    opened: Instant,
    used: Instant,
    requests: u32,
}

/// Why there is no action.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, io::Error),
    #[error("the server closed the connection instead of answering")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the answer makes no sense: {0}")]
    Malformed(&'static str),
}

impl Connection {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let stream = match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Socket::from),
            Endpoint::Inet { host, port } => {
                TcpStream::connect((host.as_str(), *port)).await.map(Socket::from)
            }
        };
        let stream = stream.map_err(|error| Failure::Connect(endpoint.to_string(), error))?;
        let now = Instant::now();
        Ok(Self { stream, opened: now, used: now, requests: 0 })
    }

    /// Whether one more request may go over it.
    pub(super) fn is_fit(&self, options: &Options, now: Instant) -> bool {
        now.duration_since(self.used) < options.max_idle
            && now.duration_since(self.opened) < options.max_ttl
            && (options.request_limit == 0 || self.requests < options.request_limit)
    }

    pub(super) async fn ask(&mut self, request: &str) -> Result<String, Failure> {
        self.requests += 1;
        let sent = self.stream.write_all(request.as_bytes()).await;
        sent.map_err(closed_or_broken)?;
        let mut answer = Vec::new();
        let end = loop {
            if let Some(end) = end_of(&answer) {
                break end;
            }
            if answer.len() > MAX_ANSWER {
                return Err(Failure::Malformed("it does not end"));
            }
            match fill(&mut self.stream, |bytes| answer.extend_from_slice(bytes)).await {
                Ok(0) if answer.is_empty() => return Err(Failure::Closed),
                Ok(0) => return Err(Failure::Malformed("it ends in the middle")),
                Ok(_) => {}
                Err(error) => return Err(closed_or_broken(error)),
            }
        };
        if end != answer.len() {
            return Err(Failure::Malformed("something follows its empty line"));
        }
        self.used = Instant::now();
        let text = String::from_utf8(answer).map_err(|_| Failure::Malformed("it is not UTF-8"))?;
        let action = text.lines().find_map(|line| line.strip_prefix("action="));
        action.map(str::to_owned).ok_or(Failure::Malformed("it has no action"))
    }
}

/// A server that has ended an old connection shows it in one of these ways when the next request comes.
fn closed_or_broken(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Closed,
        _ => Failure::Broken(error),
    }
}

/// Where the empty line ends.
fn end_of(answer: &[u8]) -> Option<usize> {
    answer.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2)
}
