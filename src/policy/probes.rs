//! Probes of addresses: one under way for each, a cap on all, and a memory of what they brought.
//!
//! The memory is that of Postfix's verify(8). A good address is believed longer than a bad one; what is getting old is
//! still said while it is asked for anew behind the scenes, and a good address that fails once stays good until it
//! expires. A probe without result is not remembered: trouble may be over in a second.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::smtp::address::Address;

use super::settings::Verification;
use super::verify::{Probed, Verifier};

/// How long an answer that is getting old is left alone when it has been asked for anew.
const PAUSE: Duration = Duration::from_secs(1000);

/// What is said while a probe takes its time.
const IN_PROGRESS: &str = "Address verification in progress";

/// Whom to ask, and what is known.
pub(super) struct Probes {
    verifier: Option<Arc<dyn Verifier>>,
    memory: Arc<Memory>,
}

/// What probes have brought, and those under way. Outlives a reload.
struct Memory {
    settings: Verification,
    known: Cache<String, Known>,
    under_way: Mutex<HashMap<String, Arrival>>,
}

type Arrival = watch::Receiver<Option<Probed>>;

#[derive(Clone)]
struct Known {
    probed: Probed,
    /// When it was found out.
    since: Instant,
    /// When it was last asked for.
    asked: Instant,
}

/// Whether what is known will do.
enum Recalled {
    Fresh(Probed),
    /// It will, but should be asked for again.
    Old(Probed),
    Nothing,
}

impl Probes {
    pub(super) fn new(settings: Verification) -> Self {
        let known = Cache::builder()
            .max_capacity(settings.max_entries)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(settings.positive_expire_time.max(settings.negative_expire_time))
            .build();
        Self { verifier: None, memory: Arc::new(Memory { settings, known, under_way: Mutex::default() }) }
    }

    pub(super) fn ask(&mut self, verifier: Arc<dyn Verifier>) {
        self.verifier = Some(verifier);
    }

    /// Takes over what `before` knows, unless it remembers by other rules.
    pub(super) fn succeed(&mut self, before: &Self) {
        if self.memory.settings == before.memory.settings {
            self.memory = Arc::clone(&before.memory);
        }
    }

    /// What is known of `address`, or what a probe brings in time.
    pub(super) async fn of(&self, address: &Address) -> Probed {
        let key = address.as_str().to_lowercase();
        let mut arrival = match self.memory.recall(&key) {
            Recalled::Fresh(probed) => return probed,
            Recalled::Old(probed) => {
                let _ = self.begin(key, address);
                return probed;
            }
            Recalled::Nothing => match self.begin(key, address) {
                Ok(arrival) => arrival,
                Err(probed) => return probed,
            },
        };
        match timeout(self.memory.settings.timeout, arrival.wait_for(Option::is_some)).await {
            Ok(Ok(probed)) => probed.clone().unwrap_or(Probed::Failed),
            Ok(Err(_)) => Probed::Failed,
            Err(_) => Probed::Deferred(IN_PROGRESS.to_owned()),
        }
    }

    /// Joins the probe that is under way, or begins one. It belongs to nobody: a client that goes away does not end
    /// it, and finds its result when it comes back.
    fn begin(&self, key: String, address: &Address) -> Result<Arrival, Probed> {
        let Some(verifier) = &self.verifier else { return Err(Probed::Failed) };
        let (verifier, memory) = (Arc::clone(verifier), Arc::clone(&self.memory));
        let mut under_way = memory.under_way.lock();
        if let Some(arrival) = under_way.get(&key) {
            return Ok(arrival.clone());
        }
        if under_way.len() >= memory.settings.pending_request_limit {
            return Err(Probed::Deferred("too many addresses are being verified".to_owned()));
        }
        let (landing, arrival) = watch::channel(None);
        under_way.insert(key.clone(), arrival.clone());
        drop(under_way);

        let address = address.clone();
        let probe = UnderWay { memory, key };
        tokio::spawn(async move {
            let probed = verifier.probe(&address).await;
            probe.memory.remember(&probe.key, &probed);
            drop(probe);
            landing.send_replace(Some(probed));
        });
        Ok(arrival)
    }
}

impl Memory {
    fn recall(&self, key: &str) -> Recalled {
        let Some(known) = self.known.get(key) else { return Recalled::Nothing };
        let (expire, refresh) = match known.probed {
            Probed::Deliverable => (self.settings.positive_expire_time, self.settings.positive_refresh_time),
            _ => (self.settings.negative_expire_time, self.settings.negative_refresh_time),
        };
        let age = known.since.elapsed();
        if age >= expire {
            Recalled::Nothing
        } else if age < refresh || known.asked.elapsed() < PAUSE.min(refresh) {
            Recalled::Fresh(known.probed)
        } else {
            Recalled::Old(known.probed)
        }
    }

    fn remember(&self, key: &str, probed: &Probed) {
        let now = Instant::now();
        let known = match self.recall(key) {
            Recalled::Fresh(_) | Recalled::Old(_) => self.known.get(key),
            Recalled::Nothing => None,
        };
        let is_worth_it = match probed {
            Probed::Deliverable => true,
            Probed::Undeliverable(_) => {
                self.settings.negative_cache
                    && known.as_ref().is_none_or(|known| known.probed != Probed::Deliverable)
            }
            Probed::Deferred(_) | Probed::Failed => false,
        };
        let entry = match known {
            _ if is_worth_it => Known { probed: probed.clone(), since: now, asked: now },
            Some(known) => Known { asked: now, ..known },
            None => return,
        };
        self.known.insert(key.to_owned(), entry);
    }
}

/// A probe on its way; however it ends, the next one of the same address may begin.
struct UnderWay {
    memory: Arc<Memory>,
    key: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.memory.under_way.lock().remove(&self.key);
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("settings", &self.memory.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::Future;
    use std::pin::Pin;

    use tokio::time::{advance, sleep};

    use super::*;

    /// Gives its answers in order, each after a second, and counts.
    #[derive(Default)]
    struct Server {
        answers: Mutex<VecDeque<Probed>>,
        asked: Mutex<usize>,
    }

    impl Verifier for Server {
        fn probe<'a>(&'a self, _: &'a Address) -> Pin<Box<dyn Future<Output = Probed> + Send + 'a>> {
            *self.asked.lock() += 1;
            let answer = self.answers.lock().pop_front().unwrap();
            Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                answer
            })
        }
    }

    fn rig(answers: impl IntoIterator<Item = Probed>, settings: Verification) -> (Arc<Probes>, Arc<Server>) {
        let server =
            Arc::new(Server { answers: Mutex::new(answers.into_iter().collect()), ..Server::default() });
        let mut probes = Probes::new(settings);
        probes.ask(server.clone());
        (Arc::new(probes), server)
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn unknown() -> Probed {
        Probed::Undeliverable("unknown".to_owned())
    }

    async fn settled() {
        sleep(Duration::from_secs(2)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_share_one_probe() {
        let (probes, server) = rig([Probed::Deliverable], Verification::default());
        let asking = (0..10).map(|at| {
            let probes = Arc::clone(&probes);
            let written = if at % 2 == 0 { "a@b.example" } else { "A@B.example" };
            tokio::spawn(async move { probes.of(&address(written)).await })
        });
        for asked in asking.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap(), Probed::Deliverable);
        }
        assert_eq!(*server.asked.lock(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_finds_the_answer_to_a_slow_probe() {
        let settings = Verification { timeout: Duration::from_millis(100), ..Verification::default() };
        let (probes, server) = rig([unknown()], settings);
        let bad = address("bad@b.example");
        assert_eq!(probes.of(&bad).await, Probed::Deferred(IN_PROGRESS.to_owned()));
        settled().await;
        assert_eq!(probes.of(&bad).await, unknown());
        assert_eq!(*server.asked.lock(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_is_said_while_it_is_asked_for_anew() {
        let settings = Verification::default();
        let (refresh, expire) = (settings.negative_refresh_time, settings.negative_expire_time);
        let (probes, server) = rig([unknown(), Probed::Failed, Probed::Deliverable, unknown()], settings);
        let user = address("user@b.example");
        assert_eq!(probes.of(&user).await, unknown());
        advance(refresh).await;
        assert_eq!(probes.of(&user).await, unknown());
        settled().await;
        assert_eq!(probes.of(&user).await, unknown(), "a probe that failed changes nothing");
        assert_eq!(*server.asked.lock(), 2, "and is not repeated at once");
        advance(PAUSE).await;
        assert_eq!(probes.of(&user).await, unknown());
        settled().await;
        assert_eq!(probes.of(&user).await, Probed::Deliverable);
        advance(expire).await;
        assert_eq!(probes.of(&user).await, Probed::Deliverable, "good addresses are believed for longer");
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_answer_does_not_unmake_a_good_address_until_it_expires() {
        let settings = Verification::default();
        let (refresh, expire) = (settings.positive_refresh_time, settings.positive_expire_time);
        let (probes, server) = rig([Probed::Deliverable, unknown(), unknown(), unknown()], settings);
        let user = address("user@b.example");
        assert_eq!(probes.of(&user).await, Probed::Deliverable);
        advance(refresh).await;
        assert_eq!(probes.of(&user).await, Probed::Deliverable);
        settled().await;
        assert_eq!(*server.asked.lock(), 2);
        assert_eq!(probes.of(&user).await, Probed::Deliverable);
        advance(expire).await;
        assert_eq!(probes.of(&user).await, unknown());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_are_asked_for_at_once() {
        let settings = Verification { pending_request_limit: 1, ..Verification::default() };
        let (probes, _) = rig([Probed::Deliverable], settings);
        let first = Arc::clone(&probes);
        let first = tokio::spawn(async move { first.of(&address("a@b.example")).await });
        tokio::task::yield_now().await;
        assert!(matches!(probes.of(&address("c@b.example")).await, Probed::Deferred(_)));
        assert_eq!(first.await.unwrap(), Probed::Deliverable);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_outlives_a_reload() {
        let (before, server) = rig([Probed::Deliverable], Verification::default());
        assert_eq!(before.of(&address("a@b.example")).await, Probed::Deliverable);
        let mut after = Probes::new(Verification::default());
        after.ask(server);
        after.succeed(&before);
        assert_eq!(after.of(&address("a@b.example")).await, Probed::Deliverable);
    }
}
