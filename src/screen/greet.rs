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
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Screen;
use super::action::Failure;
use super::case::{Case, Fate};
use super::dnsbl::{self, Lookups};
use super::finding::Finding;
use super::score::Opinion;
use crate::allowlist::Test;
use crate::limits::Pressure;
use crate::smtp::excerpt::excerpt;
use crate::smtp::line::LineBuffer;
use crate::wire;

/// How much of an early talker is read; more waits in the kernel.
const MAX_EARLY: usize = 4096;

/// With the pregreet test off, DNS lists are waited for; the resolver gives up long before this.
const UNTIL_DNS_GIVES_UP: Duration = Duration::from_secs(60);

/// The same under stress, when no place may be kept for that long.
const UNTIL_STRESS_GIVES_UP: Duration = Duration::from_secs(2);

/// How long a client may take to take in one line of greeting.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// Whether a client has to keep silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It passes a test by that.
    Tested,
    /// It has passed before, and fails now if it does not.
    Expected,
    /// It has spoken already, or may: with the test off, nobody is too early.
    Over,
}

/// A client that is kept waiting.
pub(super) struct Wait<'a, S> {
    stream: &'a mut S,
    input: &'a mut LineBuffer,
    start: Instant,
    pressure: Pressure,
    silence: Silence,
    /// Until they have led to something.
    lookups: Option<Box<Lookups<'a>>>,
}

enum Event {
    Read(usize),
    HungUp,
    Replied(Option<dnsbl::Reply>),
    TimeUp,
    Stopped,
}

impl Screen {
    /// At most how long a client is kept waiting; 0 with the pregreet test off.
    pub(super) fn greet_wait(&self, pressure: Pressure) -> Duration {
        match pressure {
            Pressure::Normal => self.settings.greet_wait,
            Pressure::Stress => self.settings.stress_greet_wait.min(self.settings.greet_wait),
        }
    }

    /// Keeps a client waiting for as long as there is something to learn and time to learn it, and `stop` is not ready.
    ///
    /// What lasts for a moment of it is boxed: the future, which thousands hold, has no room for that.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
    pub(super) fn wait<S>(
        &self,
        wait: &mut Wait<'_, S>,
        case: &mut Case<'_>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> impl Future<Output = Fate>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        async move {
            if wait.silence == Silence::Tested && !self.teaser.is_empty() {
                if Box::pin(wait.say(format!("220-{}\r\n", self.teaser))).await.is_err() {
                    return Fate::HungUp;
                }
                case.teased = true;
            }
            let mut time_up = pin!(sleep_until(wait.start + self.patience(wait.pressure)));
            while wait.silence == Silence::Tested || wait.lookups.is_some() {
                let event = if wait.silence != Silence::Over && !wait.input.is_empty() {
                    Event::Read(wait.input.len())
                } else {
                    poll_fn(|cx| match wait.poll(cx, time_up.as_mut()) {
                        Poll::Pending => stop.as_mut().poll(cx).map(|()| Event::Stopped),
                        event => event,
                    })
                    .await
                };
                let fate = match event {
                    Event::HungUp => Fate::HungUp,
                    Event::Stopped => Fate::Stopped,
                    Event::Read(_) if wait.silence == Silence::Over => Fate::GoOn,
                    Event::Read(count) => {
                        wait.silence = Silence::Over;
                        let text = excerpt(wait.input.as_slice());
                        case.note(Finding::Pregreet { count, after: wait.start.elapsed(), text });
                        case.fail(&Failure::Pregreet, self.settings.greet_action)
                    }
                    Event::Replied(reply) => {
                        if let Some(reply) = reply {
                            case.note(Finding::Answered(Box::new(reply)));
                        }
                        let decided = wait
                            .lookups
                            .take_if(|lookups| lookups.is_complete() || lookups.score().is_listed());
                        self.conclude(decided, case)
                    }
                    Event::TimeUp => {
                        if wait.silence == Silence::Tested {
                            wait.silence = Silence::Expected;
                            case.pass(Test::Pregreet, self.settings.greet_ttl);
                        }
                        self.conclude(wait.lookups.take(), case)
                    }
                };
                if fate != Fate::GoOn {
                    return fate;
                }
            }
            Fate::GoOn
        }
    }

    /// How long DNS lists are waited for.
    fn patience(&self, pressure: Pressure) -> Duration {
        match (self.greet_wait(pressure), pressure) {
            (Duration::ZERO, Pressure::Normal) => UNTIL_DNS_GIVES_UP,
            (Duration::ZERO, Pressure::Stress) => UNTIL_STRESS_GIVES_UP,
            (wait, _) => wait,
        }
    }

    fn conclude(&self, lookups: Option<Box<Lookups<'_>>>, case: &mut Case<'_>) -> Fate {
        let Some(lookups) = lookups else { return Fate::GoOn };
        let client = lookups.client();
        let score = Arc::new(lookups.conclude());
        case.note(Finding::Scored(Arc::clone(&score)));
        match (&score.opinion, score.ttl) {
            (Opinion::Listed { by }, _) => {
                case.fail(&Failure::Listed { client, by: Arc::clone(by) }, self.dnsbl_action)
            }
            (Opinion::Trusted, Some(ttl)) => case.trust(ttl),
            (Opinion::Clear, Some(ttl)) => {
                case.pass(Test::Dnsbl, ttl);
                Fate::GoOn
            }
            (Opinion::Trusted | Opinion::Clear | Opinion::Unknown, _) => Fate::GoOn,
        }
    }

    /// Completes the greeting that the teaser began, before the client is refused or sent away. What follows is then
    /// read as the reply to its first command, where a bare 521 or 421 would contradict the 220 in front of it
    /// (RFC 5321 §4.2.1: one code for all lines).
    pub(super) async fn complete_greeting<S>(&self, wait: &mut Wait<'_, S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // If it cannot be written, neither can the reply behind it; whoever writes that will see.
        let _ = wait.say(format!("220 {}\r\n", self.greeting)).await;
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
        pressure: Pressure,
        silence: Silence,
        lookups: Option<Lookups<'a>>,
    ) -> Self {
        Self { stream, input, start: Instant::now(), pressure, silence, lookups: lookups.map(Box::new) }
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

    fn poll(&mut self, cx: &mut Context<'_>, time_up: Pin<&mut Sleep>) -> Poll<Event> {
        if self.input.len() < MAX_EARLY
            && let Poll::Ready(read) = wire::poll_fill(cx, self.stream, |bytes| self.input.push(bytes))
        {
            return Poll::Ready(match read {
                Ok(0) | Err(_) => Event::HungUp,
                Ok(count) => Event::Read(count),
            });
        }
        if let Some(lookups) = &mut self.lookups
            && let Poll::Ready(reply) = lookups.poll_next(cx)
        {
            return Poll::Ready(Event::Replied(reply));
        }
        time_up.poll(cx).map(|()| Event::TimeUp)
    }
}
