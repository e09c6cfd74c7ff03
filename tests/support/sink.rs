//! A mail server that keeps what it takes, and is as strict, or as lenient, about the end of a message as servers have
//! been.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use prescreen::proxy_protocol::{self, Parsed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a sink takes for the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// CR LF, a dot, CR LF (RFC 5321 §4.1.1.4).
    Strict,
    /// A dot between whatever some server has been seen to take for the end of a line.
    Lenient,
}

/// How a sink learns who its client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// By a PROXY header of either version.
    ProxyHeader,
    /// By XCLIENT, or not at all.
    Xclient,
}

/// One message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The argument of EHLO.
    pub helo: String,
    /// MAIL's argument.
    pub sender: String,
    /// The content, as it came, its end included.
    pub content: Vec<u8>,
}

/// A running sink; it ends with its runtime.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    kept: Arc<Mutex<Vec<Kept>>>,
}

impl Sink {
    /// Listens on a port of its own.
    pub async fn start(end: End, introduction: Introduction) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let shelf = Arc::clone(&kept);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let session = Session { stream, input: Vec::new(), end, shelf: Arc::clone(&shelf) };
                // A client that breaks off is its own affair.
                tokio::spawn(session.serve(introduction));
            }
        });
        Self { address, kept }
    }

    /// What has arrived so far, sorted.
    pub fn kept(&self) -> Vec<Kept> {
        let mut kept = self.kept.lock().unwrap().clone();
        kept.sort();
        kept
    }
}

struct Session {
    stream: TcpStream,
    input: Vec<u8>,
    end: End,
    shelf: Arc<Mutex<Vec<Kept>>>,
}

impl Session {
    async fn serve(mut self, introduction: Introduction) -> io::Result<()> {
        if introduction == Introduction::ProxyHeader {
            self.proxy_header().await?;
        }
        self.say("220 sink").await?;
        let (mut helo, mut sender) = (String::new(), String::new());
        loop {
            let line = self.line().await?;
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let reply = match verb {
                "EHLO" => {
                    helo = argument.to_owned();
                    "250-sink\r\n250-PIPELINING\r\n250 XCLIENT ADDR"
                }
                "XCLIENT" => "220 sink",
                "MAIL" => {
                    sender = argument.to_owned();
                    "250 2.1.0 Ok"
                }
                "RCPT" => "250 2.1.5 Ok",
                "RSET" => "250 2.0.0 Ok",
                "DATA" => {
                    self.say("354 go on").await?;
                    let content = self.content().await?;
                    let kept = Kept { helo: helo.clone(), sender: std::mem::take(&mut sender), content };
                    self.shelf.lock().unwrap().push(kept);
                    "250 2.0.0 Ok"
                }
                "QUIT" => return self.say("221 2.0.0 Bye").await,
                // What is left of an end that was taken before it was whole.
                "" => continue,
                _ => "500 5.5.2 Error",
            };
            self.say(reply).await?;
        }
    }

    async fn proxy_header(&mut self) -> io::Result<()> {
        loop {
            match proxy_protocol::parse(&self.input) {
                Parsed::Complete { used, .. } => {
                    self.input.drain(..used);
                    return Ok(());
                }
                Parsed::Incomplete => self.read().await?,
                Parsed::Malformed(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.read().await?;
        }
    }

    async fn content(&mut self) -> io::Result<Vec<u8>> {
        loop {
            // The line end behind DATA is the first one.
            let framed = [b"\r\n", &*self.input].concat();
            if let Some(end) = end_of(self.end, &framed) {
                return Ok(self.input.drain(..end - 2).collect());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await
    }
}

/// Where the message ends; `None` if it goes on, or the next byte must tell.
fn end_of(end: End, text: &[u8]) -> Option<usize> {
    if end == End::Strict {
        return text.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5);
    }
    let before: [&[u8]; 5] = [b"\r\n", b"\n", b"\r", b"\r\n\0", b"\n\0"];
    // The longer ones first, so that where a message is cut makes no difference.
    let behind: [&[u8]; 5] = [b"\r\n", b"\0\r\n", b"\r\r\n", b"\r", b"\n"];
    let dots = (0..text.len()).filter(|at| text[*at] == b'.');
    let mut at_line_start = dots.filter(|dot| before.iter().any(|line_end| text[..*dot].ends_with(line_end)));
    at_line_start.find_map(|dot| {
        let rest = &text[dot + 1..];
        let is_open = behind.iter().any(|line_end| line_end.len() > rest.len() && line_end.starts_with(rest));
        if is_open {
            return Some(None);
        }
        let ended = behind.iter().find(|line_end| rest.starts_with(line_end));
        ended.map(|line_end| Some(dot + 1 + line_end.len()))
    })?
}
