//! Making the connection itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use super::introduction::Client;
use super::lockstep::Lost;
use super::settings::{Address, Identity, Settings};
use super::trouble::Trouble;
use crate::wire::Socket;

/// Connects to `address` within the time that is allowed.
pub(super) async fn connect(
    address: &Address,
    settings: &Settings,
    client: &Client<'_>,
) -> Result<Socket, Lost> {
    let limit = settings.connect_timeout;
    let stream = match address {
        Address::Unix(path) => return Ok(within(limit, UnixStream::connect(path)).await?.into()),
        Address::Tcp(address) if settings.identity == Identity::Transparent => {
            let socket = transparent(*address, client.address())?;
            within(limit, socket.connect(*address)).await?
        }
        Address::Tcp(address) => within(limit, TcpStream::connect(address)).await?,
    };
    // Without it a message that ends in a small write stalls for 40 ms.
    stream.set_nodelay(true).map_err(|_| Trouble::Closed)?;
    Ok(stream.into())
}

/// Whether the server at `address` can be told of `client` by its source address: only one of the same family can.
pub(super) fn can_meet(address: &Address, client: &Client<'_>) -> bool {
    match (address, client.address()) {
        (Address::Tcp(address), Some(client)) => address.is_ipv4() == client.is_ipv4(),
        (Address::Tcp(_), None) => true,
        (Address::Unix(_), _) => false,
    }
}

/// A socket whose source address is the client's. Without a client it only shows that we are allowed to make one.
fn transparent(server: SocketAddr, client: Option<IpAddr>) -> Result<TcpSocket, Trouble> {
    let socket = RawSocket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.map_err(|error| Trouble::of_connect(&error))?;
    // The kernel keeps one flag for both families.
    socket.set_ip_transparent_v4(true).map_err(|_| Trouble::Identity)?;
    let prepare = || {
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        client.map_or(Ok(()), |client| socket.bind(&SocketAddr::new(client, 0).into()))
    };
    prepare().map_err(|error: io::Error| Trouble::of_connect(&error))?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

async fn within<T>(limit: Duration, connect: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match timeout(limit, connect).await {
        Ok(connected) => connected.map_err(|error| Trouble::of_connect(&error)),
        Err(_) => Err(Trouble::Timeout),
    }
}
