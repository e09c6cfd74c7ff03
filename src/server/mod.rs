//! The server: opens the doors, keeps the site that connections meet, and closes in good order.
//!
//! What outlives a reload (seats, rates, allowlist, counters) stands in [`House`]; what a configuration brings stands
//! in a [`Site`], which is swapped whole. A running connection keeps the site that it met.

mod accept;
mod files;
mod listen;
mod signals;
mod site;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::http::{self, Answers, Readiness};
use crate::allowlist::Allowlist;
use crate::config::{Config, Listener, ProxyProtocol};
use crate::connection::{self, Arrival, Door, Site};
use crate::limits::{Acquaintance, Full, Seats};
use crate::metrics::{Configuration, Metrics, Snapshot};
use crate::proxy_protocol::Endpoints;
use crate::rate::Rates;
use crate::report::{Outcome, Report, log::Dropped};
use crate::tls::Acceptor;

pub use signals::{Signal, Signals};
pub use site::{Fault, policy, resolver, screen};

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration names what cannot be used: a table, a certificate, a list.
    #[error("{}", lines(.0))]
    Site(Vec<Fault>),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", remedy(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
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

/// Hears of every connection that has ended.
pub type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

/// A running server.
pub struct Server {
    house: Arc<House>,
    addresses: Vec<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    /// Ends with the server, not with a configuration.
    upkeep: JoinSet<()>,
    /// Ends with its configuration.
    background: JoinSet<()>,
}

/// What outlives a reload.
struct House {
    site: ArcSwap<Site>,
    seats: Seats,
    metrics: Metrics,
    allowlist: Arc<Allowlist>,
    rates: Rates,
    configuration: Mutex<Configuration>,
    log_dropped: Option<Dropped>,
    observer: Observer,
    sessions: TaskTracker,
    /// No more clients.
    close: CancellationToken,
    /// Those who talk are told to come back later.
    drain: CancellationToken,
}

impl Server {
    /// Opens everything that `config` names, and serves from now on.
    pub async fn start(
        mut config: Config,
        log_dropped: Option<Dropped>,
        observer: Observer,
    ) -> Result<Self, StartError> {
        fit_into_descriptors(&mut config);
        let seats = Seats::default();
        let rates = Rates::new(config.rate.clone(), Instant::now());
        let allowlist = Arc::new(Allowlist::open(&config.allowlist));
        let site = site::build(&config, &allowlist, &rates, None).map_err(StartError::Site)?;
        let doors = config.listen.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let addresses = doors.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect();
        let house = Arc::new(House {
            site: ArcSwap::from_pointee(site),
            seats,
            metrics: Metrics::new(SystemTime::now()),
            allowlist,
            rates,
            configuration: Mutex::new(Configuration::first(SystemTime::now())),
            log_dropped,
            observer,
            sessions: TaskTracker::new(),
            close: CancellationToken::new(),
            drain: CancellationToken::new(),
        });
        let mut upkeep = JoinSet::new();
        let metrics_address = match config.metrics.listen {
            Some(address) => Some(house.serve_metrics(address, &mut upkeep)?),
            None => None,
        };
        let tidy = Arc::clone(&house);
        upkeep.spawn(async move { tidy.metrics.upkeep().await });
        let background = site::background(&house.site.load_full(), &config);
        for (listener, door) in doors {
            let house = Arc::clone(&house);
            let close = house.close.clone();
            tokio::spawn(accept::run(listener, close, move |socket, peer| {
                house.welcome(socket, peer, &door);
            }));
        }
        Ok(Self { house, addresses, metrics_address, upkeep, background })
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it serves metrics.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What connections meet that begin now.
    pub fn site(&self) -> Arc<Site> {
        self.house.site.load_full()
    }

    /// Goes on with another configuration, or says why not and goes on with the one there is. Running connections
    /// keep what they began with.
    pub fn reload(&mut self, mut config: Config) -> Result<(), Vec<Fault>> {
        fit_into_descriptors(&mut config);
        let house = &self.house;
        let built = site::build(&config, &house.allowlist, &house.rates, Some(&house.site.load_full()));
        match &built {
            Ok(_) => house.configuration.lock().renewed(SystemTime::now()),
            Err(_) => house.configuration.lock().kept(),
        }
        let site = built?;
        house.rates.configure(config.rate.clone());
        house.site.store(Arc::new(site));
        self.background = site::background(&house.site.load_full(), &config);
        Ok(())
    }

    /// Takes no more clients, tells those who still talk to come back later, and gives relays until the deadline.
    /// Returns how many connections were cut at the end.
    pub async fn drain(mut self) -> usize {
        self.house.close.cancel();
        self.house.drain.cancel();
        self.house.sessions.close();
        let limit = self.house.site.load().limits.drain_time_limit;
        // What is not over by then is cut: its sender will try again, since nobody has said 250.
        let _ = timeout(limit, self.house.sessions.wait()).await;
        self.background.abort_all();
        self.upkeep.abort_all();
        let allowlist = Arc::clone(&self.house.allowlist);
        let _ = tokio::task::spawn_blocking(move || allowlist.close()).await;
        self.house.sessions.len()
    }
}

impl House {
    /// Gives an accepted client a seat and a task, or turns it away.
    fn welcome(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr, door: &Arc<Door>) {
        let Ok(server) = socket.local_addr() else { return };
        let ends = Endpoints { client: canonical(peer), server: canonical(server) };
        let site = self.site.load_full();
        let seat = match self.seats.take(&site.limits, self.acquaintance(ends)) {
            Ok(seat) => seat,
            Err(full) => return self.turn_away(&socket, ends, full),
        };
        let house = Arc::clone(self);
        let arrival = Box::new(Arrival { socket, ends, door: Arc::clone(door), seat });
        self.sessions.spawn(async move {
            let report = connection::serve(arrival, &site, &house.drain).await;
            house.record(&report);
        });
    }

    fn turn_away(&self, socket: &TcpStream, ends: Endpoints, full: Full) {
        listen::turn_away(socket, &full.reply().to_wire());
        let mut report = Report::new(ends, SystemTime::now());
        report.end(Outcome::Busy(full));
        self.record(&report);
    }

    fn record(&self, report: &Report) {
        self.metrics.observe(report);
        (self.observer)(report);
    }

    fn acquaintance(&self, ends: Endpoints) -> Acquaintance {
        match self.allowlist.lookup(self.allowlist.key(ends.client.ip())) {
            Some(_) => Acquaintance::Known,
            None => Acquaintance::Stranger,
        }
    }

    fn serve_metrics(
        self: &Arc<Self>,
        address: SocketAddr,
        upkeep: &mut JoinSet<()>,
    ) -> Result<SocketAddr, StartError> {
        let listener = listen::open(address).map_err(|error| StartError::Listen { address, error })?;
        let bound = listener.local_addr().unwrap_or(address);
        upkeep.spawn(http::serve(listener, Arc::clone(self)));
        Ok(bound)
    }
}

impl Answers for House {
    fn metrics(&self) -> String {
        let site = self.site.load();
        self.metrics.render(&Snapshot {
            seats: self.seats.totals(),
            limits: site.limits.clone(),
            dns: site.resolver.totals(),
            lists: site.screen.list_statistics(),
            rechecked: site.screen.rechecked(),
            allowlist: self.allowlist.totals(),
            backends: site.backends.totals(),
            relay: crate::relay::totals(),
            certificates: site.tls.as_ref().map(Acceptor::expiries).unwrap_or_default(),
            configuration: *self.configuration.lock(),
            log_dropped: self.log_dropped.as_ref().map_or(0, Dropped::lines),
        })
    }

    fn readiness(&self) -> Readiness {
        if self.close.is_cancelled() {
            return Readiness::NotReady("shutting down".to_owned());
        }
        if !self.site.load().backends.healthy() {
            return Readiness::NotReady("no backend answers".to_owned());
        }
        Readiness::Ready
    }
}

/// A listener and how it learns who its clients are.
fn open(listener: &Listener) -> Result<(TcpListener, Arc<Door>), StartError> {
    let address = listener.address;
    let socket = listen::open(address).map_err(|error| StartError::Listen { address, error })?;
    let door = match listener.proxy_protocol {
        ProxyProtocol::Off => Door::Open,
        ProxyProtocol::Required => {
            Door::Announced { trusted: listener.trusted.clone(), time_limit: listener.proxy_timeout }
        }
    };
    Ok((socket, Arc::new(door)))
}

/// Raises the descriptor limit, and takes no more connections than it lets us serve.
fn fit_into_descriptors(config: &mut Config) {
    let limit = files::raise_limit();
    let room = files::connections_within(limit);
    let limits = &mut config.limits;
    if limits.pre_queue_limit > room {
        tracing::warn!(
            limit,
            room,
            wanted = limits.pre_queue_limit,
            "too few file descriptors for pre_queue_limit: raise LimitNOFILE (systemd) or ulimit -n; going on with less"
        );
        limits.pre_queue_limit = room;
    }
    limits.post_queue_limit = limits.post_queue_limit.min(room);
}

/// An IPv4 client of an IPv6 listener is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
