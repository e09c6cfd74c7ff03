//! Assignments into settings, by the table of keys.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Name, Names as _};
use super::keys::{Key, listener, sections};
use super::listen::Listener;
use super::problem::{Place, Problem};
use super::raw::{Assignment, Form, Raw, Split};
use super::{Config, file, layers, postfix};
use crate::spelling::nearest;

/// Where each key got its value, for errors that concern several keys; keys that have their default are missing.
pub(super) type Origins = BTreeMap<String, Raw>;

/// All names that mean something.
pub(super) struct Names {
    keys: BTreeSet<String>,
    /// Keys below which users choose names.
    open: BTreeSet<String>,
    sections: BTreeSet<String>,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut names = Self { keys: BTreeSet::new(), open: BTreeSet::new(), sections: BTreeSet::new() };
        let (mut config, mut listen) = (Config::default(), Listener::default());
        for section in sections(&mut config).into_iter().chain([listener(&mut listen)]) {
            names.sections.insert(section.name.to_owned());
            for key in section.keys {
                let path = path(section.name, key.name);
                if key.slot.takes_entries() {
                    names.open.insert(path.clone());
                }
                names.keys.insert(path);
            }
        }
        names
    }

    /// How many keys there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// The key in full that a module calls by its last parts. The lists go by their bare names.
    pub(super) fn full(&self, part: &str) -> String {
        let list = format!("restrictions.{part}");
        if self.keys.contains(&list) {
            return list;
        }
        let ends =
            |key: &&String| key.strip_suffix(part).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if let Some(key) = self.keys.iter().find(ends) {
            return key.clone();
        }
        // Below a key that is open, users choose the names.
        let open = self.open.iter().find(|open| {
            let leaf = open.rsplit('.').next().unwrap_or(open);
            part.strip_prefix(leaf).is_some_and(|rest| rest.starts_with('.'))
        });
        match open {
            Some(open) => format!("{}{part}", &open[..open.rfind('.').map_or(0, |dot| dot + 1)]),
            None => part.to_owned(),
        }
    }

    /// Each environment variable with the key that it sets.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let listen = "listen".to_owned();
        self.keys.iter().chain([&listen]).map(|key| (layers::variable(key), key.clone())).collect()
    }
}

impl file::Names for Names {
    fn at(&self, path: &str) -> Name {
        let path = unnumbered(path);
        if path == "listen" {
            Name::Sections
        } else if self.keys.contains(&path) {
            Name::Key
        } else if self.sections.contains(&path) {
            Name::Section
        } else {
            Name::Unknown
        }
    }

    fn unknown(&self, path: &str) -> String {
        let path = unnumbered(path);
        let leaf = path.rsplit('.').next().unwrap_or(&path);
        if let Some(ours) = postfix::rules::key_of(leaf) {
            return format!("Postfix's name; here it is {ours}");
        }
        let same_leaf = self.keys.iter().find(|key| key.rsplit('.').next() == Some(leaf));
        let known = self.keys.iter().chain(&self.sections).map(String::as_str);
        if let Some(near) = same_leaf.map(String::as_str).or_else(|| nearest(&path, known)) {
            return format!("no such key; did you mean {near}?");
        }
        let section = path.rsplit_once('.').map_or("", |(section, _)| section);
        let siblings: Vec<_> = if section.is_empty() {
            let top = self.keys.iter().filter(|key| !key.contains('.')).cloned();
            top.chain(self.sections.iter().filter(|name| !name.is_empty()).map(|name| format!("[{name}]")))
                .collect()
        } else {
            self.keys
                .iter()
                .filter_map(|key| key.strip_prefix(section)?.strip_prefix('.'))
                .map(str::to_owned)
                .collect()
        };
        format!("no such key; there are {}", siblings.join(", "))
    }
}

/// Fills `config`, in the order of `assignments`; a value that is wrong leaves what was there.
pub(super) fn apply(
    config: &mut Config,
    assignments: Vec<Assignment>,
    names: &Names,
) -> (Origins, Vec<Problem>) {
    let (mut origins, mut problems) = (Origins::new(), Vec::new());
    let mut listeners = std::mem::take(&mut config.listen);
    let mut slots: BTreeMap<String, Key<'_>> = sections(config)
        .into_iter()
        .flat_map(|section| section.keys.into_iter().map(move |key| (path(section.name, key.name), key)))
        .collect();
    for Assignment { key, raw } in assignments {
        let filled = if key == "listen" || key.starts_with("listen.") {
            listen(&mut listeners, &key, &raw, names)
        } else if let Some(slot) = slots.get_mut(&key) {
            slot.slot.fill(&raw)
        } else if let Some((slot, entry)) = open_slot(&mut slots, &key, &raw, names) {
            slot.slot.fill(&entry)
        } else {
            Err(vec![Problem::with(&raw, names.unknown(&key))])
        };
        match filled {
            Ok(()) => {
                for (name, value) in entries_of(&raw) {
                    origins.insert(path(&key, &name), value);
                }
                origins.insert(key, raw);
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|problem| problem.about(&key))),
        }
    }
    drop(slots);
    config.listen = listeners;
    (origins, problems)
}

/// The names below an open key, each with its value.
fn entries_of(raw: &Raw) -> Vec<(String, Raw)> {
    match raw.form {
        // A text from the environment may hold an inline table.
        Form::Entries(_) | Form::Text(_) => raw.entries().unwrap_or_default(),
        Form::List(_) => Vec::new(),
    }
}

/// The slot of `section.key` for a path `section.key.name`, with the value as an entry of that name.
fn open_slot<'m, 'a>(
    slots: &'m mut BTreeMap<String, Key<'a>>,
    path: &str,
    raw: &Raw,
    names: &Names,
) -> Option<(&'m mut Key<'a>, Raw)> {
    let (open, name) = names
        .open
        .iter()
        .find_map(|open| Some((open, path.strip_prefix(open.as_str())?.strip_prefix('.')?)))?;
    let entry = Raw { form: Form::Entries(vec![(name.to_owned(), raw.clone())]), ..raw.clone() };
    Some((slots.get_mut(open)?, entry))
}

/// `listen` replaces all listeners by addresses; `listen.key` sets all of them, `listen.0.key` the first.
fn listen(listeners: &mut Vec<Listener>, path: &str, raw: &Raw, names: &Names) -> Result<(), Vec<Problem>> {
    let Some(rest) = path.strip_prefix("listen.") else {
        let addressed = |item: &Raw| {
            let mut fresh = Listener::default();
            if matches!(item.form, Form::Entries(_)) {
                return Ok(fresh);
            }
            fill(&mut fresh, "address", item, names).map(|()| fresh)
        };
        *listeners = raw.items(Split::Words)?.iter().map(addressed).collect::<Result<_, _>>()?;
        return Ok(());
    };
    let Some((number, name)) = rest.split_once('.') else {
        return listeners.iter_mut().try_for_each(|listener| fill(listener, rest, raw, names));
    };
    let number: usize = number.parse().map_err(|_| {
        vec![Problem::with(raw, "not the number of a listener; write listen.0.address and so on")]
    })?;
    if number == listeners.len() {
        listeners.push(Listener::default());
    }
    let count = listeners.len();
    let Some(listener) = listeners.get_mut(number) else {
        return Err(vec![Problem::with(
            raw,
            format!("no such listener; the next one would be listen.{count}"),
        )]);
    };
    fill(listener, name, raw, names)
}

fn fill(target: &mut Listener, name: &str, raw: &Raw, names: &Names) -> Result<(), Vec<Problem>> {
    match listener(target).keys.into_iter().find(|key| key.name == name) {
        Some(mut key) => key.slot.fill(raw),
        None => Err(vec![Problem::with(raw, names.unknown(&path("listen", name)))]),
    }
}

/// `section.key`; at the top level the key alone.
pub(super) fn path(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// `listen.0.address` is known as `listen.address`.
fn unnumbered(path: &str) -> String {
    path.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

impl Problem {
    /// A problem with the value of `key`, wherever that was set.
    pub(super) fn of(origins: &Origins, key: &str, what: impl Into<String>) -> Self {
        let problem = match origins.get(key) {
            Some(raw) => Self::with(raw, what),
            None => Self::at(Place::Default, what),
        };
        problem.about(key)
    }
}
