//! `prescreen lookup`: what a table answers, as `postmap -q` shows it.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use prescreen::table::Table;

use super::{EX_CONFIG, EX_UNAVAILABLE, Stopped, failed, print};

/// Show what a lookup table answers.
///
/// Prints key, tab and value of each key that is there. Ends with 1 if one is not, with 78 if the table cannot be
/// loaded.
#[derive(Args)]
pub(super) struct Lookup {
    /// The table: `cidr:/etc/prescreen/clients.cidr`.
    #[arg(value_name = "TYPE:NAME")]
    table: String,
    /// The keys to look up, each as a whole.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

pub(super) fn lookup(options: &Lookup) -> Result<ExitCode, Stopped> {
    let table = Table::load(&options.table, Path::new("")).map_err(|errors| {
        errors.iter().for_each(|error| eprintln!("{error}"));
        ExitCode::from(EX_CONFIG)
    })?;
    table.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let mut found = String::new();
    let mut code = ExitCode::SUCCESS;
    for key in &options.keys {
        match table.lookup(key).map_err(|error| failed(EX_UNAVAILABLE, error))? {
            Some(value) => {
                let _ = writeln!(found, "{key}\t{value}");
            }
            None => {
                eprintln!("{key}: not found");
                code = ExitCode::FAILURE;
            }
        }
    }
    print(&found)?;
    Ok(code)
}
