//! What the system and the operator say by signals.

use std::io;

use tokio::signal::unix::{self, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: start a successor.
    Upgrade,
    /// SIGTERM or SIGINT: drain and end.
    End,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Signals {
    hangup: unix::Signal,
    user2: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// From here on signals are heard instead of ending the process.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user2.recv() => Signal::Upgrade,
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
        }
    }

    /// The next that asks to end; others are let go by.
    pub async fn end(&mut self) {
        while self.next().await != Signal::End {}
    }
}
