//! The sockets that clients, monitoring and operators come in by.
//!
//! A new configuration changes them without a gap: what it adds is opened before anything is swapped, what it keeps
//! stays the very same socket with all that waits in its queue, and what it drops is closed last, after its queue
//! has been served.

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::house::House;
use super::inherited::Inherited;
use super::{accept, listen};
use crate::admin::{desk, http};
use crate::config::{Admin, Config};

/// Why a socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The admin socket cannot be opened.
    #[error("admin.socket = {path:?}: {error}; name another, or none with an empty text")]
    Admin {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", remedy(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// An address has another within it that we listen on ourselves, and that is served until the swap.
    #[error(
        "cannot listen on {address} while prescreen itself listens on {open}: restart it, or take {open} away and \
         reload before you add {address}"
    )]
    Within {
        /// The address.
        address: SocketAddr,
        /// What is open.
        open: SocketAddr,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root, CAP_NET_BIND_SERVICE, or the sysctl net.ipv4.ip_unprivileged_port_start"
        }
        io::ErrorKind::AddrInUse => "; another server stands there: move it to the port that [backend] names",
        io::ErrorKind::AddrNotAvailable => "; the address is not one of this host",
        _ => "",
    }
}

/// The sockets that are open.
#[derive(Default)]
pub(super) struct Doors {
    clients: Vec<Entrance>,
    metrics: Option<Entrance>,
    admin: Option<Counter>,
}

/// A socket, and the task that takes connections from it. Dropped, it closes.
struct Entrance {
    /// The address as configured.
    wanted: SocketAddr,
    bound: SocketAddr,
    /// Kept for whoever comes after us.
    socket: TcpListener,
    open: DropGuard,
    task: JoinHandle<()>,
}

/// The admin socket, and the task that hears operators. Dropped, it closes; its file stays.
struct Counter {
    socket: desk::Socket,
    open: DropGuard,
    task: JoinHandle<()>,
}

/// A socket that listens, and that nobody takes connections from yet.
struct Opened {
    wanted: SocketAddr,
    bound: SocketAddr,
    socket: TcpListener,
    listener: tokio::net::TcpListener,
}

/// What a configuration makes of the doors; nothing that is open has been touched.
pub(super) struct Plan {
    clients: Vec<Choice>,
    metrics: Option<Choice>,
    admin: Hearing,
}

/// What becomes of the admin socket.
enum Hearing {
    Keep,
    Open(desk::Socket, UnixListener),
    None,
}

enum Choice {
    /// The one there is.
    Keep(SocketAddr),
    Open(Opened),
}

impl Doors {
    /// Opens what `config` adds, if it was not `inherited`. An address that cannot be listened on fails the whole; all
    /// of them are told.
    pub(super) fn plan(&self, config: &Config, inherited: &mut Inherited) -> Result<Plan, Vec<DoorError>> {
        let ours: Vec<_> = self.clients.iter().chain(&self.metrics).map(|entrance| entrance.bound).collect();
        let ours = [ours, inherited.addresses()].concat();
        let mut choose = |open: &[Entrance], address| {
            choose(open, address, inherited).map_err(|error| refused(address, error, &ours))
        };
        let clients = config.listen.iter().map(|listener| choose(&self.clients, listener.address));
        let clients: Vec<_> = clients.collect();
        let metrics = config.metrics.listen.map(|address| choose(self.metrics.as_slice(), address));
        let admin = self.hearing(config, inherited);
        let mut plan = Plan { clients: Vec::new(), metrics: None, admin: Hearing::None };
        let mut errors = Vec::new();
        for choice in clients {
            match choice {
                Ok(choice) => plan.clients.push(choice),
                Err(error) => errors.push(error),
            }
        }
        match metrics.transpose() {
            Ok(choice) => plan.metrics = choice,
            Err(error) => errors.push(error),
        }
        match admin {
            Ok(hearing) => plan.admin = hearing,
            Err(error) => errors.push(error),
        }
        if errors.is_empty() { Ok(plan) } else { Err(errors) }
    }

    /// Where nobody has asked for it, the admin socket may be missing.
    fn hearing(&self, config: &Config, inherited: &mut Inherited) -> Result<Hearing, DoorError> {
        let Some(path) = &config.admin.socket else { return Ok(Hearing::None) };
        if self.admin.as_ref().is_some_and(|counter| counter.socket.path() == path) {
            return Ok(Hearing::Keep);
        }
        let given = inherited.unix(path).map(|listener| desk::Socket::of(listener, path));
        let opened = given.map_or_else(|| desk::open(path), Ok).and_then(|socket| {
            let listener = UnixListener::from_std(socket.listener()?)?;
            Ok(Hearing::Open(socket, listener))
        });
        match opened {
            Err(error) if path == Path::new(Admin::SOCKET) => {
                tracing::info!(?path, %error, "no admin socket: prescreen status and its kin cannot ask");
                Ok(Hearing::None)
            }
            Err(error) => Err(DoorError::Admin { path: path.clone(), error }),
            Ok(hearing) => Ok(hearing),
        }
    }

    /// Makes it so. Addresses that are no longer wanted are free once all of what is returned has ended.
    pub(super) fn follow(&mut self, plan: Plan, house: &Arc<House>) -> Vec<JoinHandle<()>> {
        let mut clients = mem::take(&mut self.clients);
        for choice in plan.clients {
            let entrance = kept_or(choice, &mut clients, |opened| for_clients(opened, house));
            self.clients.extend(entrance);
        }
        let mut metrics: Vec<_> = self.metrics.take().into_iter().collect();
        self.metrics = plan
            .metrics
            .and_then(|choice| kept_or(choice, &mut metrics, |opened| for_monitoring(opened, house)));
        let mut closing: Vec<_> = clients.into_iter().chain(metrics).map(Entrance::close).collect();
        let counter = match plan.admin {
            Hearing::Keep => return closing,
            Hearing::Open(socket, listener) => Some(for_operators(socket, listener, house)),
            Hearing::None => None,
        };
        closing.extend(mem::replace(&mut self.admin, counter).map(Counter::close));
        closing
    }

    /// Removes what would lead to nobody once we are gone.
    pub(super) fn tidy(&self) {
        if let Some(counter) = &self.admin {
            counter.socket.remove();
        }
    }

    /// Takes no more clients.
    pub(super) fn close(&mut self) {
        self.clients.clear();
    }

    /// The sockets themselves, for whoever comes after us.
    pub(super) fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        let all = self.clients.iter().chain(&self.metrics);
        let all = all.map(|entrance| entrance.socket.try_clone().map(OwnedFd::from));
        let admin = self.admin.iter().map(|counter| counter.socket.listener().map(OwnedFd::from));
        all.chain(admin).collect()
    }

    /// Where clients come in, in the order of the configuration.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.clients.iter().map(|entrance| entrance.bound).collect()
    }

    /// Where metrics are served.
    pub(super) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|entrance| entrance.bound)
    }
}

fn choose(open: &[Entrance], address: SocketAddr, inherited: &mut Inherited) -> io::Result<Choice> {
    if open.iter().any(|entrance| entrance.wanted == address) {
        return Ok(Choice::Keep(address));
    }
    let socket = inherited.tcp(address).map_or_else(|| listen::open(address), Ok)?;
    Opened::new(address, socket).map(Choice::Open)
}

/// Why `address` cannot be listened on, where `ours` are open.
fn refused(address: SocketAddr, error: io::Error, ours: &[SocketAddr]) -> DoorError {
    let within = |open: &&SocketAddr| {
        let all = address.ip().is_unspecified() || open.ip().is_unspecified();
        open.port() == address.port()
            && (open.ip() == address.ip() || all && open.is_ipv4() == address.is_ipv4())
    };
    match ours.iter().find(within) {
        Some(&open) if error.kind() == io::ErrorKind::AddrInUse => DoorError::Within { address, open },
        _ => DoorError::Listen { address, error },
    }
}

fn kept_or(
    choice: Choice,
    open: &mut Vec<Entrance>,
    enter: impl FnOnce(Opened) -> Entrance,
) -> Option<Entrance> {
    match choice {
        Choice::Open(opened) => Some(enter(opened)),
        Choice::Keep(address) => {
            let place = open.iter().position(|entrance| entrance.wanted == address)?;
            Some(open.swap_remove(place))
        }
    }
}

impl Entrance {
    /// Lets no more in. The address is free when what is returned has ended.
    fn close(self) -> JoinHandle<()> {
        drop((self.socket, self.open));
        self.task
    }
}

impl Counter {
    fn close(self) -> JoinHandle<()> {
        self.socket.remove();
        drop((self.socket, self.open));
        self.task
    }
}

impl Opened {
    fn new(wanted: SocketAddr, socket: TcpListener) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
        Ok(Self { wanted, bound: socket.local_addr()?, socket, listener })
    }

    /// Gives the socket to the task that `enter` makes of it.
    fn entrance(
        self,
        enter: impl FnOnce(tokio::net::TcpListener, CancellationToken) -> JoinHandle<()>,
    ) -> Entrance {
        let Self { wanted, bound, socket, listener } = self;
        let close = CancellationToken::new();
        let task = enter(listener, close.clone());
        Entrance { wanted, bound, socket, open: close.drop_guard(), task }
    }
}

fn for_clients(opened: Opened, house: &Arc<House>) -> Entrance {
    let address = opened.wanted;
    let house = Arc::clone(house);
    opened.entrance(move |listener, close| {
        house.porters.clone().spawn(async move {
            // Configured, or it would not have been opened.
            let Some(mut door) = house.front.load().door(address) else { return };
            let mut welcome = |socket, peer| house.welcome(socket, peer, address, &mut door);
            let turn_away = |socket, peer| house.turn_away(&socket, peer);
            let listener = accept::run(listener, close, &mut welcome, turn_away).await;
            // They have been told that somebody is here; a successor has the queue and will see to them.
            if !house.is_handed_over() {
                accept::rest(listener, welcome);
            }
        })
    })
}

fn for_monitoring(opened: Opened, house: &Arc<House>) -> Entrance {
    let house = Arc::clone(house);
    opened.entrance(|listener, close| {
        tokio::spawn(async move {
            tokio::select! {
                () = http::serve(listener, house) => {}
                () = close.cancelled() => {}
            }
        })
    })
}

fn for_operators(socket: desk::Socket, listener: UnixListener, house: &Arc<House>) -> Counter {
    let (house, close) = (Arc::clone(house), CancellationToken::new());
    let open = close.clone().drop_guard();
    let task = tokio::spawn(async move {
        let answering = house.answering.clone();
        tokio::select! {
            () = desk::serve(listener, house, answering) => {}
            () = close.cancelled() => {}
        }
    });
    Counter { socket, open, task }
}
