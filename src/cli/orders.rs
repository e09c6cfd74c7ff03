//! `prescreen allow` and `prescreen deny`

use std::process::ExitCode;

use clap::Args;
use ipnet::IpNet;
use prescreen::admin::desk::{Filed, Ordered, Request, span, time};
use prescreen::allowlist::Order;
use prescreen::table::network;

use super::running::{Running, now, print_json, table};
use super::{Stopped, print};

/// For whom, for how long.
#[derive(Args)]
pub(super) struct Orders {
    #[command(flatten)]
    running: Running,
    /// The client: an address, or a network. Without one, all orders that stand are shown.
    #[arg(value_parser = network)]
    client: Option<IpNet>,
    /// For how long: 7d, 12h; without it, for good.
    #[arg(long = "for", value_name = "TIME", requires = "client", value_parser = time)]
    lasting: Option<std::time::Duration>,
    /// Take back what was said of this client.
    #[arg(long, requires = "client", conflicts_with = "lasting")]
    remove: bool,
    /// Print a line of JSON for each order.
    #[arg(long, conflicts_with = "client")]
    json: bool,
}

pub(super) fn give(options: &Orders, order: Order) -> Result<ExitCode, Stopped> {
    let Some(client) = options.client else { return show(options) };
    if options.remove {
        let () = options.running.ask(&Request::Withdraw { client })?;
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = options.lasting.map(|time| time.as_secs());
    told(options.running.ask(&Request::Order { client, order, seconds })?);
    Ok(ExitCode::SUCCESS)
}

/// Says where something lives only as long as the server.
pub(super) fn told(filed: Filed) {
    match filed {
        Filed::File => {}
        Filed::Memory => {
            eprintln!("prescreen: until the server ends: it has no allowlist.path to write this to");
        }
        Filed::Later => eprintln!(
            "prescreen: in memory alone, until the allowlist's file can be written (prescreen status); lost if the \
             server ends before"
        ),
    }
}

fn show(options: &Orders) -> Result<ExitCode, Stopped> {
    let orders: Vec<Ordered> = options.running.ask_all(&Request::Orders)?;
    if options.json {
        return print_json(&orders);
    }
    let rows = orders.iter().map(|it| {
        let until = it.until.map(|until| format!("for {}", span(until.saturating_sub(now()))));
        vec![it.order.to_string(), client(it.client), until.unwrap_or_else(|| "for good".to_owned())]
    });
    print(&table(&rows.collect::<Vec<_>>()))?;
    Ok(ExitCode::SUCCESS)
}

/// An address alone where the network holds no other.
pub(super) fn client(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}
