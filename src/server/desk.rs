//! What the desk asks of the house.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::history::{About, Decision};
use super::house::House;
use super::life::Wish;
use super::lines;
use crate::admin::desk::{
    Allowlisted, Answer, Backend, Desk, DnsList, Filed, Freshness, Ordered, Overlap, Passes, Request, Seats,
    Session, State as Status, Stored,
};
use crate::admin::http::{Answers, Readiness};
use crate::allowlist::{Key, Record, Standing, StoreState, Test};
use crate::config::Source;
use crate::dns;
use crate::handoff::{Phase, Totals};
use crate::limits::State;
use crate::metrics::{self, Configuration};
use crate::report::{Live, Outcome};
use crate::screen::{ListStatistics, Malfunction};
use crate::table;

impl Desk for House {
    async fn answer(self: &Arc<Self>, request: Request) -> Result<Answer, String> {
        Ok(match request {
            Request::Status => one(self.state()),
            Request::Sessions => many(self.here.list(), |live| session(&live)),
            Request::Kill { id } => {
                let found = self.here.cut(id.parse()?);
                found.then(|| one(())).ok_or("no such connection; it may have ended")?
            }
            Request::Dnsbl => many(self.site().screen.list_statistics(), |list| dns_list(&list)),
            Request::Why { about } => {
                self.write_up();
                many(self.history.about(question(&about)?), |decision| told(&decision))
            }
            Request::Orders => many(self.allowlist.orders(), |(client, Standing { order, until })| Ordered {
                client,
                order,
                until: until.map(epoch),
            }),
            Request::Order { client, order, seconds } => {
                let until = seconds.map(|seconds| end(Duration::from_secs(seconds))).transpose()?;
                self.allowlist.give(client, Standing { order, until });
                let seconds = seconds.unwrap_or_default();
                tracing::info!(%client, %order, seconds, "an operator has given an order");
                one(self.filed())
            }
            Request::Withdraw { client } => {
                let found = self.allowlist.withdraw(client);
                tracing::info!(%client, found, "an operator has taken an order back");
                found.then(|| one(())).ok_or("nothing was said of it")?
            }
            Request::Allowlist => {
                many(self.allowlist.iter().collect::<Vec<_>>(), |(key, record)| passes(key, &record))
            }
            Request::Passes { client } => {
                let key = self.allowlist.key(client);
                let record = self.allowlist.get(key).ok_or("not on the allowlist")?;
                one(passes(key, &record))
            }
            Request::Pass { client, seconds } => {
                let time =
                    seconds.map_or(self.front.load().config.allowlist.longest_ttl, Duration::from_secs);
                end(time)?;
                let mut record = Record::default();
                let now = SystemTime::now();
                Test::ALL.into_iter().for_each(|test| record.pass(test, now, time));
                self.allowlist.store(self.allowlist.key(client), record);
                one(self.filed())
            }
            Request::Forget { client } => {
                let key = self.allowlist.key(client);
                // Where hosts share it, another one may know the client.
                let found = self.allowlist.recall(key).await.is_some();
                self.allowlist.remove(key);
                found.then(|| one(())).ok_or("not on the allowlist")?
            }
            Request::Import { passes } => {
                let records: Vec<_> = passes.iter().map(record).collect::<Result<_, _>>()?;
                let count = records.len();
                records.into_iter().for_each(|(key, record)| self.allowlist.store(key, record));
                one(count)
            }
            Request::Shadow { name, text, base, seconds } => {
                let time = seconds.map(Duration::from_secs);
                time.map(end).transpose()?;
                Answer::Follow(self.compare(Source::Text { name, text, base }, time).await?)
            }
            Request::Reload => {
                let reloaded = self.wish(Wish::Reload).await?;
                reloaded.map_err(|faults| lines(&faults))?;
                one(())
            }
            Request::Upgrade => one(self.wish(Wish::Upgrade).await?.map_err(|error| error.to_string())?),
        })
    }
}

impl House {
    /// Has something done by whoever runs the server.
    pub(super) async fn wish<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let gone = "the server is going down";
        self.wishes.send(wish(answer)).await.map_err(|_| gone)?;
        answered.await.map_err(|_| gone.to_owned())
    }

    /// Whether what is said now outlives a restart.
    fn filed(&self) -> Filed {
        match self.allowlist.totals().store {
            StoreState::Off => Filed::Memory,
            StoreState::Up => Filed::File,
            StoreState::Locked | StoreState::Ill | StoreState::Closed => Filed::Later,
        }
    }

    fn state(&self) -> Status {
        let front = self.front.load_full();
        let metrics::Snapshot {
            seats, limits, lists, allowlist, backends, configuration, log_dropped, ..
        } = self.snapshot();
        let hour = self.metrics.last_hour();
        let outcomes =
            Outcome::ALL.into_iter().map(|outcome| (outcome.as_str().to_owned(), hour.total(outcome)));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: front.config.hostname.clone(),
            pid: std::process::id(),
            uptime: self.metrics.uptime().as_secs(),
            not_ready: match self.readiness() {
                Readiness::Ready => None,
                Readiness::NotReady(why) => Some(why),
            },
            listeners: front.config.listen.iter().map(|listener| listener.address.to_string()).collect(),
            sessions: State::ALL
                .into_iter()
                .map(|state| (state.as_str().to_owned(), seats.sessions[state as usize]))
                .collect(),
            limits: Seats {
                pre_queue_limit: limits.pre_queue_limit,
                post_queue_limit: limits.post_queue_limit,
                stressed: seats.stressed,
                refused_screening: seats.refused_screening,
                refused_backend: seats.refused_backend,
            },
            last_hour: outcomes.filter(|(_, count)| *count > 0).collect(),
            dnsbl: lists.iter().map(dns_list).collect(),
            backends: backends.iter().map(backend).collect(),
            allowlist: Allowlisted {
                entries: allowlist.entries,
                hits: allowlist.hits,
                misses: allowlist.misses,
                store: Stored(allowlist.store.as_str().to_owned()),
                orders: self.allowlist.orders().len(),
            },
            configuration: freshness(&configuration),
            log_dropped,
        }
    }
}

fn one(value: impl Serialize) -> Answer {
    Answer::One(serde_json::to_value(value).unwrap_or_default())
}

fn many<T, R>(items: Vec<T>, reply: impl Fn(T) -> R + Send + 'static) -> Answer
where
    T: Send + 'static,
    R: Serialize,
{
    Answer::Many(Box::new(
        items.into_iter().map(move |item| serde_json::to_value(reply(item)).unwrap_or_default()),
    ))
}

fn epoch(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// When `time` is over.
fn end(time: Duration) -> Result<SystemTime, String> {
    let end = SystemTime::now().checked_add(time).filter(|_| time < Duration::from_secs(100 * 366 * 86_400));
    end.ok_or_else(|| "longer than anything lasts".to_owned())
}

fn question(about: &str) -> Result<About, String> {
    if let Ok(id) = about.parse() {
        return Ok(About::Connection(id));
    }
    let unknown = |_| format!("{about:?} is no connection's name, no address and no network");
    table::network(about).map(About::Clients).map_err(unknown)
}

fn told(decision: &Decision) -> Value {
    let mut report = serde_json::to_value(&*decision.report).unwrap_or_default();
    if let Some(facts) = report.as_object_mut() {
        facts.insert("time".to_owned(), epoch(decision.ended).into());
    }
    report
}

fn session(live: &Live) -> Session {
    let ends = live.ends();
    Session {
        id: live.id().to_string(),
        client: ends.client.to_string(),
        server: ends.server.to_string(),
        state: live.stage().as_str().to_owned(),
        seconds: live.age().as_millis() as f64 / 1000.0,
    }
}

fn passes(key: Key, record: &Record) -> Passes {
    let tests = Test::ALL.into_iter().filter_map(|test| {
        let until = record.expires(test)?;
        Some((test.as_str().to_owned(), epoch(until)))
    });
    Passes { client: key.network(), tests: tests.collect() }
}

fn record(passes: &Passes) -> Result<(Key, Record), String> {
    let mut record = Record::default();
    for (name, until) in &passes.tests {
        let test = Test::ALL.into_iter().find(|test| test.as_str() == name);
        let test = test.ok_or_else(|| format!("{}: there is no test {name:?}", passes.client))?;
        record.pass(test, SystemTime::UNIX_EPOCH, Duration::from_secs(*until));
    }
    Ok((Key::of(passes.client), record))
}

fn counted(names: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    names.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}

fn dns_list(list: &ListStatistics) -> DnsList {
    DnsList {
        list: list.list.to_string(),
        suspended: list.suspended.map(|ailment| ailment.to_string()),
        queries: counted(dns::Outcome::ALL.into_iter().map(dns::Outcome::as_str).zip(list.lookups)),
        errors: counted(Malfunction::ALL.into_iter().map(Malfunction::as_str).zip(list.malfunctions)),
        hits: list.hits,
        unique_hits: list.unique_hits,
        overlap: list
            .overlaps
            .iter()
            .map(|overlap| Overlap { with: overlap.with.to_string(), hits: overlap.hits })
            .collect(),
        latency: list.latency.mean().as_secs_f64(),
    }
}

fn backend(totals: &Totals) -> Backend {
    let connects = &totals.latency[Phase::Connect as usize];
    Backend {
        server: totals.server.clone(),
        health: totals.health.as_str().to_owned(),
        connections: connects.count(),
        failures: totals.failures.iter().flatten().sum(),
        connect: connects.mean().as_secs_f64(),
    }
}

fn freshness(configuration: &Configuration) -> Freshness {
    Freshness {
        loaded: epoch(configuration.loaded),
        reloads: configuration.reloads,
        refused: configuration.failures,
        last_taken: configuration.freshness == metrics::Freshness::Fresh,
    }
}
