//! The server: opens the doors, keeps the site that connections meet, and closes in good order.
//!
//! What outlives a reload (seats, rates, allowlist, counters) stands in the [house]; what a configuration brings is
//! swapped whole in front of it. A running connection keeps the [`Site`] that it met. [`Server::live`] is the life of
//! it all, from ready to the end.

mod accept;
mod desk;
mod doors;
mod files;
mod history;
mod house;
mod inherited;
mod ledger;
mod life;
mod listen;
mod notify;
mod reload;
mod sessions;
mod shadow;
mod signals;
mod site;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::allowlist::Allowlist;
use crate::config::Config;
use crate::connection::Site;
use crate::rate::Rates;
use crate::report::{Report, log};

use doors::Doors;
use house::{Front, House};
use life::Wish;

pub use doors::DoorError;
pub use inherited::Inherited;
pub use life::{Ended, Surroundings};
pub use notify::Notify;
pub use signals::{Signal, Signals};
pub use site::{Fault, policy, resolver, screen};
pub use upgrade::{Program, UpgradeError};

/// How long those who are cut off may take to leave a report.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a successor may take to ask the backends what they offer, before it offers that to clients.
const FIRST_WORDS: Duration = Duration::from_secs(3);

/// How long the last passes have to reach the hosts that share the allowlist.
const SETTLE: Duration = Duration::from_secs(1);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration names what cannot be used: a table, a certificate, a list.
    #[error("{}", lines(.0))]
    Site(Vec<Fault>),
    /// Sockets cannot be opened, which may be another matter a moment later.
    #[error("{}", lines(.0))]
    Doors(Vec<DoorError>),
}

fn lines(faults: &[impl ToString]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Hears of every connection that has ended.
pub type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

/// A running server.
pub struct Server {
    house: Arc<House>,
    doors: Doors,
    /// What operators want.
    wishes: mpsc::Receiver<Wish>,
    /// Ends with the server, not with a configuration.
    upkeep: JoinSet<()>,
    /// Ends with its configuration.
    background: JoinSet<()>,
}

impl Server {
    /// Opens everything that `config` names, unless it was `inherited`, and serves from now on. A predecessor among
    /// what was inherited serves until then, and goes on if nothing comes of it.
    pub async fn start(
        config: Config,
        log: Option<log::Control>,
        observer: Observer,
        mut inherited: Inherited,
    ) -> Result<Self, StartError> {
        let started = Self::begin(config, log, observer, &mut inherited).await;
        if let Err(error) = &started {
            inherited.refuse(&error.to_string());
        }
        started
    }

    async fn begin(
        mut config: Config,
        log: Option<log::Control>,
        observer: Observer,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        fit_into_descriptors(&mut config);
        let rates = Rates::new(config.rate.clone(), Instant::now());
        let allowlist = Arc::new(Allowlist::detached(&config.allowlist));
        let site = Arc::new(site::build(&config, &allowlist, &rates, None).map_err(StartError::Site)?);
        let mut doors = Doors::default();
        let plan = doors.plan(&config, inherited).map_err(StartError::Doors)?;
        inherited.close_rest();
        if let Some(predecessor) = &mut inherited.predecessor {
            let _ = timeout(FIRST_WORDS, site.backends.probe()).await;
            predecessor.prepared();
        }
        allowlist.attach();
        let background = site::background(&site, &config);
        let (wish, wishes) = mpsc::channel(1);
        let front = Front::new(config, site);
        let house = Arc::new(House::new(front, allowlist, rates, log, observer, wish));
        let mut upkeep = JoinSet::new();
        let tidy = Arc::clone(&house);
        upkeep.spawn(async move { tidy.metrics.upkeep().await });
        let counting = Arc::clone(&house);
        upkeep.spawn(async move { counting.sum_up().await });
        let books = Arc::clone(&house);
        upkeep.spawn(async move { books.keep_books().await });
        let shared = Arc::clone(&house.allowlist);
        upkeep.spawn(async move { shared.run_shared().await });
        doors.follow(plan, &house);
        if let Some(predecessor) = inherited.predecessor.take() {
            predecessor.ready();
        }
        Ok(Self { house, doors, wishes, upkeep, background })
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

    /// A successor serves our sockets from now on: they are let go of, and what they lead to is left to it.
    fn hand_over(&mut self) {
        self.house.hand_over();
        self.doors = Doors::default();
    }

    /// Lets those who are here finish, for [`upgrade_time_limit`](crate::limits::Settings::upgrade_time_limit).
    async fn retire(&mut self) {
        self.close().await;
        let limit = self.house.site().limits.upgrade_time_limit;
        let _ = timeout(limit, self.house.sessions.wait()).await;
    }

    /// Takes no more clients, tells those who still talk to come back later, and gives relays until the deadline.
    /// Returns how many connections were cut at the end.
    pub async fn drain(mut self) -> usize {
        self.house.drain.cancel();
        self.close().await;
        let house = &self.house;
        let limit = house.site().limits.drain_time_limit;
        // What is not over by then is cut: its sender will try again, since nobody has said 250.
        let _ = timeout(limit, house.sessions.wait()).await;
        let cut = house.sessions.len();
        house.here.cut_all();
        let _ = timeout(LAST_WORDS, house.sessions.wait()).await;
        house.write_up();
        self.background.abort_all();
        house.allowlist.settle(SETTLE).await;
        self.upkeep.abort_all();
        self.doors.tidy();
        let allowlist = Arc::clone(&house.allowlist);
        let _ = tokio::task::spawn_blocking(move || allowlist.close()).await;
        // Whoever has asked for this shall hear how it went.
        house.answering.close();
        let _ = timeout(LAST_WORDS, house.answering.wait()).await;
        cut
    }

    /// Takes no more clients.
    async fn close(&mut self) {
        let house = &self.house;
        house.closed.cancel();
        self.doors.close();
        // Whoever takes connections first takes those that wait; nobody comes after that.
        house.porters.close();
        house.porters.wait().await;
        house.sessions.close();
    }
}

/// Raises the descriptor limit, and takes no more connections than it lets us serve.
fn fit_into_descriptors(config: &mut Config) {
    let granted = files::raise_limit();
    let fitted = config.limits.clone().within(granted);
    if fitted != config.limits {
        tracing::warn!(
            granted,
            wanted = config.limits.descriptors(),
            pre_queue_limit = fitted.pre_queue_limit,
            post_queue_limit = fitted.post_queue_limit,
            "too few file descriptors for the limits on connections: raise LimitNOFILE (systemd) or ulimit -n; going \
             on with less"
        );
        config.limits = fitted;
    }
}
