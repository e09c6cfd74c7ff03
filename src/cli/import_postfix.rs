//! `prescreen import-postfix`: translates, and says everything that there is to know about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use prescreen::config::postfix::{self, Imported};

use super::{EX_IOERR, EX_NOINPUT, Stopped, failed, print};

/// Translate a Postfix configuration.
///
/// prescreen.toml goes to standard output, with a report of what changed, what has no counterpart and what Postfix
/// needs behind prescreen as comments at its end; the report goes to standard error, too.
#[derive(Args)]
pub(super) struct ImportPostfix {
    /// The configuration directory or main.cf; `-` or nothing: main.cf or `postconf -n` output on standard input.
    source: Option<PathBuf>,
}

pub(super) fn import(options: &ImportPostfix) -> Result<ExitCode, Stopped> {
    let source = match options.source.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => postfix::Source::open(path).map_err(|error| failed(EX_NOINPUT, error))?,
        None => {
            let text = io::read_to_string(io::stdin()).map_err(|error| failed(EX_IOERR, error))?;
            postfix::Source::text(text)
        }
    };
    let Imported { toml, report, postfix_side } = postfix::import(&source);
    let told = format!("{report}{postfix_side}");
    eprint!("{told}");
    print(&format!("{toml}\n{}", commented(&told)))?;
    Ok(ExitCode::SUCCESS)
}

fn commented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") }).collect()
}
