//! The door: takes connections from a listener and gives each a seat and a task.
//!
//! Never spins and never blocks: a client without a seat is turned away in one non-blocking write, and when
//! descriptors run out a spare one is given up to accept, tell and close, instead of leaving the queue to fill.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::listen;

/// How long the door stays shut after descriptors ran out; enough for some sessions to end.
const BREATH: Duration = Duration::from_millis(50);

/// Takes connections until `close` is called for, and hands each to `welcome`, or to `turn_away` where there is no
/// descriptor to serve it with. Gives the socket back.
pub(super) async fn run(
    listener: TcpListener,
    close: CancellationToken,
    mut welcome: impl FnMut(TcpStream, SocketAddr),
    mut turn_away: impl FnMut(TcpStream, SocketAddr),
) -> TcpListener {
    let mut spare = spare();
    loop {
        let accepted = tokio::select! {
            biased;
            () = close.cancelled() => return listener,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => welcome(socket, peer),
            Err(error) if out_of_descriptors(&error) => {
                drop(spare.take());
                if let Ok(Ok((socket, peer))) = timeout(BREATH, listener.accept()).await {
                    turn_away(socket, peer);
                }
                spare = self::spare();
                sleep(BREATH).await;
            }
            // The client was gone before we came (ECONNABORTED, ENETDOWN …): nobody to serve, nothing to wait for.
            Err(_) => {}
        }
    }
}

/// Hands over those who wait in the queue of a socket that is about to be closed, which would reset them.
pub(super) fn rest(listener: TcpListener, mut welcome: impl FnMut(TcpStream, SocketAddr)) {
    // Asked of the kernel itself: the runtime may not have heard of them yet.
    let Ok(listener) = listener.into_std() else { return };
    // No more than a queue can hold, or a flood would keep it open.
    for _ in 0..listen::BACKLOG {
        let Ok((socket, peer)) = listener.accept() else { return };
        let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        if let Ok(socket) = socket {
            welcome(socket, peer);
        }
    }
}

/// A descriptor to give up when there is no other.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}
