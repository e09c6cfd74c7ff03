//! The translation as it grows: values for our keys, each with where it came from, and what there is to tell.

use std::collections::{BTreeMap, BTreeSet};

use super::main_cf::Setting;
use super::parameters::Postfix;
use super::rules::{How, RULES, Rule};
use crate::config::apply::{Names, apply};
use crate::config::raw::{shortened, shortened_to};
use crate::config::slot::quoted;
use crate::config::{Config, file};
use crate::table::words;
use crate::time::{self, Unit};

/// A value and what is written above it.
#[derive(Debug)]
pub(super) struct Entry {
    /// TOML.
    pub(super) value: String,
    pub(super) comments: Vec<String>,
}

/// What the report tells, by chapter.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// What prescreen answers otherwise than Postfix did, unless somebody looks at it.
    pub(super) attention: Vec<String>,
    pub(super) dead_lists: Vec<String>,
    pub(super) traps: Vec<String>,
    pub(super) renamed: Vec<String>,
    /// Why there is no counterpart, and of what.
    pub(super) without_counterpart: BTreeMap<String, Vec<String>>,
    /// Names of parameters that are Postfix's own affair.
    pub(super) stays: Vec<String>,
}

/// Everything found out so far.
pub(super) struct Translation<'a> {
    pub(super) postfix: Postfix<'a>,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) report: Report,
    /// Parameters that have been dealt with.
    pub(super) done: BTreeSet<String>,
}

impl<'a> Translation<'a> {
    pub(super) fn new(postfix: Postfix<'a>) -> Self {
        Self { postfix, entries: BTreeMap::new(), report: Report::default(), done: BTreeSet::new() }
    }

    /// Writes `key`, if nothing has been written there yet and the key takes such a value.
    pub(super) fn write(&mut self, key: &str, value: String, comments: Vec<String>) {
        if self.entries.contains_key(key) {
            return;
        }
        match refusal(key, &value) {
            None => {
                self.entries.insert(key.to_owned(), Entry { value, comments });
            }
            Some(why) => {
                let from = comments.into_iter().next().unwrap_or_default();
                self.report
                    .attention
                    .push(format!("{from}: not taken over, because {key} = {value} is {why}"));
            }
        }
    }

    /// Marks a parameter as dealt with, and gives it, if it is set.
    pub(super) fn take(&mut self, parameter: &str) -> Option<Setting> {
        self.done.insert(parameter.to_owned());
        self.postfix.setting(parameter).cloned()
    }

    /// Everything in [`RULES`] that is set.
    pub(super) fn apply_rules(&mut self) {
        for rule in RULES {
            let Some(setting) = self.take(rule.old) else { continue };
            if self.entries.contains_key(rule.new) {
                let why = format!("{} is set from another parameter already", rule.new);
                self.report.missing(&why, rule.old, &setting.origin);
                continue;
            }
            if rule.renames() {
                self.report.renamed.push(format!("{} is {}", rule.old, rule.new));
            }
            if let Err(why) = self.apply(rule, &setting) {
                let origin = &setting.origin;
                self.report.attention.push(format!(
                    "{origin}: {} = {}: {why}",
                    rule.old,
                    shortened(&setting.value)
                ));
            }
        }
    }

    /// One parameter that is the default of several: each `…_tempfail_action` that is not set.
    pub(super) fn tempfail_actions(&mut self) {
        let Some(setting) = self.take("reject_tempfail_action") else { return };
        let action = quoted(&self.postfix.value("reject_tempfail_action"));
        for rule in RULES.iter().filter(|rule| rule.old.ends_with("_tempfail_action")) {
            if self.postfix.setting(rule.old).is_none() {
                self.write(rule.new, action.clone(), vec![comment("reject_tempfail_action", &setting)]);
            }
        }
    }

    fn apply(&mut self, rule: &Rule, setting: &Setting) -> Result<(), String> {
        let text = self.postfix.value(rule.old);
        let value = match rule.how {
            How::Text => quoted(&text),
            How::Number => number(&text)?,
            How::Time(unit) => quoted(&self.time(rule, &text, unit)?),
            How::StressTime(unit, stress_key) => {
                let stressed = self.postfix.under_stress(&setting.value);
                if stressed != text {
                    let under_stress = quoted(&self.time(rule, &stressed, unit)?);
                    self.write(stress_key, under_stress, vec![comment(rule.old, setting)]);
                }
                quoted(&self.time(rule, &text, unit)?)
            }
            How::YesNo => yes_no(&text)?,
            How::Action => quoted(if text.eq_ignore_ascii_case("continue") { "ignore" } else { &text }),
            How::Words => list(words(&text).filter(|word| !word.eq_ignore_ascii_case("silent-discard"))),
            How::Items => {
                let item =
                    |word: &str| if word.contains(':') { self.table(word) } else { Ok(word.to_owned()) };
                let items: Result<Vec<_>, _> = words(&text).map(item).collect();
                quoted(&items?.join(" "))
            }
            How::Tables => {
                let tables: Result<Vec<_>, _> = words(&text).map(|spec| self.table(spec)).collect();
                quoted(&tables?.join(", "))
            }
        };
        self.write(rule.new, value, vec![comment(rule.old, setting)]);
        Ok(())
    }

    /// Postfix looks at the first letter behind the number and at nothing further.
    fn time(&mut self, rule: &Rule, text: &str, unit: Unit) -> Result<String, String> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(end);
        let read = format!("{digits}{}", suffix.chars().next().map(String::from).unwrap_or_default());
        let time = time::parse(&read, unit)?;
        if suffix.chars().count() > 1 {
            let shown = time::show(time);
            self.report
                .traps
                .push(format!("{} = {text}: Postfix takes this for {shown}, and so it is written", rule.old));
        }
        Ok(if suffix.is_empty() { time::show(time) } else { read })
    }
}

impl Report {
    /// `parameter` has no counterpart.
    pub(super) fn missing(&mut self, why: &str, parameter: &str, origin: &str) {
        self.without_counterpart.entry(why.to_owned()).or_default().push(format!("{parameter} ({origin})"));
    }
}

/// What the key says of the value, if it does not take it.
fn refusal(key: &str, value: &str) -> Option<String> {
    let names = Names::new();
    let (assignments, problems) = file::read(&format!("{key} = {value}"), "", &names);
    let (_, refused) = apply(&mut Config::default(), assignments, &names);
    problems.into_iter().chain(refused).next().map(|problem| problem.what)
}

/// What stands above a key: where its value came from.
pub(super) fn comment(parameter: &str, setting: &Setting) -> String {
    const WIDTH: usize = 106;
    let from = format!("{}: {parameter} = ", setting.origin);
    let room = WIDTH.saturating_sub(from.chars().count()).max(20);
    format!("{from}{}", shortened_to(room, &setting.value))
}

fn number(text: &str) -> Result<String, String> {
    let number: i64 = text.trim().parse().map_err(|_| "no number".to_owned())?;
    Ok(number.to_string())
}

fn yes_no(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(quoted("yes")),
        "no" => Ok(quoted("no")),
        _ => Err("neither yes nor no".to_owned()),
    }
}

/// A TOML array; one line if that is short.
pub(super) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| quoted(item.as_ref())).collect();
    let line = format!("[{}]", items.join(", "));
    if items.len() < 2 || line.len() <= 60 {
        return line;
    }
    let lines: String = items.iter().map(|item| format!("    {item},\n")).collect();
    format!("[\n{lines}]")
}
