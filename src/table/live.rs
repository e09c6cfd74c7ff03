//! What follows its files: a table or a list that is read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::Table;
use super::error::LoadError;
use super::source::File;

/// Something that was read from files.
pub trait Sources {
    /// The files, as they were when they were read.
    fn files(&self) -> Vec<File>;
}

/// Holds the last good version of something read from files.
///
/// [`Live::current`] costs nanoseconds and never waits. [`Refresh::refresh`] reads files, so call it off the network
/// path; while it reads, everybody goes on with what there is. A broken new version is told of once and not taken.
pub struct Live<T> {
    current: ArcSwap<T>,
    load: Option<Loader<T>>,
    /// The files at the last attempt to read them, good or not.
    seen: Mutex<Vec<File>>,
}

type Loader<T> = Box<dyn Fn() -> Result<T, Vec<LoadError>> + Send + Sync>;

impl<T: Sources> Live<T> {
    /// Loads for the first time, and keeps `load` for later.
    pub fn new(
        load: impl Fn() -> Result<T, Vec<LoadError>> + Send + Sync + 'static,
    ) -> Result<Self, Vec<LoadError>> {
        let first = load()?;
        let seen = Mutex::new(first.files());
        Ok(Self { current: ArcSwap::from_pointee(first), load: Some(Box::new(load)), seen })
    }

    /// Something that follows no file, where something that does could stand.
    pub fn fixed(value: T) -> Self {
        Self { current: ArcSwap::from_pointee(value), load: None, seen: Mutex::new(Vec::new()) }
    }

    /// The last good version.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }
}

impl Live<Table> {
    /// [`Table::load`] that follows its file.
    pub fn table(spec: &str, base: &Path) -> Result<Self, Vec<LoadError>> {
        let (spec, base) = (spec.to_owned(), base.to_owned());
        Self::new(move || Table::load(&spec, &base))
    }
}

/// What a look at the files led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing has changed since the last look.
    Unchanged,
    /// These files had changed, and their new version is in force.
    Replaced(Vec<PathBuf>),
    /// Files had changed, but the new version cannot be loaded: the old one stays in force.
    Kept(Vec<LoadError>),
}

/// Anything [`Live`], whatever it holds.
pub trait Refresh: Send + Sync {
    /// Reads the files again if one of them has changed. Waits for the disk.
    fn refresh(&self) -> Refreshed;
}

impl<T: Sources + Send + Sync> Refresh for Live<T> {
    fn refresh(&self) -> Refreshed {
        let Some(load) = &self.load else { return Refreshed::Unchanged };
        let mut seen = self.seen.lock();
        let now: Vec<_> = seen.iter().map(File::now).collect();
        if *seen == now {
            return Refreshed::Unchanged;
        }
        let changed =
            now.iter().filter(|file| !seen.contains(file)).map(|file| file.path().to_owned()).collect();
        match load() {
            Ok(new) => {
                *seen = new.files();
                self.current.store(Arc::new(new));
                Refreshed::Replaced(changed)
            }
            Err(errors) => {
                *seen = now;
                Refreshed::Kept(errors)
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.current.load()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn value(live: &Live<Table>, key: &str) -> Option<String> {
        live.current().lookup(key).unwrap().map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn a_changed_file_takes_effect_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        fs::write(&path, "a OK\n").unwrap();
        let live = Live::table("texthash:access", folder.path()).unwrap();
        assert_eq!(live.refresh(), Refreshed::Unchanged);

        fs::write(&path, "a REJECT\n").unwrap();
        assert_eq!(live.refresh(), Refreshed::Replaced(vec![path.clone()]));
        assert_eq!(value(&live, "a").as_deref(), Some("REJECT"));

        fs::write(&path, "a\n").unwrap();
        assert!(matches!(live.refresh(), Refreshed::Kept(errors) if errors.len() == 1));
        assert_eq!(live.refresh(), Refreshed::Unchanged, "told once");
        assert_eq!(value(&live, "a").as_deref(), Some("REJECT"));

        fs::remove_file(&path).unwrap();
        assert!(matches!(live.refresh(), Refreshed::Kept(_)));
        assert_eq!(live.refresh(), Refreshed::Unchanged);

        fs::write(&path, "a DUNNO\n").unwrap();
        assert_eq!(live.refresh(), Refreshed::Replaced(vec![path]));
        assert_eq!(value(&live, "a").as_deref(), Some("DUNNO"));
    }

    #[test]
    fn a_table_without_file_never_changes() {
        let live = Live::table("inline:{ a=OK }", Path::new("/")).unwrap();
        assert_eq!(live.refresh(), Refreshed::Unchanged);
    }
}
