//! Making the connection itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::introduction::Client;
use super::lockstep::Lost;
use super::server::Server;
use super::settings::{Address, Identity, Settings};
use super::trouble::Trouble;
use super::whereabouts::Whereabouts;
use crate::wire::Socket;

/// Connects to `server` within the time that is allowed: where it has several addresses, to the first that answers.
pub(super) async fn connect(
    server: &Server,
    settings: &Settings,
    client: &Client<'_>,
) -> Result<Socket, Lost> {
    let limit = settings.connect_timeout;
    let stream = match (&server.address, &server.whereabouts) {
        (Address::Unix(path), _) => return Ok(within(limit, UnixStream::connect(path)).await?.into()),
        (Address::Tcp(address), _) => connect_to(*address, settings.identity, limit, client).await?,
        (Address::Name { .. }, Some(whereabouts)) => {
            Box::pin(connect_by_name(whereabouts, settings, client)).await?
        }
        (Address::Name { .. }, None) => return Err(Trouble::Unreachable.into()),
    };
    // Without it a message that ends in a small write stalls for 40 ms.
    stream.set_nodelay(true).map_err(|_| Trouble::Closed)?;
    Ok(stream.into())
}

/// To the first of its addresses that answers.
async fn connect_by_name(
    whereabouts: &Whereabouts,
    settings: &Settings,
    client: &Client<'_>,
) -> Result<TcpStream, Trouble> {
    let begun = Instant::now();
    let addresses = whereabouts.addresses(begun, settings.connect_timeout).await?;
    let limit = settings.connect_timeout.saturating_sub(begun.elapsed());
    let is_possible =
        |address: &&SocketAddr| settings.identity != Identity::Transparent || is_met(address, client);
    let possible: Vec<_> = addresses.iter().filter(is_possible).collect();
    let share = u32::try_from(possible.len()).map_or(limit, |number| limit / number.max(1));
    let mut connected = Err(Trouble::Unreachable);
    for address in possible {
        connected = connect_to(*address, settings.identity, share, client).await;
        if connected.is_ok() {
            return connected;
        }
    }
    // It may have moved.
    whereabouts.look_up(Instant::now());
    connected
}

async fn connect_to(
    address: SocketAddr,
    identity: Identity,
    limit: Duration,
    client: &Client<'_>,
) -> Result<TcpStream, Trouble> {
    let socket = match identity {
        Identity::Transparent => transparent(address, client.address())?,
        _ => plain(address)?,
    };
    if identity.sends_header() {
        // The last packet of the handshake waits for the header, which is on its way at once. Only a matter of cost.
        let _ = socket.set_tcp_quickack(false);
    }
    let stream = begin(socket, address).map_err(|error| Trouble::of_connect(&error))?;
    // A server on this host has answered when connect(2) returns; the runtime would wait to be told.
    if stream.peer_addr().is_err() {
        within(limit, established(&stream)).await?;
    }
    Ok(stream)
}

fn plain(server: SocketAddr) -> Result<RawSocket, Trouble> {
    RawSocket::new(Domain::for_address(server), Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(|error| Trouble::of_connect(&error))
}

fn begin(socket: RawSocket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => TcpStream::from_std(socket.into()),
    }
}

async fn established(stream: &TcpStream) -> io::Result<()> {
    stream.writable().await?;
    stream.take_error()?.map_or(Ok(()), Err)
}

/// Whether the server can be told of `client` by its source address.
pub(super) fn can_meet(server: &Address, client: &Client<'_>) -> bool {
    match server {
        Address::Tcp(address) => is_met(address, client),
        // Where it leads will show.
        Address::Name { .. } => true,
        Address::Unix(_) => false,
    }
}

/// Only a client of the same family can be the source of a connection.
fn is_met(address: &SocketAddr, client: &Client<'_>) -> bool {
    client.address().is_none_or(|client| address.is_ipv4() == client.is_ipv4())
}

/// A socket whose source address is the client's. Without a client it only shows that we are allowed to make one.
fn transparent(server: SocketAddr, client: Option<IpAddr>) -> Result<RawSocket, Trouble> {
    let socket = plain(server)?;
    // The kernel keeps one flag for both families.
    socket.set_ip_transparent_v4(true).map_err(|_| Trouble::Identity)?;
    let prepare = || {
        socket.set_reuse_address(true)?;
        client.map_or(Ok(()), |client| socket.bind(&SocketAddr::new(client, 0).into()))
    };
    prepare().map_err(|error: io::Error| Trouble::of_connect(&error))?;
    Ok(socket)
}

async fn within<T>(limit: Duration, connect: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match timeout(limit, connect).await {
        Ok(connected) => connected.map_err(|error| Trouble::of_connect(&error)),
        Err(_) => Err(Trouble::Timeout),
    }
}
