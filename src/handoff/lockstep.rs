//! A conversation with a server in lock-step: one command, one reply, nothing in between.
//!
//! A server may take what waits behind a command for an attack (Postfix's `smtpd_forbid_unauth_pipelining`), and we
//! take what it says unasked for the loss of step that it is: a reply too many, believed once, would answer every
//! later command with the reply to the one before it. The one exception is a pair of commands that a server has asked
//! for itself, by offering PIPELINING.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Link;
use super::encryption::NoTls;
use super::trouble::{Failure, Phase, Trouble};
use crate::smtp::reply::Reply;
use crate::smtp::reply_reader::ReplyReader;
use crate::tls::{CertificateName, Connector};
use crate::wire::{self, Alarm, Then};

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) trouble: Trouble,
    /// The 421 with which the server took its leave.
    pub(super) farewell: Option<Reply>,
}

impl Lost {
    pub(super) fn at(self, phase: Phase) -> Failure {
        Failure { phase, trouble: self.trouble, reply: self.farewell }
    }
}

impl From<Trouble> for Lost {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, farewell: None }
    }
}

/// One connection, and what was read from it.
#[derive(Debug)]
pub(super) struct Conversation {
    link: Link,
    replies: ReplyReader,
    /// Whether a command is out that was not answered.
    asked: bool,
    alarm: Alarm,
}

impl Conversation {
    pub(super) fn new(link: Link) -> Self {
        Self { link, replies: ReplyReader::new(), asked: false, alarm: Alarm::default() }
    }

    /// Whether the server waits for us.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.asked && self.replies.is_empty()
    }

    /// Sends what is no command: nothing is read before or after it.
    pub(super) async fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Lost> {
        if bytes.is_empty() {
            return Ok(());
        }
        wire::tell(&mut self.link, bytes, Then::Listen, limit).await.map_err(|error| {
            let is_late = error.kind() == io::ErrorKind::TimedOut;
            Lost::from(if is_late { Trouble::Timeout } else { Trouble::Closed })
        })
    }

    /// Sends one command, which is given without its line ending, with its payload behind it; waits for its reply.
    ///
    /// A 421 is no answer but a farewell.
    pub(super) async fn ask(
        &mut self,
        command: &str,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Reply, Lost> {
        self.say(command, payload, limit).await?;
        self.reply(limit).await
    }

    /// Sends two commands at once to a server that has offered PIPELINING (RFC 2920 §3.1); waits for both replies.
    pub(super) async fn ask_both(
        &mut self,
        commands: [&str; 2],
        limit: Duration,
    ) -> Result<[Reply; 2], Lost> {
        let [first, second] = commands;
        self.say(first, &[second.as_bytes(), b"\r\n"].concat(), limit).await?;
        let first = self.reply(limit).await?;
        self.promise();
        if self.replies.is_empty() {
            // The server sends its replies one by one, although it should not (RFC 2920 §3.2).
            self.link.socket().acknowledge();
        }
        Ok([first, self.reply(limit).await?])
    }

    /// Sends one command with its payload behind it; more of it may follow before the reply.
    pub(super) async fn say(&mut self, command: &str, payload: &[u8], limit: Duration) -> Result<(), Lost> {
        debug_assert!(!command.contains(['\r', '\n']), "a command that is two: {command:?}");
        self.overhear().await?;
        self.asked = true;
        self.send(&[command.as_bytes(), b"\r\n", payload].concat(), limit).await
    }

    /// Content follows, which will be answered, or another reply.
    pub(super) fn promise(&mut self) {
        self.asked = true;
    }

    /// Writes some of the content.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write(cx, bytes)
    }

    /// Sees to it that what was written is on its way.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    /// Ready when the server has said something, or is gone.
    pub(super) fn poll_interrupted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.replies.is_empty() {
            return Poll::Ready(());
        }
        let read = pin!(wire::fill(&mut self.link, |bytes| self.replies.push(bytes)));
        read.poll(cx).map(|_| ())
    }

    /// Waits for a reply: to the last command, or the greeting.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, Lost> {
        let Self { link, replies, alarm, .. } = self;
        let reply = alarm.within(limit, pin!(flushed_reply(link, replies))).await;
        let reply = reply.ok_or(Trouble::Timeout)??;
        self.asked = false;
        if reply.code() == 421 {
            return Err(Lost { trouble: Trouble::Rejected, farewell: Some(reply) });
        }
        Ok(reply)
    }

    /// Goes on inside TLS with the server that must be `name`. What it has said in clear is forgotten, and it may
    /// have said nothing that was not asked for: that would be read as if it stood inside (CVE-2021-33515).
    pub(super) async fn encrypted(
        self,
        connector: &Connector,
        name: &CertificateName,
        limit: Duration,
    ) -> Result<Self, NoTls> {
        let Self { link: Link::Plain(socket), replies, .. } = self else { return Err(NoTls::Injected) };
        if !replies.is_empty() {
            return Err(NoTls::Injected);
        }
        let tls = timeout(limit, connector.connect(name, socket)).await.map_err(|_| NoTls::Timeout)??;
        Ok(Self::new(Link::Tls(Box::new(tls.into()))))
    }

    /// The way to the server, and what was read from it behind the last reply.
    pub(super) fn into_parts(self) -> (Link, Vec<u8>) {
        (self.link, self.replies.into_rest())
    }

    /// Takes in what the server has said unasked, without waiting: only a farewell makes sense.
    pub(super) async fn overhear(&mut self) -> Result<(), Lost> {
        let read = {
            let mut read = pin!(wire::fill(&mut self.link, |bytes| self.replies.push(bytes)));
            poll_fn(|cx| match read.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        };
        if self.replies.is_empty() {
            return if read.is_none() { Ok(()) } else { Err(Trouble::Closed.into()) };
        }
        match self.replies.next_reply() {
            Some(Ok(reply)) if reply.code() == 421 => {
                Err(Lost { trouble: Trouble::Rejected, farewell: Some(reply) })
            }
            _ => Err(Trouble::Malformed.into()),
        }
    }
}

/// What was written piece by piece may still stand in a TLS record that nobody has sent.
async fn flushed_reply(link: &mut Link, replies: &mut ReplyReader) -> Result<Reply, Trouble> {
    link.flush().await.map_err(|_| Trouble::Closed)?;
    loop {
        match replies.next_reply() {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(_)) => return Err(Trouble::Malformed),
            None => {}
        }
        match wire::fill(link, |bytes| replies.push(bytes)).await {
            Ok(0) | Err(_) => return Err(Trouble::Closed),
            Ok(_) => {}
        }
    }
}
