//! `prescreen check`

use std::process::ExitCode;

use clap::Args;
use prescreen::admin::preflight::Depth;

use super::configuration::Configuration;
use super::{Stopped, preflight};

/// Read the configuration with all that it names, and print everything that is wrong with it.
///
/// Ends with 78 if anything is, with 0 if there are at most warnings.
#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// Then ask the servers, resolvers and lists that it names, as `prescreen preflight` does.
    #[arg(long)]
    preflight: bool,
}

pub(super) fn check(options: &Check) -> Result<ExitCode, Stopped> {
    let config = options.configuration.load()?;
    println!("The configuration is good.");
    if options.preflight { preflight::report(&config, Depth::Everything) } else { Ok(ExitCode::SUCCESS) }
}
