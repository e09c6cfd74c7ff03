//! A backend that costs next to nothing: answers what a clean client asks, and throws messages away.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::thread;

use prescreen::proxy_protocol::{self, Parsed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;

/// How much one read brings while a message comes.
const CHUNK: usize = 256 * 1024;

/// Where a sink listens, and whether its clients are announced.
pub(crate) struct Sink {
    /// Wants a PROXY header.
    pub(crate) announced: SocketAddr,
    /// Wants none.
    pub(crate) plain: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Required,
    None,
}

impl Sink {
    /// Starts a sink on a thread of its own, so that it runs beside the clients as a server would. With `unix` it
    /// listens there too, and wants a PROXY header.
    pub(crate) fn start(unix: &Path) -> io::Result<Self> {
        let announced = listener()?;
        let plain = listener()?;
        let unix = StdUnixListener::bind(unix)?;
        unix.set_nonblocking(true)?;
        let sink = Self { announced: announced.local_addr()?, plain: plain.local_addr()? };
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let unix = UnixListener::from_std(unix)?;
                let announced = TcpListener::from_std(announced)?;
                let plain = TcpListener::from_std(plain)?;
                loop {
                    // A client that breaks off is its own affair.
                    tokio::select! {
                        Ok((stream, _)) = announced.accept() => drop(tokio::spawn(serve(stream, Header::Required))),
                        Ok((stream, _)) = plain.accept() => drop(tokio::spawn(serve(stream, Header::None))),
                        Ok((stream, _)) = unix.accept() => drop(tokio::spawn(serve(stream, Header::Required))),
                        else => return io::Result::Ok(()),
                    }
                }
            })
        });
        Ok(sink)
    }
}

fn listener() -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(65_535)?;
    Ok(socket.into())
}

/// Replies to commands that came together go together, as those of servers do (RFC 2920 §3.2).
async fn serve<S>(mut stream: S, header: Header) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Vec::new();
    if header == Header::Required {
        announcement(&mut stream, &mut input).await?;
    }
    let mut replies = b"220 sink.example.org ESMTP\r\n".to_vec();
    loop {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            stream.write_all(&std::mem::take(&mut replies)).await?;
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let line: Vec<u8> = input.drain(..=end).collect();
        let reply: &[u8] = match line.get(..4).unwrap_or_default() {
            b"EHLO" => b"250-sink.example.org\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250 8BITMIME\r\n",
            b"DATA" => {
                replies.extend_from_slice(b"354 End data with <CR><LF>.<CR><LF>\r\n");
                stream.write_all(&std::mem::take(&mut replies)).await?;
                content(&mut stream, &mut input).await?;
                b"250 2.0.0 Ok: thrown away\r\n"
            }
            b"NOOP" => b"250 2.0.0 Ok ....................................................\r\n",
            b"QUIT" => {
                replies.extend_from_slice(b"221 2.0.0 Bye\r\n");
                return stream.write_all(&replies).await;
            }
            _ => b"250 2.0.0 Ok\r\n",
        };
        replies.extend_from_slice(reply);
    }
}

/// Reads the PROXY header off.
async fn announcement<S>(stream: &mut S, input: &mut Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + Unpin,
{
    loop {
        match proxy_protocol::parse(input) {
            Parsed::Complete { used, .. } => {
                input.drain(..used);
                return Ok(());
            }
            Parsed::Malformed(_) => return Err(io::ErrorKind::InvalidData.into()),
            Parsed::Incomplete => {
                if stream.read_buf(input).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Reads a message to its end. The clients here send one at a time, so that only the last bytes need looking at.
async fn content<S>(stream: &mut S, input: &mut Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + Unpin,
{
    const END: &[u8] = b"\r\n.\r\n";
    while !input.ends_with(END) {
        let keep = input.len().saturating_sub(END.len());
        input.drain(..keep);
        input.reserve(CHUNK);
        if stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // A connection that waits holds no buffer here either.
    *input = Vec::new();
    Ok(())
}
