//! What the modules themselves say of their settings: lists that they cannot read, tables that cannot be loaded.
//!
//! Each is built once, and thrown away: what is wrong shall be told together with everything else, before anything
//! of a new configuration is in force.

use super::Config;
use super::apply::{Names, Origins};
use super::check::Findings;
use super::problem::{Problem, Warning};
use crate::dns::{Resolver, Zone};
use crate::handoff::BackendTls;
use crate::policy::Policy;
use crate::screen::{self, Screen, dnsbl};
use crate::table::LoadError;
use crate::tls::{Acceptor, Connector, Starttls};

/// Everything that keeps a part from being built, or that it warns of.
pub(super) fn check(config: &Config, origins: &Origins, names: &Names) -> Findings {
    let of = |key: &str, errors: Vec<LoadError>| -> Vec<Problem> {
        errors.iter().map(|error| Problem::of(origins, key, error.to_string())).collect()
    };
    let access = screen(config, config.screen.clone(), &dnsbl::Settings::default());
    let lists = screen(config, screen::Settings::default(), &config.dnsbl);
    let mut findings = Findings {
        problems: [of("screen.access_list", access), of("dnsbl.reply_map", lists)].concat(),
        warnings: Vec::new(),
    };
    if config.tls.starttls == Starttls::Terminate
        && let Err(errors) = Acceptor::new(&config.tls, None)
    {
        findings.problems.extend(of("tls.certificates", errors));
    }
    if config.backend.tls == BackendTls::StartTls
        && let Err(error) = Connector::new(config.backend.tls_ca.as_deref())
    {
        findings.problems.extend(of("backend.tls_ca", vec![error]));
    }
    let shared = &config.allowlist.shared;
    let files = [("shared_password_file", &shared.password_file), ("shared_ca_file", &shared.ca_file)];
    for (key, file) in files {
        if let Some(file) = file
            && let Err(error) = std::fs::read(file)
        {
            let what = format!("{} cannot be read: {error}", file.display());
            findings.problems.push(Problem::of(origins, &format!("allowlist.{key}"), what));
        }
    }
    match Policy::new(config.policy.clone(), unasked(), &config.base) {
        Ok(policy) => {
            let warning = |text: &String| {
                let (key, what) = text.split_once(": ").unwrap_or(("", text));
                Warning(Problem::of(origins, &names.full(key), what))
            };
            findings.warnings.extend(policy.warnings().iter().map(warning));
        }
        Err(problems) => {
            // mynetworks has been loaded, and its errors told, for everybody.
            let others = problems.into_iter().filter(|problem| problem.key != "mynetworks");
            findings.problems.extend(others.map(|it| Problem::of(origins, &names.full(&it.key), it.what)));
        }
    }
    findings
}

fn screen(config: &Config, settings: screen::Settings, lists: &dnsbl::Settings) -> Vec<LoadError> {
    let networks = config.networks.clone();
    Screen::new(settings, lists, &config.hostname, networks, unasked(), &config.base)
        .err()
        .unwrap_or_default()
}

/// Nobody is asked anything while a configuration is read.
fn unasked() -> Resolver {
    Resolver::from_zone(Zone::default())
}
