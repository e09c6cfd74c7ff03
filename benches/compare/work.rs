//! The work, and how it is measured: every contender in turn, the order reversed on odd rounds, clocks read before and
//! after.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use prescreen::dns::{self, Resolver, Responder, Zone};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clients::{self, LIST};
use crate::clock::Clock;
use crate::figures::{self, Row, median, quantile};
use crate::rivals::Ours::{Other, This};
use crate::rivals::{self, Contender, Duty, Haproxy, Mta, Ours};
use crate::sink::Sink;

/// Where resolv.conf of the namespace points: postscreen knows no other way to name its resolver.
const RESOLVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// What all contenders stand on.
pub(crate) struct World {
    pub(crate) rounds: usize,
    sink: Sink,
    unix: String,
    _responder: Responder,
    _folder: tempfile::TempDir,
}

/// What one contender's bouts came to; one sample a round, for one unit of work.
struct Bouts {
    name: String,
    /// Seconds of processor time of what stands in front of the backend.
    front: Vec<f64>,
    /// The same with the backend's, where that is a server.
    served: Vec<f64>,
    /// The same with the clients' and the sink's.
    whole: Vec<f64>,
    /// Seconds by the clock on the wall; the median of the round.
    took: Vec<f64>,
}

/// What a bout did.
struct Done {
    units: f64,
    took: Vec<Duration>,
}

impl Done {
    fn counted(units: f64) -> Self {
        Self { units, took: Vec::new() }
    }

    fn timed(took: Vec<Duration>) -> Self {
        Self { units: took.len() as f64, took }
    }
}

impl World {
    pub(crate) async fn new(rounds: usize) -> io::Result<Self> {
        let folder = tempfile::TempDir::with_prefix("prescreen-compare-")?;
        let unix = folder.path().join("backend");
        let zone = Zone::parse(clients::ZONE).map_err(io::Error::other)?;
        let responder = Responder::bind(RESOLVER, zone).await.map_err(|error| {
            io::Error::other(format!("{RESOLVER}: {error}; start this with benches/compare/run"))
        })?;
        let sink = Sink::start(&unix)?;
        let unix = format!("unix:{}", unix.display());
        Ok(Self { rounds, sink, unix, _responder: responder, _folder: folder })
    }

    fn prescreen(&self, which: Ours, duty: Duty) -> Contender {
        rivals::prescreen(which, duty, &self.sink.announced.to_string(), RESOLVER)
    }

    /// prescreen, the same again, and everybody who can forward.
    fn relays(&self) -> Vec<Contender> {
        let backend = self.sink.announced;
        vec![
            self.prescreen(This("prescreen"), Duty::Relay),
            self.prescreen(Other, Duty::Relay),
            rivals::haproxy("HAProxy splice-auto", Haproxy::Auto, backend),
            rivals::haproxy("HAProxy forced splice, 1 MiB pipes", Haproxy::Forced, backend),
            rivals::nginx("nginx stream", backend),
            rivals::direct(self.sink.plain),
        ]
    }

    async fn interleave(
        &self,
        contenders: &[Contender],
        bout: impl AsyncFn(&Contender) -> io::Result<Done>,
    ) -> io::Result<Vec<Bouts>> {
        let mut bouts: Vec<_> = contenders.iter().map(Bouts::new).collect();
        let own = Clock::own();
        for round in 0..=self.rounds {
            let mut order: Vec<usize> = (0..contenders.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let contender = &contenders[index];
                let read = || (contender.time(), contender.time_behind(), own.time().as_secs_f64());
                let before = read();
                let done = bout(contender)
                    .await
                    .map_err(|error| io::Error::other(format!("{}: {error}", contender.name)))?;
                settle(contender).await;
                let after = read();
                if round > 0 {
                    bouts[index].add(&done, before, after);
                }
            }
            eprint!(".");
        }
        eprintln!();
        Ok(bouts)
    }

    /// W1: a known client delivers one message of 4 KiB through a Postfix smtpd, restrictions on.
    pub(crate) async fn clean(&self) -> io::Result<()> {
        let mta = Mta::start(1);
        let proxied = mta.postfix.proxied;
        let tcp = proxied.to_string();
        let unix = format!("unix:{}", mta.postfix.socket("prescreen").display());
        let ours = |which, backend: &str| {
            rivals::prescreen(which, Duty::Screen { greet_wait: 1 }, backend, RESOLVER)
        };
        let rest = mta.rest();
        let contenders: Vec<_> = [
            ours(This("prescreen"), &tcp),
            ours(Other, &tcp),
            ours(This("prescreen, unix socket"), &unix),
            rivals::haproxy("HAProxy", Haproxy::Auto, proxied),
            rivals::haproxy("HAProxy, logging", Haproxy::Logging, proxied),
            rivals::nginx("nginx stream", proxied),
            rivals::direct(mta.postfix.direct),
        ]
        .into_iter()
        .map(|contender| contender.with(&rest))
        .chain([mta.postscreen()])
        .collect();
        let message = clients::message(4096);
        for contender in &contenders {
            become_known(contender, message, 8).await?;
        }
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::deliveries(contender.at, message, 400, 8).await.map(Done::timed)
            })
            .await?;
        let front = rows_of(&bouts, |b| &b.front, 1e6);
        figures::print("W1 known client, 4 KiB to smtpd: CPU in front", "µs", &front);
        let whole = rows_of(&bouts, |b| &b.served, 1e6);
        figures::print("W1 the whole, with all of Postfix", "µs", &whole);
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::deliveries(contender.at, message, 200, 1).await.map(Done::timed)
            })
            .await?;
        let wall = rows_of(&bouts, |b| &b.took, 1e3);
        figures::print("W6 4 KiB messages one after the other through smtpd: time each", "ms", &wall);
        Ok(())
    }

    /// W1 in front of a sink: what prescreen's own dialogue costs.
    pub(crate) async fn clean_to_sink(&self) -> io::Result<()> {
        let backend = self.sink.announced;
        let contenders = [
            self.prescreen(This("prescreen"), Duty::Screen { greet_wait: 1 }),
            self.prescreen(Other, Duty::Screen { greet_wait: 1 }),
            rivals::haproxy("HAProxy", Haproxy::Auto, backend),
            rivals::haproxy("HAProxy, logging", Haproxy::Logging, backend),
            rivals::nginx("nginx stream", backend),
            rivals::direct(self.sink.plain),
        ];
        let message = clients::message(4096);
        for contender in &contenders {
            become_known(contender, message, 32).await?;
        }
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::deliveries(contender.at, message, 1000, 32).await.map(Done::timed)
            })
            .await?;
        figures::print(
            "W1 known client, 4 KiB to a sink: CPU in front",
            "µs",
            &rows_of(&bouts, |b| &b.front, 1e6),
        );
        Ok(())
    }

    /// W2: zombies of every kind.
    pub(crate) async fn zombies(&self) -> io::Result<()> {
        const GREET_WAIT: u32 = 2;
        let mta = Mta::start(GREET_WAIT);
        let contenders = [
            self.prescreen(This("prescreen"), Duty::Screen { greet_wait: GREET_WAIT }),
            self.prescreen(Other, Duty::Screen { greet_wait: GREET_WAIT }),
            mta.postscreen(),
            rivals::haproxy(
                "HAProxy inspect-delay",
                Haproxy::InspectDelay { seconds: GREET_WAIT },
                self.sink.announced,
            ),
        ];
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::zombies(contender.at, 400).await?;
                Ok(Done::counted(400.0))
            })
            .await?;
        // This Postfix has nothing to do but what postscreen has it do.
        figures::print("W2 zombies: CPU for each", "µs", &rows_of(&bouts, |b| &b.served, 1e6));
        Ok(())
    }

    /// W3: connections held in the greet wait.
    pub(crate) async fn held(&self) -> io::Result<()> {
        let mut rows = Vec::new();
        for count in [5_000, 15_000] {
            let ours = self.prescreen(This("prescreen"), Duty::Screen { greet_wait: 300 });
            rows.push(memory_held(ours, count).await?);
        }
        let mta = Mta::start(300);
        rows.push(memory_held(mta.postscreen(), 5_000).await?);
        let delayed = Haproxy::InspectDelay { seconds: 300 };
        rows.push(memory_held(rivals::haproxy("HAProxy", delayed, self.sink.announced), 5_000).await?);
        rows.push(memory_held(rivals::nginx("nginx stream", self.sink.announced), 5_000).await?);
        figures::print("W3 connections held before the greeting: user memory each", "KiB", &rows);
        Ok(())
    }

    /// W4: a new client, every test on: what is added to the greet wait until its message is accepted.
    pub(crate) async fn first_contact(&self) -> io::Result<()> {
        const GREET_WAIT: u32 = 2;
        let mta = Mta::start(GREET_WAIT);
        let backend = mta.postfix.proxied.to_string();
        let ours =
            |which| rivals::prescreen(which, Duty::Screen { greet_wait: GREET_WAIT }, &backend, RESOLVER);
        let contenders = [ours(This("prescreen, one connection")), ours(Other), mta.postscreen()];
        let message = clients::message(4096);
        let wait = Duration::from_secs(u64::from(GREET_WAIT));
        let bouts = self
            .interleave(&contenders, async |contender| {
                let mut visits = JoinSet::new();
                for _ in 0..10 {
                    let to = contender.at;
                    visits.spawn(async move {
                        let (from, begun) = (clients::stranger(), Instant::now());
                        while let Err(error) = clients::deliver(from, to, message).await {
                            // postscreen's 450 after its deep tests: a second connection.
                            if begun.elapsed() > 2 * wait || !error.to_string().contains("\"450") {
                                return Err(error);
                            }
                        }
                        Ok(begun.elapsed())
                    });
                    // Not all at the same moment of postscreen's second.
                    sleep(Duration::from_millis(130)).await;
                }
                let mut took = Vec::new();
                while let Some(visit) = visits.join_next().await {
                    took.push(visit.map_err(io::Error::other)??);
                }
                Ok(Done::timed(took))
            })
            .await?;
        let mut added = rows_of(&bouts, |b| &b.took, 1e3);
        for row in &mut added {
            row.samples.iter_mut().for_each(|took| *took -= f64::from(GREET_WAIT) * 1e3);
        }
        figures::print("W4 first contact: added to the greet wait of 2 s", "ms", &added);
        Ok(())
    }

    /// W5: messages of 50 MiB, one and four at a time.
    pub(crate) async fn bulk(&self) -> io::Result<()> {
        let contenders = self.relays();
        let message = clients::message(50 << 20);
        let gibibytes = message.len() as f64 / f64::from(1 << 30);
        for at_once in [1, 4] {
            let bouts = self
                .interleave(&contenders, async |contender| {
                    clients::deliveries(contender.at, message, 8, at_once).await?;
                    Ok(Done::counted(8.0 * gibibytes))
                })
                .await?;
            let title = format!("W5 50 MiB messages, {at_once} at once");
            let front = rows_of(&bouts, |b| &b.front, 1e3);
            figures::print(&format!("{title}: CPU in front"), "ms/GiB", &front);
            let whole = rows_of(&bouts, |b| &b.whole, 1e3);
            figures::print(&format!("{title}: CPU of the whole system"), "ms/GiB", &whole);
        }
        Ok(())
    }

    /// The relay alone: sessions of 4 KiB, messages of 1 MiB, words of 64 bytes.
    pub(crate) async fn relay(&self) -> io::Result<()> {
        let contenders = self.relays();
        let short = clients::message(4096);
        for (count, at_once) in [(1500, 32), (500, 1)] {
            let bouts = self
                .interleave(&contenders, async |contender| {
                    clients::deliveries(contender.at, short, count, at_once).await.map(Done::timed)
                })
                .await?;
            let title = format!("Relay of a 4 KiB session, {at_once} at once: CPU in front");
            figures::print(&title, "µs", &rows_of(&bouts, |b| &b.front, 1e6));
        }
        let large = clients::message(1 << 20);
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::deliveries(contender.at, large, 200, 8).await.map(Done::timed)
            })
            .await?;
        let front = rows_of(&bouts, |b| &b.front, 1e6);
        figures::print("Relay of 1 MiB messages, 8 at once: CPU in front", "µs", &front);
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::ping_pong(contender.at, 5_000).await.map(Done::timed)
            })
            .await?;
        let direct = bouts.last().map(|direct| direct.took.clone()).unwrap_or_default();
        let mut added = rows_of(&bouts, |b| &b.took, 1e6);
        added.pop();
        for row in &mut added {
            row.samples.iter_mut().zip(&direct).for_each(|(took, direct)| *took -= direct * 1e6);
        }
        figures::print("Ping-pong of 64 bytes: added median", "µs", &added);
        Ok(())
    }

    /// A backend on a unix socket against the same one on TCP.
    pub(crate) async fn unix(&self) -> io::Result<()> {
        let contenders = [
            rivals::prescreen(This("prescreen, unix socket"), Duty::Relay, &self.unix, RESOLVER),
            self.prescreen(This("prescreen, TCP"), Duty::Relay),
        ];
        let message = clients::message(4096);
        let bouts = self
            .interleave(&contenders, async |contender| {
                clients::deliveries(contender.at, message, 1500, 32).await.map(Done::timed)
            })
            .await?;
        let front = rows_of(&bouts, |b| &b.front, 1e6);
        figures::print("Backend on a unix socket, 4 KiB sessions: CPU in front", "µs", &front);
        Ok(())
    }

    /// Pairs that were handed over and wait.
    pub(crate) async fn idle(&self) -> io::Result<()> {
        println!("\n**Idle pairs**\n");
        println!("| | pairs | KiB each | descriptors each | wake-ups in 5 s |");
        println!("|---|---:|---:|---:|---:|");
        let backend = self.sink.announced;
        for (contender, count) in [
            (self.prescreen(This("prescreen"), Duty::Relay), 5_000),
            (self.prescreen(This("prescreen"), Duty::Relay), 9_000),
            (rivals::haproxy("HAProxy", Haproxy::Auto, backend), 5_000),
            (rivals::nginx("nginx stream", backend), 5_000),
        ] {
            // What a first client brings about once and for all is nobody's share.
            drop(clients::handed_over(contender.at, 50).await?);
            sleep(Duration::from_millis(500)).await;
            let clock = &contender.front[0];
            let before = (clock.memory(), clock.descriptors());
            let talks = clients::handed_over(contender.at, count).await?;
            sleep(Duration::from_millis(500)).await;
            let after = (clock.memory(), clock.descriptors());
            let awake = clock.wake_ups();
            sleep(Duration::from_secs(5)).await;
            let wake_ups = clock.wake_ups() - awake;
            let share = |before: f64, after: f64| figures::number((after - before) / count as f64);
            println!(
                "| {} | {count} | {} | {} | {wake_ups} |",
                contender.name,
                share(before.0 as f64 / 1024.0, after.0 as f64 / 1024.0),
                share(before.1 as f64, after.1 as f64),
            );
            drop(talks);
        }
        Ok(())
    }

    /// Lookups: this process asks itself as a child, whose clock is the resolver's alone.
    pub(crate) async fn lookups(&self) -> io::Result<()> {
        const COUNT: usize = 20_000;
        let mut costs = Vec::new();
        let mut rates = Vec::new();
        for _ in 0..self.rounds {
            let output = tokio::task::spawn_blocking(|| {
                std::process::Command::new(std::env::current_exe()?).args(["lookups-child"]).output()
            });
            let output = output.await.map_err(io::Error::other)??;
            let said = String::from_utf8_lossy(&output.stdout);
            let mut numbers = said.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
            let (Some(cost), Some(rate)) = (numbers.next(), numbers.next()) else {
                return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
            };
            costs.push(cost);
            rates.push(rate);
        }
        println!("\n**DNS lists: {COUNT} lookups of new names, 200 in flight**\n");
        println!(
            "| | CPU of prescreen for each, µs | lookups/s on one core, the name server's share included |"
        );
        println!("|---|---:|---:|");
        println!("| prescreen | {} | {} |", figures::number(median(&costs)), figures::number(median(&rates)));
        Ok(())
    }

    /// The child of [`Self::lookups`].
    pub(crate) async fn lookups_child() -> io::Result<()> {
        const COUNT: u32 = 20_000;
        let settings = dns::Settings { servers: vec![RESOLVER], ..dns::Settings::default() };
        let resolver = Resolver::new(&settings).map_err(io::Error::other)?;
        let (own, begun) = (Clock::own(), Instant::now());
        let before = own.time();
        let mut lanes = JoinSet::new();
        for lane in 0..200 {
            let resolver = resolver.clone();
            lanes.spawn(async move {
                for index in 0..COUNT / 200 {
                    let [_, b, c, d] = (lane * (COUNT / 200) + index).to_be_bytes();
                    resolver.a(&format!("{d}.{c}.{b}.128.127.{LIST}")).await;
                }
            });
        }
        while lanes.join_next().await.is_some() {}
        let cost = (own.time() - before).as_secs_f64() * 1e6 / f64::from(COUNT);
        println!("{cost} {}", f64::from(COUNT) / begun.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Waits until nothing is done for those any more who have gone: what is closed last, what is delivered from the queue.
async fn settle(contender: &Contender) {
    const IDLE: f64 = 0.001;
    let time = || contender.time() + contender.time_behind();
    let (mut before, mut now) = (f64::NEG_INFINITY, time());
    while now - before > IDLE {
        sleep(Duration::from_millis(20)).await;
        (before, now) = (now, time());
    }
}

/// Makes the regular clients of so many lanes known to whoever remembers clients.
async fn become_known(contender: &Contender, message: &'static [u8], lanes: usize) -> io::Result<()> {
    for _ in 0..2 {
        // The first visit may end in postscreen's 450; the second must not.
        if clients::deliveries(contender.at, message, lanes, lanes).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_secs(3)).await;
    }
    clients::deliveries(contender.at, message, lanes, lanes).await.map(drop)
}

async fn memory_held(contender: Contender, count: usize) -> io::Result<Row> {
    let memory = || contender.front.iter().map(Clock::memory).sum::<u64>() as f64;
    // What the first clients bring about once and for all is nobody's share.
    let first = clients::held(contender.at, 50).await?;
    sleep(Duration::from_secs(1)).await;
    let before = memory();
    let mut talks = clients::held(contender.at, count).await?;
    // Accepted, looked up, answered: all that happens before the long wait.
    sleep(Duration::from_secs(4)).await;
    let each = (memory() - before) / 1024.0 / count as f64;
    talks.extend(first);
    for talk in &mut talks {
        talk.ensure_held().map_err(|error| io::Error::other(format!("{}: {error}", contender.name)))?;
    }
    Ok(Row { name: format!("{}, {count} held", contender.name), samples: vec![each] })
}

impl Bouts {
    fn new(contender: &Contender) -> Self {
        let name = contender.name.clone();
        Self { name, front: Vec::new(), served: Vec::new(), whole: Vec::new(), took: Vec::new() }
    }

    fn add(&mut self, done: &Done, before: (f64, f64, f64), after: (f64, f64, f64)) {
        let front = (after.0 - before.0) / done.units;
        let behind = (after.1 - before.1) / done.units;
        let own = (after.2 - before.2) / done.units;
        self.front.push(front);
        self.served.push(front + behind);
        self.whole.push(front + behind + own);
        let took: Vec<f64> = done.took.iter().map(Duration::as_secs_f64).collect();
        self.took.push(quantile(&took, 0.5));
    }
}

fn rows_of(bouts: &[Bouts], of: fn(&Bouts) -> &[f64], scale: f64) -> Vec<Row> {
    bouts
        .iter()
        .map(|bout| Row {
            name: bout.name.clone(),
            samples: of(bout).iter().map(|sample| sample * scale).collect(),
        })
        .collect()
}
