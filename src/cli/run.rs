//! `prescreen run`: serves until a signal says to end.

use std::process::ExitCode;
use std::sync::Arc;

use prescreen::config::{Config, Problem, Source};
use prescreen::report::log::{self, Log};
use prescreen::server::{Ended, Inherited, Notify, Program, Server, Signals, StartError, Surroundings};

use super::configuration::Configuration;
use super::{EX_CONFIG, EX_UNAVAILABLE, Stopped, failed, preflight, runtime};

pub(super) fn run(configuration: &Configuration) -> Result<ExitCode, Stopped> {
    let mut inherited = Inherited::take();
    let config = configuration.load_or(|problem| inherited.refuse(&problem.to_string()))?;
    let log = log::init(&config.log).map_err(|error| failed(EX_UNAVAILABLE, error))?;
    let runtime = runtime()?;
    let configuration = configuration.clone();
    let served = runtime.block_on(serve(config, inherited, &log, move |other| {
        let read = other.map_or_else(|| configuration.read(), |source| configuration.read_from(&source));
        read.map(|(config, _)| config)
    }));
    // What still waits for a disk or for the system's resolver has nobody to tell.
    runtime.shutdown_background();
    served
}

async fn serve(
    config: Config,
    inherited: Inherited,
    log: &Log,
    read: impl Fn(Option<Source>) -> Result<Config, Vec<Problem>> + Send + Sync + 'static,
) -> Result<ExitCode, Stopped> {
    let signals = Signals::new().map_err(|error| failed(EX_UNAVAILABLE, error))?;
    let examined = config.clone();
    let started = Server::start(config, Some(log.control()), Arc::new(|_| {}), inherited).await;
    let server = started.map_err(|error| match error {
        StartError::Site(_) => failed(EX_CONFIG, error),
        StartError::Doors(_) => failed(EX_UNAVAILABLE, error),
    })?;
    // Nobody waits for it.
    tokio::spawn(preflight::warn(examined));
    let around = Surroundings { signals, read, program: Program::this(), notify: Notify::from_environment() };
    match server.live(around).await {
        Ended::Drained(cut) => tracing::info!(cut, "ended"),
        Ended::AtOnce => tracing::warn!("ended at once"),
    }
    Ok(ExitCode::SUCCESS)
}
