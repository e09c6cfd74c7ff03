//! TOML into assignments, with the line of each value.
//!
//! Reads on after every error, so that one run names them all.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::{Place, Problem};
use super::raw::{Assignment, Form, Raw};

/// Which names have a meaning; the answers come from the table of keys.
pub(super) trait Names {
    /// What stands at `path`.
    fn at(&self, path: &str) -> Name;

    /// What to say of a path that means nothing.
    fn unknown(&self, path: &str) -> String;
}

/// What a name in the file means.
pub(super) enum Name {
    /// A key with a value.
    Key,
    /// A section with keys below it.
    Section,
    /// A section that may stand several times, `[[name]]`.
    Sections,
    /// Nothing.
    Unknown,
}

/// Reads a whole file; `file` is the name that errors show.
pub(super) fn read(text: &str, file: &str, names: &impl Names) -> (Vec<Assignment>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, file: file.into(), names, assignments: Vec::new(), problems: Vec::new() };
    for error in errors {
        let place = error.span().map_or(Place::File(file.into()), |span| reader.place(&span));
        reader.problems.push(Problem::at(place, syntax(error.message())));
    }
    let misread: Vec<_> = reader.problems.iter().map(|problem| problem.place.clone()).collect();
    reader.section("", table.get_ref());
    // What the parser made of a line that it could not read would only be wrong again.
    reader.assignments.retain(|assignment| !misread.contains(&assignment.raw.place));
    (reader.assignments, reader.problems)
}

struct Reader<'a, N> {
    text: &'a str,
    file: Arc<str>,
    names: &'a N,
    assignments: Vec<Assignment>,
    problems: Vec<Problem>,
}

impl<N: Names> Reader<'_, N> {
    fn section(&mut self, path: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = if path.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{path}.{}", name.get_ref())
            };
            match (self.names.at(&path), value.get_ref()) {
                (Name::Key, _) => {
                    let raw = self.raw(value);
                    self.assign(path, raw);
                }
                (Name::Section, DeValue::Table(table)) => self.section(&path, table),
                (Name::Section, _) => {
                    let what = format!("a section, not a key; write [{path}] and its keys below");
                    self.refuse(value, path, what);
                }
                (Name::Sections, DeValue::Array(items)) => self.sections(&path, value, items),
                (Name::Sections, DeValue::String(_)) => {
                    let raw = self.raw(value);
                    self.assign(path, raw);
                }
                (Name::Sections, _) => {
                    let what = format!("a list of sections; write [[{path}]] for each");
                    self.refuse(value, path, what);
                }
                (Name::Unknown, _) => {
                    let what = self.names.unknown(&path);
                    let place = self.place(&name.span());
                    self.problems.push(Problem::at(place, what).about(path));
                }
            }
        }
    }

    /// `[[listen]]` once for each, or the short form `listen = ["address", …]`.
    fn sections(&mut self, path: &str, value: &Spanned<DeValue<'_>>, items: &DeArray<'_>) {
        let tables = items.iter().filter(|item| item.get_ref().is_table()).count();
        if tables == 0 {
            let raw = self.raw(value);
            return self.assign(path.to_owned(), raw);
        }
        // Each has what is not written in it by default, even if nothing is.
        let bare = |item: &Spanned<_>| Raw { form: Form::Entries(Vec::new()), ..self.raw(item) };
        let form = Form::List(items.iter().filter(|item| item.get_ref().is_table()).map(bare).collect());
        self.assign(path.to_owned(), Raw { form, ..self.raw(value) });
        for (index, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => self.section(&format!("{path}.{index}"), table),
                _ => self.refuse(item, path.to_owned(), format!("not a section; write [[{path}]] for each")),
            }
        }
    }

    fn assign(&mut self, key: String, raw: Raw) {
        self.assignments.push(Assignment { key, raw });
    }

    fn refuse(&mut self, value: &Spanned<DeValue<'_>>, key: String, what: String) {
        let problem = Problem::with(&self.raw(value), what).about(key);
        self.problems.push(problem);
    }

    fn raw(&self, value: &Spanned<DeValue<'_>>) -> Raw {
        raw(self.text, value, &|span| self.place(span))
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        Place::Line(self.file.clone(), 1 + before.iter().filter(|b| **b == b'\n').count())
    }
}

/// A text such as `{ name = "value" }`, which stands at `place`.
pub(super) fn inline_table(text: &str, place: &Place) -> Option<Vec<(String, Raw)>> {
    let value = DeValue::parse(text).ok()?;
    match raw(text, &value, &|_| place.clone()).form {
        Form::Entries(entries) => Some(entries),
        Form::Text(_) | Form::List(_) => None,
    }
}

/// A value of the file `text`, and what is in it.
fn raw(text: &str, value: &Spanned<DeValue<'_>>, place: &dyn Fn(&Range<usize>) -> Place) -> Raw {
    let form = match value.get_ref() {
        DeValue::String(text) => Form::Text(text.to_string()),
        DeValue::Integer(number) => Form::Text(number.to_string()),
        DeValue::Float(number) => Form::Text(number.to_string()),
        DeValue::Boolean(true) => Form::Text("yes".to_owned()),
        DeValue::Boolean(false) => Form::Text("no".to_owned()),
        DeValue::Datetime(moment) => Form::Text(moment.to_string()),
        DeValue::Array(items) => Form::List(items.iter().map(|item| raw(text, item, place)).collect()),
        DeValue::Table(table) => Form::Entries(
            table.iter().map(|(name, value)| (name.get_ref().to_string(), raw(text, value, place))).collect(),
        ),
    };
    let span = value.span();
    Raw::new(form, text.get(span.clone()).unwrap_or_default(), place(&span))
}

/// The parser's message with a remedy, where one can be told.
fn syntax(message: &str) -> String {
    match message {
        "duplicate key" => "given twice; remove one".to_owned(),
        _ => format!("TOML: {message}"),
    }
}
