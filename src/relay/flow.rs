//! One direction of a relay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::held::{Appetite, Held, PORTION, with_scratch};
use super::pipe::{Lease, Pool, is_refusal};
use super::settings::Settings;
use super::totals;
use super::transfer::Moved;
use crate::wire::{self, Behind, Socket};

/// How often a flow may move bytes before the other direction, and other connections, get their turn.
pub(super) const ROUNDS: usize = 32;

/// How many reads in a row must bring a whole [`PORTION`] before a flow counts as bulk. Mail of up to 128 KiB is
/// cheaper to copy, and of larger mail the start is.
const BULK_AFTER: u8 = 2;

/// How many splices in a row may move less than [`SMALL`] before a flow counts as chatter again.
const CHATTER_AFTER: u8 = 3;
const SMALL: usize = 16 * 1024;

/// Either side of a relay.
pub(super) trait Leg {
    /// What bytes come from and go to.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    fn stream(&mut self) -> &mut Self::Stream;

    /// The socket that it is, where the kernel can splice.
    fn as_socket(&self) -> Option<&Socket>;
}

impl Leg for Socket {
    type Stream = Self;

    fn stream(&mut self) -> &mut Self {
        self
    }

    fn as_socket(&self) -> Option<&Socket> {
        Some(self)
    }
}

/// A stream whose bytes only we can move.
pub(super) struct Opaque<S>(pub(super) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Leg for Opaque<S> {
    type Stream = S;

    fn stream(&mut self) -> &mut S {
        &mut self.0
    }

    fn as_socket(&self) -> Option<&Socket> {
        None
    }
}

/// What broke, seen from a flow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Where it reads.
    Source(io::ErrorKind),
    /// Where it writes.
    Sink(io::ErrorKind),
}

/// Bytes from a source to a sink.
pub(super) struct Flow {
    hold: Hold,
    phase: Phase,
    gait: Gait,
    moved: Moved,
    /// Bytes may be inside the sink's stream, such as a TLS record, that only a flush sends.
    unflushed: bool,
    /// What was read last ended in QUIT.
    has_quit: bool,
}

/// What has left the source and has not reached the sink. Nothing is read while something is held: so order is kept,
/// back-pressure reaches the source, and the bytes of a buffer never mix with those of a pipe.
enum Hold {
    Nothing,
    /// Boxed: most flows hold nothing, and thousands wait.
    Bytes(Box<Held>),
    Pipe(Lease),
}

impl Hold {
    fn of(bytes: impl Into<Box<[u8]>>) -> Self {
        Held::new(bytes).map_or(Self::Nothing, |held| Self::Bytes(Box::new(held)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The source has finished; the sink is told so once it has everything.
    Ended,
    /// The source has broken behind what the sink does not have yet.
    Broken(io::ErrorKind),
    /// The sink has been told.
    Finished,
}

/// How bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gait {
    /// Through the scratch. `full` counts reads in a row that brought a whole portion.
    Copy { full: u8 },
    /// Through a pipe. `small` counts splices in a row that hardly moved anything.
    Splice { small: u8 },
    /// Through the scratch for good.
    CopyOnly,
}

/// Where pipes come from, and what else all flows share.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) pool: &'static Pool,
    pub(super) settings: &'a Settings,
}

impl Flow {
    /// A flow between sockets that begins with `early`.
    pub(super) fn spliced(early: Vec<u8>) -> Self {
        Self::new(early, Gait::Copy { full: 0 })
    }

    /// A flow that begins with `early` and goes through the scratch for good.
    pub(super) fn copied(early: Vec<u8>) -> Self {
        Self::new(early, Gait::CopyOnly)
    }

    fn new(early: Vec<u8>, gait: Gait) -> Self {
        Self {
            has_quit: ends_in_quit(&early),
            hold: Hold::of(early),
            phase: Phase::Open,
            gait,
            moved: Moved::default(),
            unflushed: false,
        }
    }

    /// What has reached the sink.
    pub(super) fn moved(&self) -> Moved {
        self.moved
    }

    /// Whether the source has finished, though the sink may not know.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Finished)
    }

    /// Whether nothing more will happen.
    pub(super) fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Whether the source has said QUIT and nothing since, and the sink has it all. What goes through a pipe is not
    /// looked at.
    pub(super) fn has_quit(&self) -> bool {
        self.has_quit && matches!(self.hold, Hold::Nothing)
    }

    /// Gives up: the sink takes no more.
    pub(super) fn abandon(&mut self) {
        self.hold = Hold::Nothing;
        self.phase = Phase::Finished;
    }

    /// Moves what can be moved; ready when the source has finished and the sink has been told.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Leg,
        sink: &mut impl Leg,
        means: Means<'_>,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..ROUNDS {
            ready!(self.poll_release(cx, sink)).map_err(|error| Fault::Sink(error.kind()))?;
            match self.phase {
                Phase::Open => {}
                Phase::Ended => {
                    // A peer that is gone can not be told; its own direction will show it.
                    let _ = ready!(Pin::new(sink.stream()).poll_shutdown(cx));
                    self.phase = Phase::Finished;
                    return Poll::Ready(Ok(()));
                }
                Phase::Broken(error) => return Poll::Ready(Err(Fault::Source(error))),
                Phase::Finished => return Poll::Ready(Ok(())),
            }
            let moved = match (self.gait, source.as_socket(), sink.as_socket()) {
                (Gait::Splice { .. }, Some(from), Some(_)) => self.poll_fill(cx, from, means),
                _ => self.poll_copy(cx, source, sink),
            };
            if moved.is_pending() {
                ready!(self.poll_flush(cx, sink)).map_err(|error| Fault::Sink(error.kind()))?;
            }
            ready!(moved)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Brings what is held to the sink; ready when nothing is held.
    fn poll_release(&mut self, cx: &mut Context<'_>, sink: &mut impl Leg) -> Poll<io::Result<()>> {
        loop {
            match &mut self.hold {
                Hold::Nothing => return Poll::Ready(Ok(())),
                Hold::Bytes(held) => {
                    let written = ready!(poll_write(cx, sink.stream(), held.rest()))?;
                    held.advance(written);
                    self.moved.copied += written as u64;
                    self.unflushed = true;
                    if held.rest().is_empty() {
                        self.hold = Hold::Nothing;
                    }
                }
                Hold::Pipe(lease) => {
                    let Some(socket) = sink.as_socket() else { return Poll::Ready(Ok(())) };
                    ready!(socket.poll_write_ready(cx))?;
                    match socket.try_io(Interest::WRITABLE, |fd| lease.drain(fd)) {
                        Ok(spliced) => {
                            self.moved.spliced += spliced as u64;
                            if lease.is_empty() {
                                self.hold = Hold::Nothing;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if is_refusal(&error) => self.salvage(&error)?,
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }

    /// Reads what there is into the worker's scratch and writes on at once; what the sink does not take is held. Pending
    /// when there is no more. To read all of it shows the end of the stream before the last words are passed on.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Leg,
        sink: &mut impl Leg,
    ) -> Poll<Result<(), Fault>> {
        let appetite = match self.gait {
            Gait::Copy { full: 0 } => Appetite::Portion,
            _ => Appetite::Bulk,
        };
        with_scratch(appetite, |scratch| {
            let mut buf = ReadBuf::new(scratch);
            let (phase, more) = match wire::read_all(cx, source.stream(), &mut buf) {
                Behind::Nothing => (Phase::Open, Poll::Pending),
                Behind::More => (Phase::Open, Poll::Ready(Ok(()))),
                Behind::End => (Phase::Ended, Poll::Ready(Ok(()))),
                Behind::Broken(error) => (Phase::Broken(error.kind()), Poll::Ready(Ok(()))),
            };
            self.phase = phase;
            let mut bytes: &[u8] = buf.filled();
            if bytes.is_empty() {
                return more;
            }
            self.gait = self.gait.after_read(bytes.len());
            self.has_quit = ends_in_quit(bytes);
            self.unflushed = true;
            while !bytes.is_empty() {
                let written = match (self.phase, sink.as_socket()) {
                    (Phase::Ended, Some(socket)) => socket.poll_write_last(cx, bytes),
                    _ => poll_write(cx, sink.stream(), bytes),
                };
                match written {
                    Poll::Ready(Ok(written)) => {
                        self.moved.copied += written as u64;
                        bytes = bytes.get(written..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Sink(error.kind()))),
                    Poll::Pending => {
                        self.hold = Hold::of(bytes);
                        break;
                    }
                }
            }
            more
        })
    }

    /// Fills a pipe from the source. Only a source that has something is given a pipe.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &Socket,
        means: Means<'_>,
    ) -> Poll<Result<(), Fault>> {
        ready!(source.poll_read_ready(cx)).map_err(|error| Fault::Source(error.kind()))?;
        let Some(mut lease) = means.pool.lease(means.settings.pipe_size, means.settings.max_pipes) else {
            // Copy a large portion, and ask again after it.
            self.gait = Gait::Copy { full: BULK_AFTER - 1 };
            return Poll::Ready(Ok(()));
        };
        match source.try_io(Interest::READABLE, |fd| lease.fill(fd)) {
            Ok(0) => self.phase = Phase::Ended,
            Ok(spliced) => {
                self.gait = self.gait.after_splice(spliced);
                self.has_quit = false;
                self.hold = Hold::Pipe(lease);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_refusal(&error) => self.refuse(&error),
            Err(error) => return Poll::Ready(Err(Fault::Source(error.kind()))),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &mut impl Leg) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(sink.stream()).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// No byte of the pipe is lost when the kernel will not splice out of it.
    fn salvage(&mut self, error: &io::Error) -> io::Result<()> {
        self.refuse(error);
        if let Hold::Pipe(lease) = std::mem::replace(&mut self.hold, Hold::Nothing) {
            self.hold = Hold::of(lease.salvage()?);
        }
        Ok(())
    }

    fn refuse(&mut self, error: &io::Error) {
        self.gait = Gait::CopyOnly;
        totals::splice_refused(error);
    }
}

impl Gait {
    fn after_read(self, read: usize) -> Self {
        match self {
            Self::Copy { full } if read >= PORTION && full + 1 >= BULK_AFTER => Self::Splice { small: 0 },
            Self::Copy { full } if read >= PORTION => Self::Copy { full: full + 1 },
            Self::Copy { .. } => Self::Copy { full: 0 },
            gait => gait,
        }
    }

    fn after_splice(self, spliced: usize) -> Self {
        match self {
            Self::Splice { .. } if spliced >= SMALL => Self::Splice { small: 0 },
            Self::Splice { small } if small + 1 >= CHATTER_AFTER => Self::Copy { full: 0 },
            Self::Splice { small } => Self::Splice { small: small + 1 },
            gait => gait,
        }
    }
}

fn ends_in_quit(bytes: &[u8]) -> bool {
    let Some((before, line)) = bytes.split_last_chunk::<6>() else { return false };
    line.eq_ignore_ascii_case(b"QUIT\r\n") && (before.is_empty() || before.ends_with(b"\n"))
}

/// A write that takes nothing would be asked again for ever.
fn poll_write<T>(cx: &mut Context<'_>, sink: &mut T, bytes: &[u8]) -> Poll<io::Result<usize>>
where
    T: AsyncWrite + Unpin,
{
    match ready!(Pin::new(sink).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_reads(reads: &[usize]) -> Gait {
        reads.iter().fold(Gait::Copy { full: 0 }, |gait, &read| gait.after_read(read))
    }

    #[test]
    fn two_whole_portions_in_a_row_are_bulk() {
        assert_eq!(after_reads(&[PORTION]), Gait::Copy { full: 1 });
        assert_eq!(after_reads(&[PORTION, PORTION - 1]), Gait::Copy { full: 0 });
        assert_eq!(after_reads(&[PORTION, 10, PORTION]), Gait::Copy { full: 1 });
        assert_eq!(after_reads(&[PORTION, 4 * PORTION]), Gait::Splice { small: 0 });
    }

    #[test]
    fn who_may_not_splice_never_does() {
        assert_eq!(Gait::CopyOnly.after_read(4 * PORTION), Gait::CopyOnly);
    }

    #[test]
    fn quit_is_a_line_of_its_own_and_the_last() {
        for quit in ["QUIT\r\n", "quit\r\n", ".\r\nQUIT\r\n"] {
            assert!(ends_in_quit(quit.as_bytes()), "{quit:?}");
        }
        for other in ["", "QUIT\n", "NOQUIT\r\n", "QUIT\r\nNOOP\r\n"] {
            assert!(!ends_in_quit(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn small_splices_in_a_row_are_chatter() {
        let mut gait = Gait::Splice { small: 0 };
        for spliced in [10, SMALL, 10, 10] {
            gait = gait.after_splice(spliced);
            assert!(matches!(gait, Gait::Splice { .. }));
        }
        assert_eq!(gait.after_splice(10), Gait::Copy { full: 0 });
    }
}
