//! Listening sockets: a deep backlog, options that accepted sockets inherit, and no second socket on one address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

/// As deep as the kernel allows. With a backlog of 100, bursts of good clients meet lost SYNs.
pub(super) const BACKLOG: i32 = 65_535;

/// Opens a listening socket on `address`.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // One listener, one family: `[::]:25` beside `0.0.0.0:25` must not clash.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    prepare(&SockRef::from(&socket))?;
    Ok(socket.into())
}

/// Makes a bound socket listen as ours do. One that listens already goes on, as deep as we have it.
pub(super) fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    // Inherited by every accepted socket, which saves a system call each.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)
}

/// Says `text` to a client that gets no seat, and closes; never waits for it.
pub(super) fn turn_away(stream: &TcpStream, text: &[u8]) {
    // Best effort by design: under a flood nothing is owed to one stranger.
    let _ = stream.try_write(text);
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}
