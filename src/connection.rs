//! One connection from accept to close: READ THIS FIRST.
//!
//! [`serve`] is the life of a connection, in order: who is it, may it come in, the tests before the greeting, the
//! dialogue, the hand-off, the relay, the record. One task owns all of it; nothing is passed through channels. What
//! is decided is decided elsewhere ([`screen`](crate::screen), [`dialogue`],
//! [`policy`](crate::policy)); here it is only asked for, said and noted.
//!
//! It never answers end-of-data, never opens a backend without a proof of screening, and punishes nobody for hanging
//! up.

mod message;
mod pair;
mod rates;
mod starttls;
mod talk;

use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::allowlist::{Allowlist, Key, Presence, Record};
use crate::dialogue::{self, Auth, Peer, Session};
use crate::dns::Resolver;
use crate::handoff::{Backends, Handoff, Proof, Ready};
use crate::limits::{self, Pressure, Seat, State};
use crate::policy::{ClientNames, Names, Policy};
use crate::proxy_protocol::{self, Header, Origin, Parsed};
use crate::rate::{self, Rates};
use crate::relay::{self, Early, Inspect};
use crate::report::{HandOff, Outcome, Report};
use crate::screen::{Access, Candidate, Passed, Screen, Screened, Verdict, is_gateway_like};
use crate::smtp::line::LineBuffer;
use crate::smtp::reply::Reply;
use crate::table::{Live, MatchList};
use crate::tls::{self, Starttls, Stream};
use crate::wire::{self, Then};

use pair::Pair;
use talk::Talked;

/// All that a connection meets on its way. A reload makes a new one; running connections keep theirs.
pub struct Site {
    /// Seats and time limits.
    pub limits: limits::Settings,
    /// The tests before the greeting.
    pub screen: Screen,
    /// How to speak.
    pub dialogue: Arc<dialogue::Settings>,
    /// The restriction lists.
    pub policy: Policy,
    /// Who takes the mail.
    pub backends: Arc<Backends>,
    /// How bytes are forwarded.
    pub relay: relay::Settings,
    /// What STARTTLS does.
    pub starttls: Starttls,
    /// Ends TLS, where STARTTLS is to be ended here.
    pub tls: Option<tls::Acceptor>,
    /// Who must use STARTTLS.
    pub tls_required: Arc<Live<MatchList>>,
    /// What AUTH does.
    pub auth: Auth,
    /// Whom to ask for names.
    pub resolver: Resolver,
    /// Who has passed before.
    pub allowlist: Arc<Allowlist>,
    /// Who comes too often.
    pub rates: Rates,
}

/// How a listener learns who its clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// The peer is the client.
    Open,
    /// A PROXY header comes first, from these networks alone.
    Announced {
        /// Who may send one.
        trusted: Vec<IpNet>,
        /// The time for all of it.
        time_limit: Duration,
    },
}

/// What the server hands over with an accepted socket.
pub struct Arrival {
    /// The socket.
    pub socket: TcpStream,
    /// What the listener asks for.
    pub door: Arc<Door>,
    /// The seat that was taken for it.
    pub seat: Seat,
}

/// Serves one client from its first byte to the last, and says how it ended. `report` knows its two ends as the
/// kernel does, and is told what happens.
///
/// Once `drain` is called for, a client that still talks is told 421, and a relay goes on.
pub fn serve<'a>(
    arrival: Box<Arrival>,
    site: &'a Site,
    drain: &'a CancellationToken,
    report: &'a mut Report,
) -> impl Future<Output = Outcome> + use<'a> {
    // At once, so that the future, which lasts as long as the connection, has no room for what this begins with.
    let (mut visit, door) = Visit::begin(arrival, site, drain, report);
    async move {
        let announced = match &*door {
            Door::Open => Ok(Guest::Client),
            Door::Announced { trusted, time_limit } => Box::pin(visit.announced(trusted, *time_limit)).await,
        };
        match announced {
            Ok(guest) => visit.admitted(guest).await.unwrap_or_else(|Ended(outcome)| outcome),
            Err(Ended(outcome)) => outcome,
        }
    }
}

/// A connection under way. Boxed wherever it is handed on: thousands wait at any time, and a future keeps room for
/// every value that it was ever given.
struct Visit<'a> {
    stream: Stream,
    input: LineBuffer,
    seat: Seat,
    site: &'a Site,
    drain: &'a CancellationToken,
    report: &'a mut Report,
}

/// On whose behalf a connection was made.
enum Guest {
    /// A client's.
    Client,
    /// A trusted proxy's own, to see whether we are alive.
    Proxy,
}

/// The connection is over, and this is what it came to. Travels by `?`: nothing behind it can be said or done.
struct Ended(Outcome);

impl Ended {
    /// Mail went to a backend where `messages` were delivered, however the client leaves.
    fn behind(self, messages: u64) -> Self {
        match self.0 {
            Outcome::HungUp if messages > 0 => Self(Outcome::Relayed),
            _ => self,
        }
    }
}

impl<'a> Visit<'a> {
    #[expect(clippy::boxed_local, reason = "unpacked here, so that the caller's future need not hold it")]
    fn begin(
        arrival: Box<Arrival>,
        site: &'a Site,
        drain: &'a CancellationToken,
        report: &'a mut Report,
    ) -> (Box<Self>, Arc<Door>) {
        let Arrival { socket, door, seat } = *arrival;
        let (stream, input) = (Stream::Plain(socket), LineBuffer::new());
        (Box::new(Self { stream, input, seat, site, drain, report }), door)
    }

    /// Who is it? Reads the PROXY header of a proxy that is trusted. Anything wrong with it ends the connection
    /// without a greeting: a client that may name itself may name anybody.
    async fn announced(&mut self, trusted: &[IpNet], time_limit: Duration) -> Result<Guest, Ended> {
        let peer = self.client().to_canonical();
        if !trusted.iter().any(|network| network.contains(&peer)) {
            return Err(Ended(Outcome::BadProxyHeader));
        }
        let header = timeout(time_limit, self.proxy_header()).await;
        let header = header.map_err(|_| Ended(Outcome::BadProxyHeader))??;
        match header.origin {
            Origin::Proxied(ends) => {
                self.report.announced(ends);
                Ok(Guest::Client)
            }
            Origin::Local => Ok(Guest::Proxy),
            // Nobody knows who it is, so nothing could be held for or against it.
            Origin::Unknown => Err(Ended(Outcome::BadProxyHeader)),
        }
    }

    async fn proxy_header(&mut self) -> Result<Header, Ended> {
        loop {
            match proxy_protocol::parse(self.input.as_slice()) {
                Parsed::Complete { header, used } => {
                    // What stands behind the header was said before the greeting, and is judged as such.
                    let behind = self.input.take().split_off(used);
                    self.input.push(&behind);
                    return Ok(header);
                }
                Parsed::Malformed(_) => return Err(Ended(Outcome::BadProxyHeader)),
                Parsed::Incomplete => read(&mut self.stream, &mut self.input).await?,
            }
        }
    }

    /// May it come in? Then the tests before the greeting, and what they lead to.
    ///
    /// Each of these is boxed: a connection has room for where it is, not for where it has been or may come to. And
    /// none takes more than a KiB: so much malloc keeps in one piece for the next who asks for it; what is larger it
    /// cuts up for whoever comes, which leaves holes between relays that last.
    async fn admitted(self: Box<Self>, guest: Guest) -> Result<Outcome, Ended> {
        self.report.admitted();
        let (mut visit, place) = Box::pin(self.counted()).await?;
        // To the very end: what the client earns counts when this connection is over.
        let mut presence = visit.site.allowlist.arrive(visit.site.allowlist.key(visit.client()));
        let verdict = match guest {
            Guest::Client => Box::pin(visit.screened(&mut presence)).await,
            Guest::Proxy => Verdict::Converse(visit.site.screen.health_check()),
        };
        let pair = visit.led_to(verdict, &mut presence, &place).await?;
        Ok(pair.relayed().await)
    }

    /// What the tests before the greeting have led to.
    fn led_to<'p>(
        self: Box<Self>,
        verdict: Verdict,
        presence: &'p mut Presence,
        place: &'p rate::Connection,
    ) -> Pin<Box<dyn Future<Output = Result<Pair<'a>, Ended>> + Send + 'p>>
    where
        'a: 'p,
    {
        match verdict {
            // The server takes it for this host, so nothing may get there that was not looked at.
            Verdict::Forward(passed) if self.inspects() && !self.site.backends.know_clients() => {
                self.report.permitted();
                let permitted = self.site.screen.permitted(passed);
                Box::pin(self.converse(permitted, presence, place))
            }
            Verdict::Forward(passed) => Box::pin(self.forward(passed)),
            Verdict::Converse(screened) => Box::pin(self.converse(screened, presence, place)),
            Verdict::Refuse(reply) => Box::pin(async {
                let farewell = self.farewell();
                Err(self.refuse(reply, farewell).await)
            }),
            Verdict::HungUp => Box::pin(ready(Err(Ended(Outcome::HungUp)))),
            Verdict::Stopped => Box::pin(async {
                let reply = Reply::new(421, "4.3.2 Service shutting down");
                Err(self.refuse(reply, Outcome::Drained).await)
            }),
        }
    }

    /// The tests before the greeting.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
    fn screened<'p>(&'p mut self, presence: &'p mut Presence) -> impl Future<Output = Verdict> + use<'a, 'p> {
        async move {
            let remembered = self.recall(presence.key()).await;
            let candidate = Candidate { address: self.client(), access: self.access(), remembered };
            let site = self.site;
            let pressure = self.seat.pressure(&site.limits);
            let report = &mut *self.report;
            let mut note = |finding| report.screen(finding);
            let (stream, input, drained) = (&mut self.stream, &mut self.input, pin!(self.drain.cancelled()));
            let verdict = site.screen.test(stream, input, candidate, pressure, drained, &mut note).await;
            if matches!(verdict, Verdict::Refuse(_)) {
                presence.revoke();
            }
            verdict
        }
    }

    /// What an operator wants of the client, now or for good.
    fn access(&self) -> Access {
        let (site, address) = (self.site, self.client());
        let order = site.allowlist.order(address);
        order.map_or_else(|| site.screen.access(address), Access::from)
    }

    /// What the allowlist knows of the client.
    async fn recall(&mut self, key: Key) -> Option<Record> {
        let remembered = self.site.allowlist.recall(key).await;
        self.report.remembered(remembered.as_ref());
        remembered
    }

    /// Permanently permitted: the backend greets, and every byte is forwarded.
    async fn forward(mut self: Box<Self>, passed: Passed) -> Result<Pair<'a>, Ended> {
        if let Err(full) = self.seat.relay(&self.site.limits) {
            return Err(self.refuse(full.reply(), Outcome::Busy(full)).await);
        }
        let begun = Instant::now();
        let id = self.report.id();
        let names = ClientNames::default();
        let names = self.names_for_backend(&names).await;
        match self.site.backends.open(Proof::Passed(&passed), self.report.ends(), names, id).await {
            Ok(backend) => {
                self.report.handed_over(HandOff {
                    server: Some(Arc::clone(backend.server())),
                    took: begun.elapsed(),
                });
                let Ready { link, to_client, place, .. } = backend.release();
                let early = Early { to_backend: self.input.take(), to_client };
                Ok(Pair { visit: self, backend: link, early, place, outcome: Outcome::Forwarded })
            }
            Err(unavailable) => {
                self.report.handed_over(HandOff { server: None, took: begun.elapsed() });
                Err(self.refuse(unavailable.farewell(), Outcome::Unavailable).await)
            }
        }
    }

    /// Speaks SMTP with the client, then does what that led to.
    async fn converse(
        mut self: Box<Self>,
        screened: Screened,
        presence: &mut Presence,
        place: &rate::Connection,
    ) -> Result<Pair<'a>, Ended> {
        self.seat.converse();
        self.report.reached(State::Dialogue);
        let (site, ends) = (self.site, self.report.ends());
        let id = self.report.id();
        let mut handoff = Handoff::new(Arc::clone(&site.backends), ends, id);
        let names = ClientNames::default();
        let offer = self.offer(&names).await;
        self.report.watched(&screened);
        let peer = Peer { client: ends.client, server: ends.server, names, id };
        let mut session = Box::new(Session::new(Arc::clone(&site.dialogue), peer, screened, offer));

        let talked = Box::pin(self.talk(&mut session, &mut handoff, place)).await;
        // However it ended: a pass counts although the client hung up, and so does a failure.
        remember(presence, ends.client.ip(), &session, &site.screen);
        let (mut visit, talked) = talked.map_err(|ended| ended.behind(handoff.messages()))?;
        let rest = visit.input.take();
        let (ready, outcome) = match talked {
            Talked::Closed if handoff.messages() > 0 => return Err(Ended(Outcome::Relayed)),
            Talked::Closed => return Err(Ended(visit.farewell())),
            Talked::Released(released) => {
                (Box::pin(handoff.content(&released, &rest)).await, Outcome::Relayed)
            }
            Talked::Passthrough(passthrough) => {
                let names = &session.peer().names;
                let passed = Box::pin(visit.pass_through(&mut handoff, &passthrough, names, &rest));
                (passed.await, Outcome::PassedThrough)
            }
        };
        match ready {
            Ok(Ready { link, to_backend, to_client, place, .. }) => {
                let early = Early { to_backend, to_client };
                Ok(Pair { visit, backend: link, early, place, outcome })
            }
            // What the client has sent behind its command cannot be answered here.
            Err(unavailable) => {
                Err(Box::pin(visit.refuse(unavailable.farewell(), Outcome::Unavailable)).await)
            }
        }
    }

    /// The client's names, where a backend is told them.
    async fn names_for_backend<'n>(&self, names: &'n ClientNames) -> Option<&'n Names> {
        if !self.site.backends.wants_names() {
            return None;
        }
        Some(self.site.policy.names(names, self.client()).await)
    }

    /// Whether every transaction is looked at, not only the first.
    fn inspects(&self) -> bool {
        self.site.relay.inspect == Inspect::Transaction
    }

    fn client(&self) -> IpAddr {
        self.report.ends().client.ip()
    }

    /// How it ends where nothing is held against the client; what is, the report knows.
    fn farewell(&self) -> Outcome {
        if self.drain.is_cancelled() { Outcome::Drained } else { Outcome::Quit }
    }

    /// How long the client has for a line, and for taking our reply.
    fn time_limit(&self) -> Duration {
        match self.seat.pressure(&self.site.limits) {
            Pressure::Normal => self.site.limits.command_time_limit,
            Pressure::Stress => self.site.limits.stress_command_time_limit,
        }
    }

    /// The one place that speaks to the client before the relay.
    async fn say(&mut self, replies: &[Reply], delay: Option<Duration>, then: Then) -> Result<(), Ended> {
        if let Some(delay) = delay {
            sleep(delay).await;
        }
        let mut bytes = Vec::new();
        replies.iter().for_each(|reply| reply.write_to(&mut bytes));
        let limit = self.time_limit();
        match wire::tell(&mut self.stream, &bytes, then, limit).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Ended(Outcome::TimedOut)),
            Err(_) => Err(Ended(Outcome::HungUp)),
        }
    }

    /// Says why not, and closes.
    async fn refuse(mut self: Box<Self>, reply: Reply, outcome: Outcome) -> Ended {
        let reply = self.site.dialogue.dress(reply, self.report.ends(), self.report.id());
        if let Err(gone) = self.say(slice::from_ref(&reply), None, Then::End).await {
            return gone;
        }
        wire::close(&mut self.stream).await;
        Ended(outcome)
    }
}

/// Takes in what the client has sent.
async fn read(stream: &mut Stream, input: &mut LineBuffer) -> Result<(), Ended> {
    match wire::fill(stream, |bytes| input.push(bytes)).await {
        Ok(0) | Err(_) => Err(Ended(Outcome::HungUp)),
        Ok(_) => Ok(()),
    }
}

/// Notes for next time what the client has passed, or that it has failed.
fn remember(presence: &mut Presence, client: IpAddr, session: &Session, screen: &Screen) {
    if session.screened().permitted() {
        return;
    }
    if session.has_failed() {
        return presence.revoke();
    }
    // Behind a container's bridge all the world has the gateway's address: one pass must not let everybody in.
    if is_gateway_like(client) && !client.is_loopback() {
        return;
    }
    if let Some(record) = session.screened().earned(&session.passed(), SystemTime::now()) {
        screen.recheck_in_time(client, &record, presence.began());
        presence.earn(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{Checked, Released};
    use crate::wire::Socket;

    /// What a future of `call` takes.
    fn size<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    fn to_converse() -> usize {
        type Call = (Box<Visit<'static>>, Screened, &'static mut Presence, &'static rate::Connection);
        size(|(visit, screened, presence, place): Call| visit.converse(screened, presence, place))
    }

    fn to_talk() -> usize {
        type Call =
            (Box<Visit<'static>>, &'static mut Session, &'static mut Handoff, &'static rate::Connection);
        size(|(visit, session, handoff, place): Call| visit.talk(session, handoff, place))
    }

    /// Thousands wait at any time; what one of them takes is what they all take.
    #[test]
    fn a_connection_that_waits_is_small() {
        type Call = (Box<Arrival>, &'static Site, &'static CancellationToken, &'static mut Report);
        let life = size(|(arrival, site, drain, report): Call| serve(arrival, site, drain, report));
        let life = life + size_of::<Report>();
        println!("a connection has {life} bytes whatever it does");
        // With what the server and the runtime add, a task of it just fits into 384; the next size is 512.
        assert!(life <= 240);

        type Wait<'w> = (&'w mut Visit<'static>, &'w mut Presence);
        let wait = size(|(visit, presence): Wait<'static>| visit.screened(presence));
        println!("who waits for a greeting has {wait} bytes more");
        assert!(life + wait <= 672);

        type Ends = (TcpStream, Socket, Early);
        let relay = size(|(client, backend, early): Ends| {
            let settings: &'static relay::Settings = Box::leak(Box::default());
            relay::splice(client, backend, early, settings, std::future::pending())
        });
        println!("who is relayed has {relay} bytes more");
        assert!(life + relay <= 576);

        let dialogue = to_converse() + to_talk() + size_of::<Session>();
        println!("a dialogue has {dialogue} bytes more");
        assert!(dialogue <= 2816);
    }

    /// What comes and goes while others are relayed for hours.
    #[test]
    fn what_is_freed_serves_the_next_connection_whole() {
        /// The largest that glibc's malloc keeps so.
        const WHOLE: usize = 1032;
        let forward = size(|(visit, passed): (Box<Visit<'static>>, Passed)| visit.forward(passed));
        type HandOver =
            (&'static mut Visit<'static>, &'static mut Handoff, &'static Checked, &'static ClientNames);
        let hand_over =
            size(|(visit, handoff, checked, names): HandOver| visit.hand_over(handoff, checked, names));
        type Content = (&'static mut Handoff, &'static Released);
        let content = size(|(handoff, released): Content| handoff.content(released, &[]));
        for (what, size) in [
            ("to forward", forward),
            ("to converse", to_converse()),
            ("to talk", to_talk()),
            ("a session", size_of::<Session>()),
            ("to ask for a recipient", hand_over),
            ("to hand content over", content),
        ] {
            println!("{what} takes {size} bytes");
            assert!(size <= WHOLE, "{what}: {size}");
        }
    }
}
