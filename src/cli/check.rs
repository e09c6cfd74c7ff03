//! `prescreen check`

use std::process::ExitCode;

use super::Stopped;
use super::configuration::Configuration;

pub(super) fn check(configuration: &Configuration) -> Result<ExitCode, Stopped> {
    configuration.load()?;
    println!("The configuration is good.");
    Ok(ExitCode::SUCCESS)
}
