//! What outlives a reload, and what a connection meets when it comes in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::history::History;
use super::ledger::Ledger;
use super::life::Wish;
use super::sessions::Sessions;
use super::shadow::Place;
use super::{Observer, listen};
use crate::admin::http::{Answers, Readiness};
use crate::admin::page::Status;
use crate::allowlist::Allowlist;
use crate::config::{Config, Listener, ProxyProtocol};
use crate::connection::{self, Arrival, Door, Site};
use crate::limits::{Acquaintance, Full, Seats};
use crate::metrics::{Configuration, Metrics, Snapshot};
use crate::proxy_protocol::Endpoints;
use crate::rate::{self, Rates};
use crate::report::{Outcome, Report, log};
use crate::tls::Acceptor;

/// What outlives a reload.
pub(super) struct House {
    pub(super) front: ArcSwap<Front>,
    pub(super) seats: Seats,
    pub(super) metrics: Metrics,
    pub(super) allowlist: Arc<Allowlist>,
    pub(super) rates: Rates,
    /// The highest counts when they were last summed up.
    peaks: Mutex<rate::Statistics>,
    pub(super) configuration: Mutex<Configuration>,
    pub(super) log: Option<log::Control>,
    pub(super) observer: Observer,
    /// Those who take connections.
    pub(super) porters: TaskTracker,
    pub(super) sessions: TaskTracker,
    /// The same by name.
    pub(super) here: Sessions,
    ledger: Ledger,
    pub(super) history: History,
    pub(super) shadow: Place,
    /// What operators want of whoever runs the server.
    pub(super) wishes: mpsc::Sender<Wish>,
    /// Answers to operators that are under way.
    pub(super) answering: TaskTracker,
    /// No more clients are taken.
    pub(super) closed: CancellationToken,
    /// Those who talk are told to come back later.
    pub(super) drain: CancellationToken,
    handed_over: AtomicBool,
}

/// What a configuration brings, swapped whole: a connection meets all of one, or all of the next.
pub(super) struct Front {
    pub(super) config: Config,
    pub(super) site: Arc<Site>,
    /// How each listener learns who its clients are, by the address in the configuration.
    doors: HashMap<SocketAddr, Arc<Door>>,
}

impl Front {
    pub(super) fn new(config: Config, site: Arc<Site>) -> Self {
        let doors = config.listen.iter().map(|listener| (listener.address, Arc::new(door(listener))));
        Self { doors: doors.collect(), config, site }
    }

    pub(super) fn door(&self, address: SocketAddr) -> Option<Arc<Door>> {
        self.doors.get(&address).cloned()
    }
}

fn door(listener: &Listener) -> Door {
    match listener.proxy_protocol {
        ProxyProtocol::Off => Door::Open,
        ProxyProtocol::Required => {
            Door::Announced { trusted: listener.trusted.clone(), time_limit: listener.proxy_timeout }
        }
    }
}

impl House {
    pub(super) fn new(
        front: Front,
        allowlist: Arc<Allowlist>,
        rates: Rates,
        log: Option<log::Control>,
        observer: Observer,
        wishes: mpsc::Sender<Wish>,
    ) -> Self {
        let history = History::new(front.config.admin.history_size);
        let now = SystemTime::now();
        Self {
            front: ArcSwap::from_pointee(front),
            seats: Seats::default(),
            metrics: Metrics::new(now),
            allowlist,
            rates,
            peaks: Mutex::default(),
            configuration: Mutex::new(Configuration::first(now)),
            log,
            observer,
            porters: TaskTracker::new(),
            sessions: TaskTracker::new(),
            here: Sessions::default(),
            ledger: Ledger::default(),
            history,
            shadow: Place::default(),
            wishes,
            answering: TaskTracker::new(),
            closed: CancellationToken::new(),
            drain: CancellationToken::new(),
            handed_over: AtomicBool::new(false),
        }
    }

    /// A successor serves our sockets from now on.
    pub(super) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Relaxed)
    }

    pub(super) fn site(&self) -> Arc<Site> {
        Arc::clone(&self.front.load().site)
    }

    /// Gives a client a seat and a task, or turns it away. It came in at the listener that the configuration knows
    /// as `address`; `door` is what that asked for when it was last told, which is what counts for those who still
    /// wait there when it is gone.
    pub(super) fn welcome(
        self: &Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        address: SocketAddr,
        door: &mut Arc<Door>,
    ) {
        let Some(ends) = ends(&socket, peer) else { return };
        let front = self.front.load();
        if let Some(now) = front.door(address) {
            *door = now;
        }
        let site = Arc::clone(&front.site);
        let seat = match self.seats.take(&site.limits, || self.acquaintance(ends)) {
            Ok(seat) => seat,
            Err(full) => return self.busy(&socket, ends, full),
        };
        let house = Arc::clone(self);
        let arrival = Box::new(Arrival { socket, door: Arc::clone(door), seat });
        let mut report = Report::new(ends, SystemTime::now());
        if self.shadow.is_taken() {
            report.listen();
        }
        let id = report.id();
        self.here.enter(report.live());
        let mut visitor = Visitor { report: Some(report), house };
        let task = self.sessions.spawn(async move {
            let Visitor { report, house } = &mut visitor;
            let Some(report) = report else { return };
            let outcome = connection::serve(arrival, &site, &house.drain, report).await;
            visitor.leave(outcome);
        });
        self.here.served_by(id, task.abort_handle());
    }

    /// Turns a client away that there is no descriptor for.
    pub(super) fn turn_away(&self, socket: &TcpStream, peer: SocketAddr) {
        if let Some(ends) = ends(socket, peer) {
            self.busy(socket, ends, self.seats.refuse(Full::Screening));
        }
    }

    fn busy(&self, socket: &TcpStream, ends: Endpoints, full: Full) {
        listen::turn_away(socket, &full.reply().to_wire());
        let mut report = Report::new(ends, SystemTime::now());
        report.end(Outcome::Busy(full));
        self.ledger.enter(report);
    }

    /// Writes down what connections came to, for ever.
    pub(super) async fn keep_books(&self) {
        loop {
            self.ledger.is_due().await;
            self.write_up();
        }
    }

    /// Writes down what every connection came to that has ended.
    pub(super) fn write_up(&self) {
        for mut report in self.ledger.take() {
            report.tell();
            self.metrics.observe(&report);
            if let Some(heard) = report.take_heard() {
                self.shadow.hear(heard, &report, &self.allowlist);
            }
            (self.observer)(&report);
            self.history.note(report);
        }
    }

    /// Sums up again and again what clients have reached, for the log and for the metrics.
    pub(super) async fn sum_up(&self) {
        loop {
            let settings = self.rates.settings();
            sleep(settings.status_update_time).await;
            let peaks = self.rates.statistics();
            for line in peaks.lines("smtp", settings.rate_time_unit) {
                tracing::info!("{line}");
            }
            *self.peaks.lock() = peaks;
        }
    }

    fn acquaintance(&self, ends: Endpoints) -> Acquaintance {
        // The tests look it up, and are counted for it.
        if self.allowlist.knows(self.allowlist.key(ends.client.ip())) {
            Acquaintance::Known
        } else {
            Acquaintance::Stranger
        }
    }
}

/// A connection under way: leaves its report, whether it ends or is cut off.
struct Visitor {
    report: Option<Report>,
    house: Arc<House>,
}

impl Visitor {
    fn leave(&mut self, outcome: Outcome) {
        if let Some(mut report) = self.report.take() {
            self.house.here.leave(report.id());
            report.end(outcome);
            self.house.ledger.enter(report);
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.leave(Outcome::Cut);
    }
}

impl House {
    pub(super) fn snapshot(&self) -> Snapshot {
        let site = self.site();
        Snapshot {
            seats: self.seats.totals(),
            limits: site.limits.clone(),
            dns: site.resolver.totals(),
            lists: site.screen.list_statistics(),
            rechecked: site.screen.rechecked(),
            allowlist: self.allowlist.totals(),
            rates: self.peaks.lock().clone(),
            backends: site.backends.totals(),
            relay: crate::relay::totals(),
            certificates: site.tls.as_ref().map(Acceptor::expiries).unwrap_or_default(),
            tls: site.tls.as_ref().map(Acceptor::totals).unwrap_or_default(),
            configuration: *self.configuration.lock(),
            shadow: self.shadow.totals(),
            log_dropped: self.log.as_ref().map_or(0, log::Control::dropped),
        }
    }
}

impl Answers for House {
    fn metrics(&self) -> String {
        self.write_up();
        self.metrics.render(&self.snapshot())
    }

    fn status(&self) -> Status {
        self.write_up();
        Status {
            hostname: self.site().dialogue.hostname.clone(),
            uptime: self.metrics.uptime(),
            readiness: self.readiness(),
            snapshot: self.snapshot(),
            hour: self.metrics.last_hour(),
            busiest: self.metrics.busiest(),
        }
    }

    fn readiness(&self) -> Readiness {
        if self.closed.is_cancelled() {
            return Readiness::NotReady("shutting down".to_owned());
        }
        if !self.site().backends.healthy() {
            return Readiness::NotReady("no backend answers".to_owned());
        }
        Readiness::Ready
    }
}

/// Both ends of a connection, unless the client is gone already.
fn ends(socket: &TcpStream, client: SocketAddr) -> Option<Endpoints> {
    let server = socket.local_addr().ok()?;
    Some(Endpoints { client: canonical(client), server: canonical(server) })
}

/// An IPv4 client of an IPv6 listener is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
