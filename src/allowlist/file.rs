//! The file on disk: redb behind a guard.
//!
//! Passes can be won back by testing clients again, so a file that cannot be read is not repaired but set aside,
//! as `*.corrupt-<unix time>`, and an empty one takes its place. What operators have ordered is lost with it where
//! memory does not have it yet, and the log says so: an order made up by damage would be worse. redb reports most
//! damage as an error, some of it as a panic, and could abort on more. Errors and panics are caught here. For the
//! rest there is a marker file beside it while it is being opened: two starts in a row that did not live to remove
//! the marker are taken as the file's fault, one alone is not, because a process may be killed at any time.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipnet::IpNet;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::orders::Standing;
use super::record::{Key, Record};

const ORDERS: TableDefinition<[u8; Key::SIZE], [u8; Standing::SIZE]> = TableDefinition::new("orders");

const TABLE: TableDefinition<[u8; Key::SIZE], [u8; Record::SIZE]> = TableDefinition::new("allowlist");

/// redb's page cache, in bytes. Reads happen at the start only; its default of 1 GiB would be for nothing.
const PAGE_CACHE: usize = 4 << 20;

/// Starts that may die while opening before the file is blamed.
const LIVES: u8 = 2;

/// Why the file cannot be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process holds it.
    Locked,
    /// Its content makes no sense, now or ever.
    Damaged(String),
    /// The disk refuses: full, read-only, failing, not allowed.
    Ill(String),
}

/// The open file. Only its thread touches it.
pub(super) struct Disk {
    database: Database,
}

impl Disk {
    /// Opens or creates the file and reads it whole. A damaged one is set aside first, with a warning.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<(Key, Record)>), Trouble> {
        let guard = Guard::enter(path)?;
        let first = if guard.deaths >= LIVES {
            Err(Trouble::Damaged(format!("{LIVES} starts in a row died while opening it")))
        } else {
            caught(|| Self::open_unguarded(path))
        };
        let Err(Trouble::Damaged(why)) = first else { return first };
        let aside = set_aside(path)?;
        let lost = "what is not in memory is lost, orders to allow or deny clients too";
        tracing::warn!(?path, ?aside, why, "allowlist file damaged; set aside, starting empty: {lost}");
        caught(|| Self::open_unguarded(path))
    }

    fn open_unguarded(path: &Path) -> Result<(Self, Vec<(Key, Record)>), Trouble> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(Trouble::Ill("not a regular file".to_owned()));
        }
        let database = Database::builder()
            .set_cache_size(PAGE_CACHE)
            .set_check_integrity_on_open(true)
            .create_with_backend(FileBackend::new(file).map_err(redb::Error::from)?)
            .map_err(redb::Error::from)?;
        let disk = Self { database };
        let rows = disk.rows()?;
        Ok((disk, rows))
    }

    fn rows(&self) -> Result<Vec<(Key, Record)>, Trouble> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = match transaction.open_table(TABLE) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            opened => opened.map_err(redb::Error::from)?,
        };
        let mut rows = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (key, record) = row.map_err(redb::Error::from)?;
            if let Some(record) = Record::decode(record.value()) {
                rows.push((Key::decode(key.value()), record));
            }
        }
        Ok(rows)
    }

    /// Writes what `memory` holds of each of `keys`, and removes those that it does not hold; durable on return.
    pub(super) fn write<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Key>,
        memory: impl Fn(&Key) -> Option<Record>,
    ) -> Result<(), Trouble> {
        caught(|| {
            let transaction = self.database.begin_write().map_err(redb::Error::from)?;
            {
                let mut table = transaction.open_table(TABLE).map_err(redb::Error::from)?;
                for key in keys {
                    let octets = key.encode();
                    match memory(key) {
                        Some(record) => table.insert(octets, record.encode()).map_err(redb::Error::from)?,
                        None => table.remove(octets).map_err(redb::Error::from)?,
                    };
                }
            }
            transaction.commit().map_err(redb::Error::from)?;
            Ok(())
        })
    }

    /// The orders in the file.
    pub(super) fn orders(&self) -> Result<Vec<(IpNet, Standing)>, Trouble> {
        caught(|| {
            let transaction = self.database.begin_read().map_err(redb::Error::from)?;
            let table = match transaction.open_table(ORDERS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                opened => opened.map_err(redb::Error::from)?,
            };
            let mut orders = Vec::new();
            for row in table.iter().map_err(redb::Error::from)? {
                let (key, order) = row.map_err(redb::Error::from)?;
                if let Some(order) = Standing::decode(order.value()) {
                    orders.push((Key::decode(key.value()).network(), order));
                }
            }
            Ok(orders)
        })
    }

    /// Puts `orders` in the place of those in the file; durable on return. They are few.
    pub(super) fn rewrite_orders(&self, orders: &[(IpNet, Standing)]) -> Result<(), Trouble> {
        caught(|| {
            let transaction = self.database.begin_write().map_err(redb::Error::from)?;
            {
                let mut table = transaction.open_table(ORDERS).map_err(redb::Error::from)?;
                table.retain(|_, _| false).map_err(redb::Error::from)?;
                for (network, order) in orders {
                    table.insert(Key::of(*network).encode(), order.encode()).map_err(redb::Error::from)?;
                }
            }
            transaction.commit().map_err(redb::Error::from)?;
            Ok(())
        })
    }

    /// Removes what `wanted` does not want; returns how many.
    pub(super) fn retain(&self, wanted: impl Fn(&Key) -> bool) -> Result<u64, Trouble> {
        caught(|| {
            let transaction = self.database.begin_write().map_err(redb::Error::from)?;
            let mut removed = 0;
            {
                let mut table = transaction.open_table(TABLE).map_err(redb::Error::from)?;
                let unwanted = |key: [u8; Key::SIZE], _: [u8; Record::SIZE]| {
                    let keep = wanted(&Key::decode(key));
                    removed += u64::from(!keep);
                    keep
                };
                table.retain(unwanted).map_err(redb::Error::from)?;
            }
            if removed == 0 {
                transaction.abort().map_err(redb::Error::from)?;
            } else {
                transaction.commit().map_err(redb::Error::from)?;
            }
            Ok(removed)
        })
    }

    /// Gives back to the disk what the file has no use for; a file that has seen years is mostly holes.
    pub(super) fn compact(&mut self) -> Result<(), Trouble> {
        caught(|| self.database.compact().map(|_| ()).map_err(|error| redb::Error::from(error).into()))
    }

    /// Gives the file back to whoever waits for it. A file in trouble may panic on the way out, too.
    pub(super) fn close(self) {
        if let Err(trouble) =
            caught(|| self.database.close().map_err(|error| redb::Error::from(error).into()))
        {
            tracing::debug!(?trouble, "allowlist file not closed cleanly");
        }
    }
}

/// A panic of redb is damage: it stands where release builds and debug builds alike meet what cannot be.
fn caught<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        Err(Trouble::Damaged(format!("panic: {}", what.unwrap_or("of an unknown kind"))))
    })
}

/// Moves a damaged file out of the way, kept for whoever wants to know.
fn set_aside(path: &Path) -> Result<PathBuf, Trouble> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let aside = beside(path, format_args!("corrupt-{now}"));
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn beside(path: &Path, extension: impl Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    name.into()
}

/// The marker beside a file that is being opened: locked by whoever opens it, holding how many before did not live
/// to remove it.
struct Guard {
    path: PathBuf,
    deaths: u8,
    /// Keeps the lock. `None` where no marker can be written: then there is no guard, but there may be a file.
    marker: Option<File>,
}

impl Guard {
    fn enter(path: &Path) -> Result<Self, Trouble> {
        let path = beside(path, "opening");
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let Ok(marker) = opened else { return Ok(Self { path, deaths: 0, marker: None }) };
        if marker.try_lock().is_err() {
            return Err(Trouble::Locked);
        }
        let mut deaths = [0];
        let noted = marker
            .read_at(&mut deaths, 0)
            .and_then(|_| marker.write_all_at(&[deaths[0].saturating_add(1)], 0));
        if let Err(error) = noted {
            tracing::debug!(?path, ?error, "no marker for the allowlist file");
        }
        Ok(Self { path, deaths: deaths[0], marker: Some(marker) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.marker.is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = ?self.path, ?error, "marker of the allowlist file not removed");
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged(error.to_string()),
            _ => Self::Ill(error.to_string()),
        }
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        use redb::Error::{
            Corrupted, DatabaseAlreadyOpen, Io, LockProtocolMismatch, RepairAborted, TableIsMultimap,
            TableTypeMismatch, TypeDefinitionChanged, UpgradeRequired,
        };
        match error {
            DatabaseAlreadyOpen | LockProtocolMismatch => Self::Locked,
            Io(error) => error.into(),
            Corrupted(_)
            | RepairAborted
            | UpgradeRequired(_)
            | TableTypeMismatch { .. }
            | TableIsMultimap(_)
            | TypeDefinitionChanged { .. } => Self::Damaged(error.to_string()),
            other => Self::Ill(other.to_string()),
        }
    }
}
