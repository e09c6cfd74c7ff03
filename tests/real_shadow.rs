//! `prescreen shadow`: another configuration beside the one that a running server uses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use support::daemon::kill;
use support::dns::{Dns, LIST};
use support::postfix::Postfix;
use support::prescreen::{Config, PROGRAM, Prescreen};
use support::talk::{Said, Talk};
use support::{client, eventually};

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[LISTED]));

const LISTED: Ipv4Addr = client(70);

const DECISIONS: &str = "prescreen_shadow_decisions_total";

fn config() -> Config {
    Config::before(&POSTFIX, &DNS).set("dnsbl.sites", &format!("['{LIST}']"))
}

/// Another configuration, in a file beside that of a running server.
fn other(prescreen: &Prescreen, change: impl FnOnce(Config) -> Config) -> PathBuf {
    let file = prescreen.home().join("new.toml");
    fs::write(&file, change(prescreen.config().clone()).toml()).unwrap();
    file
}

/// A `prescreen shadow` that goes on until it is told to end.
struct Shadow {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Shadow {
    #[track_caller]
    fn start(config: &Path) -> Self {
        let config = config.to_str().unwrap();
        let mut process = Command::new(PROGRAM)
            .args(["shadow", "--json", "--config", config])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut shadow = Self { process, lines };
        assert!(shadow.line()["began"].is_array());
        shadow
    }

    #[track_caller]
    fn line(&mut self) -> Value {
        let line = self.lines.next().expect("it goes on").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }

    /// The next difference that is told.
    #[track_caller]
    fn difference(&mut self) -> Value {
        loop {
            let mut line = self.line();
            if line.get("differs").is_some() {
                return line["differs"].take();
            }
        }
    }

    fn signal(&self, signal: &str) {
        kill(self.process.id(), signal);
    }

    /// Interrupts it, and gives what it says at the end.
    #[track_caller]
    fn summary(mut self) -> Value {
        self.signal("INT");
        loop {
            let line = self.line();
            if line.get("agreed").is_some() {
                assert!(self.process.wait().unwrap().success());
                return line;
            }
        }
    }
}

/// What a client of ours is told about its recipient.
#[track_caller]
fn asks(prescreen: &Prescreen, from: Ipv4Addr, sender: &str) -> Said {
    let mut talk = Talk::greeted(from, prescreen.smtp);
    let said = talk.envelope(sender, "shadowed@example.org");
    if said.code == 250 {
        talk.ask("QUIT", "221 ");
    }
    said
}

#[test]
fn who_would_newly_be_refused_or_let_in_is_told_and_nothing_comes_of_it() {
    let prescreen = config().start();
    let file = other(&prescreen, |config| {
        config.set("screen.greet_wait", "'0s'").set("dnsbl.threshold", "2").set(
            "restrictions.sender",
            "'check_sender_access inline:{{spam@example.com = 554 5.7.1 Not that}}'",
        )
    });
    let mut shadow = Shadow::start(&file);

    assert_eq!(asks(&prescreen, client(71), "good@example.com").code, 250);
    assert_eq!(asks(&prescreen, client(72), "spam@example.com").code, 250);
    let told = shadow.difference();
    assert_eq!((&told["kind"], &told["client"]), (&"newly_refused".into(), &"127.0.0.72".into()));
    assert_eq!(told["sender"], "spam@example.com");
    assert!(told["rule"].as_str().unwrap().starts_with("restrictions.sender: check_sender_access"), "{told}");
    assert!(told["reply"].as_str().unwrap().contains("Not that"), "{told}");
    let id = told["id"].as_str().unwrap();
    assert_eq!(prescreen.ask(&["why", id]).code, Some(0));

    assert_eq!(asks(&prescreen, LISTED, "good@example.com").code, 550);
    let told = shadow.difference();
    assert_eq!((&told["kind"], &told["rule"]), (&"newly_permitted".into(), &"dnsbl".into()));
    assert!(told["reply"].as_str().unwrap().contains("blocked using"), "{told}");

    // Nobody has asked for anything.
    Talk::greeted(client(73), prescreen.smtp).ask("QUIT", "221 ");
    // Told to go away under both.
    assert_eq!(prescreen.ask(&["deny", "127.0.0.74"]).code, Some(0));
    assert_eq!(asks(&prescreen, client(74), "good@example.com").code, 550);
    prescreen.await_metric(DECISIONS, &["live=\"reject\"", "shadow=\"reject\""], 1.0);
    prescreen.await_connections(5.0);
    assert_eq!(prescreen.metric("prescreen_shadow_running", &[]), 1.0);

    let summary = shadow.summary();
    for (count, is) in [
        ("connections", 5),
        ("idle", 1),
        ("compared", 4),
        ("agreed", 2),
        ("newly_refused", 1),
        ("newly_permitted", 1),
        ("undecided", 0),
        ("dropped", 0),
    ] {
        assert_eq!(summary[count], is, "{count} in {summary}");
    }
    assert_eq!(summary["no_longer_refused_by"]["dnsbl"], 1);
    assert_eq!(prescreen.metric(DECISIONS, &["live=\"permit\"", "shadow=\"reject\""]), 1.0);
    assert_eq!(prescreen.metric(DECISIONS, &["live=\"reject\"", "shadow=\"permit\""]), 1.0);
    assert_eq!(prescreen.metric("prescreen_shadow_running", &[]), 0.0);
    // What it refused would have cost the pass, had it been felt.
    assert_eq!(prescreen.ask(&["allowlist", "get", "127.0.0.72"]).code, Some(0));
    assert_eq!(prescreen.metric("prescreen_restriction_verdicts_total", &["list=\"sender\""]), 0.0);
}

#[test]
fn what_was_never_learnt_is_not_guessed() {
    let prescreen = config().set("dnsbl.action", "'drop'").start();
    // Nobody listens there: were it asked, everybody would be put off.
    let file = other(&prescreen, |config| {
        config
            .set("dnsbl.sites", "[]")
            .set("restrictions.recipient", "'check_policy_service inet:127.0.0.1:1'")
    });
    let mut shadow = Shadow::start(&file);
    assert_eq!(asks(&prescreen, client(75), "good@example.com").code, 250);
    let told = shadow.difference();
    assert_eq!(told["kind"], "undecided");
    assert_eq!(told["rule"], "check_policy_service inet:127.0.0.1:1 was not asked");

    let mut listed = Talk::connect(LISTED, prescreen.smtp);
    assert_eq!(listed.closed().last().map(|said| said.code), Some(521));
    let told = shadow.difference();
    assert_eq!((&told["kind"], &told["recipient"]), (&"undecided".into(), &Value::Null));
    let summary = shadow.summary();
    assert_eq!((&summary["undecided"], &summary["agreed"]), (&2.into(), &0.into()), "{summary}");
}

#[test]
fn what_is_wrong_with_it_is_said_and_there_is_never_more_than_one() {
    let prescreen = config().start();
    let ends = |config: &Path, more: &[&str]| {
        let asked =
            Command::new(PROGRAM).args(["shadow", "--config"]).arg(config).args(more).output().unwrap();
        (asked.status.code(), String::from_utf8_lossy(&asked.stderr).into_owned())
    };
    let missing = prescreen.home().join("missing.toml");
    let (code, said) = ends(&missing, &[]);
    assert!(code == Some(66) && said.contains("missing.toml: "), "{code:?} {said}");

    let wrong = other(&prescreen, |config| config.set("screen.greet_wait", "'soon'"));
    let (code, said) = ends(&wrong, &[]);
    assert!(code == Some(1), "{code:?} {said}");
    for part in ["new.toml:", "screen.greet_wait", "soon", "6s"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let wrong =
        other(&prescreen, |config| config.set("restrictions.client", "'check_client_access cidr:gone'"));
    let (code, said) = ends(&wrong, &[]);
    assert!(code == Some(1) && said.contains("gone"), "{code:?} {said}");

    let right = other(&prescreen, |config| config);
    let (code, said) = ends(&right, &["--socket", "/nowhere/admin.sock"]);
    assert!(code == Some(69) && said.contains("no server answers at /nowhere/admin.sock"), "{code:?} {said}");

    let mut first = Shadow::start(&right);
    let (code, said) = ends(&right, &[]);
    assert!(code == Some(1) && said.contains("is being compared already"), "{code:?} {said}");
    // A command that is gone without a word leaves the place to the next.
    first.signal("KILL");
    first.process.wait().unwrap();
    eventually("the place", || (prescreen.metric("prescreen_shadow_running", &[]) == 0.0).then_some(()));
    let asked =
        Command::new(PROGRAM).args(["shadow", "--for", "1s", "--config"]).arg(&right).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{said}");
    for part in ["comparing …", "new.toml for 1s: 0 connections", "newly refused", "not seen:"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn nobody_waits_for_one_that_cannot_keep_up_and_it_says_what_it_has_left_out() {
    const TIMES: u64 = 50;
    let prescreen = config().start();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = other(&prescreen, |config| {
        config.set("dns.servers", &format!("['{}']", silent.local_addr().unwrap())).set("dns.timeout", "'1m'")
    });
    let shadow = Shadow::start(&file);
    for _ in 0..TIMES {
        assert_eq!(asks(&prescreen, client(77), "good@example.com").code, 250);
    }
    prescreen.await_connections(TIMES as f64);
    let summary = shadow.summary();
    assert_eq!((&summary["connections"], &summary["dropped"]), (&TIMES.into(), &TIMES.into()), "{summary}");
    assert_eq!(prescreen.metric("prescreen_shadow_dropped_total", &[]), TIMES as f64);
}

#[test]
fn a_server_that_ends_says_what_it_came_to() {
    let prescreen = config().start();
    let file = other(&prescreen, |config| config);
    let mut shadow = Shadow::start(&file);
    assert_eq!(asks(&prescreen, client(76), "good@example.com").code, 250);
    prescreen.await_metric(DECISIONS, &["live=\"permit\"", "shadow=\"permit\""], 1.0);
    prescreen.signal("TERM");
    let summary = loop {
        let line = shadow.line();
        if line.get("agreed").is_some() {
            break line;
        }
    };
    assert_eq!(summary["agreed"], 1);
    assert!(shadow.process.wait().unwrap().success());
}
