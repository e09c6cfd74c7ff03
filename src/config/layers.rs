//! What is laid over the file: the environment, and `--set section.key=value` over that.

use std::collections::BTreeMap;
use std::fs;
use std::str::FromStr;

use super::problem::{Place, Problem, Warning};
use super::raw::{Assignment, Raw};

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// In full: `section.key`.
    pub key: String,
    /// As Postfix would write it: `6s`, `yes`, `a, b`.
    pub value: String,
}

impl Override {
    /// `key` set to `value`.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Self::new(key.trim(), value)),
            _ => Err("no key; write section.key=value, such as screen.greet_wait=6s".to_owned()),
        }
    }
}

/// Every variable begins with it: `PRESCREEN_SCREEN_GREET_WAIT` is `screen.greet_wait`.
const PREFIX: &str = "PRESCREEN_";

/// Behind a variable's name: the value is in that file, as container secrets are.
const IN_FILE: &str = "_FILE";

/// Variables with our prefix that are no keys: Kubernetes sets them for a Service named `prescreen`,
/// `PRESCREEN_CONFIG` names the file itself, and `PRESCREEN_PREDECESSOR` the process that an upgrade replaces.
const NOT_KEYS: [&str; 5] = ["SERVICE_HOST", "SERVICE_PORT", "PORT", "CONFIG", "PREDECESSOR"];

/// The variable that sets `key`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The overrides as assignments.
pub(super) fn command_line(overrides: &[Override]) -> Vec<Assignment> {
    let assignment =
        |set: &Override| Assignment { key: set.key.clone(), raw: Raw::text(&set.value, Place::CommandLine) };
    overrides.iter().map(assignment).collect()
}

/// Reads the variables that name a key, in the order of their names, so that `PRESCREEN_LISTEN` comes before
/// `PRESCREEN_LISTEN_0_ADDRESS`. One that begins like ours and names none is a warning, not an error: others may set
/// variables, too.
pub(super) fn environment(
    variables: impl IntoIterator<Item = (String, String)>,
    keys: &BTreeMap<String, String>,
) -> (Vec<Assignment>, Vec<Problem>, Vec<Warning>) {
    let (mut assignments, mut problems, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let variables: BTreeMap<_, _> =
        variables.into_iter().filter(|(variable, _)| variable.starts_with(PREFIX)).collect();
    for (variable, value) in &variables {
        let place = Place::Environment(variable.as_str().into());
        if let Some(key) = key_of(variable, keys) {
            assignments.push(Assignment { key, raw: Raw::text(value, place) });
            continue;
        }
        let named = variable.strip_suffix(IN_FILE);
        if let Some((named, key)) = named.and_then(|named| Some((named, key_of(named, keys)?))) {
            match secret(variable, value) {
                _ if variables.contains_key(named) => {
                    let what = format!("{named} is set, too; unset one of the two");
                    problems.push(Problem::at(place, what).about(key));
                }
                Ok(raw) => assignments.push(Assignment { key, raw }),
                Err(problem) => problems.push(problem.about(key)),
            }
        } else if !is_others(variable) {
            let near = crate::spelling::nearest(variable, keys.keys().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            warnings.push(Warning(Problem::at(place, format!("names no key and is ignored{hint}"))));
        }
    }
    (assignments, problems, warnings)
}

/// The content of `file`, without the line ends behind it.
fn secret(variable: &str, file: &str) -> Result<Raw, Problem> {
    match fs::read_to_string(file) {
        Ok(content) => {
            let place = Place::Secret { variable: variable.into(), file: file.into() };
            Ok(Raw::text(content.trim_end_matches(['\r', '\n']), place))
        }
        Err(error) => {
            let what = format!("cannot read the file {file:?}: {error}; mount it, or unset the variable");
            Err(Problem::at(Place::Environment(variable.into()), what))
        }
    }
}

/// Whether a variable begins like ours and is known to be set by others, or read by the command line.
fn is_others(variable: &str) -> bool {
    let rest = variable.strip_prefix(PREFIX).unwrap_or_default();
    NOT_KEYS.contains(&rest) || rest.starts_with("PORT_") || rest.starts_with("SERVICE_PORT_")
}

/// The key that a variable names, also of a listener by its number: `PRESCREEN_LISTEN_0_ADDRESS`.
fn key_of(variable: &str, keys: &BTreeMap<String, String>) -> Option<String> {
    if let Some(key) = keys.get(variable) {
        return Some(key.clone());
    }
    let (number, rest) = variable.strip_prefix("PRESCREEN_LISTEN_")?.split_once('_')?;
    let number: usize = number.parse().ok()?;
    let field = keys.get(&format!("PRESCREEN_LISTEN_{rest}"))?.strip_prefix("listen.")?;
    Some(format!("listen.{number}.{field}"))
}
