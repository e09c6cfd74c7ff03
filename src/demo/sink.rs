//! An SMTP server that takes every message and keeps it: the demo's backend, and the tests'.
//!
//! It understands what a backend behind prescreen must: the PROXY header, and the ESMTP extensions that pass through.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::proxy_protocol::{self, Origin, Parsed};

/// The extensions that the sink announces.
const EXTENSIONS: [&str; 7] =
    ["PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"];

/// One message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The client that the PROXY header named.
    pub client: SocketAddr,
    /// The HELO or EHLO argument.
    pub helo: String,
    /// MAIL's argument: `FROM:<…>` and parameters.
    pub sender: String,
    /// The arguments of the RCPTs.
    pub recipients: Vec<String>,
    /// The content, dot-stuffing undone.
    pub content: Vec<u8>,
}

/// A running sink.
#[derive(Clone, Debug)]
pub struct Sink {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Sink {
    /// Listens on `address` (port 0: any) and serves until the runtime ends.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let sink = Self { address: listener.local_addr()?, messages: Arc::default() };
        let messages = Arc::clone(&sink.messages);
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                // A client that breaks off is its own affair.
                tokio::spawn(serve(stream, Arc::clone(&messages)));
            }
        });
        Ok(sink)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has arrived so far.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().clone()
    }
}

/// A session's transaction so far.
#[derive(Default)]
struct Transaction {
    sender: Option<String>,
    recipients: Vec<String>,
    chunks: Vec<u8>,
}

async fn serve(mut stream: TcpStream, messages: Arc<Mutex<Vec<Message>>>) -> io::Result<()> {
    let client = announced_client(&mut stream).await?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink.prescreen.test ESMTP\r\n").await?;
    let mut helo = String::new();
    let mut open = Transaction::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
        let reply = match verb.to_ascii_uppercase().as_str() {
            "HELO" => {
                argument.clone_into(&mut helo);
                "250 sink.prescreen.test".to_owned()
            }
            "EHLO" => {
                argument.clone_into(&mut helo);
                open = Transaction::default();
                ehlo()
            }
            "MAIL" => {
                open = Transaction { sender: Some(argument.to_owned()), ..Transaction::default() };
                "250 2.1.0 Ok".to_owned()
            }
            "RCPT" if argument.to_ascii_lowercase().contains("unknown@") => {
                "550 5.1.1 No such user here".to_owned()
            }
            "RCPT" => {
                open.recipients.push(argument.to_owned());
                "250 2.1.5 Ok".to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 End data with <CR><LF>.<CR><LF>\r\n").await?;
                let content = read_content(&mut stream).await?;
                messages.lock().push(message(client, &helo, std::mem::take(&mut open), content));
                "250 2.0.0 Ok: kept".to_owned()
            }
            "BDAT" => {
                let mut words = argument.split_whitespace();
                let size: usize = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
                let start = open.chunks.len();
                open.chunks.resize(start + size, 0);
                stream.read_exact(&mut open.chunks[start..]).await?;
                if words.next().is_some() {
                    let content = std::mem::take(&mut open.chunks);
                    messages.lock().push(message(client, &helo, std::mem::take(&mut open), content));
                }
                "250 2.0.0 Ok: chunk kept".to_owned()
            }
            "RSET" => {
                open = Transaction::default();
                "250 2.0.0 Ok".to_owned()
            }
            "NOOP" => "250 2.0.0 Ok".to_owned(),
            "QUIT" => {
                stream.write_all(b"221 2.0.0 Bye\r\n").await?;
                return Ok(());
            }
            _ => "500 5.5.2 Error: command not recognized".to_owned(),
        };
        // One write: a second small one would wait 40 ms for the first one's acknowledgement.
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

fn message(client: SocketAddr, helo: &str, transaction: Transaction, content: Vec<u8>) -> Message {
    Message {
        client,
        helo: helo.to_owned(),
        sender: transaction.sender.unwrap_or_default(),
        recipients: transaction.recipients,
        content,
    }
}

fn ehlo() -> String {
    let mut reply = String::from("250-sink.prescreen.test");
    for (place, extension) in EXTENSIONS.iter().enumerate() {
        reply.push_str(if place + 1 == EXTENSIONS.len() { "\r\n250 " } else { "\r\n250-" });
        reply.push_str(extension);
    }
    reply
}

/// Reads until CR LF `.` CR LF and undoes dot-stuffing (RFC 5321 §4.5.2).
async fn read_content(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if stream.read_until(b'\n', &mut content).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at_line_start = start == 0 || content[..start].ends_with(b"\r\n");
        if !at_line_start {
            continue;
        }
        if &content[start..] == b".\r\n" {
            content.truncate(start);
            return Ok(content);
        }
        if content[start..].starts_with(b".") {
            content.remove(start);
        }
    }
}

/// Reads the PROXY header that stands before everything else; without one the peer itself is the client.
async fn announced_client(stream: &mut TcpStream) -> io::Result<SocketAddr> {
    let peer = stream.peer_addr()?;
    let mut head = Vec::new();
    loop {
        match proxy_protocol::parse(&head) {
            Parsed::Complete { header, .. } => {
                return Ok(match header.origin {
                    Origin::Proxied(ends) => ends.client,
                    Origin::Local | Origin::Unknown => peer,
                });
            }
            Parsed::Incomplete => head.push(stream.read_u8().await?),
            Parsed::Malformed(what) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, what.to_string()));
            }
        }
    }
}
