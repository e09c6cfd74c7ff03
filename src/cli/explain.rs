//! `prescreen explain`

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use prescreen::admin::explain::{self, Case, Detail, Explainer};
use prescreen::config::Config;
use prescreen::dns::{Resolver, Zone, ZoneError};
use prescreen::server;
use prescreen::smtp::envelope;

use super::configuration::Configuration;
use super::{EX_CONFIG, EX_DATAERR, EX_IOERR, EX_NOINPUT, Stopped, failed, print, runtime};

/// Say, step by step, what would happen to a client, and why.
///
/// Tests, dialogue and restriction lists are those of the server; the client is one that waits for its greeting and
/// speaks in turn, the backend one that takes every recipient. A client that screen.access_list permits is forwarded
/// and not judged; to ask the restrictions nevertheless, --set screen.access_list=dunno.
#[derive(Args)]
#[command(after_long_help = JSON_LINES)]
pub(super) struct Explain {
    #[command(flatten)]
    configuration: Configuration,
    /// Answer DNS from this file of `name type data` lines (SERVFAIL, TIMEOUT and REFUSED are data, too) instead of
    /// the network.
    #[arg(long, value_name = "FILE")]
    zone: Option<PathBuf>,
    /// Read cases as JSON lines from standard input, and print verdicts as JSON lines. Ends with 65 if a line is no
    /// case.
    #[arg(long)]
    batch: bool,
    /// Leave out how each verdict of a batch came about.
    #[arg(long, requires = "batch")]
    no_trace: bool,
    #[command(flatten)]
    client: Client,
}

const JSON_LINES: &str = "\
Fields of a case: client (an address; the only one that must be there), client_name, reverse_name, helo, protocol (SMTP \
or ESMTP), from, to (an address or a list), size.

Fields of an answer: verdict (permit, reject, defer or hangup), reply, followed_by (what is said behind it before the \
connection is closed), test (what the client failed, or access_list), list, restriction, table and key (what refused), \
warnings, prepend and bcc (what the mail is given), trace. Of several recipients, each has its answer in recipients; \
the first that is refused speaks for all. A line that is no case is answered by line (its number) and error.";

#[derive(Args)]
struct Client {
    /// The client's address.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "batch", conflicts_with = "batch")]
    client: Option<IpAddr>,
    /// Its confirmed name, or `unknown`; without this and --reverse-name DNS is asked.
    #[arg(long, value_name = "NAME", conflicts_with = "batch")]
    client_name: Option<String>,
    /// The name that its address claims, confirmed or not.
    #[arg(long, value_name = "NAME", conflicts_with = "batch")]
    reverse_name: Option<String>,
    /// Its HELO or EHLO argument.
    #[arg(long, value_name = "NAME", conflicts_with = "batch")]
    helo: Option<String>,
    /// Whether it says HELO (smtp) or EHLO (esmtp).
    #[arg(long, value_enum, default_value_t = Protocol::Esmtp, conflicts_with = "batch")]
    protocol: Protocol,
    /// The sender; empty for a bounce.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "batch")]
    from: Option<String>,
    /// The size that MAIL declares, in bytes.
    #[arg(long, value_name = "BYTES", conflicts_with = "batch")]
    size: Option<u64>,
    /// A recipient; may be given several times.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "batch")]
    to: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Smtp,
    Esmtp,
}

pub(super) fn explain(options: &Explain) -> Result<ExitCode, Stopped> {
    let config = options.configuration.load()?;
    let zone = options.zone.as_deref().map(read_zone).transpose()?;
    runtime()?.block_on(async {
        let (resolver, is_network) = match zone {
            Some(zone) => (Resolver::from_zone(zone), false),
            None => (server::resolver(&config).map_err(|fault| failed(EX_CONFIG, fault))?, true),
        };
        let explainer = explainer(&config, &resolver)?;
        let Some(case) = options.client.case() else { return batch(explainer, options).await };
        if is_network {
            explainer.test_lists().await;
        }
        print(&explainer.tell(&case).await)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn explainer(config: &Config, resolver: &Resolver) -> Result<Explainer, Stopped> {
    let screen = server::screen(config, resolver.clone());
    let policy = server::policy(config, resolver.clone());
    match (screen, policy) {
        (Ok(screen), Ok(policy)) => Ok(Explainer::new(config, screen, policy)),
        (screen, policy) => {
            let faults = [screen.err(), policy.err()].into_iter().flatten().flatten();
            faults.for_each(|fault| eprintln!("{fault}"));
            Err(ExitCode::from(EX_CONFIG))
        }
    }
}

async fn batch(explainer: Explainer, options: &Explain) -> Result<ExitCode, Stopped> {
    let detail = if options.no_trace { Detail::Verdict } else { Detail::Trace };
    match explain::batch(&Arc::new(explainer), detail, io::stdin().lock(), io::stdout().lock()).await {
        Ok(tally) if tally.bad > 0 => Ok(ExitCode::from(EX_DATAERR)),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(EX_IOERR, error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn read_zone(path: &Path) -> Result<Zone, Stopped> {
    let file = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| failed(EX_NOINPUT, format_args!("{file}: {error}")))?;
    Zone::parse(&text).map_err(|ZoneError { line, what }| {
        eprintln!("{file}:{line}: {what}");
        ExitCode::from(EX_DATAERR)
    })
}

impl Client {
    fn case(&self) -> Option<Case> {
        Some(Case {
            client_name: self.client_name.clone(),
            reverse_name: self.reverse_name.clone(),
            helo: self.helo.clone(),
            protocol: match self.protocol {
                Protocol::Smtp => envelope::Protocol::Smtp,
                Protocol::Esmtp => envelope::Protocol::Esmtp,
            },
            from: self.from.clone(),
            to: self.to.clone(),
            size: self.size,
            ..Case::new(self.client?)
        })
    }
}
