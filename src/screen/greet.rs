//! The wait before the greeting.
//!
//! A mail server waits for its greeting; much malware does not. So a new client is kept waiting, tempted by the
//! first line of a greeting that has more to come, while DNS lists are asked. Who speaks is read, not peeked at: under
//! `ignore`, what it said are simply its first commands.
//!
//! The wait of a clean client ends when its time is up, that of a listed one when the verdict is known. It never
//! lasts longer than its time, whatever DNS does.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Screen;
use super::action::Failure;
use super::case::{Case, Fate};
use super::dnsbl::{self, Lookups};
use super::finding::Finding;
use super::score::Opinion;
use crate::allowlist::Test;
use crate::smtp::line::LineBuffer;
use crate::wire;

/// How much of an early talker is read; more waits in the kernel.
const MAX_EARLY: usize = 4096;

/// How much of it is told.
const MAX_TEXT: usize = 100;

/// With the pregreet test off, DNS lists are waited for; the resolver gives up long before this.
const UNTIL_DNS_GIVES_UP: Duration = Duration::from_secs(60);

/// How long a client may take to take in one line of greeting.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// What is still to be tested before the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ToDo {
    pub(super) pregreet: bool,
    pub(super) dnsbl: bool,
}

/// A client that is kept waiting.
pub(super) struct Wait<'a, S> {
    stream: &'a mut S,
    input: &'a mut LineBuffer,
    client: IpAddr,
    todo: ToDo,
    start: Instant,
    /// At most how long; 0 with the pregreet test off.
    time: Duration,
}

enum Event {
    Read(usize),
    HungUp,
    Replied(Option<dnsbl::Reply>),
    TimeUp,
}

impl Screen {
    /// Keeps a client waiting for as long as there is something to learn and time to learn it.
    ///
    /// What lasts for a moment of it is boxed: the future, which thousands hold, has no room for that.
    pub(super) fn wait<S>(&self, wait: &mut Wait<'_, S>, case: &mut Case<'_>) -> impl Future<Output = Fate>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut lookups = wait.todo.dnsbl.then(|| Box::new(self.dnsbl.look_up(wait.client)));
        async move {
            if wait.todo.pregreet && !self.teaser.is_empty() {
                if Box::pin(wait.say(format!("220-{}\r\n", self.teaser))).await.is_err() {
                    return Fate::HungUp;
                }
                case.teased = true;
            }
            let mut greeted = !wait.todo.pregreet;
            // With the test off, nobody is too early.
            let mut spoke = wait.time.is_zero();
            let mut time_up = pin!(sleep_until(wait.deadline()));
            while !greeted || lookups.is_some() {
                let event = if !spoke && !wait.input.is_empty() {
                    Event::Read(wait.input.len())
                } else {
                    poll_fn(|cx| wait.poll(cx, lookups.as_deref_mut(), time_up.as_mut())).await
                };
                let fate = match event {
                    Event::HungUp => Fate::HungUp,
                    Event::Read(_) if spoke => Fate::GoOn,
                    Event::Read(count) => {
                        (spoke, greeted) = (true, true);
                        let text = wait.input.as_slice();
                        let text = text.get(..MAX_TEXT).unwrap_or(text).to_vec();
                        case.note(Finding::Pregreet { count, after: wait.start.elapsed(), text });
                        case.fail(&Failure::Pregreet, self.settings.greet_action)
                    }
                    Event::Replied(reply) => {
                        if let Some(reply) = reply {
                            case.note(Finding::Answered(reply));
                        }
                        let decided =
                            lookups.take_if(|lookups| lookups.is_complete() || lookups.score().is_listed());
                        self.conclude(decided, wait.client, case)
                    }
                    Event::TimeUp => {
                        if !greeted {
                            case.pass(Test::Pregreet, self.settings.greet_ttl);
                        }
                        greeted = true;
                        self.conclude(lookups.take(), wait.client, case)
                    }
                };
                if fate != Fate::GoOn {
                    return fate;
                }
            }
            Fate::GoOn
        }
    }

    fn conclude(&self, lookups: Option<Box<Lookups<'_>>>, client: IpAddr, case: &mut Case<'_>) -> Fate {
        let Some(lookups) = lookups else { return Fate::GoOn };
        let score = lookups.conclude();
        case.note(Finding::Scored(score.clone()));
        match (score.opinion, score.ttl) {
            (Opinion::Listed { by }, _) => case.fail(&Failure::Listed { client, by }, self.dnsbl_action),
            (Opinion::Trusted, Some(ttl)) => {
                self.rechecks.note(client, SystemTime::now() + ttl);
                case.trust(ttl)
            }
            (Opinion::Clear, Some(ttl)) => {
                self.rechecks.note(client, SystemTime::now() + ttl);
                case.pass(Test::Dnsbl, ttl);
                Fate::GoOn
            }
            (Opinion::Trusted | Opinion::Clear | Opinion::Unknown, _) => Fate::GoOn,
        }
    }

    /// Completes the greeting that the teaser began, before the client is refused. What follows is then read as the
    /// reply to its first command, where a bare 521 would contradict the 220 in front of it (RFC 5321 §4.2.1: one
    /// code for all lines).
    pub(super) async fn complete_greeting<S>(&self, wait: &mut Wait<'_, S>, refused: Fate) -> Fate
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // If it cannot be written, neither can the reply behind it; whoever writes that will see.
        let _ = wait.say(format!("220 {}\r\n", self.greeting)).await;
        refused
    }
}

impl<'a, S> Wait<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Begins now.
    pub(super) fn new(
        stream: &'a mut S,
        input: &'a mut LineBuffer,
        client: IpAddr,
        todo: ToDo,
        time: Duration,
    ) -> Self {
        Self { stream, input, client, todo, start: Instant::now(), time }
    }

    /// Notes that the wait is over, and with what.
    pub(super) fn ended(&self, fate: Fate, case: &mut Case<'_>) -> Fate {
        let after = self.start.elapsed();
        if fate == Fate::HungUp {
            case.note(Finding::HungUp { after });
        }
        case.note(Finding::Waited(after));
        fate
    }

    async fn say(&mut self, line: String) -> io::Result<()> {
        wire::send(self.stream, line.as_bytes(), WRITE_TIME).await
    }

    fn deadline(&self) -> Instant {
        self.start + if self.time.is_zero() { UNTIL_DNS_GIVES_UP } else { self.time }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        lookups: Option<&mut Lookups<'_>>,
        time_up: Pin<&mut Sleep>,
    ) -> Poll<Event> {
        if self.input.len() < MAX_EARLY
            && let Poll::Ready(read) = wire::poll_fill(cx, self.stream, |bytes| self.input.push(bytes))
        {
            return Poll::Ready(match read {
                Ok(0) | Err(_) => Event::HungUp,
                Ok(count) => Event::Read(count),
            });
        }
        if let Some(lookups) = lookups
            && let Poll::Ready(reply) = lookups.poll_next(cx)
        {
            return Poll::Ready(Event::Replied(reply));
        }
        time_up.poll(cx).map(|()| Event::TimeUp)
    }
}
