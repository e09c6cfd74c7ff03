//! The server: opens the doors, keeps the site that connections meet, and closes in good order.
//!
//! What outlives a reload (seats, rates, allowlist, counters) stands in the [house]; what a configuration brings is
//! swapped whole in front of it. A running connection keeps the [`Site`] that it met.

mod accept;
mod doors;
mod files;
mod house;
mod listen;
mod reload;
mod signals;
mod site;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::allowlist::Allowlist;
use crate::config::Config;
use crate::connection::Site;
use crate::rate::Rates;
use crate::report::{Report, log};

use doors::Doors;
use house::{Front, House};

pub use signals::{Signal, Signals};
pub use site::{Fault, policy, resolver, screen};

/// How long those who are cut off may take to leave a report.
const LAST_WORDS: Duration = Duration::from_secs(1);

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

impl StartError {
    /// All of `errors` in one.
    fn of(mut errors: Vec<Self>) -> Self {
        if errors.len() == 1 {
            return errors.remove(0);
        }
        Self::Site(errors.into_iter().map(Fault::new).collect())
    }
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
    doors: Doors,
    /// Ends with the server, not with a configuration.
    upkeep: JoinSet<()>,
    /// Ends with its configuration.
    background: JoinSet<()>,
}

impl Server {
    /// Opens everything that `config` names, and serves from now on.
    pub async fn start(
        mut config: Config,
        log: Option<log::Control>,
        observer: Observer,
    ) -> Result<Self, StartError> {
        fit_into_descriptors(&mut config);
        let rates = Rates::new(config.rate.clone(), Instant::now());
        let allowlist = Arc::new(Allowlist::open(&config.allowlist));
        let site = Arc::new(site::build(&config, &allowlist, &rates, None).map_err(StartError::Site)?);
        let mut doors = Doors::default();
        let plan = doors.plan(&config).map_err(StartError::of)?;
        let background = site::background(&site, &config);
        let house = Arc::new(House::new(Front::new(config, site), allowlist, rates, log, observer));
        let mut upkeep = JoinSet::new();
        let tidy = Arc::clone(&house);
        upkeep.spawn(async move { tidy.metrics.upkeep().await });
        doors.follow(plan, &house);
        Ok(Self { house, doors, upkeep, background })
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.addresses()
    }

    /// Where it serves metrics.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.doors.metrics_address()
    }

    /// What connections meet that begin now.
    pub fn site(&self) -> Arc<Site> {
        self.house.site()
    }

    /// Takes no more clients, tells those who still talk to come back later, and gives relays until the deadline.
    /// Returns how many connections were cut at the end.
    pub async fn drain(mut self) -> usize {
        let house = &self.house;
        house.drain.cancel();
        house.closed.cancel();
        self.doors.close();
        house.porters.close();
        house.porters.wait().await;
        house.sessions.close();
        let limit = house.site().limits.drain_time_limit;
        // What is not over by then is cut: its sender will try again, since nobody has said 250.
        let _ = timeout(limit, house.sessions.wait()).await;
        let cut = house.sessions.len();
        house.cut.cancel();
        let _ = timeout(LAST_WORDS, house.sessions.wait()).await;
        self.background.abort_all();
        self.upkeep.abort_all();
        let allowlist = Arc::clone(&house.allowlist);
        let _ = tokio::task::spawn_blocking(move || allowlist.close()).await;
        cut
    }
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
