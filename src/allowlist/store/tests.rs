//! The file behind the allowlist: restarts, damage, and disks that fail.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::allowlist::{Allowlist, Settings, Test};

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
fn a_pass_that_is_revoked_while_the_file_is_being_read_stays_revoked() {
    let list = Allowlist::detached(&Settings::default());
    let (queue, inbox) = sync_channel(QUEUE);
    let health = Arc::<Health>::default();
    health.set(StoreState::Ill);
    let mut mirror = Mirror {
        path: PathBuf::new(),
        memory: Memory { passes: list.hot.clone(), orders: Arc::clone(&list.orders) },
        lifetimes: list.lifetimes.clone(),
        pace: QUICK,
        inbox,
        health: Arc::clone(&health),
        dirty: HashSet::new(),
        told: StoreState::Off,
        closing: false,
        done: None,
    };
    list.store.store(Arc::new(Store { queue: Some(queue), health, thread_patience: Duration::ZERO }));
    list.remove(client(&list, 1));
    let mut record = Record::default();
    record.pass(Test::Pregreet, SystemTime::now(), Duration::from_secs(86_400));
    mirror.load(vec![(client(&list, 1), record), (client(&list, 2), record)]);
    assert!(!knows(&list, 1) && knows(&list, 2));
}

#[test]
fn a_file_that_is_being_read_may_know_anybody() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("allow.redb");
    let marker = fs::File::create(folder.path().join("allow.redb.opening")).unwrap();
    marker.lock().unwrap();
    let settings = Settings { path: Some(path), ..Settings::default() };
    let list = Allowlist::open_paced(&settings, Pace { thread_patience: Duration::ZERO, ..QUICK });
    list.remove(client(&list, 1));
    assert_eq!(list.totals().removed, 1);
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
            if commits == seen && (commits > 0 || round % 8 == 0) || line.starts_with("open") && commits == 0
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
