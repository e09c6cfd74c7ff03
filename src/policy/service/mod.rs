//! `check_policy_service`: asks a policy server, such as postgrey or postfwd, what to do.
//!
//! The protocol is Postfix's policy delegation: `name=value` lines and an empty one, answered by `action=` and an
//! empty line, over a connection that stays. Connections are kept for the next request, replaced when the server has
//! closed them meanwhile, and given up within time limits; what is done then is the service's default action.

mod connection;
mod request;
mod verb;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::table::{unbrace, words};
use crate::time::{self, Unit};

use connection::{Connection, Failure};
use request::request;

/// How a policy service is asked; `{ endpoint, name=value, … }` overrides what `[policy_service]` sets for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long one attempt may take; default 100 s.
    pub timeout: Duration,
    /// After how long without a request a connection is not used again; default 300 s.
    pub max_idle: Duration,
    /// After how long a connection is not used again; default 1000 s.
    pub max_ttl: Duration,
    /// After how many requests a connection is not used again; default 0, no limit.
    pub request_limit: u32,
    /// How often a request is tried in all; default 2.
    pub try_limit: u32,
    /// How long to wait between tries; default 1 s.
    pub retry_delay: Duration,
    /// What is done when the service does not answer, in the words of an access table; default
    /// `451 4.3.5 Server configuration problem`.
    pub default_action: String,
    /// Told to the service as `policy_context`; default empty.
    pub policy_context: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(100),
            max_idle: Duration::from_secs(300),
            max_ttl: Duration::from_secs(1000),
            request_limit: 0,
            try_limit: 2,
            retry_delay: Duration::from_secs(1),
            default_action: "451 4.3.5 Server configuration problem".to_owned(),
            policy_context: String::new(),
        }
    }
}

/// Connections to one service at once: as many as Postfix has processes. Who comes later waits, within the timeout.
const CONNECTIONS: usize = 100;

/// What a limit of time must be at least, as in `[policy_service]`.
const SHORTEST: Duration = Duration::from_secs(1);

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Inet { host: String, port: u16 },
    Unix(PathBuf),
}

/// One policy service with its connections.
#[derive(Debug)]
pub(super) struct Service {
    endpoint: Endpoint,
    options: Options,
    idle: Mutex<Vec<Connection>>,
    seats: Semaphore,
}

impl Service {
    /// Reads `inet:host:port`, `unix:path`, or `{ either, timeout=10s, … }`; what is not said there is as in
    /// `defaults`, and a relative path is taken from `base`.
    pub(super) fn parse(text: &str, defaults: &Options, base: &Path) -> Result<Self, String> {
        let inner = if text.starts_with('{') { unbrace(text)? } else { text };
        let mut options = defaults.clone();
        let mut words = words(inner).peekable();
        let endpoint = words.next().ok_or_else(|| format!("`{text}` names no endpoint: {ENDPOINTS}"))?;
        // An option may have blanks around its `=`, or stand in braces: { name = value with blanks }.
        while let Some(word) = words.next() {
            if word.starts_with('{') {
                options.set(unbrace(word)?)?;
                continue;
            }
            let mut option = word.to_owned();
            if !option.contains('=') {
                option.extend(words.next_if(|more| more.starts_with('=')));
            }
            if option.ends_with('=') {
                // What has a `=` of its own is the next option, and this one's value is empty.
                let mut ahead = words.clone();
                let is_value = ahead.next().is_some_and(|more| !more.contains('='))
                    && !ahead.next().is_some_and(|more| more.starts_with('='));
                option.extend(words.next_if(|_| is_value));
            }
            options.set(&option)?;
        }
        Ok(Self {
            endpoint: Endpoint::parse(endpoint, base)?,
            options,
            idle: Mutex::default(),
            seats: Semaphore::new(CONNECTIONS),
        })
    }

    /// How it is asked.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The action that the service answers `request` with, or why there is none.
    pub(super) async fn ask(&self, request: &str) -> Result<String, String> {
        let mut tries = 0;
        loop {
            tries += 1;
            match timeout(self.options.timeout, self.attempt(request)).await {
                Ok(Ok(action)) => return Ok(action),
                Ok(Err(failure)) if tries >= self.options.try_limit => return Err(failure.to_string()),
                Err(_) if tries >= self.options.try_limit => {
                    return Err(format!("no answer within {}", time::show(self.options.timeout)));
                }
                Ok(Err(_)) | Err(_) => sleep(self.options.retry_delay).await,
            }
        }
    }

    async fn attempt(&self, request: &str) -> Result<String, Failure> {
        // The semaphore is never closed; a seat is one either way.
        let _seat = self.seats.acquire().await;
        while let Some(mut connection) = self.take() {
            match connection.ask(request).await {
                // The server has ended it since; that is no failure.
                Err(Failure::Closed) => {}
                Err(failure) => return Err(failure),
                Ok(action) => {
                    self.keep(connection);
                    return Ok(action);
                }
            }
        }
        let mut connection = Connection::open(&self.endpoint).await?;
        let action = connection.ask(request).await?;
        self.keep(connection);
        Ok(action)
    }

    /// A connection that is fit for one more request.
    fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        idle.retain(|connection| connection.is_fit(&self.options, now));
        idle.pop()
    }

    fn keep(&self, connection: Connection) {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        idle.retain(|connection| connection.is_fit(&self.options, now));
        if connection.is_fit(&self.options, now) {
            idle.push(connection);
        }
    }
}

const ENDPOINTS: &str = "write inet:host:port or unix:path";

impl Endpoint {
    fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` {why}: {ENDPOINTS}");
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(base.join(path))),
            Some(("inet", address)) => {
                let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
                let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                let port =
                    port.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("has no port number"))?;
                // `inet:10023`, as Postfix's master.cf has it, means this host.
                let host = if host.is_empty() { "localhost" } else { host };
                Ok(Self::Inet { host: host.to_owned(), port })
            }
            _ => Err(wrong("is no endpoint")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } => write!(f, "inet:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Options {
    /// Takes one `name=value`.
    fn set(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').ok_or_else(|| {
            format!("`{option}` is no option: write name=value, or {{ name = value with blanks }}")
        })?;
        let (name, value) = (name.trim(), value.trim());
        let wrong = |what: String| format!("`{name}={value}`: {what}");
        let seconds = || time::parse(value, Unit::Seconds).map_err(wrong);
        let a_while = || match seconds()? {
            time if time < SHORTEST => Err(wrong("too short; write 1s or more".to_owned())),
            time => Ok(time),
        };
        let count = || value.parse().map_err(|_| wrong("write a whole number".to_owned()));
        match name {
            "timeout" => self.timeout = a_while()?,
            "max_idle" => self.max_idle = a_while()?,
            "max_ttl" => self.max_ttl = a_while()?,
            "retry_delay" => self.retry_delay = seconds()?,
            "request_limit" => self.request_limit = count()?,
            "try_limit" => self.try_limit = count()?.max(1),
            "default_action" => value.clone_into(&mut self.default_action),
            "policy_context" => value.clone_into(&mut self.policy_context),
            _ => {
                return Err(format!(
                    "`{name}` is no option of a policy service: timeout, max_idle, max_ttl, request_limit, try_limit, \
                     retry_delay, default_action and policy_context are"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
