//! One message, in a session that comes back behind it (`relay.inspect = "transaction"`).
//!
//! The content is looked at to find its end, and for nothing else; whatever the client has sent behind the end is
//! commands, and stays in the buffer that commands are read from.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep};

use super::content::{Content, State};
use super::held::{Appetite, Held, with_scratch};
use super::settings::Settings;
use super::transfer::Moved;
use super::{ROUNDS, poll_idle, totals};
use crate::dialogue::ContentCommand;
use crate::handoff::Backend;
use crate::smtp::line::LineBuffer;

/// What became of a message on its way to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It is there, and the backend's reply is due.
    Whole,
    /// It is there, though something in it merely looked like its end (`forbid_bare_newline = note`).
    Noted,
    /// Something in it merely looked like its end. The backend has not seen that, nor anything behind it.
    BareNewline,
    /// The backend has spoken, or gone, before the end.
    Interrupted,
    /// The client has gone before the end.
    ClientGone,
    /// Nothing has moved for the idle timeout.
    Idle,
}

/// Forwards one message, or one chunk of it. `input` holds what the client has sent already, and afterwards what it has
/// sent behind the message.
pub async fn message<C>(
    client: &mut C,
    input: &mut LineBuffer,
    backend: &mut Backend,
    command: ContentCommand,
    settings: &Settings,
) -> Forwarded
where
    C: AsyncRead + Unpin,
{
    let content = match command {
        ContentCommand::Data => Content::dotted(settings.forbid_bare_newline),
        ContentCommand::Bdat { size, .. } => Content::counted(size),
    };
    let mut passage = Passage { content, state: State::Open, held: None, moved: 0 };
    let early = input.take();
    passage.take(&early, input);

    let mut alarm = pin!(sleep(settings.idle_timeout));
    let mut last = Instant::now();
    poll_fn(|cx| {
        let before = passage.moved;
        let polled = passage.poll(cx, client, input, backend);
        if passage.moved != before {
            totals::UP.add(copied(before), copied(passage.moved));
            last = Instant::now();
        }
        if polled.is_ready() {
            return polled;
        }
        poll_idle(cx, alarm.as_mut(), last, settings.idle_timeout).map(|()| Forwarded::Idle)
    })
    .await
}

fn copied(bytes: u64) -> Moved {
    Moved { copied: bytes, spliced: 0 }
}

struct Passage {
    content: Content,
    state: State,
    /// What the backend has not taken yet.
    held: Option<Held>,
    moved: u64,
}

impl Passage {
    fn poll<C>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        input: &mut LineBuffer,
        backend: &mut Backend,
    ) -> Poll<Forwarded>
    where
        C: AsyncRead + Unpin,
    {
        for _ in 0..ROUNDS {
            if let Some(outcome) = self.outcome() {
                return Poll::Ready(outcome);
            }
            if backend.poll_interrupted(cx).is_ready() {
                return Poll::Ready(Forwarded::Interrupted);
            }
            if ready!(self.poll_release(cx, backend)).is_err() {
                return Poll::Ready(Forwarded::Interrupted);
            }
            if let Some(outcome) = self.outcome() {
                return Poll::Ready(outcome);
            }
            let read = with_scratch(Appetite::Portion, |scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *client).poll_read(cx, &mut buf))?;
                self.take(buf.filled(), input);
                Poll::Ready(Ok::<_, std::io::Error>(buf.filled().len()))
            });
            if matches!(ready!(read), Ok(0) | Err(_)) {
                return Poll::Ready(Forwarded::ClientGone);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What has become of the message, once the backend has all that it is to have.
    fn outcome(&self) -> Option<Forwarded> {
        match self.state {
            _ if self.held.is_some() => None,
            State::Open => None,
            State::Ended if self.content.noted() => Some(Forwarded::Noted),
            State::Ended => Some(Forwarded::Whole),
            State::Refused => Some(Forwarded::BareNewline),
        }
    }

    /// Takes what the client has sent: what belongs to the message is held, what stands behind it is commands.
    fn take(&mut self, bytes: &[u8], input: &mut LineBuffer) {
        let scanned = self.content.scan(bytes);
        let (sent, behind) = bytes.split_at_checked(scanned.sent).unwrap_or((bytes, &[]));
        let sent = match scanned.released {
            [] => Cow::Borrowed(sent),
            released => Cow::Owned([released, sent].concat()),
        };
        self.held = Held::new(sent.into_owned());
        self.state = scanned.state;
        if self.state == State::Ended {
            input.push(behind);
        }
    }

    fn poll_release(&mut self, cx: &mut Context<'_>, backend: &mut Backend) -> Poll<std::io::Result<()>> {
        while let Some(held) = &mut self.held {
            if held.rest().is_empty() {
                // TLS may still have some of it.
                ready!(backend.poll_flush(cx))?;
                self.held = None;
                break;
            }
            let written = ready!(backend.poll_write(cx, held.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            held.advance(written);
            self.moved += written as u64;
        }
        Poll::Ready(Ok(()))
    }
}
