//! A value as it was given, before its key says what it means.
//!
//! All three sources end here: a file's TOML, the environment, `--set`. Numbers and booleans become the text that
//! Postfix would write for them, so that one grammar serves all.

use super::file;
use super::problem::{Place, Problem};
use crate::table::words;

/// A value as given, and where.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) form: Form,
    /// As written, shortened, or where it is kept: what an error shows.
    pub(super) shown: String,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    Text(String),
    List(Vec<Raw>),
    Entries(Vec<(String, Raw)>),
}

/// One value for one key.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    /// In full: `section.key`.
    pub(super) key: String,
    pub(super) raw: Raw,
}

impl Raw {
    /// A value that was written as `written`. Of a secret, an error shows where it is kept.
    pub(super) fn new(form: Form, written: &str, place: Place) -> Self {
        let shown = match &place {
            Place::Secret { file, .. } => format!("content of {file}"),
            _ => shortened(&without_password(written)),
        };
        Self { form, shown, place }
    }

    /// A text that did not come from a configuration file.
    pub(super) fn text(text: &str, place: Place) -> Self {
        Self::new(Form::Text(text.to_owned()), &format!("{text:?}"), place)
    }

    /// What is said of the value, without the value where that is a secret.
    pub(super) fn discreet(&self, said: String) -> String {
        match (&self.place, &self.form) {
            (Place::Secret { .. }, Form::Text(text)) if !text.trim().is_empty() => {
                without_words_of(text.trim(), &said)
            }
            _ => said,
        }
    }

    /// The text, where one text is wanted.
    pub(super) fn as_text(&self) -> Result<&str, Vec<Problem>> {
        match &self.form {
            Form::Text(text) => Ok(text.trim()),
            Form::List(_) => Err(vec![Problem::with(self, "a list; write one value, without brackets")]),
            Form::Entries(_) => Err(vec![Problem::with(self, "a table; write one value")]),
        }
    }

    /// The items, where a list is wanted: of an array, or of a text.
    pub(super) fn items(&self, split: Split) -> Result<Vec<Self>, Vec<Problem>> {
        match &self.form {
            Form::Entries(_) => {
                Err(vec![Problem::with(self, "a table; write a list, such as [\"a\", \"b\"] or \"a, b\"")])
            }
            Form::List(items) => Ok(items.clone()),
            Form::Text(text) => {
                let item = |text| Self::text(text, self.place.clone());
                Ok(match split {
                    Split::Words => words(text).map(item).collect(),
                    Split::Commas => {
                        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(item).collect()
                    }
                })
            }
        }
    }
}

impl Raw {
    /// Names and values, where these are wanted: a table, or a text that holds an inline one.
    pub(super) fn entries(&self) -> Result<Vec<(String, Self)>, Vec<Problem>> {
        let inline = match &self.form {
            Form::Entries(entries) => return Ok(entries.clone()),
            Form::Text(text) => file::inline_table(text, &self.place),
            Form::List(_) => None,
        };
        let what = "not a table; write names and values, such as { name = \"value\" }";
        inline.ok_or_else(|| vec![Problem::with(self, what)])
    }
}

/// Where a text that stands for a list is cut.
#[derive(Clone, Copy)]
pub(super) enum Split {
    /// As Postfix does: at commas and white space.
    Words,
    /// At commas alone: the items hold spaces.
    Commas,
}

/// What is said, without the words of a secret, and without what stands in backquotes and is a part of it.
fn without_words_of(secret: &str, said: &str) -> String {
    // A shorter word says nothing, and is a part of many others.
    let is_telling = |word: &&str| word.len() >= 6;
    let mut hidden: Vec<_> = words(secret).filter(is_telling).collect();
    hidden.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
    let said = hidden.iter().fold(said.replace(secret, "…"), |said, word| said.replace(word, "…"));
    let is_hidden = |at: usize, part: &str| at % 2 == 1 && is_telling(&part) && secret.contains(part);
    let parts = said.split('`').enumerate();
    parts.map(|(at, part)| if is_hidden(at, part) { "…" } else { part }).collect::<Vec<_>>().join("`")
}

/// A URL that holds a password without it.
fn without_password(written: &str) -> String {
    let hidden = (|| {
        let (scheme, rest) = written.split_once("://")?;
        let (user, host) = rest.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:…@{host}"))
    })();
    hidden.unwrap_or_else(|| written.to_owned())
}

/// A value in one line of bearable length.
pub(super) fn shortened(value: &str) -> String {
    shortened_to(72, value)
}

/// A value in one line of at most `longest` characters.
pub(super) fn shortened_to(longest: usize, value: &str) -> String {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= longest {
        return line;
    }
    line.chars().take(longest.saturating_sub(2)).chain(" …".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shown_in_one_short_line() {
        assert_eq!(shortened("[\n  \"a\",\n]"), "[ \"a\", ]");
        assert_eq!(shortened(&"x".repeat(200)).chars().count(), 72);
    }
}
