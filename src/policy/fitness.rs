//! Whether lists can work in the set-up at hand. What could not is said when they are read, not at midnight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problem;
use super::action::{Action, is_code_without_text};
use super::judgement::List;
use super::restriction::{Entry, Restriction};
use super::service::Service;
use super::settings::Settings;
use super::verbs::{Needs, Times, VERBS, Verb};
use crate::table::words;

/// What is done when a policy service does not answer must itself ask nobody.
pub(super) fn of_default_actions<'s>(
    settings: &Settings,
    services: impl Iterator<Item = &'s Arc<Service>>,
) -> Vec<Problem> {
    let actions = services.map(|service| &service.options().default_action);
    let told: BTreeSet<_> =
        actions.chain([&settings.policy_service.default_action]).filter_map(|a| unfit_default(a)).collect();
    told.into_iter().map(|what| problem("policy_service.default_action", what)).collect()
}

fn unfit_default(action: &str) -> Option<String> {
    match Action::parse(action) {
        Ok(Action::List(_)) => {
            Some(format!("`{action}` is no action: write one such as DUNNO, or `451 4.3.5 text`"))
        }
        Ok(_) if is_code_without_text(action) => {
            Some(format!("`{action}` without text means OK: write a text"))
        }
        Ok(_) => None,
        Err(why) => Some(why.to_string()),
    }
}

/// A class that contains itself would go on for ever.
pub(super) fn of_classes(names: &BTreeMap<String, usize>, classes: &[Vec<Entry>]) -> Vec<Problem> {
    let contains_itself = |class: &usize| reachable(classes, entries_of(classes, *class)).contains(class);
    names
        .iter()
        .filter(|(_, class)| contains_itself(class))
        .map(|(name, _)| {
            problem(format!("classes.{name}"), format!("the class `{name}` contains itself: take it out"))
        })
        .collect()
}

/// Every restriction must have what it needs, and stand where it can see what it is about.
pub(super) fn of_uses(settings: &Settings, lists: &[Vec<Entry>; 7], classes: &[Vec<Entry>]) -> Vec<Problem> {
    let times = if settings.delay_reject { Times::Delayed } else { Times::AtOnce };
    let mut problems = Vec::new();
    for (list, entries) in List::ALL.into_iter().zip(lists) {
        let inside = reachable(classes, entries);
        let used = entries.iter().chain(inside.iter().flat_map(|class| entries_of(classes, *class)));
        for entry in used {
            if let Some(why) = unmet(entry.verb, settings) {
                problems.push(problem(list.as_str(), format!("`{}` {why}", entry.text)));
            }
            if let Some(why) = entry.verb.unfit_for(list, times) {
                problems.push(problem(list.as_str(), why));
            }
        }
    }
    problems
}

/// What `verb` needs and does not have.
fn unmet(verb: &Verb, settings: &Settings) -> Option<&'static str> {
    match verb.needs() {
        Needs::Domains if !settings.domains.any() => {
            Some("knows no domain that is ours: fill in `domains`, or leave it to the backend")
        }
        Needs::Recipients if !settings.recipients.any() => {
            Some("has no table to look into: fill in `recipients`, or leave it to the backend")
        }
        Needs::Recipients if !settings.domains.any() => {
            Some("knows no domain that is ours: fill in `domains`")
        }
        _ => None,
    }
}

/// Words that no table and no policy server may answer, with what they need and do not have: restrictions, and classes
/// that lead to these.
pub(super) fn unmet_words(settings: &Settings) -> BTreeMap<String, String> {
    let restrictions = VERBS.iter().flat_map(|verb| verb.names().map(move |name| (name, verb)));
    let mut found: BTreeMap<String, String> = restrictions
        .filter_map(|(name, verb)| Some((name.to_owned(), unmet(verb, settings)?.to_owned())))
        .collect();
    let mut are_new = true;
    while are_new {
        let known = found.len();
        for (name, text) in &settings.classes {
            let reason = words(text).find_map(|word| {
                Some(format!("leads to `{word}`, which {}", found.get(&word.to_ascii_lowercase())?))
            });
            if let Some(reason) = reason {
                found.entry(name.to_ascii_lowercase()).or_insert(reason);
            }
        }
        are_new = found.len() > known;
    }
    found
}

/// The classes to which `entries` lead, however deep.
fn reachable(classes: &[Vec<Entry>], entries: &[Entry]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![entries];
    while let Some(entries) = open.pop() {
        for entry in entries {
            if let Restriction::Class(class) = entry.restriction
                && found.insert(class)
            {
                open.push(entries_of(classes, class));
            }
        }
    }
    found
}

fn entries_of(classes: &[Vec<Entry>], class: usize) -> &[Entry] {
    classes.get(class).map_or(&[], Vec::as_slice)
}

fn problem(key: impl Into<String>, what: impl Into<String>) -> Problem {
    Problem { key: key.into(), what: what.into() }
}
