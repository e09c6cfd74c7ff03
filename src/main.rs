//! The program; the only place that exits.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
