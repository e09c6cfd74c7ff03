//! Fixed keys: `texthash:`, `inline:`, and the source text of `hash:` and its like.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::Findings;
use super::values::{Interner, ValueId, Values};
use super::words::{find_unquoted, is_space, unbrace, words};

/// Folded keys and their values.
#[derive(Debug)]
pub(super) struct Strings {
    entries: HashMap<Box<str>, Entry>,
    values: Values,
}

#[derive(Debug)]
struct Entry {
    value: ValueId,
    line: u32,
}

impl Strings {
    /// The value of `key` in any case.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(&*fold(key)).map(|entry| self.values.text(entry.value))
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }
}

/// What becomes of a key that stands in a file twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// `texthash:` is unusable then.
    Refuse,
    /// postmap(1), which makes `hash:` from the same text, keeps the first and warns.
    KeepFirst,
    /// `inline:` keeps the last.
    KeepLast,
}

/// Reads entries one by one.
#[derive(Debug)]
pub(super) struct Reader {
    duplicates: Duplicates,
    entries: HashMap<Box<str>, Entry>,
    values: Interner,
}

impl Reader {
    pub(super) fn new(duplicates: Duplicates) -> Self {
        Self { duplicates, entries: HashMap::new(), values: Interner::default() }
    }

    /// A line of a file: `key value`; the key ends at the first blank outside quotes, and keeps its quotes.
    pub(super) fn line(&mut self, findings: &mut Findings, line: usize, text: &str) -> Result<(), String> {
        let (key, value) = match find_unquoted(text, is_space)? {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let value = value.trim_matches(is_space);
        if value.is_empty() {
            return Err(format!("`{key}` has no value: write `{key} value`"));
        }
        if key.ends_with(':') {
            findings.warn(line, format!("the key is `{key}` with its colon; is this an alias file?"));
        }
        self.insert(findings, line, key, value)
    }

    /// The entries of `inline:{ key = value, { key = value with blanks } }`.
    pub(super) fn in_place(&mut self, findings: &mut Findings, braced: &str) -> Result<(), String> {
        for (index, word) in words(unbrace(braced)?).enumerate() {
            let entry = if word.starts_with('{') { unbrace(word)? } else { word };
            let Some(at) = find_unquoted(entry, |c| c == '=')? else {
                return Err(format!(
                    "`{entry}` has no `=`: write key=value, or {{ key = value with blanks }}"
                ));
            };
            let key = entry[..at].trim_matches(is_space);
            let value = entry[at + 1..].trim_matches(is_space);
            if key.is_empty() || value.is_empty() {
                return Err(format!("`{entry}` needs a key and a value around its `=`"));
            }
            self.insert(findings, index + 1, key, value)?;
        }
        if self.entries.is_empty() { Err("an inline table needs an entry".to_owned()) } else { Ok(()) }
    }

    fn insert(&mut self, findings: &mut Findings, line: usize, key: &str, value: &str) -> Result<(), String> {
        let folded = fold(key);
        if let Some(first) = self.entries.get(&*folded) {
            match self.duplicates {
                Duplicates::Refuse => {
                    return Err(format!("`{key}` stands in line {} already: keep one of them", first.line));
                }
                Duplicates::KeepFirst => {
                    findings
                        .warn(line, format!("`{key}` stands in line {} already, which counts", first.line));
                    return Ok(());
                }
                Duplicates::KeepLast => {}
            }
        }
        let value = self.values.intern(value, line)?;
        let line = u32::try_from(line).map_err(|_| "more than 4 billion lines".to_owned())?;
        self.entries.insert(folded.into(), Entry { value, line });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Strings {
        self.entries.shrink_to_fit();
        Strings { entries: self.entries, values: self.values.finish() }
    }
}

/// The form under which keys are kept and sought: lower case. Most keys have that already.
pub(super) fn fold(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase()) {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(key.to_lowercase())
    }
}
