//! The program; the only place that exits.

mod cli;

use std::process::ExitCode;

/// Where connections come and go, a third of the instructions that glibc's needs; where they wait, a tenth less memory.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
