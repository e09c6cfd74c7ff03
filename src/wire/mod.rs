//! Between a socket and a buffer: reading without owning memory while waiting, writing within a deadline.

mod socket;

pub use socket::Socket;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};

/// How much one read can bring.
const CHUNK: usize = 4096;

/// Waits until `stream` has something, and hands it to `take`; returns how many bytes, 0 at the end of the stream.
///
/// The scratch lives on the stack of one poll, so a connection that waits here holds no buffer.
pub async fn fill<S>(stream: &mut S, mut take: impl FnMut(&[u8])) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    std::future::poll_fn(|cx| {
        let mut scratch = [MaybeUninit::uninit(); CHUNK];
        let mut buf = ReadBuf::uninit(&mut scratch);
        match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let read = buf.filled();
                take(read);
                Poll::Ready(Ok(read.len()))
            }
        }
    })
    .await
}
