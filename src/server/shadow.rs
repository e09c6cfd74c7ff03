//! A second configuration beside the one in force, for as long as an operator listens.
//!
//! What has ended is handed over in passing: where there is no room it is dropped and counted. Everything else happens
//! in a task of its own, which ends with the operator's time, with his connection, or with the server.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::house::House;
use super::life::Wish;
use super::reload::aside;
use super::{lines, site};
use crate::admin::desk::{Follow, Line};
use crate::admin::shadow::{Counters, News, Seen, Shadow, Tally};
use crate::allowlist::Allowlist;
use crate::config::{Config, Source};
use crate::metrics;
use crate::report::{Heard, Report};

/// Connections that wait to be compared.
const WAITING: usize = 1024;
/// Connections that are compared at once: most of the time of each is waiting for DNS.
const AT_ONCE: usize = 32;
/// How often differences are told.
const NEWS: Duration = Duration::from_secs(1);
/// Times that nothing was told before it is said that there is nothing.
const SILENCE: u32 = 15;
/// For what waits at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Lines that wait for whoever hears them.
const LINES: usize = 128;

/// The place for one shadow, and what all that were there have counted.
#[derive(Default)]
pub(super) struct Place {
    ear: ArcSwapOption<Ear>,
    counters: Arc<Counters>,
}

/// Where connections that have ended are handed over.
struct Ear {
    /// Of the other configuration.
    name: String,
    seen: Sender<Seen>,
    tally: Arc<Mutex<Tally>>,
}

impl Place {
    pub(super) fn is_taken(&self) -> bool {
        self.ear.load().is_some()
    }

    /// A connection has ended.
    pub(super) fn hear(&self, heard: Heard, report: &Report, allowlist: &Allowlist) {
        let Some(ear) = &*self.ear.load() else { return };
        let Some(seen) = Seen::of(heard, report, allowlist.order(report.ends().client.ip())) else { return };
        if ear.seen.try_send(seen).is_err() {
            ear.tally.lock().note_dropped(&self.counters);
        }
    }

    pub(super) fn totals(&self) -> metrics::Shadow {
        metrics::Shadow {
            running: self.is_taken(),
            decisions: self.counters.compared(),
            dropped: self.counters.dropped(),
        }
    }

    /// Takes the place, or says who has it.
    fn take(&self, ear: Ear) -> Result<(), String> {
        let before = self.ear.compare_and_swap(&None::<Arc<Ear>>, Some(Arc::new(ear)));
        match &*before {
            Some(other) => Err(format!(
                "another configuration is being compared already: {}; end that prescreen shadow first",
                other.name
            )),
            None => Ok(()),
        }
    }
}

impl House {
    /// Compares another configuration with the one in force, for `time` or until the operator has enough.
    pub(super) async fn compare(
        self: &Arc<Self>,
        source: Source,
        time: Option<Duration>,
    ) -> Result<Follow, String> {
        let name = match &source {
            Source::Text { name, .. } => name.clone(),
            Source::File(path) => path.display().to_string(),
            Source::Defaults => "defaults".to_owned(),
        };
        let read = self.wish(|answer| Wish::Read(source, answer)).await?;
        let config = read.map_err(|problems| lines(&problems))?;
        let house = Arc::clone(self);
        // Tables may be large, and their disk slow.
        let built = aside(move || house.shadow_of(&config)).await;
        let (shadow, files) = built.map_err(|fault| fault.to_string())??;
        let (seen, arrivals) = mpsc::channel(WAITING);
        let tally = Arc::default();
        self.shadow.take(Ear { name: name.clone(), seen, tally: Arc::clone(&tally) })?;
        let house = Arc::clone(self);
        let (to, lines) = mpsc::channel(LINES);
        let enough = CancellationToken::new();
        let comparison =
            Comparison { house, name, shadow: Arc::new(shadow), tally, to, begun: Instant::now() };
        let end = time.map(|time| comparison.begun + time);
        tracing::info!(config = ?comparison.name, "comparing another configuration");
        tokio::spawn(comparison.run(arrivals, files, end, enough.clone()));
        Ok(Follow { lines, enough: enough.drop_guard() })
    }

    fn shadow_of(&self, config: &Config) -> Result<(Shadow, Files), String> {
        let live = self.front.load_full();
        let explainer = site::explainer(config, &live).map_err(|faults| lines(&faults))?;
        let files = explainer.files().into_iter().chain(config.files()).collect();
        Ok((Shadow::new(explainer, config, &live.config), files))
    }
}

type Files = Vec<Arc<dyn crate::table::Refresh>>;

/// A comparison under way. Dropped, it gives its place back.
struct Comparison {
    house: Arc<House>,
    name: String,
    shadow: Arc<Shadow>,
    tally: Arc<Mutex<Tally>>,
    to: Sender<Line>,
    begun: Instant,
}

impl Comparison {
    async fn run(
        self,
        mut arrivals: Receiver<Seen>,
        files: Files,
        end: Option<Instant>,
        enough: CancellationToken,
    ) {
        let mut upkeep = JoinSet::new();
        let tested = Arc::clone(&self.shadow);
        upkeep.spawn(async move { tested.explainer().run_self_tests().await });
        upkeep.spawn(site::follow_files(files));
        self.say(&News::Began(self.shadow.blind_spots().to_vec()));
        let (mut work, mut ticks, mut silent) = (JoinSet::new(), interval(NEWS), 0);
        let over = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => break,
                () = enough.cancelled() => break,
                () = self.house.closed.cancelled() => break,
                _ = ticks.tick() => silent = self.tell(silent),
                Some(_) = work.join_next() => {}
                Some(seen) = arrivals.recv(), if work.len() < AT_ONCE => self.begin(seen, &mut work),
            }
        }
        // From here on nobody hands over anything; what is here is compared, if that does not take long.
        self.give_back();
        let finish = async {
            loop {
                while work.len() >= AT_ONCE && work.join_next().await.is_some() {}
                let Some(seen) = arrivals.recv().await else { break };
                self.begin(seen, &mut work);
            }
            while work.join_next().await.is_some() {}
        };
        let _ = timeout(LAST_WORDS, finish).await;
        let mut dropped = arrivals.len();
        work.abort_all();
        while let Some(ended) = work.join_next().await {
            dropped += usize::from(ended.is_err());
        }
        (0..dropped).for_each(|_| self.tally.lock().note_dropped(&self.house.shadow.counters));
        self.tell(0);
        let summary =
            self.tally.lock().summary(&self.name, self.begun.elapsed().as_secs(), self.shadow.blind_spots());
        tracing::info!(config = ?self.name, compared = summary.compared, "no longer compared");
        // Whoever has gone does not want it.
        let _ = self.to.send(Line::Ok(value(&summary))).await;
    }

    /// Unless another has the place by now.
    fn give_back(&self) {
        let ear = &self.house.shadow.ear;
        let current = ear.load_full();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.tally, &self.tally)) {
            ear.compare_and_swap(&current, None);
        }
    }

    fn begin(&self, seen: Seen, work: &mut JoinSet<()>) {
        let (shadow, tally) = (Arc::clone(&self.shadow), Arc::clone(&self.tally));
        let counters = Arc::clone(&self.house.shadow.counters);
        work.spawn(async move {
            let compared = shadow.judge(&seen).await;
            let mut tally = tally.lock();
            match compared {
                Some(compared) => tally.note(&seen, compared, &counters),
                None => tally.note_dropped(&counters),
            }
        });
    }

    /// Tells what is new; returns how often there was nothing.
    fn tell(&self, silent: u32) -> u32 {
        let (news, compared) = {
            let mut tally = self.tally.lock();
            (tally.take_news(), tally.compared())
        };
        if news.is_empty() && silent < SILENCE {
            return silent + 1;
        }
        if news.is_empty() {
            self.say(&News::Compared(compared));
        }
        news.into_iter().for_each(|difference| self.say(&News::Differs(difference)));
        0
    }

    /// What nobody takes in time stands in the summary nevertheless.
    fn say(&self, news: &News) {
        let _ = self.to.try_send(Line::Item(value(news)));
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
