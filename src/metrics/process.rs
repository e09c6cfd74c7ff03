//! This process as the kernel sees it: /proc/self, and nothing where there is none.

use std::fs;

/// What the kernel knows of this process. `None` where it does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    /// Bytes.
    pub(super) resident_memory: Option<u64>,
    /// Seconds of all CPUs, in user and kernel mode.
    pub(super) cpu: Option<f64>,
    pub(super) threads: Option<u64>,
}

/// Kernel ticks a second: 100 on every architecture that Linux has (`USER_HZ`).
const TICKS: f64 = 100.0;

impl Process {
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            // One of them is the folder being read.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| entries.count().saturating_sub(1) as u64),
            max_fds: nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
                .ok()
                .map(|(soft, _)| soft),
            resident_memory: number_of(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024),
            cpu: cpu_seconds(&stat),
            threads: number_of(&status, "Threads:"),
        }
    }
}

/// The number behind a name in /proc/self/status.
fn number_of(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// proc(5): utime and stime are fields 14 and 15; field 2 is the program's name in brackets, which may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut times = behind_name.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let process = Process::read();
        assert!(process.open_fds.unwrap() >= 3);
        assert!(process.max_fds.unwrap() >= process.open_fds.unwrap());
        assert!(process.resident_memory.unwrap() > 1 << 20);
        assert!(process.threads.unwrap() >= 1 && process.cpu.is_some());
    }

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 300 0 0 0 250 50 0 0 20 0 1 0 12345";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }
}
