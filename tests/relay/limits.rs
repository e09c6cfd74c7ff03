//! What a relay takes of the machine, and what it does when there is no more to take.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::unistd::{Uid, geteuid, pipe, setuid};
use prescreen::relay::{Early, How, Settings, totals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use crate::rig::{Backend, Random, Rig, assert_same, hear};

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Whether this process runs the one test `name`, and nothing else that opens descriptors. If not, it starts one that
/// does, which must pass.
fn is_alone(name: &str) -> bool {
    const MARK: &str = "RELAY_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// A thousand relays dropped in the middle of a mail, with bytes stuck in buffers and pipes.
#[tokio::test]
async fn aborted_relays_leave_nothing_behind() {
    if !is_alone("limits::aborted_relays_leave_nothing_behind") {
        return;
    }
    let before = descriptors() - 2 * totals().pipes;
    let mail = vec![b'x'; 1 << 20];
    for round in 0..1000 {
        let backend = if round % 2 == 0 { Backend::Tcp } else { Backend::Unix };
        let mut rig = Rig::start(Settings::default(), backend, Early::default()).await;
        // The backend reads a little of it at most.
        let mut a_little = vec![0; 300_000];
        tokio::select! {
            _ = rig.client.write_all(&mail) => {}
            _ = rig.backend.read_exact(&mut a_little) => {}
        }
        rig.relay.abort();
        assert!(rig.relay.await.unwrap_err().is_cancelled());
    }
    assert_eq!(descriptors() - 2 * totals().pipes, before);
    assert!(totals().pipes <= Settings::default().max_pipes);
    // And no later mail finds anything of them in its pipe.
    let sent = bulk(Settings::default()).await;
    assert!(sent > 0, "not spliced");
}

/// Three hundred pairs that have talked and now wait: neither side's bytes, timers nor pipes wake the worker.
#[test]
fn idle_pairs_wake_nobody() {
    if !is_alone("limits::idle_pairs_wake_nobody") {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("relays").enable_all().build();
    let runtime = runtime.unwrap();
    let talked = async {
        let mut rigs = Vec::new();
        for _ in 0..300 {
            let mut rig = Rig::start(Settings::default(), Backend::Tcp, Early::default()).await;
            let mut heard = [0; 5];
            rig.client.write_all(b"hello").await.unwrap();
            rig.backend.read_exact(&mut heard).await.unwrap();
            rig.backend.write_all(&heard).await.unwrap();
            rig.client.read_exact(&mut heard).await.unwrap();
            rigs.push(rig);
        }
        rigs
    };
    let _rigs = runtime.block_on(talked);
    // On a busy machine the worker may be late in going to sleep; who is woken again and again never does.
    let is_quiet = || {
        let before = wake_ups("relays");
        thread::sleep(Duration::from_millis(300));
        wake_ups("relays") == before
    };
    assert!((0..20).any(|_| is_quiet()), "something wakes the worker");
}

/// How often the threads of this name were woken.
fn wake_ups(name: &str) -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    threads
        .filter(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim() == name))
        .map(|thread| {
            let status = fs::read_to_string(thread.join("status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        })
        .sum()
}

/// Once an ordinary user has used up his pages, pipes have 8 KiB: everything is copied, and counted.
#[tokio::test]
async fn without_a_quota_mail_is_copied() {
    if !is_alone("limits::without_a_quota_mail_is_copied") {
        return;
    }
    if geteuid().is_root() {
        setuid(Uid::from_raw(65534)).unwrap();
    }
    let mut pipes = Vec::new();
    while let (Ok(pipe), true) = (pipe(), pipes.len() < 1100) {
        pipes.push(pipe);
    }
    if pipes.len() < 1100 {
        println!("skipped: {} descriptors do not use up the quota of pipes", pipes.len() * 2);
        return;
    }
    let limited = totals().pipe_limited;
    let spliced = bulk(Settings::default()).await;
    assert_eq!(spliced, 0);
    assert!(totals().pipe_limited > limited);
}

/// The same traffic where the kernel, or a filter in front of it, denies splice: always, or only out of the pipe.
#[test]
fn where_splice_is_denied_mail_is_copied() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: no strace to deny system calls with");
        return;
    }
    for denial in ["splice:error=EPERM", "splice:error=ENOSYS", "splice:error=EINVAL:when=2+2"] {
        let inject = format!("inject={denial}");
        let traced = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=splice", "-e", &inject])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "integrity::random_traffic_through_pipes"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&traced.stdout);
        assert!(said.contains("1 passed"), "{denial}: {said}");
    }
}

/// Sends 8 MiB through a relay of its own; says how much was spliced.
async fn bulk(settings: Settings) -> u64 {
    let mut rig = Rig::start(settings, Backend::Tcp, Early::default()).await;
    let mail = Random::seeded(5).bytes(8 << 20);
    let (sent, heard) = tokio::join!(
        async {
            rig.client.write_all(&mail).await?;
            rig.client.shutdown().await
        },
        hear(&mut rig.backend, Random::seeded(6)),
    );
    sent.unwrap();
    assert_same(&heard, &mail, "mail");
    rig.backend.shutdown().await.unwrap();
    let transfer = rig.relay.await.unwrap();
    assert!(matches!(transfer.ended, How::Finished { .. }));
    transfer.up.spliced
}
