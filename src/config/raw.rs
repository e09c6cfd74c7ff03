//! A value as it was given, before its key says what it means.
//!
//! All three sources end here: a file's TOML, the environment, `--set`. Numbers and booleans become the text that
//! Postfix would write for them, so that one grammar serves all.

use super::problem::{Place, Problem};

/// A value as given, and where.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) form: Form,
    /// As written, shortened: what an error shows.
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
    /// A text that did not come from a file.
    pub(super) fn text(text: &str, place: Place) -> Self {
        Self { form: Form::Text(text.to_owned()), shown: shortened(&format!("{text:?}")), place }
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
                let words = match split {
                    Split::Words => words(text).map_err(|what| vec![Problem::with(self, what)])?,
                    Split::Commas => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
                };
                Ok(words.into_iter().map(|word| Self::text(word, self.place.clone())).collect())
            }
        }
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

/// Splits a list as Postfix does: at commas and white space, but not inside braces.
pub(super) fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let mut start = None;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or("a brace is closed that was never opened; remove the \"}\"")?;
            }
            _ => {}
        }
        let separates = depth == 0 && (c == ',' || c.is_ascii_whitespace());
        if !separates {
            start.get_or_insert(at);
        } else if let Some(begun) = start.take() {
            words.push(&text[begun..at]);
        }
    }
    if depth > 0 {
        return Err("a brace is not closed; add the \"}\"".to_owned());
    }
    words.extend(start.map(|begun| &text[begun..]));
    Ok(words)
}

/// A value in one line of bearable length.
pub(super) fn shortened(value: &str) -> String {
    const LONGEST: usize = 72;
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST - 2).chain(" …".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_at_commas_and_space_outside_braces() {
        assert_eq!(words("a, b\tc,,d").unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(words("inline:{ k = v, l=w } x").unwrap(), ["inline:{ k = v, l=w }", "x"]);
        assert!(words("").unwrap().is_empty());
        assert!(words("{ a").unwrap_err().contains("not closed"));
        assert!(words("a }").unwrap_err().contains("never opened"));
    }

    #[test]
    fn long_values_are_shown_in_one_short_line() {
        assert_eq!(shortened("[\n  \"a\",\n]"), "[ \"a\", ]");
        assert_eq!(shortened(&"x".repeat(200)).chars().count(), 72);
    }
}
