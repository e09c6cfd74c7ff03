//! `prescreen generate`: what packages ship beside the program, made of the command line itself so that it stays true.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Cli, EX_IOERR, Stopped, failed};

/// Write man pages or completions.
#[derive(Subcommand)]
pub(super) enum Generate {
    /// Man pages, one for each command.
    Man {
        /// The folder to write them to.
        folder: PathBuf,
    },
    /// Completions, to standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

pub(super) fn generate(what: &Generate) -> Result<ExitCode, Stopped> {
    let mut command = Cli::command();
    match what {
        Generate::Man { folder } => {
            clap_mangen::generate_to(command, folder).map_err(|error| failed(EX_IOERR, error))?;
        }
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut command, "prescreen", &mut io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}
