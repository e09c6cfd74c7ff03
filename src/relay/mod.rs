//! The relay: bytes to and fro between client and backend until both have finished.
//!
//! One task, one poll function, two [`Flow`]s. Bytes go through a scratch buffer that belongs to the worker thread; a
//! flow that proves to be bulk is spliced through a [pipe] that it holds only while bytes are in it. So a connection
//! that waits holds neither buffer nor pipe, short mail costs what copying it costs, and large mail is never touched.
//! Where there is no splicing to be had, everything is copied, and nobody but the metrics notices.
//!
//! An end is passed on exactly: who has finished sending may go on receiving, and the other side is told once it has
//! every byte. The relay never adds a byte, and looks at no more than the last line: once a client has said QUIT and the
//! backend has closed, nobody waits for the client to close, too (RFC 5321 §4.1.1.10). Many never do. Behind large mail
//! QUIT may go through a pipe, where nobody sees it; so whoever else is left alone by its backend has half a minute.

mod content;
mod flow;
mod held;
mod message;
mod pipe;
mod settings;
mod totals;
mod transfer;

pub use content::ForbidBareNewline;
pub use message::{Forwarded, message};
pub use settings::{Inspect, Settings};
pub use totals::{Totals, totals};
pub use transfer::{Early, How, Moved, Side, Transfer};

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::wire::Socket;
use flow::{Fault, Flow, Leg, Means, Opaque, ROUNDS};
use pipe::POOL;

/// How long a client may be silent whose backend has closed.
const ALONE: Duration = Duration::from_secs(30);

/// Relays until both sides have finished, one breaks, neither moves for the idle timeout, or `stop` is ready.
///
/// Dropping the future closes both connections and loses nothing but the [`Transfer`].
pub fn splice(
    client: TcpStream,
    backend: Socket,
    early: Early,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> impl Future<Output = Transfer> {
    let flow = if settings.max_pipes == 0 { Flow::copied } else { Flow::spliced };
    let relay = Relay {
        client: Socket::from(client),
        backend,
        up: flow(early.to_backend),
        down: flow(early.to_client),
        first: None,
        broken: None,
    };
    relay.run(settings, stop)
}

/// Like [`splice`], for streams that the kernel cannot join, such as TLS: every byte is copied.
pub fn copy<C, B>(
    client: C,
    backend: B,
    early: Early,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> impl Future<Output = Transfer>
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let relay = Relay {
        client: Opaque(client),
        backend: Opaque(backend),
        up: Flow::copied(early.to_backend),
        down: Flow::copied(early.to_client),
        first: None,
        broken: None,
    };
    relay.run(settings, stop)
}

pin_project! {
    /// A relay under way. It has a name because thousands last for hours: an async block would hold everything twice
    /// that it lends to what it awaits.
    #[project = Projected]
    struct Running<'s, C, B, S> {
        relay: Relay<C, B>,
        settings: &'s Settings,
        #[pin]
        stop: S,
        #[pin]
        alarm: Sleep,
        // When something moved.
        last: Instant,
    }
}

impl<C, B, S> Future for Running<'_, C, B, S>
where
    C: Leg,
    B: Leg,
    S: Future<Output = ()>,
{
    type Output = Transfer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Transfer> {
        let Projected { relay, settings, stop, alarm, last } = self.project();
        let before = (relay.up.moved(), relay.down.moved());
        let mut polled = relay.poll(cx, Means { pool: &POOL, settings });
        let (up, down) = (relay.up.moved(), relay.down.moved());
        if before != (up, down) {
            totals::UP.add(before.0, up);
            totals::DOWN.add(before.1, down);
            *last = Instant::now();
        }
        if polled.is_pending() {
            polled = stop.poll(cx).map(|()| How::Stopped);
        }
        if polled.is_pending() {
            let patience = relay.patience(settings);
            polled = poll_idle(cx, alarm, *last, patience).map(|()| relay.outwaited());
        }
        polled.map(|ended| Transfer { up, down, ended })
    }
}

struct Relay<C, B> {
    client: C,
    backend: B,
    up: Flow,
    down: Flow,
    /// Who finished first.
    first: Option<Side>,
    /// What broke first.
    broken: Option<(Side, io::ErrorKind)>,
}

impl<C: Leg, B: Leg> Relay<C, B> {
    fn run<S>(self, settings: &Settings, stop: S) -> Running<'_, C, B, S> {
        let alarm = sleep(settings.idle_timeout);
        Running { relay: self, settings, stop, alarm, last: Instant::now() }
    }

    /// Moves what can be moved, both ways.
    fn poll(&mut self, cx: &mut Context<'_>, means: Means<'_>) -> Poll<How> {
        for source in [Side::Client, Side::Backend] {
            let polled = match source {
                Side::Client => self.up.poll(cx, &mut self.client, &mut self.backend, means),
                Side::Backend => self.down.poll(cx, &mut self.backend, &mut self.client, means),
            };
            match polled {
                Poll::Ready(Err(Fault::Source(error))) => return Poll::Ready(self.lost(source, error)),
                Poll::Ready(Err(Fault::Sink(error))) => self.deaf(source.other(), error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if self.flow(source).has_ended() {
                self.first.get_or_insert(source);
            }
        }
        if !(self.down.is_finished() && (self.up.is_finished() || self.up.has_quit())) {
            return Poll::Pending;
        }
        Poll::Ready(self.finished())
    }

    fn finished(&self) -> How {
        match self.broken {
            Some((side, error)) => How::Broken { side, error },
            None => How::Finished { first: self.first.unwrap_or(Side::Client) },
        }
    }

    /// How long nothing may move.
    fn patience(&self, settings: &Settings) -> Duration {
        if self.down.is_finished() { settings.idle_timeout.min(ALONE) } else { settings.idle_timeout }
    }

    /// What it is when nothing has moved for so long: a client whose backend has closed has nothing more to hear.
    fn outwaited(&self) -> How {
        if self.down.is_finished() { self.finished() } else { How::Idle }
    }

    /// `side` can no longer be read: it is gone, and so is the relay. The other side shall not take a reset for an
    /// orderly end.
    fn lost(&mut self, side: Side, error: io::ErrorKind) -> How {
        if self.broken.is_none() && error == io::ErrorKind::ConnectionReset {
            let other = match side {
                Side::Client => self.backend.as_socket(),
                Side::Backend => self.client.as_socket(),
            };
            other.map(Socket::reset_on_close);
        }
        let (side, error) = *self.broken.get_or_insert((side, error));
        How::Broken { side, error }
    }

    /// `side` takes no more. Its last words may be on their way, such as the reply that says why, so the other
    /// direction goes on to its end.
    fn deaf(&mut self, side: Side, error: io::ErrorKind) {
        self.broken.get_or_insert((side, error));
        self.flow(side.other()).abandon();
    }

    /// The flow that reads from `source`.
    fn flow(&mut self, source: Side) -> &mut Flow {
        match source {
            Side::Client => &mut self.up,
            Side::Backend => &mut self.down,
        }
    }
}

/// Ready when nothing has moved for `timeout`. The alarm is set again only when it goes off, or has become too late, so
/// that a message costs no timer operation.
fn poll_idle(cx: &mut Context<'_>, mut alarm: Pin<&mut Sleep>, last: Instant, timeout: Duration) -> Poll<()> {
    if let Some(due) = last.checked_add(timeout).filter(|due| *due < alarm.deadline()) {
        alarm.as_mut().reset(due);
    }
    while alarm.as_mut().poll(cx).is_ready() {
        match last.checked_add(timeout) {
            Some(due) if due <= Instant::now() => return Poll::Ready(()),
            Some(due) => alarm.as_mut().reset(due),
            None => return Poll::Pending,
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::wire::tests::connection;

    /// Four hours of silence but for one byte every ten minutes.
    #[tokio::test(start_paused = true)]
    async fn the_idle_timeout_counts_from_the_last_byte() {
        let (mut client, near_client) = duplex(64);
        let (near_backend, mut backend) = duplex(64);
        let settings = Settings::default();
        let start = Instant::now();
        let relay = copy(near_client, near_backend, Early::default(), &settings, pending());
        let talk = async {
            for _ in 0..24 {
                sleep(Duration::from_secs(600)).await;
                backend.write_all(b".").await.unwrap();
                client.read_u8().await.unwrap();
            }
        };
        let (transfer, ()) = tokio::join!(relay, talk);
        assert_eq!(transfer.ended, How::Idle);
        assert_eq!(start.elapsed().as_secs(), 24 * 600 + 900);
        assert_eq!((transfer.up.total(), transfer.down.total()), (0, 24));
    }

    #[tokio::test]
    async fn early_bytes_go_first_and_ends_are_passed_on() {
        let (client, near_client) = duplex(64);
        let (near_backend, backend) = duplex(64);
        let early = Early { to_backend: b"DATA\r\n".to_vec(), to_client: b"250 ok\r\n".to_vec() };
        let settings = Settings::default();
        let relay = copy(near_client, near_backend, early, &settings, pending());

        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_backend, mut to_backend) = tokio::io::split(backend);
        let talk = async {
            to_client.write_all(b"To: you\r\n").await.unwrap();
            to_client.shutdown().await.unwrap();
            let mut heard = String::new();
            from_backend.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "DATA\r\nTo: you\r\n");
            // The client has finished; it can still be answered.
            to_backend.write_all(b"354 go\r\n").await.unwrap();
            to_backend.shutdown().await.unwrap();
            let mut heard = String::new();
            from_client.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "250 ok\r\n354 go\r\n");
        };
        let (transfer, ()) = tokio::join!(relay, talk);
        assert_eq!(transfer.ended, How::Finished { first: Side::Client });
        assert_eq!((transfer.up.copied, transfer.down.copied), (15, 16));
    }

    #[tokio::test]
    async fn what_is_on_its_way_behind_quit_arrives() {
        let (mut client, near_client) = duplex(256);
        let (near_backend, backend) = duplex(64);
        let settings = Settings::default();
        let relay = copy(near_client, near_backend, Early::default(), &settings, pending());

        let said = [&[b'x'; 100], &b"\r\nQUIT\r\n"[..]].concat();
        let (mut from_backend, mut to_backend) = tokio::io::split(backend);
        let talk = async {
            client.write_all(&said).await.unwrap();
            to_backend.shutdown().await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            let mut heard = vec![0; said.len()];
            from_backend.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, said);
        };
        let (transfer, ()) = tokio::join!(relay, talk);
        assert_eq!(transfer.ended, How::Finished { first: Side::Backend });
    }

    #[tokio::test(start_paused = true)]
    async fn quit_may_be_among_the_first_bytes() {
        let (mut client, near_client) = duplex(256);
        let (near_backend, mut backend) = duplex(256);
        let early = Early { to_backend: b"BDAT 4 LAST\r\nhi\r\nQUIT\r\n".to_vec(), to_client: Vec::new() };
        let settings = Settings::default();
        let start = Instant::now();
        let relay = copy(near_client, near_backend, early, &settings, pending());
        let talk = async {
            backend.write_all(b"250 Ok\r\n221 Bye\r\n").await.unwrap();
            backend.shutdown().await.unwrap();
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "250 Ok\r\n221 Bye\r\n");
        };
        let (transfer, ()) = tokio::join!(relay, talk);
        assert_eq!(transfer.ended, How::Finished { first: Side::Backend });
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    /// As one whose QUIT went through a pipe.
    #[tokio::test(start_paused = true)]
    async fn who_is_left_alone_by_its_backend_is_not_waited_for_long() {
        let (mut client, near_client) = duplex(64);
        let (near_backend, mut backend) = duplex(64);
        let settings = Settings::default();
        let start = Instant::now();
        let relay = copy(near_client, near_backend, Early::default(), &settings, pending());
        let talk = async {
            backend.shutdown().await.unwrap();
            sleep(ALONE / 2).await;
            client.write_all(b"DATA\r\n").await.unwrap();
            backend.read_exact(&mut [0; 6]).await.unwrap();
        };
        let (transfer, ()) = tokio::join!(relay, talk);
        assert_eq!(transfer.ended, How::Finished { first: Side::Backend });
        assert_eq!((start.elapsed(), transfer.up.total()), (ALONE / 2 + ALONE, 6));
    }

    #[tokio::test]
    async fn last_words_arrive_with_the_end_or_a_reset_behind_them() {
        for is_reset in [false, true] {
            let ((near_client, mut client), (near_backend, mut backend)) =
                (connection().await, connection().await);
            backend.write_all(b"421 bye\r\n").await.unwrap();
            if is_reset {
                backend.set_zero_linger().unwrap();
            }
            drop(backend);
            let settings = Settings::default();
            let relay = splice(near_client, near_backend.into(), Early::default(), &settings, pending());
            let talk = async {
                let mut heard = Vec::new();
                let end = client.read_to_end(&mut heard).await;
                assert_eq!(heard, b"421 bye\r\n");
                assert_eq!(end.is_err(), is_reset);
                drop(client);
            };
            let (transfer, ()) = tokio::join!(relay, talk);
            let reset = How::Broken { side: Side::Backend, error: io::ErrorKind::ConnectionReset };
            let expected = if is_reset { reset } else { How::Finished { first: Side::Backend } };
            assert_eq!(transfer.ended, expected);
        }
    }

    #[tokio::test]
    async fn a_caller_can_stop_it() {
        let (_client, near_client) = duplex(64);
        let (near_backend, _backend) = duplex(64);
        let settings = Settings::default();
        let transfer = copy(near_client, near_backend, Early::default(), &settings, ready(())).await;
        assert_eq!(transfer.ended, How::Stopped);
    }

    /// Thousands of relays wait at any time; what one of them takes is what they all take.
    #[tokio::test]
    async fn a_relay_is_small() {
        let (client, backend) = connection().await;
        let settings = Settings::default();
        let relay = splice(client, backend.into(), Early::default(), &settings, pending());
        let size = size_of_val(&relay);
        println!("the future of a relay has {size} bytes");
        assert!(size < 1024);
    }
}
