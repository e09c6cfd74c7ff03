//! The life of a server, from ready to the end: what signals and operators ask for, in order, one at a time.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Fault, Notify, Program, Server, Signal, Signals, UpgradeError};
use crate::config::{Config, Problem, Source};

/// Told whoever has asked to end.
const DRAINING: &str = "draining; a second signal ends at once";

/// What a server lives in.
pub struct Surroundings<R> {
    /// What it hears.
    pub signals: Signals,
    /// Reads the configuration anew, or another one in its place.
    pub read: R,
    /// What to start as its successor.
    pub program: Program,
    /// Whom to tell.
    pub notify: Notify,
}

/// What an operator wants, and is to be told how it went.
pub(super) enum Wish {
    /// SIGHUP in other words.
    Reload(oneshot::Sender<Result<(), Vec<Fault>>>),
    /// SIGUSR2 in other words.
    Upgrade(oneshot::Sender<Result<u32, UpgradeError>>),
    /// Reads another configuration, with the same environment and options over it; nothing comes of it.
    Read(Source, oneshot::Sender<Result<Config, Vec<Problem>>>),
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In good order; so many connections were cut off because their time was up.
    Drained(usize),
    /// At once, as it was told twice.
    AtOnce,
}

impl Server {
    /// Serves until it is told to end, or until a successor serves.
    pub async fn live<R>(mut self, around: Surroundings<R>) -> Ended
    where
        R: Fn(Option<Source>) -> Result<Config, Vec<Problem>> + Send + Sync + 'static,
    {
        let Surroundings { mut signals, read, program, mut notify } = around;
        let read = Arc::new(read);
        let places = self.places();
        tracing::info!(places, metrics = ?self.metrics_address(), "listening");
        notify.ready(&places);
        let mut beat = JoinSet::new();
        beat.spawn(notify.clone().beat());
        loop {
            // Nobody has to hear the answer to a signal but the log.
            let wish = tokio::select! {
                Some(wish) = self.wishes.recv() => wish,
                signal = signals.next() => match signal {
                    Signal::Reload => Wish::Reload(oneshot::channel().0),
                    Signal::Upgrade => Wish::Upgrade(oneshot::channel().0),
                    Signal::End => break,
                },
            };
            match wish {
                Wish::Reload(answer) => {
                    notify.reloading();
                    let read = Arc::clone(&read);
                    let reloaded = self.reload(move || read(None)).await;
                    tell(&reloaded);
                    notify.ready(&self.places());
                    let _ = answer.send(reloaded);
                }
                Wish::Read(source, answer) => {
                    let read = Arc::clone(&read);
                    // Nobody here waits for what is only looked at.
                    tokio::task::spawn_blocking(move || {
                        let _ = answer.send(read(Some(source)));
                    });
                }
                Wish::Upgrade(answer) => {
                    tracing::info!(%program, "starting a successor");
                    let upgraded = tokio::select! {
                        upgraded = self.upgrade(&program) => upgraded,
                        () = signals.end() => break,
                    };
                    if let Ok(process) = upgraded {
                        beat.abort_all();
                        notify.succeeded(process);
                        tracing::info!(process, "a successor serves; finishing what is here");
                        let _ = answer.send(upgraded);
                        self.hand_over();
                        tokio::select! {
                            () = self.retire() => {}
                            () = signals.end() => tracing::info!("{DRAINING}"),
                        }
                        return self.leave(signals).await;
                    }
                    if let Err(error) = &upgraded {
                        tracing::error!("upgrade refused: {error}; this process goes on");
                    }
                    let _ = answer.send(upgraded);
                }
            }
        }
        notify.stopping();
        tracing::info!("{DRAINING}");
        self.leave(signals).await
    }

    /// Drains, unless it is told again.
    async fn leave(self, mut signals: Signals) -> Ended {
        tokio::select! {
            cut = self.drain() => Ended::Drained(cut),
            () = signals.end() => Ended::AtOnce,
        }
    }

    /// Where clients come in, as a person would read it.
    fn places(&self) -> String {
        let addresses: Vec<_> = self.addresses().iter().map(ToString::to_string).collect();
        addresses.join(", ")
    }
}

/// A reload that is refused changes nothing.
fn tell(reloaded: &Result<(), Vec<Fault>>) {
    match reloaded {
        Ok(()) => tracing::info!("reloaded"),
        Err(faults) => {
            for fault in faults {
                tracing::error!("{fault}");
            }
            tracing::error!("reload refused: the configuration in use stays");
        }
    }
}
