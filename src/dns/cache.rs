//! Between many callers and few queries: one query in flight for a question, a cap on all, and a memory of answers.
//!
//! A burst waits its turn for as long as its deadline allows: turning lookups away at once would let a flood of
//! clients switch off the lists that it should be held against. What waits is bounded too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;

use super::network::{Servers, Settings};
use super::record::{Data, Question};
use super::totals::{Counters, add};
use super::{Answer, Trouble};

/// No answer is remembered for longer than this, so that a correction made somewhere arrives here.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// How many lookups may wait for each that may be in flight.
const WAITING_PER_SLOT: usize = 8;

type Arrival = watch::Receiver<Option<Answer<Data>>>;

/// A resolver's shared state.
pub(super) struct Shared(Arc<State>);

struct State {
    servers: Servers,
    slots: Semaphore,
    slot_count: usize,
    timeout: Duration,
    failure_ttl: Duration,
    remembered: Cache<Question, Remembered>,
    flights: Mutex<HashMap<Question, Arrival>>,
    counters: Arc<Counters>,
}

/// An answer, and until when it holds. The clock is std's, as moka's is.
#[derive(Clone)]
struct Remembered {
    answer: Arc<Answer<Data>>,
    until: Instant,
}

impl Shared {
    pub(super) fn new(servers: Servers, settings: &Settings, counters: Arc<Counters>) -> Self {
        let slot_count = settings.in_flight_limit.clamp(1, Semaphore::MAX_PERMITS);
        let remembered = Cache::builder()
            .max_capacity(settings.cache_limit)
            // The default policy turns newcomers away when the cache is full.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(WhenItSays)
            .build();
        Self(Arc::new(State {
            servers,
            slots: Semaphore::new(slot_count),
            slot_count,
            timeout: settings.timeout,
            failure_ttl: settings.failure_ttl,
            remembered,
            flights: Mutex::default(),
            counters,
        }))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.0.slot_count - self.0.slots.available_permits()
    }

    /// The next lookup of `question` will not be answered from memory.
    pub(super) fn forget(&self, question: &Question) {
        self.0.remembered.invalidate(question);
    }

    pub(super) async fn lookup(&self, question: Question) -> Answer<Data> {
        if let Some(answer) = self.0.recall(&question) {
            return answer;
        }
        let mut arrival = match self.board(question) {
            Ok(arrival) => arrival,
            Err(answer) => return answer,
        };
        match arrival.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(Answer::Temporary(Trouble::Unreachable)),
            // The flight ended without a word: the runtime is shutting down.
            Err(_) => Answer::Temporary(Trouble::Unreachable),
        }
    }

    /// Joins the flight for this question, or starts it. A flight belongs to nobody: whoever gives up waiting does
    /// not end it for the others, and a late answer is still remembered.
    fn board(&self, question: Question) -> Result<Arrival, Answer<Data>> {
        let state = &self.0;
        let mut flights = state.flights.lock();
        if let Some(arrival) = flights.get(&question) {
            add(&state.counters.joined);
            return Ok(arrival.clone());
        }
        // It may have landed since we looked.
        if let Some(answer) = state.recall(&question) {
            return Err(answer);
        }
        if flights.len() > state.slot_count.saturating_mul(WAITING_PER_SLOT) {
            return Err(Answer::Temporary(Trouble::Busy));
        }
        let (landing, arrival) = watch::channel(None);
        flights.insert(question.clone(), arrival.clone());
        drop(flights);

        let flight = Flight { state: Arc::clone(state), question };
        tokio::spawn(async move {
            let answer = flight.state.ask(&flight.question).await;
            flight.state.remember(flight.question.clone(), &answer);
            drop(flight);
            landing.send_replace(Some(answer));
        });
        Ok(arrival)
    }
}

impl State {
    async fn ask(&self, question: &Question) -> Answer<Data> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let Ok(Ok(_slot)) = timeout_at(deadline, self.slots.acquire()).await else {
            return Answer::Temporary(Trouble::Busy);
        };
        let start = Instant::now();
        let answer = self.servers.lookup(question, deadline).await;
        self.counters.latency.record(start.elapsed());
        answer
    }

    fn recall(&self, question: &Question) -> Option<Answer<Data>> {
        let remembered = self.remembered.get(question)?;
        let left = remembered.until.saturating_duration_since(Instant::now());
        let mut answer = (*remembered.answer).clone();
        match &mut answer {
            Answer::Found { ttl, .. } | Answer::NotFound { ttl: Some(ttl) } => *ttl = left.min(*ttl),
            Answer::NotFound { ttl: None } | Answer::Temporary(_) => {}
        }
        add(&self.counters.cached);
        Some(answer)
    }

    fn remember(&self, question: Question, answer: &Answer<Data>) {
        let ttl = match answer {
            Answer::Found { ttl, .. } | Answer::NotFound { ttl: Some(ttl) } => *ttl,
            Answer::NotFound { ttl: None } => self.failure_ttl,
            // Says something of us, and may be over at once.
            Answer::Temporary(Trouble::Busy) => return,
            Answer::Temporary(_) => self.failure_ttl,
        };
        let until = Instant::now() + ttl.min(MAX_TTL);
        self.remembered.insert(question, Remembered { answer: Arc::new(answer.clone()), until });
    }
}

/// A query on its way; however it ends, the next one for the same question may start.
struct Flight {
    state: Arc<State>,
    question: Question,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.state.flights.lock().remove(&self.question);
    }
}

struct WhenItSays;

impl Expiry<Question, Remembered> for WhenItSays {
    fn expire_after_create(&self, _: &Question, new: &Remembered, now: Instant) -> Option<Duration> {
        Some(new.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        question: &Question,
        new: &Remembered,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(question, new, now)
    }
}
