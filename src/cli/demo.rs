//! `prescreen demo`

use std::io;
use std::process::ExitCode;

use clap::Args;
use prescreen::demo::{self, Places};

use super::{EX_UNAVAILABLE, Stopped, failed, runtime};

/// Show it all at work on loopback: proxy, backend, DNSBL, and a cast of clients.
#[derive(Args)]
pub(super) struct Demo {
    /// End when the last client has been served.
    #[arg(long)]
    once: bool,
}

pub(super) fn play(options: &Demo) -> Result<ExitCode, Stopped> {
    runtime()?.block_on(async {
        let played = demo::Demo::play(Places::default(), &mut io::stdout()).await;
        let played = played.map_err(|error| failed(EX_UNAVAILABLE, error))?;
        if !options.once {
            println!("{}", played.instructions());
            // Without a signal handler Ctrl-C ends the process, which is what is wanted here too.
            let _ = tokio::signal::ctrl_c().await;
        }
        played.end().await;
        Ok(ExitCode::SUCCESS)
    })
}
