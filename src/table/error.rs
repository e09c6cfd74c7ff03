//! What can be wrong with a table: when it is loaded, and when it is asked.

use std::fmt;

/// Errors and warnings of one table that are told; of a file that is no table at all nobody wants to read a million.
const TOLD: usize = 100;

/// A table that cannot answer: `fail:`, a pattern that ran over its limit, a substitution that came out empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {what}")]
pub struct LookupError {
    /// The table as configured.
    pub table: String,
    /// What went wrong.
    pub what: String,
}

/// A table, or something else that follows its files, that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// What is named is wrong as a whole, or its file cannot be read.
    #[error("{spec}: {what}")]
    Spec {
        /// The text as configured, `type:name` of a table.
        spec: String,
        /// What is wrong and what would be right.
        what: String,
    },
    /// A line of the table's file is wrong.
    #[error("{file}:{line}: {what}")]
    Line {
        /// The file; of rules written in place, the table as configured.
        file: String,
        /// Counted from 1; of rules written in place, the number of the rule.
        line: usize,
        /// What is wrong and what would be right.
        what: String,
    },
}

impl LoadError {
    /// `spec` is wrong, for the reason `what`.
    pub(super) fn spec(spec: &str, what: impl Into<String>) -> Self {
        Self::Spec { spec: spec.to_owned(), what: what.into() }
    }
}

/// A line that works, but hardly as meant. Loading goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file, as in [`LoadError::Line`].
    pub file: String,
    /// The line, as in [`LoadError::Line`].
    pub line: usize,
    /// What is odd and what was made of it.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Collects what is said of a table's lines while the table is read to its end.
#[derive(Debug)]
pub(super) struct Findings {
    file: String,
    errors: Vec<(usize, String)>,
    warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), errors: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn error(&mut self, line: usize, what: impl Into<String>) {
        self.errors.push((line, what.into()));
    }

    pub(super) fn warn(&mut self, line: usize, what: impl Into<String>) {
        if self.warnings.len() < TOLD {
            self.warnings.push(Warning { file: self.file.clone(), line, what: what.into() });
        }
    }

    /// The warnings, if there was no error. Both are in the order of the lines.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, Vec<LoadError>> {
        if self.errors.is_empty() {
            self.warnings.sort_by_key(|warning| warning.line);
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(|(line, _)| *line);
        let untold = self.errors.len().saturating_sub(TOLD);
        self.errors.truncate(TOLD);
        let mut errors: Vec<_> = (self.errors.into_iter())
            .map(|(line, what)| LoadError::Line { file: self.file.clone(), line, what })
            .collect();
        if untold > 0 {
            errors.push(LoadError::spec(&self.file, format!("and {untold} more errors")));
        }
        Err(errors)
    }
}
