//! The operator's hand: every command on a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use serde_json::Value;
use support::dns::{Dns, LIST};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;
use support::{client, eventually};

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

fn config() -> Config {
    Config::before(&POSTFIX, &DNS)
}

/// What a command says that must succeed.
#[track_caller]
fn said(prescreen: &Prescreen, arguments: &[&str]) -> String {
    let ended = prescreen.ask(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.said);
    ended.said
}

/// What a command says that must fail.
#[track_caller]
fn refused(prescreen: &Prescreen, arguments: &[&str]) -> String {
    let ended = prescreen.ask(arguments);
    assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.said);
    ended.said
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Passes every test.
fn passes(prescreen: &Prescreen, from: u8) {
    let mut talk = Talk::greeted(client(from), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "admin@example.org").code, 250);
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
}

#[test]
fn status_and_sessions_show_who_is_here_and_kill_sends_him_away() {
    let prescreen = config().start();
    let mut talk = Talk::greeted(client(40), prescreen.smtp);
    let status = said(&prescreen, &["status"]);
    for part in [": ready", "0 in tests and 1 in dialogue", "file up", &prescreen.smtp.to_string(), " up, "] {
        assert!(status.contains(part), "{part} in {status}");
    }
    let status = &json(&said(&prescreen, &["status", "--json"]))[0];
    assert_eq!((&status["sessions"]["dialogue"], &status["not_ready"]), (&1.into(), &Value::Null));

    let shown = said(&prescreen, &["sessions"]);
    assert!(shown.contains("dialogue") && shown.contains("127.0.0.40:"), "{shown}");
    let session = &json(&said(&prescreen, &["sessions", "--json"]))[0];
    let id = session["id"].as_str().unwrap();
    said(&prescreen, &["sessions", "kill", id]);
    assert!(talk.closed().is_empty(), "{}", talk.record());
    assert!(refused(&prescreen, &["sessions", "kill", id]).contains("no such connection"));
    prescreen.await_connections(1.0);
    assert_eq!(prescreen.connections(&["outcome=\"cut\""]), 1.0);
    assert!(prescreen.ask(&["sessions", "kill", "nonsense"]).said.contains("12 digits and letters"));
}

#[test]
fn why_tells_what_was_decided_by_address_and_by_the_name_in_the_reply() {
    // The default, which tests that compare replies word for word do without.
    let prescreen =
        config().set("smtp.reject_footer", r"'\c; id $id'").set("screen.denylist_action", "'drop'").start();
    let mut talk = Talk::greeted(client(41), prescreen.smtp);
    let reply = talk.envelope(SENDER, "nobody@elsewhere.example");
    let (words, id) = reply.text().split_once("; id ").unwrap();
    assert!(words.ends_with("Relay access denied"), "{words}");
    let id = id.trim().to_owned();
    assert!(talk.closed()[0].text().trim().ends_with(&format!("Error: too many errors; id {id}")));
    prescreen.await_connections(1.0);
    for about in ["127.0.0.41", "127.0.0.40/30", &id] {
        let story = said(&prescreen, &["why", about]);
        for part in [&*id, "[127.0.0.41]:", "rejected", "nobody@elsewhere.example", "Relay access denied"] {
            assert!(story.contains(part), "{part} in {story}");
        }
    }
    let report = &json(&said(&prescreen, &["why", "--json", &id]))[0];
    assert_eq!(report["outcome"], "rejected");
    // What the log says of it has the name elsewhere: log tools add up refusals by their words.
    prescreen.await_log("Relay access denied");
    assert!(!prescreen.log().contains("denied; id"), "{}", prescreen.log());
    // Whoever is turned away before the greeting is told, too.
    said(&prescreen, &["deny", "127.0.0.48"]);
    let turned_away = Talk::connect(client(48), prescreen.smtp).closed();
    let (words, id) = turned_away.last().unwrap().text().split_once("; id ").unwrap();
    assert!(words.starts_with("521 ") && said(&prescreen, &["why", id.trim()]).contains("denylisted"));
    assert!(refused(&prescreen, &["why", "192.0.2.1"]).contains("nothing is remembered"));
    assert!(refused(&prescreen, &["why", "what?"]).contains("no connection's name"));
}

#[test]
fn the_allowlist_is_shown_changed_and_carried_elsewhere() {
    let prescreen = config().start();
    passes(&prescreen, 42);
    let shown = eventually("the pass", || {
        let shown = said(&prescreen, &["allowlist", "list"]);
        shown.contains("127.0.0.42").then_some(shown)
    });
    assert!(shown.contains("pregreet"), "{shown}");
    said(&prescreen, &["allowlist", "add", "2001:db8::1", "--for", "2h"]);
    let added = said(&prescreen, &["allowlist", "get", "2001:db8::ffff"]);
    assert!(added.contains("2001:db8::/64") && added.contains("bare_newline "), "{added}");
    let exported = said(&prescreen, &["allowlist", "export"]);
    assert_eq!(json(&exported).len(), 2);
    said(&prescreen, &["allowlist", "remove", "2001:db8::1"]);
    assert!(refused(&prescreen, &["allowlist", "get", "2001:db8::1"]).contains("not on the allowlist"));

    let other = config().start();
    let imported = other.ask_with(&["allowlist", "import"], &exported);
    assert_eq!((imported.code, &*imported.said), (Some(0), "2 taken in\n"));
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&said(&other, &["allowlist", "export"])), sorted(&exported));
    let nonsense = other.ask_with(&["allowlist", "import"], "{\"client\":\"x\"}\n");
    assert!(nonsense.code == Some(65) && nonsense.said.contains("line 1: "), "{}", nonsense.said);
}

#[test]
fn allow_and_deny_come_first_and_outlive_a_restart() {
    let prescreen = config().start();
    said(&prescreen, &["deny", "127.0.0.43"]);
    said(&prescreen, &["allow", "127.0.0.44/31", "--for", "1d"]);
    let shown = said(&prescreen, &["allow"]);
    let words: Vec<_> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(words[0], "deny 127.0.0.43 for good");
    assert!(words[1].starts_with("allow 127.0.0.44/31 for ") && !words[1].ends_with("good"), "{shown}");
    let orders = |prescreen: &Prescreen| {
        let mut denied = Talk::greeted(client(43), prescreen.smtp);
        assert!(
            !matches!(denied.envelope(SENDER, "admin@example.org").code, 200..300),
            "{}",
            denied.record()
        );
        let mut allowed = Talk::connect(client(45), prescreen.smtp);
        assert!(allowed.expect("220 ").text().contains("Postfix"), "{}", allowed.record());
        allowed.ask("QUIT", "221 ");
    };
    orders(&prescreen);
    let prescreen = prescreen.stop("TERM").start();
    orders(&prescreen);
    said(&prescreen, &["deny", "127.0.0.43", "--remove"]);
    assert!(refused(&prescreen, &["deny", "127.0.0.43", "--remove"]).contains("nothing was said of it"));
    passes(&prescreen, 43);

    // With a file that cannot be written, whoever gives an order hears that it may not.
    let stopped = prescreen.stop("TERM");
    fs::remove_file(stopped.store()).unwrap();
    fs::create_dir(stopped.store()).unwrap();
    let prescreen = stopped.start();
    assert!(said(&prescreen, &["deny", "127.0.0.43"]).contains("in memory alone"));
}

#[test]
fn dnsbl_shows_what_each_list_is_good_for() {
    let prescreen = config().set("dnsbl.sites", &format!("['{LIST}']")).start();
    passes(&prescreen, 47);
    let shown = said(&prescreen, &["dnsbl"]);
    for part in [LIST, "state    works", "notfound 1", "0, 0 of them unique", "ms on average"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn who_has_passed_is_asked_about_again_when_the_answer_has_expired() {
    let config = config().set("dnsbl.sites", &format!("['{LIST}']"));
    let prescreen = config.set("dnsbl.min_ttl", "'1s'").set("dnsbl.max_ttl", "'1s'").start();
    passes(&prescreen, 48);
    prescreen.await_metric("prescreen_dnsbl_rechecks_total", &["result=\"clear\""], 1.0);
}

#[test]
fn reload_says_what_is_wrong_and_upgrade_replaces_the_process() {
    let mut prescreen = config().start_generations(&[]);
    let good = prescreen.config().clone();
    assert_eq!(said(&prescreen, &["reload"]), "reloaded\n");
    prescreen.rewrite(good.clone().set("screen.greet_wait", "'6 parsecs'"));
    for change in ["reload", "upgrade"] {
        let why = refused(&prescreen, &[change]);
        assert!(why.contains("screen.greet_wait") && why.contains("6 parsecs"), "{change}: {why}");
    }
    prescreen.rewrite(good);
    let before = prescreen.pid();
    let words = said(&prescreen, &["upgrade"]);
    let process: u32 = words.split(' ').nth(1).unwrap().parse().unwrap();
    assert_ne!(process, before);
    let status = &json(&said(&prescreen, &["status", "--json"]))[0];
    assert_eq!(status["pid"], process, "the admin socket went over, too");
}

#[test]
fn the_protocol_is_a_line_of_json_each_way() {
    let prescreen = config().start();
    let mut stream = UnixStream::connect(prescreen.home().join("admin.sock")).unwrap();
    stream.write_all(b"{\"do\":\"order\",\"client\":\"192.0.2.0/24\",\"order\":\"deny\",\"seconds\":60}\n{\"do\":\"orders\"}\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next(), serde_json::json!({"ok": "file"}));
    let item = &next()["item"];
    assert_eq!((&item["client"], &item["order"]), (&"192.0.2.0/24".into(), &"deny".into()));
    assert_eq!(next(), serde_json::json!({"ok": null}));
}

#[test]
fn without_a_server_every_command_says_so() {
    for arguments in
        [&["status"][..], &["sessions"], &["why", "192.0.2.1"], &["reload"], &["allowlist", "list"]]
    {
        let arguments = [arguments, &["--socket", "/nonexistent/admin.sock"]].concat();
        let ended = support::prescreen::command(&arguments);
        assert_eq!(ended.code, Some(69), "{arguments:?}: {}", ended.said);
        assert!(ended.said.contains("no server answers at /nonexistent/admin.sock"), "{}", ended.said);
    }
}
