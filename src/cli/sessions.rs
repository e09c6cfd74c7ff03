//! `prescreen sessions`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use prescreen::admin::desk::{Request, Session, span};

use super::running::{Running, print_json, table};
use super::{Stopped, print};

/// Show who is connected, in which state and for how long.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Sessions {
    #[command(flatten)]
    running: Running,
    /// Print a line of JSON for each.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Cut a connection off, whatever it is doing; its sender will try again.
    Kill {
        #[command(flatten)]
        running: Running,
        /// The connection's name, as `sessions` and the log show it.
        id: String,
    },
}

pub(super) fn sessions(options: &Sessions) -> Result<ExitCode, Stopped> {
    if let Some(Command::Kill { running, id }) = &options.command {
        let () = running.ask(&Request::Kill { id: id.clone() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let sessions: Vec<Session> = options.running.ask_all(&Request::Sessions)?;
    if options.json {
        return print_json(&sessions);
    }
    let rows = sessions.iter().map(|session| {
        let age = span(session.seconds as u64);
        vec![session.id.clone(), session.state.clone(), age, session.client.clone(), session.server.clone()]
    });
    let head = ["name", "state", "for", "client", "server"].map(str::to_owned).to_vec();
    print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))?;
    Ok(ExitCode::SUCCESS)
}
