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
/// path; while it reads, everybody goes on with what there is. A broken new version is told of once and not taken, and
/// tried again at each refresh.
pub struct Live<T> {
    current: ArcSwap<T>,
    load: Option<Loader<T>>,
    last: Mutex<Attempt>,
}

/// The last attempt to read something.
#[derive(Default)]
struct Attempt {
    /// The files as they were then: of one that failed those of the last good version, for no others are known.
    files: Vec<File>,
    /// Why it failed, if it did.
    errors: Vec<LoadError>,
}

type Loader<T> = Box<dyn Fn() -> Result<T, Vec<LoadError>> + Send + Sync>;

impl<T: Sources> Live<T> {
    /// Loads for the first time, and keeps `load` for later.
    pub fn new(
        load: impl Fn() -> Result<T, Vec<LoadError>> + Send + Sync + 'static,
    ) -> Result<Self, Vec<LoadError>> {
        let first = load()?;
        let last = Mutex::new(Attempt { files: first.files(), errors: Vec::new() });
        Ok(Self { current: ArcSwap::from_pointee(first), load: Some(Box::new(load)), last })
    }

    /// Something that follows no file, where something that does could stand.
    pub fn fixed(value: T) -> Self {
        Self { current: ArcSwap::from_pointee(value), load: None, last: Mutex::default() }
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
    /// Reads the files again if one of them has changed, or if they could not be read. Waits for the disk.
    fn refresh(&self) -> Refreshed;
}

impl<T: Sources + Send + Sync> Refresh for Live<T> {
    fn refresh(&self) -> Refreshed {
        let Some(load) = &self.load else { return Refreshed::Unchanged };
        let mut last = self.last.lock();
        let now: Vec<_> = last.files.iter().map(File::now).collect();
        let is_new = last.files != now;
        // What has failed is tried again: it may have been about a file that is not known here, or for want of a
        // descriptor.
        if !is_new && last.errors.is_empty() {
            return Refreshed::Unchanged;
        }
        match load() {
            Ok(new) => {
                let (before, files) = (self.current().files(), new.files());
                let changed = files.iter().filter(|file| !before.contains(file));
                let changed = changed.map(|file| file.path().to_owned()).collect();
                *last = Attempt { files, errors: Vec::new() };
                self.current.store(Arc::new(new));
                Refreshed::Replaced(changed)
            }
            Err(errors) => {
                let is_told = !is_new && last.errors == errors;
                *last = Attempt { files: now, errors: errors.clone() };
                if is_told { Refreshed::Unchanged } else { Refreshed::Kept(errors) }
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
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;
    use crate::table::{MatchList, ParentDomains};

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
    fn what_failed_for_another_file_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("inner"));
        fs::write(&outer, "10.0.0.0/8\n").unwrap();
        let text = outer.display().to_string();
        let live = Live::new(move || MatchList::load(&text, Path::new("/"), ParentDomains::Match)).unwrap();
        let has = |address: &str| live.current().matches_address(address.parse().unwrap()).unwrap();

        fs::write(&outer, inner.display().to_string()).unwrap();
        assert!(matches!(live.refresh(), Refreshed::Kept(_)));
        assert_eq!(live.refresh(), Refreshed::Unchanged, "told once");
        fs::write(&inner, "192.0.2/24\n").unwrap();
        assert!(matches!(live.refresh(), Refreshed::Kept(_)), "another fault");
        assert!(has("10.0.0.1"));

        fs::write(&inner, "192.0.2.0/24\n").unwrap();
        assert_eq!(live.refresh(), Refreshed::Replaced(vec![outer.clone(), inner.clone()]));
        assert!(has("192.0.2.1") && !has("10.0.0.1"));
        assert_eq!(live.refresh(), Refreshed::Unchanged);
    }

    #[test]
    fn what_failed_for_want_of_something_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        fs::write(&path, "a OK\n").unwrap();
        let (base, wants) = (folder.path().to_owned(), Arc::new(AtomicBool::new(false)));
        let load = {
            let wants = Arc::clone(&wants);
            move || match wants.load(Relaxed) {
                true => Err(vec![LoadError::spec("access", "too many open files")]),
                false => Table::load("texthash:access", &base),
            }
        };
        let live = Live::new(load).unwrap();

        fs::write(&path, "a REJECT\n").unwrap();
        wants.store(true, Relaxed);
        assert!(matches!(live.refresh(), Refreshed::Kept(_)));
        assert_eq!(live.refresh(), Refreshed::Unchanged, "told once");
        wants.store(false, Relaxed);
        assert_eq!(live.refresh(), Refreshed::Replaced(vec![path]));
        assert_eq!(value(&live, "a").as_deref(), Some("REJECT"));
    }

    #[test]
    fn a_table_without_file_never_changes() {
        let live = Live::table("inline:{ a=OK }", Path::new("/")).unwrap();
        assert_eq!(live.refresh(), Refreshed::Unchanged);
    }
}
