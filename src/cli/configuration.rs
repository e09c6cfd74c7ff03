//! Where the configuration comes from.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use prescreen::config::{Config, Override, Place, Problem, Source, Warning};

use super::{EX_CONFIG, Stopped, count};

/// The variable that names the configuration file.
const CONFIG: &str = "PRESCREEN_CONFIG";

/// Where the configuration comes from. Each layer wins over the one before it: embedded defaults, the file, the
/// environment (`PRESCREEN_SECTION_KEY`), options.
#[derive(Args, Clone)]
pub(super) struct Configuration {
    /// The configuration file; without one, that in PRESCREEN_CONFIG, else the embedded defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here, in place of what the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Hand clean connections to this server, in place of what the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    backend: Vec<String>,
    /// Override one key: `--set screen.greet_wait=2s`.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
}

impl Configuration {
    /// The one in `file`, or where the environment says.
    pub(super) fn of(file: Option<PathBuf>) -> Self {
        Self { config: file, listen: Vec::new(), backend: Vec::new(), overrides: Vec::new() }
    }

    /// Reads it, and says on standard error what is wrong with it.
    pub(super) fn load(&self) -> Result<Config, Stopped> {
        self.load_or(|_| {})
    }

    /// The same; `tell` hears of each problem, too.
    pub(super) fn load_or(&self, mut tell: impl FnMut(&Problem)) -> Result<Config, Stopped> {
        let (config, warnings) = self.read().map_err(|problems| {
            for problem in &problems {
                eprintln!("{problem}");
                tell(problem);
            }
            eprintln!("{} found", count(problems.len(), "error"));
            ExitCode::from(EX_CONFIG)
        })?;
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        Ok(config)
    }

    pub(super) fn read(&self) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
        self.read_from(&self.source())
    }

    /// The same of another file, with all that is laid over it.
    pub(super) fn read_from(&self, source: &Source) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
        Config::load(source, &self.all_overrides()?, environment())
    }

    /// What it says of itself, without the files that it names; what is wrong with it is left out.
    pub(super) fn glance(&self) -> Result<Config, Problem> {
        Config::glance(&self.source(), &self.all_overrides().unwrap_or_default(), environment())
    }

    fn source(&self) -> Source {
        let named = || env::var_os(CONFIG).filter(|file| !file.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(named).map_or(Source::Defaults, Source::File)
    }

    fn all_overrides(&self) -> Result<Vec<Override>, Vec<Problem>> {
        let listen = (!self.listen.is_empty()).then(|| format!("listen={}", self.listen.join(" ")));
        let backend =
            (!self.backend.is_empty()).then(|| format!("backend.servers={}", self.backend.join(" ")));
        let texts = listen.iter().chain(&backend).chain(&self.overrides);
        let mut overrides = Vec::new();
        let mut problems = Vec::new();
        for text in texts {
            match text.parse::<Override>() {
                Ok(set) => overrides.push(set),
                Err(what) => problems.push(Problem::at(Place::CommandLine, what)),
            }
        }
        if problems.is_empty() { Ok(overrides) } else { Err(problems) }
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
