//! What the modules themselves say of their settings: lists that they cannot read, tables that cannot be loaded.
//!
//! Each is built once, and thrown away: what is wrong shall be told together with everything else, before anything
//! of a new configuration is in force.

use super::Config;
use super::apply::Origins;
use super::problem::Problem;
use crate::dns::{Resolver, Zone};
use crate::screen::{self, Screen, dnsbl};
use crate::table::LoadError;

/// Everything that keeps a part from being built.
pub(super) fn problems(config: &Config, origins: &Origins) -> Vec<Problem> {
    let of = |key: &str, errors: Vec<LoadError>| -> Vec<Problem> {
        errors.iter().map(|error| Problem::of(origins, key, error.to_string())).collect()
    };
    let access = screen(config, config.screen.clone(), &dnsbl::Settings::default());
    let lists = screen(config, screen::Settings::default(), &config.dnsbl);
    [of("screen.access_list", access), of("dnsbl.reply_map", lists)].concat()
}

fn screen(config: &Config, settings: screen::Settings, lists: &dnsbl::Settings) -> Vec<LoadError> {
    let resolver = Resolver::from_zone(Zone::default());
    let networks = config.networks.clone();
    Screen::new(settings, lists, &config.hostname, networks, resolver, &config.base).err().unwrap_or_default()
}
