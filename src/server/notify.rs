//! What systemd is told of our state (sd_notify(3)), for units of `Type=notify` and `Type=notify-reload`.
//!
//! Everything else may start us, too: without `NOTIFY_SOCKET` nothing is said. What cannot be said is let go, because
//! mail goes on without systemd knowing.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::interval;

/// Whom to tell. The default is nobody.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    to: Option<(Arc<UnixDatagram>, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment has it.
    pub fn from_environment() -> Self {
        let to = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(&name),
            };
            Some((Arc::new(UnixDatagram::unbound().ok()?), address.ok()?))
        });
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let meant_for_us =
            number("WATCHDOG_PID").is_none_or(|id| id == u64::from(process::id())) && to.is_some();
        let watchdog = number("WATCHDOG_USEC").filter(|time| meant_for_us && *time > 0);
        Self { to, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// We serve, at these places.
    pub fn ready(&self, places: &str) {
        self.say(&format!("READY=1\nSTATUS=Serving at {places}"));
    }

    /// The configuration is being read again; to be followed by [`ready`](Self::ready).
    pub fn reloading(&self) {
        // Of CLOCK_MONOTONIC, so that systemd can tell this reload from an earlier one.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reading the configuration",
            now.as_micros()
        ));
    }

    /// Another process is the service from now on. We say nothing more.
    pub fn succeeded(&mut self, process: u32) {
        self.say(&format!("MAINPID={process}\nREADY=1"));
        *self = Self::default();
    }

    /// We are going down.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=Draining");
    }

    /// Says that we live, as often as systemd asks for, for ever. Said from a task: a runtime that hangs does not say it.
    pub async fn beat(self) {
        let Some(time) = self.watchdog else { return };
        let mut ticks = interval(time / 2);
        loop {
            ticks.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, state: &str) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            tracing::debug!(?error, state, "systemd was not told");
        }
    }
}
