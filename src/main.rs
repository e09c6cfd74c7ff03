//! The program; the only place that exits.

mod cli;

use std::process::ExitCode;

/// musl's own allocator is slow where many small things come and go, and with every connection they do. glibc's is as
/// good, and keeps less.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
