//! The translation on paper: the TOML file, and the report.

use std::collections::BTreeSet;

use super::ports::{PRIVATE_NETWORKS, Ports};
use super::translation::{Entry, Report, Translation, list};
use crate::config::Config;
use crate::config::apply::path;
use crate::config::example::comment;
use crate::config::keys::sections;

impl Translation<'_> {
    /// The configuration file, in the order of the example.
    pub(super) fn toml(&mut self, source: &str, ports: &Ports) -> String {
        let mut text = format!("# prescreen.toml, translated from {source}.\n");
        let mut config = Config::default();
        for section in sections(&mut config) {
            let below = |key: &str| path(section.name, key);
            let entries: Vec<_> = section.keys.iter().flat_map(|key| self.below(&below(key.name))).collect();
            if section.name.is_empty() {
                text.push('\n');
                write(&mut text, entries);
                listeners(&mut text, ports);
            } else if !entries.is_empty() {
                text.push_str(&format!("\n[{}]\n", section.name));
                write(&mut text, entries);
            }
        }
        // What no key takes in this version.
        for (key, entry) in std::mem::take(&mut self.entries) {
            let from = entry.comments.first().map_or("", String::as_str);
            self.report.missing("not known to this version of prescreen", &key, from);
        }
        text
    }

    /// The entry of `key`, or those of the names below it.
    fn below(&mut self, key: &str) -> Vec<(String, Entry)> {
        let section = key.rfind('.').map_or(0, |dot| dot + 1);
        let prefix = format!("{key}.");
        let names: Vec<_> =
            self.entries.keys().filter(|name| *name == key || name.starts_with(&prefix)).cloned().collect();
        names
            .into_iter()
            .filter_map(|name| Some((name[section..].to_owned(), self.entries.remove(&name)?)))
            .collect()
    }
}

fn write(text: &mut String, entries: Vec<(String, Entry)>) {
    for (index, (name, entry)) in entries.into_iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        entry.comments.iter().for_each(|line| comment(text, line));
        text.push_str(&format!("{name} = {}\n", entry.value));
    }
}

fn listeners(text: &mut String, ports: &Ports) {
    for (index, address) in ports.listen.iter().enumerate() {
        text.push('\n');
        if index == 0 {
            ports.comments.iter().for_each(|line| comment(text, line));
        }
        text.push_str(&format!("[[listen]]\naddress = \"{address}\"\n"));
        if ports.behind_proxy {
            text.push_str(&format!("proxy_protocol = \"required\"\ntrusted = {}\n", list(PRIVATE_NETWORKS)));
        }
    }
}

impl Report {
    /// The chapters that have something in them.
    pub(super) fn text(self, problems: Vec<String>, warnings: Vec<String>, notes: Vec<String>) -> String {
        let mut text = String::new();
        let missing =
            self.without_counterpart.into_iter().map(|(why, what)| format!("{}: {why}", what.join(", ")));
        let stays = if self.stays.is_empty() { Vec::new() } else { vec![self.stays.join(", ")] };
        let chapters = [
            ("To be put right before it works; `prescreen check` says", problems),
            ("Look at these first", self.attention),
            ("What `prescreen check` warns of", warnings),
            ("DNS lists that are dead, and were left out", self.dead_lists),
            ("Traps, and what is different here", self.traps),
            ("New names", self.renamed),
            ("Without counterpart", missing.collect()),
            ("Oddities of the Postfix configuration", notes),
            ("Postfix's own affair, and left to it", stays),
        ];
        for (title, mut items) in chapters {
            let mut told = BTreeSet::new();
            items.retain(|item| told.insert(item.clone()));
            if items.is_empty() {
                continue;
            }
            text.push_str(&format!("{title}\n\n"));
            items.iter().for_each(|item| paragraph(&mut text, item));
            text.push('\n');
        }
        text
    }
}

/// Breaks a sentence into lines, hanging behind a dash.
fn paragraph(text: &mut String, sentence: &str) {
    const WIDTH: usize = 100;
    text.push('-');
    let mut column = 1;
    for word in sentence.split_whitespace() {
        let length = word.chars().count();
        if column > 1 && column + 1 + length > WIDTH {
            text.push_str("\n ");
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + length;
    }
    text.push('\n');
}
