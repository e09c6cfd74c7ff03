//! From a Postfix configuration to ours: `prescreen import-postfix`.
//!
//! ```text
//! main.cf, master.cf ─► settings ─► values, all $names filled in ─► our keys ─► TOML
//!                                                               └► report: what changed, what is missing and why
//! ```
//!
//! Restriction lists move over word for word, since prescreen speaks their language; what cannot work in front of
//! the backend is left out and named. Nothing is guessed: where a database alone knows the domains, relay control
//! stays with the backend.

pub(super) mod dead_lists;
mod expand;
mod lists;
mod main_cf;
mod parameters;
mod ports;
pub(super) mod rules;
mod site;
mod translation;
mod traps;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Config, system_hostname};
use crate::config;
use crate::spelling::nearest;
use parameters::Postfix;
use rules::{parameters, without_counterpart};
use translation::Translation;

/// A Postfix configuration to translate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    folder: PathBuf,
    main: String,
    main_name: String,
    master: Option<String>,
    hostname: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// prescreen.toml.
    pub toml: String,
    /// What changed, what is missing and why; for people.
    pub report: String,
    /// The lines of main.cf and master.cf that Postfix needs behind prescreen.
    pub postfix_side: String,
}

impl Source {
    /// Reads a folder with main.cf and perhaps master.cf, or a main.cf with a master.cf beside it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let main = if path.is_dir() { path.join("main.cf") } else { path.to_owned() };
        let folder = main.parent().map(Path::to_path_buf).unwrap_or_default();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", main.display()));
        Ok(Self {
            main: fs::read_to_string(&main).map_err(named)?,
            main_name: main.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            master: fs::read_to_string(folder.join("master.cf")).ok(),
            folder,
            hostname: system_hostname(),
        })
    }

    /// main.cf as text, or what `postconf -n` prints.
    pub fn text(main: impl Into<String>) -> Self {
        Self {
            folder: "/etc/postfix".into(),
            main: main.into(),
            main_name: "main.cf".to_owned(),
            master: None,
            hostname: system_hostname(),
        }
    }

    fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Translates. Nothing stands in the way: what cannot be translated is told in the report.
pub fn import(source: &Source) -> Imported {
    let mut translation = Translation::new(Postfix::read(source));
    translation.hostname();
    translation.networks();
    let ports = translation.ports();
    translation.backend(&ports);
    translation.screening();
    translation.apply_rules();
    translation.tempfail_actions();
    translation.exceptions();
    translation.backend_seats();
    let knowledge = translation.domains();
    translation.restriction_lists(&knowledge);
    translation.tls();
    translation.traps();
    translation.sort_the_rest();
    let postfix_side = translation.postfix_side(&ports.backend);
    let toml = translation.toml(&source.main_name, &ports);
    let notes = translation.postfix.notes();
    let (problems, warnings) = objections(&toml);
    Imported { report: translation.report.text(problems, warnings, notes), toml, postfix_side }
}

/// What `prescreen check` will say: what must be put right, or else what it warns of.
fn objections(toml: &str) -> (Vec<String>, Vec<String>) {
    let source = config::Source::Text {
        name: "prescreen.toml".to_owned(),
        text: toml.to_owned(),
        base: PathBuf::new(),
    };
    match Config::load(&source, &[], []) {
        Ok((_, warnings)) => (Vec::new(), warnings.iter().map(ToString::to_string).collect()),
        Err(problems) => (problems.iter().map(ToString::to_string).collect(), Vec::new()),
    }
}

impl Translation<'_> {
    /// Parameters that nothing has asked for: either they have no counterpart, or they are Postfix's own affair.
    fn sort_the_rest(&mut self) {
        let rest: Vec<_> = self
            .postfix
            .settings()
            .filter(|(name, _)| !self.done.contains(*name))
            .map(|(name, setting)| (name.to_owned(), setting.origin.clone()))
            .collect();
        for (name, origin) in rest {
            let off = matches!(self.postfix.value(&name).as_str(), "" | "no" | "0");
            match without_counterpart(&name) {
                _ if self.postfix.is_referred_to(&name) => {}
                Some("") => {}
                Some(_) if off => {}
                Some(why) => self.report.missing(why, &name, &origin),
                None if name.starts_with("smtpd_") || name.starts_with("postscreen_") => {
                    let hint = nearest(&name, parameters())
                        .map_or(String::new(), |near| format!("; did you mean {near}?"));
                    let what =
                        format!("{origin}: Postfix has no parameter {name}, and it does nothing{hint}");
                    self.report.attention.push(what);
                }
                None => self.report.stays.push(name),
            }
        }
    }
}
