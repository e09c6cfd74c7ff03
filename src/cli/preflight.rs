//! `prescreen preflight`

use std::process::ExitCode;

use clap::Args;
use prescreen::admin::preflight::{Depth, Finding, Weight, examine};
use prescreen::config::Config;
use prescreen::server;
use prescreen::smtp::address::{Address, PathSyntax};

use super::configuration::Configuration;
use super::{EX_CONFIG, EX_UNAVAILABLE, Stopped, failed, print, runtime};

/// Find out what would go wrong, before mail comes.
///
/// Asks each server what it understands, whether it would relay for strangers, and which identity to use; each resolver
/// whether it invents answers; each DNS list whether it is well; the system for its limits; each finding with its
/// remedy. Ends with 0 if all is well, with 1 if something could be better, with 78 if something is grave.
#[derive(Args)]
pub(super) struct Preflight {
    #[command(flatten)]
    configuration: Configuration,
    /// Send a message to this address, to find out whether its server takes <LF>.<CR><LF> for the end of one.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: Option<Address>,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse_path(text, PathSyntax::Lenient).map_err(|error| error.to_string())
}

pub(super) fn preflight(options: &Preflight) -> Result<ExitCode, Stopped> {
    let config = options.configuration.load()?;
    report(&config, options.to.as_ref().map_or(Depth::Everything, Depth::Message))
}

/// Examines, and tells what was found.
pub(super) fn report(config: &Config, depth: Depth<'_>) -> Result<ExitCode, Stopped> {
    let findings =
        runtime()?.block_on(found(config, depth)).map_err(|faults| failed(EX_UNAVAILABLE, faults))?;
    let lines = findings.iter().map(|Finding { weight, of, what, remedy }| {
        let remedy = remedy.as_ref().map(|remedy| format!("{:9}{remedy}\n", "")).unwrap_or_default();
        format!("{weight:<8} {of}: {what}\n{remedy}")
    });
    print(&lines.collect::<String>())?;
    Ok(match findings.iter().map(|finding| finding.weight).max() {
        None | Some(Weight::Good) => ExitCode::SUCCESS,
        Some(Weight::Warning) => ExitCode::FAILURE,
        Some(Weight::Grave) => ExitCode::from(EX_CONFIG),
    })
}

/// What there is to find, or why nobody could look.
async fn found(config: &Config, depth: Depth<'_>) -> Result<Vec<Finding>, String> {
    let resolver = server::resolver(config).map_err(|fault| fault.to_string())?;
    let screen = server::screen(config, resolver)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(examine(config, &screen, depth).await)
}

/// The same in the log of a program that has begun to serve: only what could be better.
pub(super) async fn warn(config: Config) {
    let Ok(findings) = found(&config, Depth::Configured).await else { return };
    for Finding { weight, of, what, remedy } in findings {
        let remedy = remedy.unwrap_or_default();
        match weight {
            Weight::Good => {}
            Weight::Warning => tracing::warn!(of, remedy, "preflight: {what}"),
            Weight::Grave => tracing::error!(of, remedy, "preflight: {what}"),
        }
    }
}
