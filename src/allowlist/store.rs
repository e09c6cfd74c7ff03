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
        if health.state() == StoreState::Off {
            // Until it has been read, which may take longer than the start waits for it.
            health.set(StoreState::Ill);
        }
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
            // Closed: a successor has the file. It tests this client itself; one that is revoked here keeps its passes
            // there until it fails there, too.
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
        // What changed while the file could not be read is newer, above all a revoked pass.
        self.listen(Instant::now());
        let longest = self.lifetimes.longest_ttl();
        let clamped = |row: &Record| row.clamped(now, longest);
        let mut cut = Vec::new();
        // Where there is no room for all, those with the longest to live come in last and stay.
        rows.sort_unstable_by_key(|(_, record)| record.last_expiry());
        for (key, row) in &rows {
            let record = clamped(row);
            if record.keep_for(now, self.lifetimes.retention()).is_zero() || self.dirty.contains(key) {
                continue;
            }
            self.memory.passes.entry(*key).or_insert(record);
            if record != *row {
                cut.push(*key);
            }
        }
        // And what changed meanwhile: who has no more than the file knew has lost that.
        self.listen(Instant::now());
        for (key, row) in rows.iter().filter(|(key, _)| self.dirty.contains(key)) {
            if self.memory.passes.get(key) == Some(clamped(row)) {
                self.memory.passes.remove(key);
            }
        }
        self.dirty.extend(cut);
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
mod tests;
