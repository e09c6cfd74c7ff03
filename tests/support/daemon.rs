//! A server process that ends with the test program, even if that is killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use super::eventually;

/// Stands between the test program and the server: it ends the server when its own input ends, which it does when
/// the test program goes, whatever the reason. A server in a `static` is never dropped, so this is what ends it.
///
/// `set -m` gives the server a process group of its own, which Postfix's master wants in order to end its children.
const KEEPER: &str = r#"
    exec 3<&0
    set -m
    "$@" </dev/null 3<&- >>"$LOG" 2>&1 &
    server=$!
    echo "$server"
    {
        cat <&3 >/dev/null
        [ -n "$GENERATIONS" ] || { kill -TERM "$server"; sleep 5; }
        kill -KILL -"$server"
    } >/dev/null 2>&1 &
    watcher=$!
    exec 3<&- >/dev/null 2>&1
    wait "$server"
    status=$?
    [ -n "$GENERATIONS" ] && wait "$watcher" || kill -KILL -"$watcher"
    [ -z "$SCRATCH" ] || [ -e "$SCRATCH/restarting" ] || rm -rf "$SCRATCH"
    exit "$status"
"#;

/// A running server.
pub struct Daemon {
    keeper: Child,
    lifeline: Option<ChildStdin>,
    pid: u32,
    command: Vec<String>,
    log: PathBuf,
    scratch: Option<PathBuf>,
}

impl Daemon {
    /// Starts a server whose output goes to a file.
    pub fn start(command: &[&str], log: &Path) -> Self {
        Self::start_in(command, log, None)
    }

    /// Starts a server and hands its scratch folder over to be removed when it has ended.
    pub fn start_with_scratch(command: &[&str], log: &Path, scratch: &Path) -> Self {
        Self::start_in(command, log, Some(scratch))
    }

    /// Starts a server that may be succeeded by processes of its own: all of them end with the test, and none of
    /// them is waited for.
    pub fn start_generations(command: &[&str], log: &Path) -> Self {
        Self::keep(command, log, None, "1")
    }

    fn start_in(command: &[&str], log: &Path, scratch: Option<&Path>) -> Self {
        Self::keep(command, log, scratch, "")
    }

    fn keep(command: &[&str], log: &Path, scratch: Option<&Path>, generations: &str) -> Self {
        File::create(log).unwrap();
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER, "keeper"])
            .args(command)
            .env("LOG", log)
            .env("GENERATIONS", generations)
            .env("SCRATCH", scratch.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lifeline = keeper.stdin.take();
        let mut first = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let pid = first.trim().parse().expect("the keeper tells the server's process id");
        let command = command.iter().map(ToString::to_string).collect();
        let (log, scratch) = (log.to_owned(), scratch.map(Path::to_owned));
        Self { keeper, lifeline, pid, command, log, scratch }
    }

    /// Ends the server by SIGTERM, and starts it again with all that lies in its scratch folder.
    pub fn restart(&mut self) {
        let marker = self.scratch.as_ref().map(|scratch| scratch.join("restarting"));
        marker.iter().for_each(|marker| fs::write(marker, "").unwrap());
        self.signal("TERM");
        self.wait();
        marker.iter().for_each(|marker| fs::remove_file(marker).unwrap());
        let command: Vec<_> = self.command.iter().map(String::as_str).collect();
        *self = Self::start_in(&command, &self.log, self.scratch.as_deref());
    }

    /// The server's own process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal, by name: `TERM`.
    pub fn signal(&self, signal: &str) {
        kill(self.pid, signal);
    }

    /// The exit status, once the server has ended by itself or by a signal (then 128 more than its number).
    pub fn wait(&mut self) -> ExitStatus {
        let keeper = &mut self.keeper;
        eventually("the server's end", || keeper.try_wait().unwrap())
    }

    /// The exit status if the server has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.keeper.try_wait().unwrap()
    }

    /// Waits until `ready` says so; a server that ends meanwhile fails the test with its log.
    #[track_caller]
    pub fn await_ready(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        eventually(what, || {
            if let Some(status) = self.keeper.try_wait().unwrap() {
                panic!("{what} ended at its start, {status}:\n{}", self.log());
            }
            ready().then_some(())
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.lifeline = None;
        let _ = self.keeper.wait();
    }
}

/// Sends a signal to one process.
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}: {status}");
}
