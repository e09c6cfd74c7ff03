//! `prescreen run`: serves until a signal says to end.

use std::process::ExitCode;
use std::sync::Arc;

use prescreen::config::{Config, Problem};
use prescreen::report::log::{self, Log};
use prescreen::server::{Fault, Server, Signal, Signals, StartError};

use super::configuration::Configuration;
use super::{EX_CONFIG, EX_UNAVAILABLE, Stopped, failed, runtime};

pub(super) fn run(configuration: &Configuration) -> Result<ExitCode, Stopped> {
    let config = configuration.load()?;
    let log = log::init(&config.log).map_err(|error| failed(EX_UNAVAILABLE, error))?;
    runtime()?.block_on(serve(config, &log, || configuration.read().map(|(config, _)| config)))
}

async fn serve(
    config: Config,
    log: &Log,
    read: impl Fn() -> Result<Config, Vec<Problem>>,
) -> Result<ExitCode, Stopped> {
    let mut signals = Signals::new().map_err(|error| failed(EX_UNAVAILABLE, error))?;
    let started = Server::start(config, Some(log.control()), Arc::new(|_| {})).await;
    let mut server = started.map_err(|error| match error {
        StartError::Site(_) => failed(EX_CONFIG, error),
        StartError::Listen { .. } => failed(EX_UNAVAILABLE, error),
    })?;
    tracing::info!(addresses = ?server.addresses(), metrics = ?server.metrics_address(), "listening");
    while signals.next().await == Signal::Reload {
        match server.reload(read()) {
            Ok(()) => tracing::info!("reloaded"),
            Err(faults) => refused(&faults),
        }
    }
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        cut = server.drain() => tracing::info!(cut, "ended"),
        () = signals.end() => tracing::warn!("ended at once"),
    }
    Ok(ExitCode::SUCCESS)
}

/// A reload that is refused changes nothing.
fn refused(reasons: &[Fault]) {
    for reason in reasons {
        tracing::error!("{reason}");
    }
    tracing::error!("reload refused: the configuration in use stays");
}
