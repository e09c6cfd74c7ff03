//! Between a socket and a buffer: reading without owning memory while waiting, writing within a deadline, and a close
//! that does not eat the last words.

mod alarm;
mod socket;

pub use alarm::Alarm;
pub use socket::Socket;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::tls::Stream;

/// How much one read can bring.
const CHUNK: usize = 4096;

/// How long, and how much, a closed client is still listened to.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

/// Waits until `stream` has something, and hands it to `take`; returns how many bytes, 0 at the end of the stream.
///
/// What is there is taken together, although TLS gives its records one by one: whether a client has spoken out of turn
/// is told by what lies behind a line. The scratch lives on the stack of one poll, so a connection that waits here
/// holds no buffer.
pub async fn fill<S>(stream: &mut S, mut take: impl FnMut(&[u8])) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|cx| poll_fill(cx, stream, &mut take)).await
}

/// Is ready when [`fill`] is.
pub fn poll_fill<S>(cx: &mut Context<'_>, stream: &mut S, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>>
where
    S: AsyncRead + Unpin,
{
    let mut scratch = [MaybeUninit::uninit(); CHUNK];
    let mut buf = ReadBuf::uninit(&mut scratch);
    match (read_all(cx, stream, &mut buf), buf.filled()) {
        (Behind::Nothing, []) => Poll::Pending,
        (Behind::Broken(error), []) => Poll::Ready(Err(error)),
        // What stands behind the last byte shows again when somebody asks for more, if only as the end.
        (_, read) => {
            take(read);
            Poll::Ready(Ok(read.len()))
        }
    }
}

/// What stands behind the last byte that was read.
#[derive(Debug)]
pub enum Behind {
    /// Nothing yet; the task is woken when there is something.
    Nothing,
    /// Perhaps more: there was no room.
    More,
    /// The end of the stream.
    End,
    /// An error. A socket tells of it once, and of the end after that.
    Broken(io::Error),
}

/// Reads all that is there, as far as there is room. To ask a socket until it has no more costs no system call: the
/// runtime knows that a read which leaves room has emptied it.
pub fn read_all<S>(cx: &mut Context<'_>, stream: &mut S, buf: &mut ReadBuf<'_>) -> Behind
where
    S: AsyncRead + Unpin,
{
    loop {
        let before = buf.filled().len();
        match Pin::new(&mut *stream).poll_read(cx, buf) {
            Poll::Pending => return Behind::Nothing,
            Poll::Ready(Err(error)) => return Behind::Broken(error),
            Poll::Ready(Ok(())) if buf.filled().len() == before => return Behind::End,
            Poll::Ready(Ok(())) if buf.remaining() == 0 => return Behind::More,
            Poll::Ready(Ok(())) => {}
        }
    }
}

/// What follows what is said. Where it comes at once, and nothing stands before the socket, both go out in one segment;
/// the kernel waits no longer for it than 200 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The other side has its say.
    Listen,
    /// More words.
    More,
    /// The end of the stream.
    End,
}

impl Then {
    fn flags(self) -> SendFlags {
        match self {
            Self::Listen => SendFlags::NOSIGNAL,
            Self::More | Self::End => SendFlags::NOSIGNAL | SendFlags::MORE,
        }
    }
}

/// Writes all of `bytes` within `limit`, as [`send`] does, and tries it at once where nothing stands before the socket:
/// of a new socket the runtime knows only by an event that there is room, which would be a wake-up for nothing.
pub async fn tell<S>(stream: &mut Stream<S>, bytes: &[u8], then: Then, limit: Duration) -> io::Result<()>
where
    S: AsFd + AsyncRead + AsyncWrite + Unpin,
{
    let sent = match stream {
        // What goes wrong here goes wrong below, too.
        Stream::Plain(socket) => rustix::net::send(socket, bytes, then.flags()).unwrap_or(0),
        Stream::Tls(_) => 0,
    };
    match bytes.get(sent..) {
        None | Some([]) => Ok(()),
        // Boxed: few have to wait for room.
        Some(rest) => Box::pin(send(stream, rest, limit)).await,
    }
}

/// Writes all of `bytes` within `limit`; a client that takes longer is treated as gone.
pub async fn send<S>(stream: &mut S, bytes: &[u8], limit: Duration) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    let written = Alarm::default().within(limit, pin!(write)).await;
    written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Ends a conversation: no more from us, and a short while to take in what the client has under way.
///
/// A socket closed with unread input sends RST, and that RST can destroy a reply that is still on its way
/// (RFC 9293 §3.6.1); so what comes is read and dropped, up to 2 seconds and 64 KiB. TLS ends with an alert
/// (RFC 8446 §6.1), for which a client that takes nothing leaves no room: it has no longer for that.
pub async fn close<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let goodbye = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut dropped = 0;
        while dropped < LINGER_BYTES {
            match fill(stream, |_| {}).await {
                Ok(0) | Err(_) => return,
                Ok(read) => dropped += read,
            }
        }
    };
    // Out of time is out of luck: the replies were sent long ago.
    let _ = timeout(LINGER, goodbye).await;
}

#[cfg(test)]
pub(crate) mod tests {
    use std::task::Waker;

    use rustix::net::RecvFlags;
    use tokio::io::{AsyncReadExt, BufWriter, duplex};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// As TLS does, whose records come one by one.
    #[tokio::test]
    async fn what_is_there_is_taken_together() {
        let mut pieces = (&b"EHLO x\r\n"[..]).chain(&b"MAIL"[..]);
        let mut taken: Vec<u8> = Vec::new();
        assert_eq!(fill(&mut pieces, |bytes| taken.extend(bytes)).await.unwrap(), 12);
        assert_eq!(taken, b"EHLO x\r\nMAIL");
        assert_eq!(fill(&mut pieces, |_| {}).await.unwrap(), 0);
    }

    /// Both ends of a new connection.
    pub(crate) async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, far)
    }

    /// The same, as a client is spoken to.
    async fn client() -> (Stream, TcpStream) {
        let (near, far) = connection().await;
        (Stream::Plain(near), far)
    }

    #[tokio::test]
    async fn a_new_client_is_told_before_the_runtime_knows_of_it() {
        let (mut near, _far) = client().await;
        let told = pin!(tell(&mut near, b"220 hello\r\n", Then::Listen, Duration::from_secs(60)));
        assert!(told.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[tokio::test]
    async fn what_is_said_together_goes_out_together() {
        let limit = Duration::from_secs(60);
        // The kernel waits 200 ms at most, which a busy machine may need: some of them must do.
        let mut waited = 0;
        for _ in 0..10 {
            let (mut near, mut far) = client().await;
            tell(&mut near, b"250 hello\r\n", Then::More, limit).await.unwrap();
            tell(&mut near, b"221 bye\r\n", Then::End, limit).await.unwrap();
            let peeked = rustix::net::recv(&far, &mut [0; 64], RecvFlags::PEEK);
            waited += usize::from(peeked == Err(rustix::io::Errno::AGAIN));
            near.shutdown().await.unwrap();
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"250 hello\r\n221 bye\r\n");
        }
        assert!(waited > 0);
    }

    #[tokio::test]
    async fn what_is_not_taken_at_once_follows() {
        let (mut near, mut far) = client().await;
        let words: Vec<u8> = (0..16u32 << 20).map(|n| n as u8).collect();
        let tell = async {
            tell(&mut near, &words, Then::Listen, Duration::from_secs(60)).await.unwrap();
            drop(near);
        };
        let mut heard = Vec::new();
        let (read, ()) = tokio::join!(far.read_to_end(&mut heard), tell);
        assert_eq!(read.unwrap(), words.len());
        assert!(heard == words);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut near, _far) = duplex(4);
        let error = send(&mut near, b"220 hello\r\n", Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// As TLS does, whose end is an alert that has to be written.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_not_waited_for_at_the_end() {
        let (near, _far) = duplex(4);
        let mut near = BufWriter::new(near);
        near.write_all(b"an alert").await.unwrap();
        timeout(Duration::from_secs(60), close(&mut near)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn last_words_arrive_although_the_client_goes_on_talking() {
        let (mut near, mut far) = duplex(1024);
        send(&mut near, b"521 go\r\n", Duration::from_secs(5)).await.unwrap();
        far.write_all(&[b'x'; 600]).await.unwrap();
        let closing = tokio::spawn(async move { close(&mut near).await });
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"521 go\r\n");
        closing.await.unwrap();
    }
}
