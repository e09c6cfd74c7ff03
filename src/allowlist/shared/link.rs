//! The connection to the server, and the breaker in front of it.
//!
//! One connection carries everything; the client library matches replies to requests by their order, and drops those
//! that nobody waits for any longer. Three failures in a row and it is given up: from then on nobody asks, until a new
//! connection has answered. New ones are tried at intervals that grow, with jitter, so that neither a server that
//! comes back nor one that flaps is stormed. A connection that nobody uses is asked for a sign of life.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Settings;
use super::address::Address;
use super::totals::{Counters, LinkState, Outcome};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;

/// How long a connection may take to come about: TCP, TLS and AUTH.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// From the loss of a connection to the first try of another, and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// How long a connection must have worked for the next loss to count as the first.
const STEADY: Duration = Duration::from_secs(10);

/// Between two signs of life, and how long one may take. Sessions have their own, shorter limit.
const HEARTBEAT: Duration = Duration::from_secs(5);
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(1);

/// Bytes of a password file that are read.
const PASSWORD: usize = 4096;

/// The way to the server.
pub(super) struct Link {
    address: Address,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    connection: ArcSwapOption<MultiplexedConnection>,
    state: AtomicU8,
    /// What the log was last told.
    told: AtomicU8,
    failures: AtomicU32,
    /// Rung when the connection has been given up.
    lost: Notify,
    /// Rung when there is one.
    found: Notify,
    counters: Arc<Counters>,
}

impl Link {
    pub(super) fn new(address: Address, settings: &Settings, counters: Arc<Counters>) -> Self {
        Self {
            address,
            password_file: settings.password_file.clone(),
            ca_file: settings.ca_file.clone(),
            connection: ArcSwapOption::empty(),
            state: AtomicU8::new(LinkState::Down as u8),
            told: AtomicU8::new(LinkState::Off as u8),
            failures: AtomicU32::new(0),
            lost: Notify::new(),
            found: Notify::new(),
            counters,
        }
    }

    /// The connection, if there is one that works.
    pub(super) fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection.load().as_deref().cloned()
    }

    /// Waits for a connection.
    pub(super) async fn connected(&self) -> MultiplexedConnection {
        loop {
            let found = self.found.notified();
            if let Some(connection) = self.connection() {
                return connection;
            }
            found.await;
        }
    }

    pub(super) fn state(&self) -> LinkState {
        let number = usize::from(self.state.load(Relaxed));
        LinkState::ALL.get(number).copied().unwrap_or(LinkState::Down)
    }

    /// Takes note of how the server has answered.
    pub(super) fn heard(&self, outcome: Outcome) {
        match outcome {
            Outcome::Done | Outcome::Missing | Outcome::Foreign => self.failures.store(0, Relaxed),
            Outcome::Refused => self.enter(LinkState::Refusing, "it takes nothing"),
            Outcome::Timeout | Outcome::Failed => {
                if self.failures.fetch_add(1, Relaxed) + 1 >= FAILURES {
                    self.give_up();
                }
            }
        }
    }

    /// The server takes what it is told.
    pub(super) fn takes(&self) {
        self.enter(LinkState::Up, "");
    }

    /// Lets go of the connection; another is made in its time.
    pub(super) fn give_up(&self) {
        if self.connection.swap(None).is_some() {
            self.lost.notify_one();
        }
    }

    /// Keeps a connection, for ever.
    pub(super) async fn run(&self) {
        let mut pause = PAUSES.0;
        loop {
            let begun = Instant::now();
            match timeout(CONNECT_LIMIT, self.connect()).await {
                Ok(Ok(connection)) => {
                    self.counters.connections.fetch_add(1, Relaxed);
                    self.failures.store(0, Relaxed);
                    self.connection.store(Some(Arc::new(connection)));
                    self.takes();
                    self.found.notify_waiters();
                    self.watch().await;
                    self.enter(LinkState::Down, "it does not answer in time");
                }
                Ok(Err(error)) => self.enter(LinkState::Down, &text(&error)),
                Err(_) => self.enter(LinkState::Down, "no connection in time"),
            }
            if begun.elapsed() >= STEADY {
                pause = PAUSES.0;
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Asks for signs of life until the connection is given up.
    async fn watch(&self) {
        while let Some(mut connection) = self.connection() {
            tokio::select! {
                () = self.lost.notified() => {}
                () = sleep(HEARTBEAT) => match Self::alive(&mut connection).await {
                    Ok(()) => self.failures.store(0, Relaxed),
                    Err(_) => self.give_up(),
                },
            }
        }
    }

    /// Connects, and sees that the server answers.
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let info = self.address.info()?;
        let mut redis = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(file) = &self.password_file {
            redis = redis.set_password(first_line(file)?);
        }
        let info = info.set_redis_settings(redis).into_connection_info()?;
        let client = match &self.ca_file {
            Some(file) => {
                let root_cert = Some(std::fs::read(file)?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })?
            }
            None => Client::open(info)?,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            // Sessions have their own limit; this is for what is told behind their backs.
            .set_response_timeout(Some(CONNECT_LIMIT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Self::alive(&mut connection).await?;
        Ok(connection)
    }

    async fn alive(connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let ping = redis::cmd("PING");
        let answered = timeout(HEARTBEAT_LIMIT, ping.query_async::<()>(connection)).await;
        answered.unwrap_or_else(|_| Err((ErrorKind::Io, "it does not answer in time").into()))
    }

    /// Tells the log where that is news.
    fn enter(&self, state: LinkState, why: &str) {
        self.state.store(state as u8, Relaxed);
        if self.told.swap(state as u8, Relaxed) == state as u8 {
            return;
        }
        let server = self.address.to_string();
        match state {
            LinkState::Up | LinkState::Off => tracing::info!(server, "shared allowlist up"),
            LinkState::Refusing | LinkState::Down => tracing::warn!(
                server,
                state = state.as_str(),
                why,
                "shared allowlist out of reach; this host goes by its own"
            ),
        }
    }
}

/// The first line of a password file.
fn first_line(file: &Path) -> RedisResult<String> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().next().unwrap_or_default();
    Ok(line.chars().take(PASSWORD).collect())
}

/// What went wrong, without what was said.
fn text(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("it says {code}"),
        None => error.to_string(),
    }
}

/// Between half of a pause and one and a half, so that hosts which have lost a server together come back one by one.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0u8) % 1024;
    pause / 2 + pause.mul_f64(f64::from(u32::try_from(random).unwrap_or(512)) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_around_what_they_should_be() {
        let pauses: Vec<_> = (0..1_000).map(|_| jittered(Duration::from_secs(1)).as_millis()).collect();
        assert!(pauses.iter().all(|pause| (500..1_500).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < 700) && pauses.iter().any(|pause| *pause > 1_300));
    }
}
