//! The command line; the only place that exits.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

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
    /// Read the configuration and print everything that is wrong with it.
    Check(Configuration),
    /// Say, step by step, what would happen to a client, and why.
    Explain(Explain),
    /// Show what a lookup table answers.
    Lookup(Lookup),
    /// Translate a Postfix configuration.
    ImportPostfix(ImportPostfix),
    /// Show it all at work on loopback: proxy, backend, DNSBL, and a cast of clients.
    Demo(Demo),
}

/// Where the configuration comes from: the file, then the environment (`PRESCREEN_SECTION_KEY`), then `--set`.
#[derive(Args)]
struct Configuration {
    /// The configuration file; without one, the embedded defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here, in place of what the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Hand clean connections to this server, in place of what the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    backend: Vec<String>,
    /// Override one key: `--set screen.greet_wait=2s`.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Args)]
struct Explain {
    #[command(flatten)]
    configuration: Configuration,
    /// Read cases as JSON lines from standard input, and print verdicts as JSON lines.
    #[arg(long)]
    batch: bool,
    /// Answer DNS from this file of `name type data` lines instead of the network.
    #[arg(long, value_name = "FILE")]
    zone: Option<PathBuf>,
    /// The client's address.
    #[arg(long, required_unless_present = "batch")]
    client: Option<IpAddr>,
    /// Its HELO or EHLO argument.
    #[arg(long)]
    helo: Option<String>,
    /// The sender; empty for a bounce.
    #[arg(long)]
    from: Option<String>,
    /// A recipient; may be given several times.
    #[arg(long)]
    to: Vec<String>,
}

#[derive(Args)]
struct Lookup {
    /// The table: `cidr:/etc/prescreen/clients.cidr`.
    table: String,
    /// The keys to look up.
    #[arg(required = true)]
    keys: Vec<String>,
}

#[derive(Args)]
struct ImportPostfix {
    /// The configuration directory or main.cf; `-` or nothing: main.cf or `postconf -n` output on standard input.
    source: Option<PathBuf>,
}

#[derive(Args)]
struct Demo {
    /// End when the last client has been served.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let _cli = Cli::parse();
    ExitCode::SUCCESS
}
