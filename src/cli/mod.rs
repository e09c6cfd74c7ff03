//! The command line: what there is to ask for, and the exit status that answers.
//!
//! Statuses are those of sysexits(3), so that a script can tell a wrong configuration from a wrong line of input.

mod allowlist;
mod change;
mod check;
mod configuration;
mod demo;
mod dnsbl;
mod explain;
mod generate;
mod healthcheck;
mod import_postfix;
mod lookup;
mod orders;
mod preflight;
mod run;
mod running;
mod sessions;
mod shadow;
mod status;
mod why;

use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand};

use configuration::Configuration;
use prescreen::allowlist::Order;
use tokio::runtime::{Builder, Runtime};

/// A front proxy for port 25: screens SMTP clients, drops zombies, splices clean connections to any MTA.
#[derive(Parser)]
#[command(name = "prescreen", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stand on the port and screen.
    Run(Configuration),
    Check(check::Check),
    Preflight(preflight::Preflight),
    Status(status::Status),
    Sessions(sessions::Sessions),
    Why(why::Why),
    Allowlist(allowlist::Allowlist),
    /// Let a client in without any test, for good or for a time.
    ///
    /// Counts before screen.access_list and everything else. Its connections go to the backend untouched, so it is for
    /// clients that the backend judges by itself. Kept in the allowlist's file.
    Allow(orders::Orders),
    /// Refuse a client without any test, for good or for a time.
    ///
    /// Counts before screen.access_list and everything else; what happens is screen.denylist_action. Kept in the
    /// allowlist's file.
    Deny(orders::Orders),
    Dnsbl(dnsbl::Dnsbl),
    Shadow(shadow::Shadow),
    Reload(change::Reload),
    Upgrade(change::Upgrade),
    Explain(explain::Explain),
    Lookup(lookup::Lookup),
    ImportPostfix(import_postfix::ImportPostfix),
    Healthcheck(healthcheck::Healthcheck),
    Demo(demo::Demo),
    #[command(subcommand, hide = true)]
    Generate(generate::Generate),
}

/// EX_DATAERR: the input is not what it should be.
const EX_DATAERR: u8 = 65;
/// EX_NOINPUT: a file that is named cannot be read.
const EX_NOINPUT: u8 = 66;
/// EX_UNAVAILABLE: something that is needed is not there.
const EX_UNAVAILABLE: u8 = 69;
/// EX_IOERR: input cannot be read, or output not written.
const EX_IOERR: u8 = 74;
/// EX_CONFIG: something in the configuration is wrong.
const EX_CONFIG: u8 = 78;

/// Why a command ends before its time; what there is to say of it has been said.
type Stopped = ExitCode;

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help and version come this way, too, and want standard output.
            let _ = refusal.print();
            return ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Run(configuration) => run::run(&configuration),
        Command::Check(options) => check::check(&options),
        Command::Preflight(options) => preflight::preflight(&options),
        Command::Status(options) => status::status(&options),
        Command::Sessions(options) => sessions::sessions(&options),
        Command::Why(options) => why::why(&options),
        Command::Allowlist(options) => allowlist::allowlist(&options),
        Command::Allow(options) => orders::give(&options, Order::Allow),
        Command::Deny(options) => orders::give(&options, Order::Deny),
        Command::Dnsbl(options) => dnsbl::dnsbl(&options),
        Command::Shadow(options) => shadow::shadow(&options),
        Command::Reload(options) => change::reload(&options),
        Command::Upgrade(options) => change::upgrade(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Lookup(options) => lookup::lookup(&options),
        Command::ImportPostfix(options) => import_postfix::import(&options),
        Command::Healthcheck(options) => healthcheck::healthcheck(&options),
        Command::Demo(options) => demo::play(&options),
        Command::Generate(what) => generate::generate(&what),
    };
    done.unwrap_or_else(|stopped| stopped)
}

/// Says what went wrong, and with which status that ends.
fn failed(code: u8, error: impl Display) -> Stopped {
    eprintln!("prescreen: {error}");
    ExitCode::from(code)
}

/// Puts `text` on standard output.
fn print(text: &str) -> Result<(), Stopped> {
    wrote(io::stdout().write_all(text.as_bytes()))
}

/// A reader that has read enough, as head(1), is no fault.
fn wrote(result: io::Result<()>) -> Result<(), Stopped> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(EX_IOERR, error)),
        _ => Ok(()),
    }
}

/// On one processor, as a sidecar often has no more, one thread does it all: tasks need not be handed about. On more,
/// a runtime for each of them, with a queue of its own, was measured to gain nothing.
fn runtime() -> Result<Runtime, Stopped> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build().map_err(|error| failed(EX_UNAVAILABLE, error))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
