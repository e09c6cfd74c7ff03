//! Between many callers and few queries: one query in flight for a question, a cap on all, and a memory of answers.
//!
//! A burst waits its turn: turning lookups away at once would let a flood of clients switch off the lists that it should
//! be held against. What waits is bounded, and so is how long: half of a lookup's time is for the servers, or what is
//! our own delay would pass for their silence.

use std::collections::HashMap;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Sleep, timeout_at};

use super::memory::{Key, Memory};
use super::network::{Servers, Settings};
use super::record::{Data, Question};
use super::totals::{Counters, add};
use super::{Answer, Trouble};

/// No answer is remembered for longer than this, so that a correction made somewhere arrives here.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// How many lookups may wait for each that may be in flight.
const WAITING_PER_SLOT: usize = 8;

/// A resolver's shared state.
pub(super) struct Shared(Arc<State>);

struct State {
    servers: Servers,
    slots: Semaphore,
    slot_count: usize,
    timeout: Duration,
    failure_ttl: Duration,
    questions: Mutex<Questions>,
    counters: Arc<Counters>,
}

/// The questions that have an answer, and those that wait for one.
struct Questions {
    answered: Memory,
    /// Who waits for each query in flight.
    flights: HashMap<Key, Vec<oneshot::Sender<Answer<Data>>>>,
}

/// An answer, or where it will be.
pub(super) enum Arrival {
    /// It was remembered.
    Here(Answer<Data>),
    /// A server is asked, by whoever holds this.
    Flown(Pilot),
    /// A server is asked, by somebody else.
    Awaited(oneshot::Receiver<Answer<Data>>),
    /// It takes a time that a zone file has set.
    Delayed(Pin<Box<Sleep>>, Answer<Data>),
}

impl Shared {
    pub(super) fn new(servers: Servers, settings: &Settings, counters: Arc<Counters>) -> Self {
        let slot_count = settings.in_flight_limit.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(State {
            servers,
            slots: Semaphore::new(slot_count),
            slot_count,
            timeout: settings.timeout,
            failure_ttl: settings.failure_ttl,
            questions: Mutex::new(Questions {
                answered: Memory::new(settings.cache_limit),
                flights: HashMap::new(),
            }),
            counters,
        }))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.0.slot_count - self.0.slots.available_permits()
    }

    /// The next lookup of `question` will not be answered from memory.
    pub(super) fn forget(&self, question: &Question) {
        self.0.questions.lock().answered.forget(&Key::of(question));
    }

    /// Recalls the answer, or joins the flight for this question, or starts it.
    pub(super) fn lookup(&self, question: Question) -> Arrival {
        let (state, key) = (&self.0, Key::of(&question));
        let mut questions = state.questions.lock();
        if let Some(answer) = questions.answered.recall(&key) {
            add(&state.counters.cached);
            return Arrival::Here(answer);
        }
        if let Some(waiting) = questions.flights.get_mut(&key) {
            let (landing, arrival) = oneshot::channel();
            if waiting.len() == waiting.capacity() {
                // Those who have given up make room first.
                waiting.retain(|landing| !landing.is_closed());
            }
            waiting.push(landing);
            add(&state.counters.joined);
            return Arrival::Awaited(arrival);
        }
        if questions.flights.len() > state.slot_count.saturating_mul(WAITING_PER_SLOT) {
            return Arrival::Here(Answer::Temporary(Trouble::Busy));
        }
        questions.flights.insert(key.clone(), Vec::new());
        drop(questions);

        let flight = Flight { state: Arc::clone(state), key: Some(key) };
        Arrival::Flown(Pilot(Some(Box::pin(async move {
            let answer = flight.state.ask(&question).await;
            flight.land(answer)
        }))))
    }
}

/// A flight in the hands of whoever has started it: a task of its own would cost more than the query.
///
/// It belongs to nobody all the same: whoever gives up waiting does not end it for the others, and a late answer is
/// still remembered.
pub(super) struct Pilot(Option<Pin<Box<dyn Future<Output = Answer<Data>> + Send>>>);

impl Pilot {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer<Data>> {
        let Some(flight) = &mut self.0 else { return Poll::Ready(Answer::UNREACHABLE) };
        let answer = ready!(flight.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(answer)
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // Without a runtime nothing goes on.
        if let (Some(flight), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(flight);
        }
    }
}

/// The answer, once it is here. One that was taken is not given again.
impl Future for Arrival {
    type Output = Answer<Data>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<Data>> {
        match self.get_mut() {
            Self::Here(answer) => Poll::Ready(mem::replace(answer, Answer::UNREACHABLE)),
            Self::Flown(pilot) => pilot.poll(cx),
            // Without a word: the runtime is shutting down.
            Self::Awaited(arrival) => {
                Pin::new(arrival).poll(cx).map(|answer| answer.unwrap_or(Answer::UNREACHABLE))
            }
            Self::Delayed(delay, answer) => {
                delay.as_mut().poll(cx).map(|()| mem::replace(answer, Answer::UNREACHABLE))
            }
        }
    }
}

impl State {
    async fn ask(&self, question: &Question) -> Answer<Data> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let Ok(Ok(_slot)) = timeout_at(deadline - self.timeout / 2, self.slots.acquire()).await else {
            return Answer::Temporary(Trouble::Busy);
        };
        let start = Instant::now();
        let answer = self.servers.lookup(question, deadline).await;
        self.counters.latency.record(start.elapsed());
        answer
    }

    /// For how long an answer is remembered, if it is.
    fn lifetime(&self, answer: &Answer<Data>) -> Option<Duration> {
        let ttl = match answer {
            Answer::Found { ttl, .. } | Answer::NotFound { ttl: Some(ttl) } => *ttl,
            // Says something of us, and may be over at once.
            Answer::Temporary(Trouble::Busy) => return None,
            Answer::NotFound { ttl: None } | Answer::Temporary(_) => self.failure_ttl,
        };
        // What may not be remembered shall not push out what may.
        (!ttl.is_zero()).then(|| ttl.min(MAX_TTL))
    }
}

/// A query on its way. However it ends, nobody waits for it any longer, and the next one for the same question may
/// start.
struct Flight {
    state: Arc<State>,
    /// Until it has landed.
    key: Option<Key>,
}

impl Flight {
    /// The answer is remembered, and told to all who wait for it.
    fn land(mut self, answer: Answer<Data>) -> Answer<Data> {
        let Some(key) = self.key.take() else { return answer };
        let mut questions = self.state.questions.lock();
        let waiting = questions.flights.remove(&key).unwrap_or_default();
        if let Some(lifetime) = self.state.lifetime(&answer) {
            questions.answered.remember(key, answer.clone(), lifetime);
        }
        drop(questions);
        for landing in waiting {
            // Whoever has given up no longer listens.
            let _ = landing.send(answer.clone());
        }
        answer
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.state.questions.lock().flights.remove(key);
        }
    }
}
