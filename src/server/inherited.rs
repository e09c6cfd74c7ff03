//! Sockets that were opened before we were: by systemd, or by the process whose successor we are.
//!
//! Both hand them over the same way (sd_listen_fds(3)): as descriptors from 3 on, `LISTEN_FDS` of them. Which is which
//! is told by their addresses, so that names and order in a unit file do not matter.

use std::env;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;
use socket2::SockRef;

use super::listen;
use super::upgrade::Predecessor;

/// What was handed to this process at its start. The default is nothing.
#[derive(Default)]
pub struct Inherited {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
    strange: usize,
    pub(super) predecessor: Option<Predecessor>,
}

impl Inherited {
    /// Takes it. To be called once, and before there is a second thread: it changes the environment, so that no child
    /// takes for its own what is ours.
    pub fn take() -> Self {
        let mut given = ListenFd::from_env();
        let mut inherited = Self { predecessor: Predecessor::of(env::var_os), ..Self::default() };
        for place in 0..given.len() {
            if let Ok(Some(socket)) = given.take_tcp_listener(place) {
                inherited.tcp.push(socket);
            } else if let Ok(Some(socket)) = given.take_unix_listener(place) {
                inherited.unix.push(socket);
            } else {
                inherited.strange += 1;
            }
        }
        inherited
    }

    /// Tells the process whose successor we were to be, if there is one, why nothing comes of it.
    pub fn refuse(&mut self, why: &str) {
        if let Some(predecessor) = &mut self.predecessor {
            predecessor.refused(why);
        }
    }

    /// The socket that listens on `address`, ready for use, if one was given.
    ///
    /// A socket on `[::]` that takes IPv4 clients, too, which is what systemd makes of a port alone, does for
    /// `0.0.0.0`.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at =
            |wanted: SocketAddr| move |socket: &TcpListener| socket.local_addr().is_ok_and(|it| it == wanted);
        let dual = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
        let place = self.tcp.iter().position(at(address)).or_else(|| {
            let wanted = address.is_ipv4() && address.ip().is_unspecified();
            let found = self.tcp.iter().position(at(dual)).filter(|_| wanted)?;
            SockRef::from(&self.tcp[found]).only_v6().is_ok_and(|only| !only).then_some(found)
        })?;
        let socket = self.tcp.swap_remove(place);
        listen::prepare(&SockRef::from(&socket)).ok()?;
        Some(socket)
    }

    /// Where the sockets listen that have not been asked for yet.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// The socket that listens at `path`, if one was given.
    pub(super) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let at = |socket: &UnixListener| socket.local_addr().is_ok_and(|it| it.as_pathname() == Some(path));
        let place = self.unix.iter().position(at)?;
        let socket = self.unix.swap_remove(place);
        socket.set_nonblocking(true).ok()?;
        Some(socket)
    }

    /// Says what nobody has asked for. It is closed: whoever connects there should not wait for nothing.
    pub(super) fn close_rest(&mut self) {
        for address in self.tcp.drain(..).filter_map(|socket| socket.local_addr().ok()) {
            tracing::warn!(%address, "a socket was handed over that the configuration does not name; closed");
        }
        for address in self.unix.drain(..).filter_map(|socket| socket.local_addr().ok()) {
            tracing::warn!(?address, "a socket was handed over that the configuration does not name; closed");
        }
        if self.strange > 0 {
            tracing::warn!(
                descriptors = self.strange,
                "what was handed over besides is no listening stream socket"
            );
            self.strange = 0;
        }
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited").field("tcp", &self.tcp).field("unix", &self.unix).finish_non_exhaustive()
    }
}
