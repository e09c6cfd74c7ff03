//! From a configuration to what connections meet: tables loaded, lists read, certificates opened.
//!
//! Everything that can be wrong with it is found here, at once, and told as [`Fault`]s; a [`Site`] that exists works.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::interval;

use super::house::Front;
use crate::admin::explain::Explainer;
use crate::allowlist::Allowlist;
use crate::config::Config;
use crate::connection::Site;
use crate::dns::Resolver;
use crate::handoff::{AddressProbe, Backends};
use crate::policy::Policy;
use crate::rate::Rates;
use crate::screen::Screen;
use crate::table::{Refresh, Refreshed};
use crate::tls::{Acceptor, Starttls};

/// How often files are looked at for changes.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);

/// Clients that DNS lists are asked about again at once: none of them is waited for.
const RECHECKS: usize = 8;

/// Something that the configuration names and that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    pub(super) fn new(fault: impl Display) -> Self {
        Self(fault.to_string())
    }
}

/// Builds what connections meet. What is known of DNS, of its lists, of addresses and of the backends is taken over from
/// `before`.
pub(super) fn build(
    config: &Config,
    allowlist: &Arc<Allowlist>,
    rates: &Rates,
    before: Option<&Front>,
) -> Result<Site, Vec<Fault>> {
    // Servers that the system names may have changed, and nobody but a new resolver reads them.
    let resolver = match before {
        Some(before) if before.config.dns == config.dns && !config.dns.servers.is_empty() => {
            before.site.resolver.clone()
        }
        _ => resolver(config).map_err(|fault| vec![fault])?,
    };
    let screen = screen(config, resolver.clone()).map(Screen::testing_first);
    let policy = policy(config, resolver.clone());
    let tls = tls(config, before.and_then(|before| before.site.tls.as_ref()));
    let (screen, policy, tls) = match (screen, policy, tls) {
        (Ok(screen), Ok(policy), Ok(tls)) => (screen, policy, tls),
        (screen, policy, tls) => {
            return Err([screen.err(), policy.err(), tls.err()].into_iter().flatten().flatten().collect());
        }
    };
    let backends = Backends::new(&config.backend, &config.hostname);
    let (screen, policy, backends) = match before {
        Some(Front { site, .. }) => (
            screen.succeeding(&site.screen),
            if backends.are_those_of(&site.backends) { policy.succeeding(&site.policy) } else { policy },
            backends.succeeding(&site.backends),
        ),
        None => (screen, policy, backends),
    };
    let backends = Arc::new(backends.located_by(&resolver));
    let probe = AddressProbe::new(Arc::clone(&backends), config.policy.verification.sender.clone());
    Ok(Site {
        limits: config.limits.clone(),
        screen,
        dialogue: Arc::new(config.dialogue.clone()),
        policy: policy.with_verifier(Arc::new(probe)),
        backends,
        relay: config.relay.clone(),
        starttls: config.tls.starttls,
        tls,
        tls_required: Arc::clone(&config.tls_required_list),
        auth: config.auth,
        resolver,
        allowlist: Arc::clone(allowlist),
        rates: rates.clone(),
    })
}

/// What decides about clients under `config`, while another one is in force: nothing is taken over from that but the
/// resolver and what it remembers, and nothing in that is touched.
pub(super) fn explainer(config: &Config, live: &Front) -> Result<Explainer, Vec<Fault>> {
    let resolver = if live.config.dns == config.dns {
        live.site.resolver.clone()
    } else {
        resolver(config).map_err(|fault| vec![fault])?
    };
    let screen = screen(config, resolver.clone()).map(Screen::testing_first);
    let policy = policy(config, resolver);
    // Nothing is done with it, but a reload would refuse what is wrong with it.
    let tls = tls(config, None);
    match (screen, policy, tls) {
        (Ok(screen), Ok(policy), Ok(_)) => Ok(Explainer::new(config, screen, policy.unfelt())),
        (screen, policy, tls) => {
            Err([screen.err(), policy.err(), tls.err()].into_iter().flatten().flatten().collect())
        }
    }
}

/// Whom to ask for names.
pub fn resolver(config: &Config) -> Result<Resolver, Fault> {
    Resolver::new(&config.dns).map_err(Fault::new)
}

/// The tests before the greeting.
pub fn screen(config: &Config, resolver: Resolver) -> Result<Screen, Vec<Fault>> {
    let networks = Arc::clone(&config.networks);
    Screen::new(config.screen.clone(), &config.dnsbl, &config.hostname, networks, resolver, &config.base)
        .map_err(|errors| errors.into_iter().map(Fault::new).collect())
}

/// The restriction lists.
pub fn policy(config: &Config, resolver: Resolver) -> Result<Policy, Vec<Fault>> {
    Policy::new(config.policy.clone(), resolver, &config.base)
        .map_err(|problems| problems.into_iter().map(Fault::new).collect())
}

fn tls(config: &Config, before: Option<&Acceptor>) -> Result<Option<Acceptor>, Vec<Fault>> {
    match config.tls.starttls {
        Starttls::Terminate => Acceptor::new(&config.tls, before)
            .map(Some)
            .map_err(|errors| errors.into_iter().map(Fault::new).collect()),
        Starttls::Passthrough | Starttls::Off => Ok(None),
    }
}

/// What goes on beside the connections for as long as a site is in force; dropped with its set.
pub(super) fn background(site: &Arc<Site>, config: &Config) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let asked = Arc::clone(&site.backends);
    tasks.spawn(async move { asked.learn().await });
    for _ in 0..RECHECKS {
        let again = Arc::clone(site);
        tasks.spawn(async move { again.screen.run_rechecks(&again.allowlist).await });
    }
    let tested = Arc::clone(site);
    tasks.spawn(async move { tested.screen.run_self_tests().await });
    let certificates = site.tls.as_ref().map(Acceptor::certificates);
    let followers = [
        site.screen.tables(),
        site.policy.files().to_vec(),
        config.files(),
        certificates.into_iter().collect(),
    ];
    tasks.spawn(async move { follow_files(followers.concat()).await });
    tasks
}

/// Reads tables and certificates again when their files change; a broken new version is told of once, and the old one
/// stays.
pub(super) async fn follow_files(followers: Vec<Arc<dyn Refresh>>) {
    let followers = Arc::new(followers);
    let mut ticks = interval(LOOK_AT_FILES);
    loop {
        ticks.tick().await;
        let followers = Arc::clone(&followers);
        // Off the network path: a table may be large and its disk slow.
        let _ = spawn_blocking(move || followers.iter().for_each(|file| tell(file.refresh()))).await;
    }
}

fn tell(refreshed: Refreshed) {
    match refreshed {
        Refreshed::Unchanged => {}
        Refreshed::Replaced(files) => tracing::info!(?files, "files read again"),
        Refreshed::Kept(errors) => {
            for error in errors {
                tracing::warn!("{error}; the version in use stays");
            }
        }
    }
}
