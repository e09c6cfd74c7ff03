//! The running server that a command asks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use prescreen::admin::desk::{Call, NoAnswer, Request};
use prescreen::config::Admin;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::configuration::Configuration;
use super::{EX_UNAVAILABLE, Stopped, failed, print};

/// Which running server is asked: by its admin socket, or by the configuration that names that.
#[derive(Args)]
pub(super) struct Running {
    /// The server's admin socket; without one, admin.socket of the configuration.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The server's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Running {
    /// The one at `socket`, or that `config` names.
    pub(super) fn with(socket: Option<PathBuf>, config: PathBuf) -> Self {
        Self { socket, config: Some(config) }
    }

    /// Reaches it, or says why not.
    pub(super) fn call(&self) -> Result<Call, Stopped> {
        let configured = || {
            let glanced = Configuration::of(self.config.clone()).glance();
            // The server may run by what stood there before.
            glanced.inspect_err(|problem| eprintln!("{problem}")).ok()?.admin.socket
        };
        let socket = self.socket.clone().or_else(configured).unwrap_or_else(|| Admin::SOCKET.into());
        Call::to(&socket).map_err(|error| {
            let socket = socket.display();
            failed(
                EX_UNAVAILABLE,
                format_args!(
                    "no server answers at {socket}: {error}; name its socket with --socket, or send it a SIGHUP \
                     where admin.socket itself is to change"
                ),
            )
        })
    }

    /// Asks for one thing.
    pub(super) fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Stopped> {
        self.call()?.ask(request).map_err(refused)
    }

    /// Asks for several.
    pub(super) fn ask_all<T: DeserializeOwned>(&self, request: &Request) -> Result<Vec<T>, Stopped> {
        let mut all = Vec::new();
        let take = |item| {
            all.push(item);
            Ok(())
        };
        self.call()?.ask_each(request, take).map_err(refused)?;
        Ok(all)
    }
}

/// Says why there was no answer.
pub(super) fn refused(error: NoAnswer) -> Stopped {
    match error {
        NoAnswer::Refused(why) => {
            eprintln!("prescreen: {why}");
            ExitCode::FAILURE
        }
        NoAnswer::Broken(_) => failed(EX_UNAVAILABLE, error),
    }
}

/// Prints each as one line of JSON.
pub(super) fn print_json(items: &[impl Serialize]) -> Result<ExitCode, Stopped> {
    let mut text = String::new();
    for item in items {
        text.push_str(&serde_json::to_string(item).unwrap_or_default());
        text.push('\n');
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Columns as wide as what stands in them; the last is left ragged.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Seconds since the epoch, now.
pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}
