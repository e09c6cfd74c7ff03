//! Log tools of other makers read what prescreen writes: fail2ban, pflogsumm, a syslog daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use support::dns::{Dns, LIST};
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;
use support::{PATIENCE, client, free_address};

const LISTED: Ipv4Addr = client(66);
const RELAY: Ipv4Addr = client(70);
const HASTY: Ipv4Addr = client(71);
const GOOD: Ipv4Addr = client(72);
const GONE: Ipv4Addr = client(73);

static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[LISTED]));

fn config() -> Config {
    // Nobody who comes here gets as far as a backend.
    Config::before_address(free_address(), DNS.address)
        .set("log.format", "'postscreen'")
        .set("dnsbl.sites", &format!("['{LIST}']"))
}

/// A day's work in a nutshell. Returns when all of it is in the log.
fn visits(prescreen: &Prescreen) {
    let smtp = prescreen.smtp;
    let mut listed = Talk::greeted(LISTED, smtp);
    listed.envelope("sender@example.com", "user@example.org");
    listed.ask("QUIT", "221 ");
    let mut relay = Talk::greeted(RELAY, smtp);
    relay.envelope("sender@example.com", "user@elsewhere.example");
    relay.closed();
    let mut hasty = Talk::connect(HASTY, smtp);
    hasty.send(b"EHLO client.example.com\r\n");
    hasty.expect("220 ");
    hasty.half_close();
    hasty.closed();
    let mut good = Talk::greeted(GOOD, smtp);
    good.ask("QUIT", "221 ");
    Talk::greeted(GONE, smtp).half_close();
    prescreen.await_connections(5.0);
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whom fail2ban's own filter finds in a log.
fn found(log: &Path, mode: &str) -> Vec<String> {
    let filter = format!("postfix[mode={mode}]");
    let said = said_by("fail2ban-regex", &["--out", "ip", log.to_str().unwrap(), &filter]);
    let mut found: Vec<_> = said.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn fail2ban_and_pflogsumm_know_these_lines() {
    let prescreen = config().launch();
    visits(&prescreen);
    let log = prescreen.home().join("log");
    let all = |clients: &[Ipv4Addr]| clients.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(found(&log, "normal"), all(&[LISTED, RELAY]), "{}", prescreen.log());
    assert_eq!(found(&log, "errors"), all(&[RELAY]));
    assert_eq!(found(&log, "aggressive"), all(&[LISTED, RELAY, HASTY, GONE]));

    let report = said_by("pflogsumm", &[log.to_str().unwrap()]);
    let rejects = report.split("message reject detail").nth(1).unwrap_or_default();
    assert!(rejects.contains("Relay access denied (total: 1)"), "{report}");
    assert!(rejects.contains(&format!("blocked using {LIST} (total: 1)")), "{report}");
    assert!(report.contains("      2   rejected"), "{report}");
}

#[test]
fn a_syslog_daemon_gets_its_lines_and_may_go_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    let prescreen = config().set("log.output", &format!("'syslog:{}'", socket.display())).launch();
    let next = |words: &str| {
        let mut buffer = [0; 8_192];
        loop {
            let length = daemon.recv(&mut buffer).unwrap();
            let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if line.contains(words) {
                return line;
            }
        }
    };
    let pid = prescreen.pid();
    let from = |port| format!("CONNECT from [{GOOD}]:{port} to ");
    let mut talk = Talk::greeted(GOOD, prescreen.smtp);
    let expected = format!("<22>postfix/postscreen[{pid}]: {}", from(talk.port()));
    let line = next("CONNECT");
    assert!(line.starts_with(&expected) && !line.ends_with('\n'), "{line}");
    talk.ask("QUIT", "221 ");
    next("DISCONNECT");

    // Nobody listens any more, and nobody has to wait for that.
    drop(daemon);
    fs::remove_file(&socket).unwrap();
    Talk::greeted(client(74), prescreen.smtp).ask("QUIT", "221 ");
    prescreen.await_metric("prescreen_log_dropped_lines_total", &[], 1.0);
}
