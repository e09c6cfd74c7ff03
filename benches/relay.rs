//! What forwarding costs: the relay, spliced and copied, against `tokio::io::copy_bidirectional`.
//!
//! `cargo bench --bench relay [-- ROUNDS]`. Client, relay and server each have a thread of their own; what counts is
//! the CPU time of the relay's thread. Engines take turns, in reverse order every other round; a line shows medians,
//! and the median ratio to tokio's engine. On a host whose congestion control is bbr, run it where reno is in force
//! (`unshare -n`, `ip link set lo up`, `sysctl net.ipv4.tcp_congestion_control=reno`): pacing hides the differences.

#![allow(clippy::unwrap_used)]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use prescreen::relay::{self, Early, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A way to forward.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Spliced,
    Copied,
    Tokio,
}

impl Engine {
    const ALL: [Self; 3] = [Self::Spliced, Self::Copied, Self::Tokio];

    async fn forward(self, mut client: TcpStream, mut server: TcpStream) {
        let settings = match self {
            Self::Spliced => Settings::default(),
            Self::Copied => Settings { max_pipes: 0, ..Settings::default() },
            Self::Tokio => {
                let _ = copy_bidirectional(&mut client, &mut server).await;
                return;
            }
        };
        relay::splice(client, server.into(), Early::default(), &settings, pending()).await;
    }
}

/// What is forwarded.
struct Work {
    name: &'static str,
    /// Sessions, and how many of them at once.
    sessions: usize,
    at_once: usize,
    /// Bytes from the client, bytes of the answer; in turn.
    steps: Vec<(usize, usize)>,
    unit: &'static str,
    /// Microseconds of the whole work in one unit.
    per_unit: f64,
}

fn works() -> Vec<Work> {
    let session = |body: usize| [vec![(40, 40); 6], vec![(body, 40)]].concat();
    vec![
        Work {
            name: "ping-pong of 64 B",
            sessions: 1,
            at_once: 1,
            steps: vec![(64, 64); 20_000],
            unit: "us each",
            per_unit: 20_000.0,
        },
        Work {
            name: "session with 4 KiB, 32 at once",
            sessions: 4000,
            at_once: 32,
            steps: session(4 << 10),
            unit: "us each",
            per_unit: 4000.0,
        },
        Work {
            name: "session with 1 MiB, 8 at once",
            sessions: 400,
            at_once: 8,
            steps: session(1 << 20),
            unit: "us each",
            per_unit: 400.0,
        },
        Work {
            name: "bulk",
            sessions: 1,
            at_once: 1,
            steps: vec![(2 << 30, 1)],
            unit: "ms per GiB",
            per_unit: 2000.0,
        },
    ]
}

fn main() {
    let rounds = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(7);
    println!(
        "{:<32}{:>12}{:>12}{:>12}{:>20}{:>18}",
        "", "spliced", "copied", "tokio", "spliced : tokio", "copied : tokio"
    );
    for work in works() {
        let mut costs = [const { Vec::new() }; 3];
        for round in 0..rounds {
            let mut order = [0, 1, 2];
            if round % 2 == 1 {
                order.reverse();
            }
            for engine in order {
                costs[engine].push(run(Engine::ALL[engine], &work).as_micros() as f64 / work.per_unit);
            }
        }
        let ratio = |engine: usize| median(costs[engine].iter().zip(&costs[2]).map(|(a, b)| a / b));
        let [spliced, copied, tokio] = costs.each_ref().map(|cost| median(cost.iter().copied()));
        println!(
            "{:<32}{spliced:>12.1}{copied:>12.1}{tokio:>12.1}{:>20.2}{:>18.2}  {}",
            work.name,
            ratio(0),
            ratio(1),
            work.unit
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Does the work through `engine`; says what CPU time its thread took.
fn run(engine: Engine, work: &Work) -> Duration {
    let (server, server_stop) = serving(work.steps.clone());
    let (relay, relay_stop, relay_cost) = relaying(engine, server);
    runtime().block_on(async {
        let mut tasks = JoinSet::new();
        for worker in 0..work.at_once {
            let share = work.sessions / work.at_once + usize::from(worker < work.sessions % work.at_once);
            let steps = work.steps.clone();
            tasks.spawn(async move {
                for _ in 0..share {
                    ask(relay, &steps).await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    drop((relay_stop, server_stop));
    relay_cost.recv().unwrap()
}

async fn ask(relay: SocketAddr, steps: &[(usize, usize)]) {
    let mut stream = TcpStream::connect(relay).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let bytes = vec![b'x'; 1 << 20];
    let mut answer = [0; 64];
    for &(up, down) in steps {
        let mut rest = up;
        while rest > 0 {
            let piece = rest.min(bytes.len());
            stream.write_all(&bytes[..piece]).await.unwrap();
            rest -= piece;
        }
        stream.read_exact(&mut answer[..down]).await.unwrap();
    }
}

async fn answer(mut stream: TcpStream, steps: &[(usize, usize)]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = vec![0; 1 << 20];
    for &(up, down) in steps {
        let mut rest = up;
        while rest > 0 {
            let most = rest.min(bytes.len());
            match stream.read(&mut bytes[..most]).await? {
                0 => return Ok(()),
                read => rest -= read,
            }
        }
        stream.write_all(&bytes[..down]).await?;
    }
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

fn serving(steps: Vec<(usize, usize)>) -> (SocketAddr, oneshot::Sender<()>) {
    let (address, stop, _) = in_a_thread(move |stream| {
        let steps = steps.clone();
        async move { drop(answer(stream, &steps).await) }
    });
    (address, stop)
}

fn relaying(
    engine: Engine,
    server: SocketAddr,
) -> (SocketAddr, oneshot::Sender<()>, mpsc::Receiver<Duration>) {
    in_a_thread(move |client| async move {
        client.set_nodelay(true).unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        server.set_nodelay(true).unwrap();
        engine.forward(client, server).await;
    })
}

/// Accepts in a thread of its own until told to stop; then tells what CPU time the thread took.
fn in_a_thread<F>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, oneshot::Sender<()>, mpsc::Receiver<Duration>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (stop, stopped) = oneshot::channel();
    let (tell_address, address) = mpsc::channel();
    let (tell_cost, cost) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell_address.send(listener.local_addr().unwrap()).unwrap();
            let before = cpu_time();
            let accept = async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(stream));
                }
            };
            tokio::select! {
                () = accept => {}
                _ = stopped => {}
            }
            let _ = tell_cost.send(cpu_time() - before);
        });
    });
    (address.recv().unwrap(), stop, cost)
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(microseconds.unsigned_abs())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
