//! A place in the settings that a key fills: one value, perhaps none, a list, or names with values.

use std::collections::BTreeMap;

use super::grammar::{Grammar, Notation};
use super::problem::Problem;
use super::raw::{Form, Raw, Split};

/// A place in the settings that a key fills.
pub(super) trait Slot {
    /// Takes the value, or leaves what was there and says all that is wrong.
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>>;

    /// The present value in TOML; nothing where that is worked out from other keys.
    fn show(&self) -> Option<String>;

    /// What may be written, in a word or two.
    fn form(&self) -> String;

    /// Whether names of the user's choice stand below the key.
    fn takes_entries(&self) -> bool {
        false
    }
}

/// One value.
pub(super) fn one<T>(slot: &mut T, grammar: Grammar<T>) -> impl Slot {
    One { slot, grammar }
}

/// One value, or none if the text is empty.
pub(super) fn optional<T>(slot: &mut Option<T>, grammar: Grammar<T>) -> impl Slot {
    Optional { slot, grammar }
}

/// One value, whose default follows from other keys.
pub(super) fn preset<T>(slot: &mut Option<T>, grammar: Grammar<T>) -> impl Slot {
    Preset { slot, grammar }
}

/// A list of values; an array, or one text split as Postfix does.
pub(super) fn list<T>(slot: &mut Vec<T>, grammar: Grammar<T>) -> impl Slot {
    List { slot, grammar, split: Split::Words }
}

/// A list of values that hold spaces; an array, or one text split at commas.
pub(super) fn list_of_phrases<T>(slot: &mut Vec<T>, grammar: Grammar<T>) -> impl Slot {
    List { slot, grammar, split: Split::Commas }
}

/// A list that knows its own grammar as a whole, such as a restriction list; the items of an array are joined.
pub(super) fn whole<T>(slot: &mut T, grammar: Grammar<T>) -> impl Slot {
    Whole { slot, grammar }
}

/// Names of the user's choice, each with a value.
pub(super) fn entries<T>(slot: &mut BTreeMap<String, T>, grammar: Grammar<T>) -> impl Slot {
    Entries { slot, grammar }
}

struct One<'a, T> {
    slot: &'a mut T,
    grammar: Grammar<T>,
}

impl<T> Slot for One<'_, T> {
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>> {
        *self.slot = self.grammar.take(raw)?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        Some(self.grammar.toml(self.slot))
    }

    fn form(&self) -> String {
        self.grammar.form.clone()
    }
}

struct Optional<'a, T> {
    slot: &'a mut Option<T>,
    grammar: Grammar<T>,
}

impl<T> Slot for Optional<'_, T> {
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>> {
        *self.slot = if raw.as_text()?.is_empty() { None } else { Some(self.grammar.take(raw)?) };
        Ok(())
    }

    fn show(&self) -> Option<String> {
        Some(self.slot.as_ref().map_or_else(|| quoted(""), |value| self.grammar.toml(value)))
    }

    fn form(&self) -> String {
        format!("{}, or empty", self.grammar.form)
    }
}

struct Preset<'a, T> {
    slot: &'a mut Option<T>,
    grammar: Grammar<T>,
}

impl<T> Slot for Preset<'_, T> {
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>> {
        *self.slot = Some(self.grammar.take_joined(raw)?);
        Ok(())
    }

    fn show(&self) -> Option<String> {
        self.slot.as_ref().map(|value| self.grammar.toml(value))
    }

    fn form(&self) -> String {
        self.grammar.form.clone()
    }
}

struct List<'a, T> {
    slot: &'a mut Vec<T>,
    grammar: Grammar<T>,
    split: Split,
}

impl<T> Slot for List<'_, T> {
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>> {
        *self.slot = all(raw.items(self.split)?.iter().map(|item| self.grammar.take(item)))?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        let items: Vec<_> = self.slot.iter().map(|item| self.grammar.toml(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }

    fn form(&self) -> String {
        format!("list, each {}", self.grammar.form)
    }
}

struct Whole<'a, T> {
    slot: &'a mut T,
    grammar: Grammar<T>,
}

impl<T> Slot for Whole<'_, T> {
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>> {
        *self.slot = self.grammar.take_joined(raw)?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        Some(self.grammar.toml(self.slot))
    }

    fn form(&self) -> String {
        self.grammar.form.clone()
    }
}

struct Entries<'a, T> {
    slot: &'a mut BTreeMap<String, T>,
    grammar: Grammar<T>,
}

impl<T> Slot for Entries<'_, T> {
    fn fill(&mut self, raw: &Raw) -> Result<(), Vec<Problem>> {
        let given = raw.entries()?;
        let values = all(given.iter().map(|(_, raw)| self.grammar.take_joined(raw)))?;
        self.slot.extend(given.into_iter().map(|(name, _)| name).zip(values));
        Ok(())
    }

    fn show(&self) -> Option<String> {
        let entries: Vec<_> = self
            .slot
            .iter()
            .map(|(name, value)| format!("{} = {}", quoted(name), self.grammar.toml(value)))
            .collect();
        Some(if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) })
    }

    fn form(&self) -> String {
        format!("names, each with {}", self.grammar.form)
    }

    fn takes_entries(&self) -> bool {
        true
    }
}

impl<T> Grammar<T> {
    /// Reads one text.
    fn take(&self, raw: &Raw) -> Result<T, Vec<Problem>> {
        (self.read)(raw.as_text()?).map_err(|what| vec![Problem::with(raw, what)])
    }

    /// Reads one text, or the items of an array as one text.
    fn take_joined(&self, raw: &Raw) -> Result<T, Vec<Problem>> {
        let Form::List(items) = &raw.form else { return self.take(raw) };
        let texts = all(items.iter().map(Raw::as_text))?;
        (self.read)(&texts.join(", ")).or_else(|what| {
            // An item that is wrong by itself is blamed on its own line.
            all(items.iter().map(|item| self.take(item)))?;
            Err(vec![Problem::with(raw, what)])
        })
    }

    fn toml(&self, value: &T) -> String {
        let shown = (self.show)(value);
        match self.notation {
            Notation::Quoted => quoted(&shown),
            Notation::Bare => shown,
        }
    }
}

/// All values, or all problems.
fn all<T>(results: impl Iterator<Item = Result<T, Vec<Problem>>>) -> Result<Vec<T>, Vec<Problem>> {
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// A TOML basic string.
pub(super) fn quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
