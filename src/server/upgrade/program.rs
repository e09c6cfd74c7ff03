//! What to start in our place: the same path and the same arguments, looked up anew.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program as it was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
}

impl Program {
    /// This one. A link on the way to it is followed when the successor is started, not now, and so is `PATH`.
    pub fn this() -> Self {
        let mut arguments = env::args_os();
        let called = arguments.next().map(PathBuf::from).unwrap_or_default();
        let folder = env::current_dir().ok();
        let (has_folder, absolute) = match &folder {
            Some(folder) => (called.components().count() > 1, folder.join(&called)),
            None => (called.is_absolute(), called.clone()),
        };
        let path = if has_folder && absolute.exists() {
            absolute
        } else if !has_folder && is_in_path(&called) {
            called
        } else {
            // Called by another name than its own, as login(1) does with shells.
            env::current_exe().unwrap_or(called)
        };
        Self { path, arguments: arguments.collect(), folder }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

fn is_in_path(name: &Path) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    !name.as_os_str().is_empty() && env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}
