//! The command line; the only place that exits.

use std::env;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use prescreen::config::postfix::{self, Imported};
use prescreen::config::{Config, Override, Place, Problem, Source, Warning};
use prescreen::demo;
use prescreen::report::log::{self, Log};
use prescreen::server::{Server, Signal, Signals, StartError};
use tokio::runtime::Runtime;

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

/// EX_CONFIG of sysexits(3): something in the configuration is wrong.
const EX_CONFIG: u8 = 78;
/// EX_UNAVAILABLE: something that is needed is not there.
const EX_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(configuration) => run(&configuration),
        Command::Check(configuration) => check(&configuration),
        Command::Demo(options) => play(&options),
        Command::ImportPostfix(options) => import(&options),
        Command::Explain(_) | Command::Lookup(_) => ExitCode::FAILURE,
    }
}

impl Configuration {
    /// Reads it, and says on standard error what is wrong with it.
    fn load(&self) -> Result<Config, ExitCode> {
        let (config, warnings) = self.read().map_err(|problems| {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            eprintln!("{} found; nothing was started", count(problems.len(), "error"));
            ExitCode::from(EX_CONFIG)
        })?;
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        Ok(config)
    }

    fn read(&self) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
        let source = self.config.clone().map_or(Source::Defaults, Source::File);
        let listen = (!self.listen.is_empty()).then(|| format!("listen={}", self.listen.join(" ")));
        let backend =
            (!self.backend.is_empty()).then(|| format!("backend.servers={}", self.backend.join(" ")));
        let texts = listen.iter().chain(&backend).chain(&self.overrides);
        let mut overrides = Vec::new();
        let mut problems = Vec::new();
        for text in texts {
            match text.parse::<Override>() {
                Ok(set) => overrides.push(set),
                Err(what) => problems.push(Problem::at(Place::CommandLine, what)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let environment = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(&source, &overrides, environment)
    }
}

/// Writes the translation to standard output and everything that there is to know about it to standard error.
fn import(options: &ImportPostfix) -> ExitCode {
    let source = match options.source.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => postfix::Source::open(path),
        None => io::read_to_string(io::stdin()).map(postfix::Source::text),
    };
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let Imported { toml, report, postfix_side } = postfix::import(&source);
    print!("{toml}");
    eprintln!("{report}{postfix_side}");
    let text = Source::Text { name: "prescreen.toml".to_owned(), text: toml, base: PathBuf::new() };
    if let Err(problems) = Config::load(&text, &[], []) {
        eprintln!("To be put right first; `prescreen check` says:\n");
        problems.iter().for_each(|problem| eprintln!("- {problem}"));
    }
    ExitCode::SUCCESS
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn run(configuration: &Configuration) -> ExitCode {
    let config = match configuration.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let log = match log::init(&config.log) {
        Ok(log) => log,
        Err(error) => return failed(EX_UNAVAILABLE, &error),
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(EX_UNAVAILABLE, &error),
    };
    runtime.block_on(serve(config, &log, || configuration.read().map(|(config, _)| config)))
}

/// Serves until a signal says to end.
async fn serve(config: Config, log: &Log, read: impl Fn() -> Result<Config, Vec<Problem>>) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return failed(EX_UNAVAILABLE, &error),
    };
    let mut server = match Server::start(config, Some(log.dropped()), Arc::new(|_| {})).await {
        Ok(server) => server,
        Err(error @ StartError::Site(_)) => return failed(EX_CONFIG, &error),
        Err(error @ StartError::Listen { .. }) => return failed(EX_UNAVAILABLE, &error),
    };
    tracing::info!(addresses = ?server.addresses(), metrics = ?server.metrics_address(), "listening");
    while signals.next().await == Signal::Reload {
        match read() {
            Ok(config) => match server.reload(config) {
                Ok(()) => tracing::info!("reloaded"),
                Err(faults) => refused(&faults),
            },
            Err(problems) => refused(&problems),
        }
    }
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        cut = server.drain() => tracing::info!(cut, "ended"),
        () = signals.end() => tracing::warn!("ended at once"),
    }
    ExitCode::SUCCESS
}

/// A reload that is refused changes nothing.
fn refused(reasons: &[impl Display]) {
    for reason in reasons {
        tracing::error!("{reason}");
    }
    tracing::error!("reload refused: the configuration in use stays");
}

fn check(configuration: &Configuration) -> ExitCode {
    match configuration.load() {
        Ok(_) => {
            println!("The configuration is good.");
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn play(options: &Demo) -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(EX_UNAVAILABLE, &error),
    };
    runtime.block_on(async {
        let played = match demo::Demo::play(demo::Places::default(), &mut io::stdout()).await {
            Ok(played) => played,
            Err(error) => return failed(EX_UNAVAILABLE, &error),
        };
        if !options.once {
            println!("{}", played.instructions());
            // Without a signal handler Ctrl-C ends the process, which is what is wanted here too.
            let _ = tokio::signal::ctrl_c().await;
        }
        played.end().await;
        ExitCode::SUCCESS
    })
}

fn failed(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("prescreen: {error}");
    ExitCode::from(code)
}
