//! One connection to a server, and how far it has been brought.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Link;
use super::connect::connect;
use super::content::Ready;
use super::encryption::Encryption;
use super::introduction::Client;
use super::lockstep::{Conversation, Lost};
use super::server::{Place, Server};
use super::settings::{Identity, Settings};
use super::trouble::{Failure, Phase, Trouble};
use super::xclient;
use crate::dialogue::Checked;
use crate::smtp::capability::Capabilities;
use crate::smtp::envelope::{Helo, Protocol};
use crate::smtp::reply::Reply;

/// How long a server may take to answer our QUIT, and how many may be doing so at once.
const QUIT_LIMIT: Duration = Duration::from_secs(5);
const QUITS: usize = 64;

/// A connection to a server.
#[derive(Debug)]
pub struct Backend {
    pub(super) server: Arc<Server>,
    pub(super) conversation: Conversation,
    pub(super) settings: Arc<Settings>,
    /// The HELO that was accepted.
    helo: Option<Helo>,
    /// Whether it may be sent a command before it has answered another.
    pipelines: bool,
    /// The transaction that is open.
    pub(super) transaction: Option<u64>,
    /// Whether a MAIL was said, even in vain, of which the server may remember something: Postfix holds the SIZE of one
    /// that it refused against the next.
    pub(super) needs_rset: bool,
    /// The transaction in which the content was begun, with the header lines that the lists add.
    pub(super) told: Option<u64>,
    /// How many of the recipients that the lists add were named in the transaction that is open.
    pub(super) named: usize,
    /// A greeting that was read here, and that the client is to hear.
    pub(super) unheard: Option<Reply>,
    /// Its place at the server, if it is there for a client.
    pub(super) place: Option<Place>,
}

/// Whether a server's greeting is for us, or for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Read,
    Leave,
}

/// What a server made of us.
pub(super) type Outcome<T> = Result<T, Failure>;

impl Backend {
    /// Connects, tells the server who the client is, and reads its greeting if that is to be read here.
    pub(super) async fn open(
        server: &Arc<Server>,
        settings: &Arc<Settings>,
        encryption: &Encryption,
        client: &Client<'_>,
        greeting: Greeting,
    ) -> Outcome<Box<Self>> {
        let begun = Instant::now();
        let connected = Box::pin(connect(server, settings, client)).await;
        let socket = timed(server, Phase::Connect, begun, connected)?;
        let client = client.over(&socket);
        let conversation = Conversation::new(Link::Plain(socket));
        let mut backend = Self::over(Arc::clone(server), Arc::clone(settings), conversation);
        let header = client.header(settings.identity);
        let sent = backend.conversation.send(&header, settings.greeting_timeout).await;
        sent.map_err(|lost| lost.at(Phase::Greeting))?;
        let is_told_in_smtp = backend.settings.identity == Identity::Xclient;
        let is_first_to_speak = is_told_in_smtp || !matches!(encryption, Encryption::Off);
        if greeting == Greeting::Leave && !is_first_to_speak {
            return Ok(backend);
        }
        let mut said = backend.greeting().await?;
        if !matches!(encryption, Encryption::Off) {
            backend = Box::pin(backend.encrypted(encryption, client.hostname)).await?;
        }
        if is_told_in_smtp {
            said = Box::pin(backend.announce(&client, said)).await?;
        }
        backend.unheard = Some(said).filter(|_| greeting == Greeting::Leave);
        Ok(backend)
    }

    /// Nothing has been said but greetings.
    ///
    /// Boxed: what is done with a server moves it from hand to hand.
    pub(super) fn over(
        server: Arc<Server>,
        settings: Arc<Settings>,
        conversation: Conversation,
    ) -> Box<Self> {
        let (helo, transaction, needs_rset, told, unheard) = (None, None, false, None, None);
        let (pipelines, named, place) = (false, 0, None);
        Box::new(Self {
            server,
            conversation,
            settings,
            helo,
            pipelines,
            transaction,
            needs_rset,
            told,
            named,
            unheard,
            place,
        })
    }

    /// The server's greeting.
    async fn greeting(&mut self) -> Outcome<Reply> {
        let begun = Instant::now();
        let read = self.conversation.reply(self.settings.greeting_timeout).await;
        let reply = timed(&self.server, Phase::Greeting, begun, read)?;
        if reply.code() == 220 { Ok(reply) } else { Err(Failure::rejected(Phase::Greeting, reply)) }
    }

    /// Tells the server by XCLIENT who the client is: behind the greeting our own EHLO, and a greeting again, as if
    /// nothing had been said.
    async fn announce(&mut self, client: &Client<'_>, greeting: Reply) -> Outcome<Reply> {
        let mut reply = greeting;
        let offer = self.ask(Phase::Greeting, &format!("EHLO {}", client.hostname)).await?;
        if !is_done(&offer) {
            return Err(Failure::rejected(Phase::Greeting, offer));
        }
        let stranger = |said| Failure { phase: Phase::Greeting, trouble: Trouble::Identity, reply: said };
        let commands = xclient::commands(client, &Capabilities::from_reply(&offer));
        for command in commands.ok_or_else(|| stranger(None))? {
            reply = self.ask(Phase::Greeting, &command).await?;
            if reply.code() != 220 {
                return Err(stranger(Some(reply)));
            }
        }
        Ok(reply)
    }

    /// Asks for a recipient, after bringing the server to where the client is. The first refusal on the way is the
    /// answer.
    pub(super) async fn recipient(&mut self, checked: &Checked) -> Outcome<Reply> {
        if let Some(refusal) = self.introduce(checked.helo()).await? {
            return Ok(refusal);
        }
        let rcpt = &checked.rcpt().command;
        if self.has_open(checked.transaction()) {
            return self.ask(Phase::Envelope, rcpt).await;
        }
        self.forget_transaction().await?;
        self.needs_rset = true;
        let mail = &checked.mail().command;
        let (said, answer) = if self.pipelines {
            let [said, answer] = self.ask_both(Phase::Envelope, [mail, rcpt]).await?;
            (said, Some(answer))
        } else {
            (self.ask(Phase::Envelope, mail).await?, None)
        };
        // Whatever was said to a recipient of no mail is no answer.
        if !is_done(&said) {
            return Ok(said);
        }
        (self.transaction, self.named) = (Some(checked.transaction()), 0);
        match answer {
            Some(answer) => Ok(answer),
            None => self.ask(Phase::Envelope, rcpt).await,
        }
    }

    /// Whether the transaction is open here.
    pub(super) fn has_open(&self, transaction: u64) -> bool {
        self.transaction == Some(transaction)
    }

    /// Says HELO or EHLO, unless the same has been said. A refusal is returned if it can only be meant for the
    /// client: from a server that understands how clients are announced, and in words of policy.
    pub(super) async fn introduce(&mut self, helo: Option<&Helo>) -> Outcome<Option<Reply>> {
        let Some(helo) = helo.filter(|helo| self.helo.as_ref() != Some(helo)) else { return Ok(None) };
        let reply = self.ask(Phase::Helo, &helo.command()).await?;
        if !is_done(&reply) {
            let is_policy = !matches!(reply.code(), 500 | 502 | 503);
            return match self.server.capabilities() {
                Some(_) if is_policy => Ok(Some(reply)),
                _ => Err(Failure::rejected(Phase::Helo, reply)),
            };
        }
        self.pipelines = false;
        if helo.protocol == Protocol::Esmtp {
            self.pipelines = self.server.offered(&reply).offers("PIPELINING");
        }
        // HELO and EHLO begin anew (RFC 5321 §4.1.4).
        (self.transaction, self.needs_rset) = (None, false);
        self.helo = Some(helo.clone());
        Ok(None)
    }

    /// Ends the transaction that is open, or was to be, if one is.
    pub(super) async fn forget_transaction(&mut self) -> Outcome<()> {
        if !self.needs_rset {
            return Ok(());
        }
        (self.transaction, self.needs_rset) = (None, false);
        let reply = self.ask(Phase::Envelope, "RSET").await?;
        if is_done(&reply) { Ok(()) } else { Err(Failure::rejected(Phase::Envelope, reply)) }
    }

    /// Asks a command that is done or refused; 3xx makes no sense of any of them.
    pub(super) async fn ask(&mut self, phase: Phase, command: &str) -> Outcome<Reply> {
        self.ask_with(phase, command, &[]).await.and_then(|reply| decided(phase, reply))
    }

    /// Asks two of them at once.
    async fn ask_both(&mut self, phase: Phase, commands: [&str; 2]) -> Outcome<[Reply; 2]> {
        let begun = Instant::now();
        let asked = self.conversation.ask_both(commands, self.settings.command_timeout).await;
        let [first, second] = timed(&self.server, phase, begun, asked)?;
        Ok([decided(phase, first)?, decided(phase, second)?])
    }

    /// Asks any command, `payload` behind its line.
    pub(super) async fn ask_with(&mut self, phase: Phase, command: &str, payload: &[u8]) -> Outcome<Reply> {
        let begun = Instant::now();
        let asked = self.conversation.ask(command, payload, self.settings.command_timeout).await;
        timed(&self.server, phase, begun, asked)
    }

    /// The server, as configured.
    pub fn server(&self) -> &Arc<str> {
        &self.server.name
    }

    /// Gives the connection up to the relay, with what was read from it that the client is to hear.
    pub fn release(self: Box<Self>) -> Ready {
        let (link, unread) = self.conversation.into_parts();
        let mut to_client = self.unheard.map(|reply| reply.to_wire()).unwrap_or_default();
        to_client.extend(unread);
        let server = Arc::clone(&self.server.name);
        Ready { server, link, to_backend: Vec::new(), to_client, place: self.place }
    }

    /// Ready when the server speaks before the message has ended, or is gone.
    pub(crate) fn poll_interrupted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.conversation.poll_interrupted(cx)
    }

    /// Writes some of a message.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.conversation.poll_write(cx, bytes)
    }

    /// Sees to it that what was written is on its way.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conversation.poll_flush(cx)
    }

    /// Takes leave in the background, so that the server need not wait for its timeout, nor log a client lost.
    pub(super) fn quit(mut self: Box<Self>) {
        static LEAVING: Semaphore = Semaphore::const_new(QUITS);
        let (Ok(runtime), Ok(permit)) = (Handle::try_current(), LEAVING.try_acquire()) else { return };
        if !self.conversation.is_at_rest() {
            return;
        }
        runtime.spawn(async move {
            // Whatever it says, we are gone.
            let _ = self.conversation.ask("QUIT", &[], QUIT_LIMIT).await;
            drop(permit);
        });
    }
}

/// A reply that means something to a command which is done or refused.
fn decided(phase: Phase, reply: Reply) -> Outcome<Reply> {
    match reply.code() {
        300..400 => Err(Failure { phase, trouble: Trouble::Malformed, reply: Some(reply) }),
        _ => Ok(reply),
    }
}

/// 2xx: done as asked.
pub(super) fn is_done(reply: &Reply) -> bool {
    (200..300).contains(&reply.code())
}

/// Notes how long it took since it has `begun`, if it went well, and in which phase it did not.
pub(super) fn timed<T>(server: &Server, phase: Phase, begun: Instant, done: Result<T, Lost>) -> Outcome<T> {
    let done = done.map_err(|lost| lost.at(phase))?;
    server.statistics.took(phase, begun.elapsed());
    Ok(done)
}
