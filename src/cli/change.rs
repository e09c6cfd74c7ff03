//! `prescreen reload` and `prescreen upgrade`

use std::process::ExitCode;

use clap::Args;
use prescreen::admin::desk::Request;

use super::running::Running;
use super::{Stopped, print};

/// Have the running server read its configuration again, with all that this names.
///
/// The new one is taken whole, or refused whole; then every fault is printed, and it ends with 1. Nobody is
/// disconnected: running sessions keep what they began with, and listeners that stay keep their sockets. SIGHUP does the
/// same without a word.
#[derive(Args)]
pub(super) struct Reload {
    #[command(flatten)]
    running: Running,
}

/// Replace the running server by the program that now stands at its path, without losing a connection.
///
/// The new process is started with the arguments of the old one, is given its sockets and the allowlist's file, and takes
/// clients once it is ready. The old one lets its sessions finish, for limits.upgrade_time_limit at most. If the new
/// one does not start, the old one goes on, and it ends with 1. SIGUSR2 does the same without a word.
#[derive(Args)]
pub(super) struct Upgrade {
    #[command(flatten)]
    running: Running,
}

pub(super) fn reload(options: &Reload) -> Result<ExitCode, Stopped> {
    let () = options.running.ask(&Request::Reload)?;
    print("reloaded\n")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn upgrade(options: &Upgrade) -> Result<ExitCode, Stopped> {
    let process: u32 = options.running.ask(&Request::Upgrade)?;
    print(&format!("process {process} serves; the one before lets its sessions finish\n"))?;
    Ok(ExitCode::SUCCESS)
}
