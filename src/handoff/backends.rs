//! The servers that mail is handed to: in which order they are tried, and what they offer together.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::backend::{Backend, Greeting, Outcome};
use super::connect::can_meet;
use super::encryption::Encryption;
use super::introduction::Client;
use super::server::{Health, Server, Witness, jittered};
use super::settings::{Identity, Order, Settings};
use super::totals::Totals;
use super::trouble::{Failure, Trouble, Unavailable};
use super::{Proof, probe};
use crate::dns::Resolver;
use crate::id::Id;
use crate::policy::Names;
use crate::proxy_protocol::Endpoints;
use crate::smtp::capability::Capabilities;

/// How many servers are tried for one client.
const TRIES: usize = 3;

/// How often a server that is down is asked again, or one that clients have trouble with. To be told that nobody
/// listens costs next to nothing.
const RETRY: Duration = Duration::from_secs(1);

/// The servers that mail is handed to.
#[derive(Debug)]
pub struct Backends {
    settings: Arc<Settings>,
    servers: Vec<Arc<Server>>,
    encryption: Encryption,
    hostname: Arc<str>,
}

impl Backends {
    /// `hostname` is the name that probes greet with.
    pub fn new(settings: &Settings, hostname: &str) -> Self {
        let servers = settings.servers.iter().cloned().map(|address| Arc::new(Server::new(address)));
        Self {
            servers: servers.collect(),
            encryption: Encryption::of(settings),
            settings: Arc::new(settings.clone()),
            hostname: hostname.into(),
        }
    }

    /// Keeps what `before` knows of the servers that both name, so that a reload has no moment in which nothing is
    /// known of them. How clients are announced, and whether in TLS, must be the same: what a server can do may depend
    /// on it.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        let how = |settings: &Settings| (settings.identity, settings.tls);
        if how(&self.settings) == how(&before.settings) {
            for server in &mut self.servers {
                if let Some(known) = before.servers.iter().find(|known| known.address == server.address) {
                    *server = Arc::clone(known);
                }
            }
        }
        self
    }

    /// Whether mail goes to the same servers as with `other`.
    pub fn are_those_of(&self, other: &Self) -> bool {
        self.settings.servers == other.settings.servers
    }

    /// Asks `resolver` where servers are that are given by name; without one, the system is asked alone.
    #[must_use]
    pub fn located_by(self, resolver: &Resolver) -> Self {
        self.servers
            .iter()
            .filter_map(|server| server.whereabouts.as_ref())
            .for_each(|name| name.ask(resolver));
        self
    }

    /// What EHLO may offer: what every server that is up offers, or else every server that has ever said; a
    /// conservative set until one has.
    pub fn capabilities(&self) -> Arc<Capabilities> {
        let up = self.common(|server| server.health() == Health::Up);
        up.or_else(|| self.common(|_| true)).unwrap_or_else(|| Arc::new(Capabilities::conservative()))
    }

    /// Whether a server was up when it was last spoken to.
    pub fn healthy(&self) -> bool {
        self.servers.iter().any(|server| server.health() == Health::Up)
    }

    /// Whether a server is told who the client is; else it takes every client for this host.
    pub fn know_clients(&self) -> bool {
        self.settings.identity != Identity::None
    }

    /// Whether a server is told the client's names, so that somebody must look them up.
    pub fn wants_names(&self) -> bool {
        self.settings.identity == Identity::Xclient
    }

    /// What has been done with each server, in the order of the configuration.
    pub fn totals(&self) -> Vec<Totals> {
        self.servers.iter().map(|server| server.totals()).collect()
    }

    /// Asks every server what it offers: at once, then on a timer and where a client has trouble with it, and one that is
    /// down every second. For ever.
    pub async fn learn(&self) {
        let mut watches = JoinSet::new();
        for server in &self.servers {
            let (server, settings) = (Arc::clone(server), Arc::clone(&self.settings));
            let (encryption, hostname) = (self.encryption.clone(), Arc::clone(&self.hostname));
            watches.spawn(async move { watch(&server, &settings, &encryption, &hostname).await });
        }
        while watches.join_next().await.is_some() {}
        pending::<()>().await;
    }

    /// Asks every server once what it offers, one after the other; ready when each has answered or failed.
    pub async fn probe(&self) {
        for server in &self.servers {
            let _ = probe_noted(server, &self.settings, &self.encryption, &self.hostname).await;
        }
    }

    /// Asks the first server what it offers, for whoever wants to know: nothing is held against it.
    pub async fn inquire(&self) -> Result<Capabilities, Unavailable> {
        let server = self.servers.first().ok_or_else(Unavailable::nowhere)?;
        let asked = probe::ask(server, &self.settings, &self.encryption, &self.hostname).await;
        let asked = asked.map_err(|Failure { phase, trouble, .. }| Unavailable {
            server: Some(Arc::clone(&server.name)),
            phase,
            trouble,
        });
        asked.map(|reply| Capabilities::from_reply(&reply))
    }

    /// Connects to the first server that will have the client. With [`Proof::Passed`] its greeting is left to read.
    ///
    /// `id` names the connection to the server, where the identity can tell it; `names` are told where it
    /// [wants them](Self::wants_names).
    pub async fn open(
        &self,
        proof: Proof<'_>,
        ends: Endpoints,
        names: Option<&Names>,
        id: Id,
    ) -> Result<Box<Backend>, Unavailable> {
        let greeting = match proof {
            Proof::Passed(_) => Greeting::Leave,
            Proof::Checked(_) | Proof::Passthrough(_) => Greeting::Read,
        };
        let client = Client { ends: Some(ends), names, id: Some(id), ..Client::ourselves(&self.hostname) };
        self.connect(client, greeting, None).await
    }

    pub(super) fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Like [`open`](Self::open); a server to `avoid` comes last.
    pub(super) async fn connect(
        &self,
        client: Client<'_>,
        greeting: Greeting,
        avoid: Option<&Arc<Server>>,
    ) -> Result<Box<Backend>, Unavailable> {
        let mut last = None;
        let mut tries = 0;
        for server in self.in_order(&client, avoid) {
            let Some(place) = server.place(self.settings.connection_limit) else {
                last.get_or_insert_with(Unavailable::full);
                continue;
            };
            match self.try_server(&server, &client, greeting).await {
                Ok(mut backend) => {
                    backend.place = Some(place);
                    return Ok(backend);
                }
                Err(failure) => last = Some(self.unavailable(&server, &failure)),
            }
            tries += 1;
            if tries == TRIES {
                break;
            }
        }
        // Without a failure only if no server can have this client at all.
        Err(last.unwrap_or_else(Unavailable::nowhere))
    }

    async fn try_server(
        &self,
        server: &Arc<Server>,
        client: &Client<'_>,
        greeting: Greeting,
    ) -> Outcome<Box<Backend>> {
        // Boxed: whoever waits for a recipient afterwards needs no room for it.
        let opening = Backend::open(server, &self.settings, &self.encryption, client, greeting);
        let backend = Box::pin(opening).await?;
        // The queue of one that hangs takes connections still, and PROXY headers.
        if greeting == Greeting::Read || backend.unheard.is_some() {
            server.answered();
        }
        Ok(backend)
    }

    /// Notes a failure.
    pub(super) fn unavailable(&self, server: &Server, failure: &Failure) -> Unavailable {
        server.failed(failure, Witness::Client, &self.settings);
        Unavailable { server: Some(Arc::clone(&server.name)), phase: failure.phase, trouble: failure.trouble }
    }

    /// Whether it makes sense to try again at once: there is another server, or the one there is may only have been
    /// restarted.
    pub(super) fn may_replace(&self, unavailable: &Unavailable) -> bool {
        self.servers.len() > 1 || unavailable.trouble == Trouble::Closed
    }

    /// Those that are awake first, each half in its order.
    fn in_order(&self, client: &Client<'_>, avoid: Option<&Arc<Server>>) -> Vec<Arc<Server>> {
        let now = Instant::now();
        let mut servers = self.servers.clone();
        if self.settings.identity == Identity::Transparent {
            servers.retain(|server| can_meet(&server.address, client));
        }
        servers.sort_by_cached_key(|server| {
            let is_last = avoid.is_some_and(|last| Arc::ptr_eq(last, server));
            let clients = match self.settings.order {
                Order::Priority => 0,
                Order::LeastConnections => server.clients(),
            };
            (is_last, server.rests(now), clients)
        });
        servers
    }

    fn common(&self, counts: impl Fn(&Server) -> bool) -> Option<Arc<Capabilities>> {
        let learnt =
            self.servers.iter().filter(|server| counts(server)).filter_map(|server| server.capabilities());
        learnt.reduce(|one, other| if one == other { one } else { Arc::new(one.common(&other)) })
    }
}

async fn watch(server: &Arc<Server>, settings: &Arc<Settings>, encryption: &Encryption, hostname: &str) {
    loop {
        let probed = probe_noted(server, settings, encryption, hostname).await;
        let (interval, retry) = (settings.probe_interval, RETRY.min(settings.probe_interval));
        sleep(jittered(retry)).await;
        if probed.is_ok() {
            let _ = timeout(jittered(interval.saturating_sub(retry)), server.doubted()).await;
        }
    }
}

async fn probe_noted(
    server: &Arc<Server>,
    settings: &Arc<Settings>,
    encryption: &Encryption,
    hostname: &str,
) -> Outcome<()> {
    match probe::ask(server, settings, encryption, hostname).await {
        Ok(reply) => {
            server.offered(&reply);
            server.answered();
            Ok(())
        }
        Err(failure) => {
            server.failed(&failure, Witness::Probe, settings);
            Err(failure)
        }
    }
}
