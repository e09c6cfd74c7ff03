//! Lists and tables, loaded: whom `mynetworks`, the exceptions from limits and `tls.required` name, what the dialogue
//! looks up.

use std::sync::Arc;

use super::Config;
use super::apply::Origins;
use super::problem::Problem;
use crate::dialogue;
use crate::table::{Live, MatchList, ParentDomains, words};

/// Loads what several modules share, so that each list is held and followed once.
pub(super) fn load(config: &mut Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let parents = if words(&config.policy.parent_domain_matches_subdomains).any(|word| word == "mynetworks") {
        ParentDomains::Match
    } else {
        ParentDomains::DotOnly
    };
    let mut loaded = |key: &str, text: &str| {
        let (text, base) = (text.to_owned(), config.base.clone());
        let load = move || MatchList::load(&text, &base, parents);
        Live::new(load).map(Arc::new).map_err(|errors| {
            let wrong = |error| Problem::of(origins, key, format!("{error}"));
            problems.extend(errors.iter().map(wrong));
        })
    };
    if let Ok(networks) = loaded("mynetworks", &config.mynetworks) {
        config.networks = networks;
    }
    config.rate.event_limit_exceptions = match &config.client_event_limit_exceptions {
        None => config.networks.clone(),
        Some(text) => {
            loaded("limits.client_event_limit_exceptions", text).unwrap_or_else(|()| config.networks.clone())
        }
    };
    if let Ok(required) = loaded("tls.required", &config.tls_required) {
        config.tls_required_list = required;
    }
    match dialogue::Tables::load(&config.dialogue, &config.base) {
        Ok(tables) => config.dialogue.tables = tables,
        Err(errors) => {
            problems.extend(errors.iter().map(|(key, error)| Problem::of(origins, key, error.to_string())));
        }
    }
    problems
}
