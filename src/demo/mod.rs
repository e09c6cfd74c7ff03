//! The whole thing on loopback, with nothing else installed: proxy, backend, DNS list, metrics, and a cast of clients
//! that show what becomes of whom.
//!
//! Everything but the addresses and the zone is the embedded default, so what is seen here is what a site gets.

mod cast;
pub mod sink;

pub use cast::{Act, CAST, Character, FIRST_TIMER, RETURNING, Visit};
pub use sink::{Message, Sink};

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{Config, Override, Source};
use crate::dns::Responder;
use crate::dns::Zone;
use crate::report::{Outcome, Report};
use crate::server::{Inherited, Observer, Server};

/// Where the demo stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The proxy. Default 127.0.0.1:2525.
    pub proxy: SocketAddr,
    /// Its metrics. Default 127.0.0.1:9925.
    pub metrics: SocketAddr,
}

impl Default for Places {
    fn default() -> Self {
        Self { proxy: ([127, 0, 0, 1], 2525).into(), metrics: ([127, 0, 0, 1], 9925).into() }
    }
}

/// The names of the demo's world: who may send, and who is listed.
const ZONE: &str = "
    example.net               MX  10 mail.example.net
    mail.example.net          A   127.0.2.1
    # RFC 5782: a list that works lists 127.0.0.2, and not 127.0.0.1
    2.0.0.127.bl.example.org  A   127.0.0.2
    6.2.0.127.bl.example.org  A   127.0.0.4
";

/// A demo that is up and has seen its cast.
pub struct Demo {
    server: Server,
    rows: Vec<Row>,
    messages: Vec<Message>,
    _responder: Responder,
}

/// What became of one visit: what the client saw, and what the server made of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who came.
    pub character: Character,
    /// What it saw.
    pub visit: Visit,
    /// What the server recorded.
    pub outcome: &'static str,
}

impl Demo {
    /// Starts everything, sends the cast through, and writes to `out` what becomes of whom, as it happens.
    pub async fn play(places: Places, out: &mut impl io::Write) -> Result<Self, Box<dyn Error>> {
        let sink = Sink::start(([127, 0, 0, 1], 0).into()).await?;
        let responder = Responder::bind(([127, 0, 0, 1], 0).into(), Zone::parse(ZONE)?).await?;
        let outcomes = Outcomes::default();
        let config = configuration(places, sink.address(), responder.address())?;
        let server = Server::start(config, None, outcomes.observer(), Inherited::default()).await?;

        let proxy = *server.addresses().first().ok_or("no listener")?;
        writeln!(out, "prescreen listens on {proxy}, in front of an SMTP sink. Everybody comes at once:\n")?;
        writeln!(out, "{}", line("client", "address", "after", "verdict", "what it heard"))?;
        let mut rows = Vec::new();
        let mut visits = JoinSet::new();
        for character in CAST {
            visits.spawn(async move { (character, character.visit(proxy).await) });
        }
        while let Some(visited) = visits.join_next().await {
            let (character, visit) = visited?;
            rows.push(outcomes.row(character, visit?).await.shown(out)?);
        }
        rows.push(outcomes.row(RETURNING, RETURNING.visit(proxy).await?).await.shown(out)?);

        let messages = sink.messages();
        if let Some(message) = messages.first() {
            writeln!(out, "\nWhat arrived, announced as coming from {}:\n", message.client.ip())?;
            for line in String::from_utf8_lossy(&message.content).lines() {
                writeln!(out, "    {line}")?;
            }
        }
        Ok(Self { server, rows, messages, _responder: responder })
    }

    /// What became of whom, in the order in which they left.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What arrived.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Where its metrics and its status page are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.server.metrics_address()
    }

    /// How to go on by hand.
    pub fn instructions(&self) -> String {
        let proxy = self.server.addresses().first().map(ToString::to_string).unwrap_or_default();
        let metrics = self.metrics_address().map(|address| address.to_string()).unwrap_or_default();
        format!(
            "\nIt is still up. Talk to it:\n\n    \
             nc {}                        # wait for the whole greeting, then EHLO, MAIL, RCPT, DATA\n    \
             curl http://{metrics}/metrics             # what Prometheus sees\n\n\
             Senders at example.net exist; example.com is ours; `unknown@example.com` is not. Ctrl-C ends it.\n",
            proxy.replace(':', " ")
        )
    }

    /// Closes in good order.
    pub async fn end(self) {
        self.server.drain().await;
    }
}

impl Row {
    fn shown(self, out: &mut impl io::Write) -> io::Result<Self> {
        let address = self.character.address.to_string();
        let after = format!("{:.2} s", self.visit.took.as_secs_f64());
        let then = if self.visit.goodbye.is_some() { ", then 421" } else { "" };
        let heard = format!("{}{then}", self.visit.reply);
        writeln!(out, "{}", line(self.character.name, &address, &after, self.outcome, &heard))?;
        out.flush()?;
        Ok(self)
    }
}

/// A line of the table.
fn line(client: &str, address: &str, after: &str, verdict: &str, heard: &str) -> String {
    format!("{client:<20} {address:<11} {after:>7}  {verdict:<17} {heard}")
}

/// What the server made of each client.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<HashMap<SocketAddr, Outcome>>>);

impl Outcomes {
    fn observer(&self) -> Observer {
        let outcomes = Arc::clone(&self.0);
        Arc::new(move |report: &Report| {
            if let Some(outcome) = report.outcome() {
                outcomes.lock().insert(report.ends().client, outcome);
            }
        })
    }

    /// The client hears the end of its connection a moment before the server has recorded it.
    async fn row(&self, character: Character, visit: Visit) -> Row {
        for _ in 0..PATIENCE {
            if let Some(outcome) = self.0.lock().get(&visit.from) {
                return Row { character, visit, outcome: outcome.as_str() };
            }
            sleep(BLINK).await;
        }
        Row { character, visit, outcome: "(not recorded)" }
    }
}

/// How long a row waits for the record of its connection: in all 5 s.
const BLINK: Duration = Duration::from_millis(10);
const PATIENCE: u32 = 500;

/// The embedded defaults, and the addresses of this world.
fn configuration(places: Places, sink: SocketAddr, dns: SocketAddr) -> Result<Config, Box<dyn Error>> {
    let overrides = [
        "hostname=mail.example.com".to_owned(),
        "mynetworks=127.0.0.1".to_owned(),
        format!("listen={}", places.proxy),
        format!("backend.servers={sink}"),
        format!("dns.servers={dns}"),
        "domains.local=example.com".to_owned(),
        "dnsbl.sites=bl.example.org".to_owned(),
        format!("metrics.listen={}", places.metrics),
    ];
    let overrides = overrides.iter().map(|text| text.parse()).collect::<Result<Vec<Override>, _>>()?;
    match Config::load(&Source::Defaults, &overrides, []) {
        Ok((config, _)) => Ok(config),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").into()),
    }
}
