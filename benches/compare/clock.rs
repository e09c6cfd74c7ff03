//! What a contender has used: processor time by the clocks of its processes, and memory by their accounts.

use std::fs;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// Processes whose time is added up.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// One process and all its threads.
    Process(u32),
    /// The children of a process that have one of these names.
    Children { of: u32, names: &'static [&'static str] },
    /// A process, and its children that have none of these names.
    Family { of: u32, but: &'static [&'static str] },
}

impl Clock {
    /// This process: the clients and, on another thread, the sink.
    pub(crate) fn own() -> Self {
        Self::Process(std::process::id())
    }

    /// Processor time so far, of the kernel and of the program. Children that have ended are not in it, so Postfix is
    /// set up to keep its processes.
    pub(crate) fn time(&self) -> Duration {
        self.processes().into_iter().filter_map(process_time).sum()
    }

    /// Memory that nobody else has, in bytes, without the kernel's own.
    pub(crate) fn memory(&self) -> u64 {
        self.processes().into_iter().filter_map(|pid| status(pid, "RssAnon:")).sum::<u64>() * 1024
    }

    /// How often its threads went to sleep and were woken again.
    pub(crate) fn wake_ups(&self) -> u64 {
        let threads = |pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let switches = |status: String| number(&status, "voluntary_ctxt_switches:");
        self.processes()
            .into_iter()
            .flat_map(threads)
            .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
            .filter_map(switches)
            .sum()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let open = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.processes().into_iter().map(open).sum()
    }

    fn processes(&self) -> Vec<u32> {
        match self {
            Self::Process(pid) => vec![*pid],
            Self::Children { of, names } => children(*of, |name| names.contains(&name)).collect(),
            Self::Family { of, but } => {
                let children = children(*of, |name| !but.contains(&name));
                children.chain([*of]).collect()
            }
        }
    }
}

/// The children of a process that have such a name.
fn children(of: u32, is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = u32> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let pids: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.into_iter().filter(move |pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| is_wanted(name.trim()))
    })
}

fn process_time(pid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    Some(clock.now().ok()?.into())
}

fn status(pid: u32, key: &str) -> Option<u64> {
    number(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, key)
}

fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}
