//! The operator's side: asks, and waits for the answer.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Line, Request};

/// For the next line of an answer: an upgrade may read a large table first.
const PATIENCE: Duration = Duration::from_secs(180);

/// A line to a running server.
#[derive(Debug)]
pub struct Call(BufReader<UnixStream>);

/// Ends an answer that would go on: the server then says what there is to say at the end.
#[derive(Debug)]
pub struct Enough(UnixStream);

impl Enough {
    /// Now.
    pub fn said(&self) {
        // A server that has gone needs not be told.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The server has said why: a sentence.
    #[error("{0}")]
    Refused(String),
    /// It cannot be heard.
    #[error("the server does not answer: {0}")]
    Broken(#[from] io::Error),
}

impl Call {
    /// Reaches the server whose admin socket is at `path`.
    pub fn to(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Lets another thread say that enough was heard.
    pub fn enough(&self) -> io::Result<Enough> {
        self.0.get_ref().try_clone().map(Enough)
    }

    /// Asks for one thing.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, NoAnswer> {
        let value = self.ask_each(request, |_: Value| Ok(()))?;
        serde_json::from_value(value).map_err(|error| io::Error::from(error).into())
    }

    /// Asks for several; `each` takes them as they come, and may have had enough. Returns what was said at the end.
    pub fn ask_each<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        mut each: impl FnMut(T) -> io::Result<()>,
    ) -> Result<Value, NoAnswer> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line)?;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            match serde_json::from_str(&line).map_err(io::Error::from)? {
                Line::Item(item) => each(serde_json::from_value(item).map_err(io::Error::from)?)?,
                Line::Ok(value) => return Ok(value),
                Line::Error(sentence) => return Err(NoAnswer::Refused(sentence)),
            }
        }
    }
}
