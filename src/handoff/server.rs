//! One server: where it is, what it offers, how it is doing.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::{Address, Identity, Settings};
use super::totals::{Statistics, Totals};
use super::trouble::{Failure, Phase, Trouble};
use super::whereabouts::Whereabouts;
use crate::smtp::capability::Capabilities;
use crate::smtp::reply::Reply;

/// How a server was doing when it was last spoken to; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It has not been spoken to.
    #[default]
    Unknown,
    /// It greeted on a client's behalf, or told a probe what it offers.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// `unknown`, `up`, `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) name: Arc<str>,
    /// Where its name leads, if it is given by name.
    pub(super) whereabouts: Option<Whereabouts>,
    state: Mutex<State>,
    /// Rung where a client has met trouble that may be everybody's.
    doubt: Notify,
    /// Clients that it has.
    clients: AtomicUsize,
    pub(super) statistics: Statistics,
}

#[derive(Debug, Default)]
struct State {
    health: Health,
    /// Until then it comes last in the order.
    rests_until: Option<Instant>,
    /// Its last EHLO reply, whoever it was for, without the first line that greets; and what it offers there.
    offered: Option<(Box<str>, Arc<Capabilities>)>,
}

impl Server {
    pub(super) fn new(address: Address) -> Self {
        let whereabouts = match &address {
            Address::Name { host, port } => Some(Whereabouts::new(host, *port)),
            Address::Tcp(_) | Address::Unix(_) => None,
        };
        Self {
            name: address.to_string().into(),
            address,
            whereabouts,
            state: Mutex::default(),
            doubt: Notify::new(),
            clients: AtomicUsize::new(0),
            statistics: Statistics::default(),
        }
    }

    /// How many clients it has.
    pub(super) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// A place for one more client, where there are fewer than `limit`; 0 is no limit.
    pub(super) fn place(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let more = |clients: usize| (limit == 0 || clients < limit).then_some(clients + 1);
        self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(Arc::clone(self)))
    }

    pub(super) fn health(&self) -> Health {
        self.state.lock().health
    }

    /// Whether it failed a short while ago.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.state.lock().rests_until.is_some_and(|until| now < until)
    }

    /// What it offers, if it has ever said so. Whoever has said so understands how clients are announced.
    pub(super) fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.state.lock().offered.as_ref().map(|(_, capabilities)| Arc::clone(capabilities))
    }

    /// Ready when a client has met trouble since this was asked last that may be everybody's.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// It has greeted.
    pub(super) fn answered(&self) {
        let mut state = self.state.lock();
        if state.health == Health::Down {
            tracing::info!(server = &*self.name, "backend is up again");
        }
        state.health = Health::Up;
        state.rests_until = None;
    }

    /// It has said what it offers: to one client after the other the same, as a rule.
    pub(super) fn offered(&self, reply: &Reply) -> Arc<Capabilities> {
        let mut state = self.state.lock();
        let offer = reply.further_lines();
        match &state.offered {
            Some((known, capabilities)) if **known == *offer => Arc::clone(capabilities),
            _ => {
                let capabilities = Arc::new(Capabilities::from_reply(reply));
                state.offered = Some((offer.into(), Arc::clone(&capabilities)));
                capabilities
            }
        }
    }

    /// A conversation has come to nothing.
    pub(super) fn failed(&self, failure: &Failure, witness: Witness, settings: &Settings) {
        self.statistics.failed(failure.phase, failure.trouble);
        let said = failure.reply.as_ref().map(ToString::to_string).unwrap_or_default();
        let blame = witness.blame(failure, settings.identity);
        if blame == Blame::None {
            if failure.trouble == Trouble::Identity {
                tracing::warn!(server = &*self.name, said, "backend will not be told who a client is");
            }
            return;
        }
        if witness == Witness::Client {
            self.doubt.notify_one();
        }
        let mut state = self.state.lock();
        if blame == Blame::Down && state.health != Health::Down {
            let (phase, trouble) = (failure.phase.as_str(), failure.trouble.as_str());
            tracing::warn!(server = &*self.name, phase, trouble, said, "backend is down");
            state.health = Health::Down;
        }
        state.rests_until = Instant::now().checked_add(jittered(settings.rest_time));
    }

    pub(super) fn totals(&self) -> Totals {
        self.statistics.read(self.name.to_string(), self.health())
    }
}

/// A client's place at a server; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Server>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// On whose behalf a server was spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// A client's: what the server says may be meant for this client alone.
    Client,
    /// Our own.
    Probe,
}

/// What a failure says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    None,
    /// That it comes last until a probe has asked it.
    Doubt,
    /// That it is down.
    Down,
}

impl Witness {
    /// What fails for want of our own means says nothing of the server; nor does its refusal of one client. But
    /// nobody can be so bad that a server would not answer the phone.
    fn blame(self, failure: &Failure, identity: Identity) -> Blame {
        match (failure.trouble, self) {
            (Trouble::Exhausted, _) => Blame::None,
            (Trouble::Refused | Trouble::Unreachable | Trouble::Tls | Trouble::Untrusted, _) => Blame::Down,
            (_, Self::Probe) => Blame::Down,
            (Trouble::Timeout, Self::Client) => match failure.phase {
                Phase::Envelope => Blame::None,
                // A server may look the client up before it greets, which takes as long as the client's DNS.
                Phase::Greeting | Phase::Helo => Blame::Doubt,
                // What it answers to the client's own address may not find its way back.
                Phase::Connect if identity == Identity::Transparent => Blame::Doubt,
                Phase::Connect | Phase::Tls => Blame::Down,
            },
            (Trouble::Closed | Trouble::Rejected | Trouble::Identity | Trouble::Malformed, Self::Client) => {
                Blame::None
            }
        }
    }
}

/// Three to five quarters of `span`, so that many do not come back at the same moment.
pub(super) fn jittered(span: Duration) -> Duration {
    // A hasher with random keys is as good a die as this needs.
    let die = RandomState::new().hash_one(()) % 1024;
    span.mul_f64(0.75 + die as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(phase: Phase, trouble: Trouble) -> Failure {
        Failure { phase, trouble, reply: None }
    }

    fn server() -> Server {
        Server::new("127.0.0.1:25".parse().unwrap())
    }

    #[test]
    fn what_is_offered_to_one_client_after_the_other_is_read_once() {
        let server = server();
        let say = |lines: &[&str]| server.offered(&Reply::multiline(250, lines));
        let first = say(&["mx greets one", "SIZE 1000", "DSN"]);
        assert!(Arc::ptr_eq(&first, &say(&["mx greets two", "SIZE 1000", "DSN"])));
        for other in [&["mx", "SIZE 10", "DSN"][..], &["mx", "SIZE 1000"], &["mx"]] {
            assert_eq!(*say(other), Capabilities::from_reply(&Reply::multiline(250, other)));
        }
        assert_eq!(*server.capabilities().unwrap(), Capabilities::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_rests_for_a_while() {
        let server = server();
        let settings = Settings::default();
        let rest = settings.rest_time;
        server.failed(&failure(Phase::Connect, Trouble::Refused), Witness::Client, &settings);
        assert_eq!(server.health(), Health::Down);
        assert!(server.rests(Instant::now() + rest.mul_f64(0.7)));
        assert!(!server.rests(Instant::now() + rest.mul_f64(1.3)));
        server.answered();
        assert!(!server.rests(Instant::now()));
        assert_eq!(server.health(), Health::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn one_clients_trouble_does_not_speak_against_a_server() {
        let (server, settings) = (server(), Settings::default());
        for failure in [
            failure(Phase::Connect, Trouble::Exhausted),
            failure(Phase::Greeting, Trouble::Rejected),
            failure(Phase::Helo, Trouble::Closed),
            failure(Phase::Envelope, Trouble::Timeout),
        ] {
            server.failed(&failure, Witness::Client, &settings);
            assert_eq!(server.health(), Health::Unknown, "{failure:?}");
            assert!(!server.rests(Instant::now()));
        }
        server.failed(&failure(Phase::Greeting, Trouble::Rejected), Witness::Probe, &settings);
        assert_eq!(server.health(), Health::Down);
    }

    /// It may be the client's DNS that takes so long, or its network.
    #[tokio::test]
    async fn where_a_client_waits_in_vain_a_probe_decides() {
        let settings = |identity| Settings { identity, ..Settings::default() };
        for (phase, identity) in [
            (Phase::Greeting, Identity::ProxyV2),
            (Phase::Helo, Identity::ProxyV2),
            (Phase::Connect, Identity::Transparent),
        ] {
            let (server, settings) = (server(), settings(identity));
            server.answered();
            server.failed(&failure(phase, Trouble::Timeout), Witness::Client, &settings);
            assert_eq!(server.health(), Health::Up, "{phase:?}");
            assert!(server.rests(Instant::now()));
            server.doubted().await;
            server.failed(&failure(phase, Trouble::Timeout), Witness::Probe, &settings);
            assert_eq!(server.health(), Health::Down);
        }
        let server = server();
        let connect = failure(Phase::Connect, Trouble::Timeout);
        server.failed(&connect, Witness::Client, &settings(Identity::ProxyV2));
        assert_eq!(server.health(), Health::Down);
    }

    #[test]
    fn jitter_is_a_quarter_either_way() {
        let spans: Vec<_> = (0..200).map(|_| jittered(Duration::from_secs(8)).as_secs_f64()).collect();
        assert!(spans.iter().all(|span| (6.0..=10.0).contains(span)));
        assert!(spans.iter().any(|span| *span < 8.0) && spans.iter().any(|span| *span > 8.0));
    }
}
