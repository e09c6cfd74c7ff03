//! The file behind the allowlist, kept by a thread of its own so that no session ever waits for a disk.
//!
//! The file mirrors memory. A session only names the client that has changed; the thread writes, once a second, what
//! memory then holds of it. So the order of changes does not matter, a change that was lost is made good by
//! comparing the two, and whatever memory has forgotten, because it expired or there was no room, the file forgets.
//! Loss at a crash: what was passed in the last second.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::file::{Disk, Trouble};
use super::record::{Key, Record};
use super::{Lifetimes, Memory};

/// Changes that may wait for the thread, and clients that may wait to be written while the file is ill.
const QUEUE: usize = 65_536;

/// How often the thread does what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From a change to its commit.
    pub(super) commit: Duration,
    /// Between two comparisons of file and memory.
    pub(super) tidy: Duration,
    /// Between two tries to open a file that another process is about to let go of.
    pub(super) lock_retry: Duration,
    /// How long that process is given before it is worth a warning.
    pub(super) lock_patience: Duration,
    /// Between two tries to open a file that is ill, or locked for good.
    pub(super) ill_retry: Duration,
    /// How long [`Store::open`] and [`Store::close`] wait for the thread.
    pub(super) thread_patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            commit: Duration::from_secs(1),
            tidy: Duration::from_secs(600),
            lock_retry: Duration::from_millis(100),
            lock_patience: Duration::from_secs(5),
            ill_retry: Duration::from_secs(10),
            thread_patience: Duration::from_secs(5),
        }
    }
}

/// How the file is; a closed set, so it may label a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StoreState {
    /// None is configured: memory only.
    #[default]
    Off,
    /// Read and written.
    Up,
    /// Another process holds it; waited for.
    Locked,
    /// It cannot be read or written; memory goes on, and it is tried again.
    Ill,
    /// Let go of.
    Closed,
}

impl StoreState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Off, Self::Up, Self::Locked, Self::Ill, Self::Closed];

    /// `off`, `up`, `locked`, `ill`, `closed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Up => "up",
            Self::Locked => "locked",
            Self::Ill => "ill",
            Self::Closed => "closed",
        }
    }
}

/// The session's side of the file.
#[derive(Debug)]
pub(super) struct Store {
    queue: Option<SyncSender<Message>>,
    health: Arc<Health>,
    thread_patience: Duration,
}

#[derive(Debug)]
enum Message {
    Changed(Key),
    Close(SyncSender<()>),
}

/// What both sides know of the file.
#[derive(Debug, Default)]
struct Health {
    state: AtomicU8,
    written: AtomicU64,
    dropped: AtomicU64,
    /// Changes were lost: the file is behind memory until the next comparison.
    behind: AtomicBool,
    /// Memory has what the file had. From then on memory is the truth.
    loaded: AtomicBool,
}

impl Health {
    fn state(&self) -> StoreState {
        let number = usize::from(self.state.load(Ordering::Relaxed));
        StoreState::ALL.get(number).copied().unwrap_or(StoreState::Ill)
    }

    fn set(&self, state: StoreState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn lose(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.behind.store(true, Ordering::Relaxed);
    }
}

impl Store {
    /// Memory only.
    pub(super) fn none() -> Self {
        Self { queue: None, health: Arc::default(), thread_patience: Duration::ZERO }
    }

    /// Starts the thread and waits until it has read the file, or has found that it cannot yet. What has been counted
    /// and learnt so far goes on.
    pub(super) fn succeeded(&self, path: PathBuf, memory: Memory, lifetimes: Lifetimes, pace: Pace) -> Self {
        let health = Arc::clone(&self.health);
        let (queue, inbox) = sync_channel(QUEUE);
        let (ready, is_ready) = sync_channel(1);
        let mirror = Mirror {
            path,
            memory,
            lifetimes,
            pace,
            inbox,
            health: Arc::clone(&health),
            dirty: HashSet::new(),
            told: StoreState::Off,
            closing: false,
            done: None,
        };
        let thread = thread::Builder::new().name("allowlist".to_owned()).spawn(move || mirror.run(&ready));
        match thread {
            Ok(_) => {
                // Either it has been read, or it takes long and the start goes on without it.
                let _ = is_ready.recv_timeout(pace.thread_patience);
                Self { queue: Some(queue), health, thread_patience: pace.thread_patience }
            }
            Err(error) => {
                tracing::warn!(?error, "no thread for the allowlist file; memory only");
                health.set(StoreState::Ill);
                Self { queue: None, health, thread_patience: pace.thread_patience }
            }
        }
    }

    /// Notes that memory holds something else of `key`, or nothing more.
    pub(super) fn changed(&self, key: Key) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(Message::Changed(key)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.health.lose(),
            // Closed: a successor has the file, and learns of this client by itself.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.health.written.load(Ordering::Relaxed)
    }

    pub(super) fn dropped_writes(&self) -> u64 {
        self.health.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> StoreState {
        self.health.state()
    }

    /// Asks the thread to write what it has and to end.
    pub(super) fn close(&self) {
        let Some(queue) = &self.queue else { return };
        let deadline = Instant::now() + self.thread_patience;
        let (done, is_done) = sync_channel(1);
        let mut message = Message::Close(done);
        // The queue may be full because the disk hangs; then there is nothing to be had from it in time.
        while let Err(TrySendError::Full(back)) = queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(10));
        }
        // Disconnected means that it has ended.
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's side.
struct Mirror {
    path: PathBuf,
    memory: Memory,
    lifetimes: Lifetimes,
    pace: Pace,
    inbox: Receiver<Message>,
    health: Arc<Health>,
    /// Clients that have changed since the last commit.
    dirty: HashSet<Key>,
    /// What the log was last told.
    told: StoreState,
    closing: bool,
    /// Dropped at the very end; that is the answer.
    done: Option<SyncSender<()>>,
}

impl Mirror {
    /// Lives as long as the allowlist: with the file while that works, without it while it does not.
    fn run(mut self, ready: &SyncSender<()>) {
        let started = Instant::now();
        while !self.closing {
            let Err(trouble) = self.keep(ready) else { break };
            let pause = self.endure(trouble, started);
            let _ = ready.try_send(());
            self.listen(Instant::now() + pause);
        }
        if !self.dirty.is_empty() {
            tracing::warn!(clients = self.dirty.len(), "allowlist file misses what was learnt last");
        }
        self.health.set(StoreState::Closed);
    }

    /// Keeps the file until it is closed or in trouble.
    fn keep(&mut self, ready: &SyncSender<()>) -> Result<(), Trouble> {
        let (mut disk, rows) = Disk::open(&self.path)?;
        let kept = self.reconcile(&disk, rows).and_then(|()| {
            self.health.set(StoreState::Up);
            if self.told != StoreState::Up {
                self.told = StoreState::Up;
                tracing::info!(path = ?self.path, clients = self.memory.passes.iter().count(), "allowlist file open");
            }
            let _ = ready.try_send(());
            disk.compact()?;
            self.serve(&disk)
        });
        disk.close();
        kept
    }

    /// Brings file and memory together: the first time memory learns from the file, later the file from memory.
    fn reconcile(&mut self, disk: &Disk, rows: Vec<(Key, Record)>) -> Result<(), Trouble> {
        if self.health.loaded.load(Ordering::Relaxed) {
            // It may be another file by now.
            self.health.behind.store(true, Ordering::Relaxed);
            self.memory.orders.set_changed();
        } else {
            self.load(rows);
            self.memory.orders.load(disk.orders()?);
            self.health.loaded.store(true, Ordering::Relaxed);
        }
        self.tidy(disk)
    }

    fn load(&mut self, mut rows: Vec<(Key, Record)>) {
        let now = SystemTime::now();
        // Where there is no room for all, those with the longest to live come in last and stay.
        rows.sort_unstable_by_key(|(_, record)| record.last_expiry());
        for (key, row) in rows {
            let record = row.clamped(now, self.lifetimes.longest_ttl());
            // What changed while the file could not be read is newer, above all a revoked pass.
            if record.keep_for(now, self.lifetimes.retention()).is_zero() || self.dirty.contains(&key) {
                continue;
            }
            self.memory.passes.entry(key).or_insert(record);
            if record != row {
                self.dirty.insert(key);
            }
        }
        self.memory.passes.run_pending_tasks();
    }

    fn serve(&mut self, disk: &Disk) -> Result<(), Trouble> {
        let mut tidied = Instant::now();
        while !self.closing {
            self.listen(Instant::now() + self.pace.commit);
            if tidied.elapsed() >= self.pace.tidy {
                self.tidy(disk)?;
                tidied = Instant::now();
            } else {
                self.commit(disk)?;
            }
        }
        Ok(())
    }

    /// Makes the file equal to memory.
    fn tidy(&mut self, disk: &Disk) -> Result<(), Trouble> {
        if self.health.behind.swap(false, Ordering::Relaxed) {
            self.dirty.extend(self.memory.passes.iter().map(|(key, _)| *key));
        }
        self.commit(disk)?;
        let removed = disk.retain(|key| self.memory.passes.contains_key(key))?;
        tracing::debug!(removed, "allowlist file tidied");
        Ok(())
    }

    fn commit(&mut self, disk: &Disk) -> Result<(), Trouble> {
        if self.memory.orders.take_changed()
            && let Err(trouble) = disk.rewrite_orders(&self.memory.orders.all(SystemTime::now()))
        {
            self.memory.orders.set_changed();
            return Err(trouble);
        }
        if self.dirty.is_empty() {
            return Ok(());
        }
        disk.write(&self.dirty, |key| self.memory.passes.get(key))?;
        self.health.written.fetch_add(self.dirty.len() as u64, Ordering::Relaxed);
        self.dirty.clear();
        Ok(())
    }

    /// Collects changes until `deadline`, or until it is time to close.
    fn listen(&mut self, deadline: Instant) {
        while !self.closing {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Changed(key)) if self.dirty.len() < QUEUE || self.dirty.contains(&key) => {
                    self.dirty.insert(key);
                }
                Ok(Message::Changed(_)) => self.health.lose(),
                Ok(Message::Close(done)) => {
                    self.done = Some(done);
                    self.closing = true;
                }
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => self.closing = true,
            }
        }
    }

    /// Notes the trouble, tells the log where it is news, and says how long to wait before the next try.
    fn endure(&mut self, trouble: Trouble, started: Instant) -> Duration {
        let (state, why, pause) = match trouble {
            Trouble::Locked if started.elapsed() < self.pace.lock_patience => {
                self.health.set(StoreState::Locked);
                return self.pace.lock_retry;
            }
            Trouble::Locked => {
                (StoreState::Locked, "another process holds it".to_owned(), self.pace.ill_retry)
            }
            Trouble::Ill(why) => (StoreState::Ill, why, self.pace.ill_retry),
            // The next try sets it aside.
            Trouble::Damaged(why) => (StoreState::Ill, why, self.pace.commit),
        };
        self.health.set(state);
        if self.told != state {
            self.told = state;
            tracing::warn!(path = ?self.path, state = state.as_str(), why, "allowlist file out of reach; memory only");
        }
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::IpAddr;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use tempfile::TempDir;

    use super::super::{Allowlist, Settings, Test};
    use super::*;

    const QUICK: Pace = Pace {
        commit: Duration::from_millis(20),
        tidy: Duration::from_millis(100),
        lock_retry: Duration::from_millis(10),
        lock_patience: Duration::from_millis(50),
        ill_retry: Duration::from_millis(20),
        // Not what is tested, and a machine may be slow.
        thread_patience: Duration::from_secs(300),
    };

    fn open(path: &Path) -> Allowlist {
        open_bounded(path, 200_000)
    }

    fn open_bounded(path: &Path, max_entries: u64) -> Allowlist {
        let settings = Settings { path: Some(path.to_owned()), max_entries, ..Settings::default() };
        Allowlist::open_paced(&settings, QUICK)
    }

    fn pass(list: &Allowlist, n: u32) {
        let mut record = Record::default();
        record.pass(Test::Pregreet, SystemTime::now(), Duration::from_secs(86_400));
        list.store(client(list, n), record);
    }

    fn client(list: &Allowlist, n: u32) -> Key {
        list.key(IpAddr::V4(n.into()))
    }

    fn knows(list: &Allowlist, n: u32) -> bool {
        list.lookup(client(list, n)).is_some_and(|r| r.passed(Test::Pregreet, SystemTime::now()))
    }

    /// Other threads and the disk take the time they take; a test that hangs here for a minute has failed.
    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn set_aside_in(folder: &TempDir) -> usize {
        let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".corrupt-")).count()
    }

    #[test]
    fn orders_outlive_a_restart_and_a_handover() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("allowlist");
        let network: ipnet::IpNet = "192.0.2.0/24".parse().unwrap();
        let (deny, allow) = (crate::allowlist::Order::Deny, crate::allowlist::Order::Allow);
        let standing = |order| crate::allowlist::Standing { order, until: None };
        let list = open(&path);
        list.give(network, standing(deny));
        list.close();
        let successor = open(&path);
        assert_eq!(successor.orders(), [(network, standing(deny))]);
        successor.close();
        list.give(network, standing(allow));
        list.attach();
        list.close();
        assert_eq!(open(&path).orders(), [(network, standing(allow))], "what memory has is newer");
    }

    #[test]
    fn a_restart_forgets_nobody() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let first = open(&path);
        (0..500).for_each(|n| pass(&first, n));
        first.remove(client(&first, 7));
        drop(first);
        let second = open(&path);
        assert_eq!(second.totals().store, StoreState::Up);
        assert_eq!(second.len(), 499);
        assert!(knows(&second, 8) && !knows(&second, 7));
    }

    #[test]
    fn twenty_thousand_clients_are_back_when_open_returns() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let first = open(&path);
        for n in 0..20_000 {
            pass(&first, n);
        }
        first.close();
        assert_eq!(open(&path).len() + first.totals().dropped_writes, 20_000);
    }

    #[test]
    fn the_file_forgets_what_memory_has_no_room_for() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let small = open_bounded(&path, 100);
        (0..1_000).for_each(|n| pass(&small, n));
        drop(small);
        assert!(open(&path).len() <= 1_000);
        // Opened with room for 100 and closed: brought down to that.
        drop(open_bounded(&path, 100));
        assert_eq!(open(&path).len(), 100);
    }

    #[test]
    fn after_close_memory_goes_on() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let list = open(&path);
        list.close();
        list.close();
        assert_eq!(list.totals().store, StoreState::Closed);
        pass(&list, 1);
        assert!(knows(&list, 1));
    }

    #[test]
    fn foreign_truncated_and_garbled_files_are_set_aside() {
        let mut valid = Vec::new();
        {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("allow.redb");
            let list = open(&path);
            (0..2_000).for_each(|n| pass(&list, n));
            drop(list);
            fs::File::open(&path).map(|mut f| std::io::copy(&mut f, &mut valid)).unwrap().unwrap();
        }
        let foreign = b"SQLite format 3\0, or so it says".repeat(1_000);
        let zeros = vec![0; valid.len()];
        for (name, content) in [
            ("text", b"hello\n".as_slice()),
            ("foreign", &foreign),
            ("zeros", &zeros),
            ("magic alone", &valid[..9]),
            ("half", &valid[..valid.len() / 2]),
        ] {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("allow.redb");
            fs::write(&path, content).unwrap();
            let list = open(&path);
            assert_eq!(list.totals().store, StoreState::Up, "{name}");
            assert_eq!((list.len(), set_aside_in(&folder)), (0, 1), "{name}");
            pass(&list, 1);
            drop(list);
            assert!(knows(&open(&path), 1), "{name}");
        }
    }

    #[test]
    fn no_flipped_bit_stops_the_start_or_makes_up_a_pass() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let list = open(&path);
        (0..200).for_each(|n| pass(&list, n));
        drop(list);
        let valid = fs::read(&path).unwrap();
        for at in (0..valid.len()).step_by(valid.len() / 60) {
            let mut bytes = valid.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            let list = open(&path);
            assert_eq!(list.totals().store, StoreState::Up, "octet {at}");
            assert!([0, 200].contains(&list.len()), "octet {at}: {}", list.len());
        }
    }

    #[test]
    fn a_file_of_another_layout_is_set_aside() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        {
            let other: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("allowlist");
            let database = redb::Database::create(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            transaction.open_table(other).unwrap().insert("192.0.2.1", 1).unwrap();
            transaction.commit().unwrap();
        }
        let list = open(&path);
        assert_eq!((list.totals().store, set_aside_in(&folder)), (StoreState::Up, 1));
    }

    #[test]
    fn one_death_while_opening_is_forgiven_and_two_are_the_files_fault() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let marker = folder.path().join("allow.redb.opening");
        let list = open(&path);
        pass(&list, 1);
        drop(list);
        fs::write(&marker, [1]).unwrap();
        assert!(knows(&open(&path), 1));
        assert!(!marker.exists());
        fs::write(&marker, [2]).unwrap();
        assert!(!knows(&open(&path), 1));
        assert_eq!(set_aside_in(&folder), 1);
    }

    #[test]
    fn a_locked_file_is_waited_for_and_revoked_passes_stay_revoked() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let old = open(&path);
        (1..4).for_each(|n| pass(&old, n));
        let new = open(&path);
        assert_eq!(new.totals().store, StoreState::Locked);
        pass(&new, 4);
        new.remove(client(&new, 1));
        assert!(knows(&new, 4), "memory alone");
        old.close();
        until("the successor has the file", || new.totals().store == StoreState::Up);
        assert!(knows(&new, 2) && knows(&new, 3) && knows(&new, 4) && !knows(&new, 1));
        drop(new);
        let third = open(&path);
        assert!(knows(&third, 4) && !knows(&third, 1));
    }

    #[test]
    fn a_folder_that_appears_later_heals_the_store() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("not-yet/allow.redb");
        let list = open(&path);
        assert_eq!(list.totals().store, StoreState::Ill);
        pass(&list, 1);
        assert!(knows(&list, 1));
        fs::create_dir(path.parent().unwrap()).unwrap();
        until("it heals", || list.totals().store == StoreState::Up);
        drop(list);
        assert!(knows(&open(&path), 1));
    }

    #[test]
    fn a_path_that_is_no_file_leaves_memory() {
        let folder = TempDir::new().unwrap();
        let list = open(folder.path());
        assert_eq!(list.totals().store, StoreState::Ill);
        pass(&list, 1);
        assert!(knows(&list, 1));
        assert!(folder.path().is_dir(), "set aside");
    }

    /// A small file system of its own; `None` where this user may not mount one.
    struct Tmpfs(TempDir);

    impl Tmpfs {
        fn mount() -> Option<Self> {
            let folder = TempDir::new().unwrap();
            let mount = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
            let mounted = Command::new("mount").args(mount).arg(folder.path()).stderr(Stdio::null()).status();
            if !mounted.is_ok_and(|status| status.success()) {
                eprintln!("skipped: no right to mount a tmpfs");
                return None;
            }
            Some(Self(folder))
        }

        fn remount(&self, options: &str) {
            let done =
                Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0.path()).status();
            assert!(done.unwrap().success());
        }
    }

    impl Drop for Tmpfs {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    #[test]
    fn a_full_disk_costs_nothing_but_writes_and_heals() {
        let Some(disk) = Tmpfs::mount() else { return };
        let path = disk.0.path().join("allow.redb");
        let list = open(&path);
        pass(&list, 0);
        until("the first pass is written", || list.totals().written == 1);
        let filler = disk.0.path().join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        (1..60_000).for_each(|n| pass(&list, n));
        until("the disk is full", || list.totals().store == StoreState::Ill);
        assert!(knows(&list, 0) && knows(&list, 59_999), "memory alone");
        disk.remount("size=64m");
        fs::remove_file(&filler).unwrap();
        until("it heals", || list.totals().store == StoreState::Up);
        drop(list);
        assert_eq!(open(&path).len(), 60_000);
    }

    #[test]
    fn a_read_only_disk_costs_nothing_but_writes_and_heals() {
        let Some(disk) = Tmpfs::mount() else { return };
        disk.remount("ro");
        let path = disk.0.path().join("allow.redb");
        let list = open(&path);
        assert_eq!(list.totals().store, StoreState::Ill);
        pass(&list, 1);
        assert!(knows(&list, 1));
        disk.remount("rw");
        until("it heals", || list.totals().store == StoreState::Up);
        drop(list);
        assert!(knows(&open(&path), 1));
    }

    #[test]
    fn what_memory_could_not_queue_while_ill_reaches_the_file_when_it_heals() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("not-yet/allow.redb");
        let list = open(&path);
        let many = 3 * u32::try_from(QUEUE).unwrap() / 2;
        (0..many).for_each(|n| pass(&list, n));
        until("some did not fit", || list.totals().dropped_writes > 0);
        fs::create_dir(path.parent().unwrap()).unwrap();
        until("it heals", || list.totals().store == StoreState::Up);
        drop(list);
        assert_eq!(open(&path).len(), u64::from(many));
    }

    /// Not a test by itself: the process that [`kill_9_loses_at_most_what_was_not_yet_committed`] kills.
    #[test]
    #[ignore = "run by kill_9_loses_at_most_what_was_not_yet_committed"]
    fn victim() {
        let Some(path) = std::env::var_os("PRESCREEN_TEST_ALLOWLIST") else { return };
        let list = open(Path::new(&path));
        println!("\nopen {} {}", list.len(), list.totals().store.as_str());
        let first = u32::try_from(list.len()).unwrap();
        let mut told = 0;
        for n in first.. {
            pass(&list, n);
            let written = list.totals().written;
            if written > told {
                told = written;
                println!("\nhas {}", u64::from(first) + written);
            }
            thread::sleep(Duration::from_micros(50));
        }
    }

    #[test]
    fn kill_9_loses_at_most_what_was_not_yet_committed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("allow.redb");
        let mut known = 0;
        for round in 0..30 {
            let mut victim = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "allowlist::store::tests::victim", "--ignored", "--nocapture"])
                .env("PRESCREEN_TEST_ALLOWLIST", &path)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
            // Some die while opening, some while committing for the first, second, third time.
            let commits = round % 4;
            let mut seen = 0;
            for line in lines {
                if let Some(opened) = line.strip_prefix("open ") {
                    let (count, state) = opened.split_once(' ').unwrap();
                    assert_eq!(state, "up");
                    let count: u64 = count.parse().unwrap();
                    assert!(count >= known, "round {round}: {count} of {known} left");
                } else if let Some(count) = line.strip_prefix("has ") {
                    known = count.parse().unwrap();
                    seen += 1;
                }
                if commits == seen && (commits > 0 || round % 8 == 0)
                    || line.starts_with("open") && commits == 0
                {
                    break;
                }
            }
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
        assert_eq!(set_aside_in(&folder), 0);
        let list = open(&path);
        assert!(list.totals().store == StoreState::Up && list.len() >= known && known > 0);
    }
}
