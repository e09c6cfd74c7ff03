//! What is wrong with a configuration, said so that it can be put right: where, which key, which value, what instead.

use std::fmt;
use std::sync::Arc;

use super::raw::Raw;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, counted from 1.
    Line(Arc<str>, usize),
    /// A file as a whole.
    File(Arc<str>),
    /// An environment variable.
    Environment(Arc<str>),
    /// A file that an environment variable names; its content is not for showing.
    Secret {
        /// The variable.
        variable: Arc<str>,
        /// The file.
        file: Arc<str>,
    },
    /// `--set`, or an option that stands for it.
    CommandLine,
    /// Nowhere: the default.
    Default,
}

/// One thing that is wrong. Prints as `prescreen.toml:12: screen.greet_wait = "6 parsecs": not a time; write a …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value was given.
    pub place: Place,
    /// The key in full, `section.key`, where one is concerned.
    pub key: Option<String>,
    /// The value as written, shortened if long.
    pub value: Option<String>,
    /// What is wrong and, behind the first semicolon or colon, what would be right.
    pub what: String,
}

/// Something that works but is hardly meant so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Problem);

impl Problem {
    /// A problem with a value as it was given.
    pub(super) fn with(raw: &Raw, what: impl Into<String>) -> Self {
        let what = raw.discreet(what.into());
        Self { place: raw.place.clone(), key: None, value: Some(raw.shown.clone()), what }
    }

    /// A problem at a place, about no value in particular.
    pub fn at(place: Place, what: impl Into<String>) -> Self {
        Self { place, key: None, value: None, what: what.into() }
    }

    /// The same, about `key`.
    pub(super) fn about(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What would be right.
    pub fn remedy(&self) -> Option<&str> {
        self.what.split_once("; ").or_else(|| self.what.split_once(": ")).map(|(_, remedy)| remedy)
    }
}

impl Place {
    /// Where in a list of problems it belongs: a file's lines in their order, then what was laid over them.
    pub(super) fn order(&self) -> (u8, usize) {
        match self {
            Self::File(_) => (0, 0),
            Self::Line(_, line) => (1, *line),
            Self::Environment(_) | Self::Secret { .. } => (2, 0),
            Self::CommandLine => (3, 0),
            Self::Default => (4, 0),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
            Self::Environment(variable) | Self::Secret { variable, .. } => {
                write!(f, "environment {variable}")
            }
            Self::CommandLine => f.write_str("--set"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "{key} = {value}: ")?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, Some(value)) => write!(f, "{value}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.what)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_place_key_value_and_sentence() {
        let problem = Problem {
            place: Place::Line("prescreen.toml".into(), 12),
            key: Some("screen.greet_wait".to_owned()),
            value: Some("\"6 parsecs\"".to_owned()),
            what: "not a time; write a number".to_owned(),
        };
        assert_eq!(
            problem.to_string(),
            "prescreen.toml:12: screen.greet_wait = \"6 parsecs\": not a time; write a number"
        );
        assert_eq!(problem.remedy(), Some("write a number"));
    }
}
