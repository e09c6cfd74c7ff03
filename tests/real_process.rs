//! prescreen as a process: starts, reloads nothing it can't read, remembers, drains, ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::LazyLock;

use support::clients::smtplib;
use support::dns::Dns;
use support::message::{dotted, message};
use support::postfix::Postfix;
use support::prescreen::{Config, Ended, PROGRAM, Prescreen, Stopped, command, config_file};
use support::talk::Talk;
use support::{client, eventually};

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

fn prescreen() -> Prescreen {
    Config::before(&POSTFIX, &DNS).start()
}

/// Sends one message by smtplib and expects that it was taken.
#[track_caller]
fn deliver(prescreen: &Prescreen, from: Ipv4Addr, recipient: &str) {
    let script = format!("smtp.sendmail('{SENDER}', ['{recipient}@example.org'], message)");
    smtplib(from, prescreen.smtp, &script, &message(recipient, "hello\r\n")).sent();
}

/// Starts again with a greet wait that would outlast everybody's patience: only who is remembered gets through.
#[track_caller]
fn start_for_known_clients_only(mut stopped: Stopped) -> Prescreen {
    stopped.config = stopped.config.set("screen.greet_wait", "'1h'");
    stopped.start()
}

#[test]
fn a_restart_keeps_the_allowlist() {
    let prescreen = prescreen();
    deliver(&prescreen, client(90), "restart");
    let prescreen = start_for_known_clients_only(prescreen.stop("TERM"));
    deliver(&prescreen, client(90), "restart");
    POSTFIX.mailbox.await_messages("restart", 2);
}

#[test]
fn kill_9_keeps_the_allowlist() {
    let prescreen = prescreen();
    deliver(&prescreen, client(91), "killed");
    prescreen.await_stored();
    let prescreen = start_for_known_clients_only(prescreen.stop("KILL"));
    deliver(&prescreen, client(91), "killed");
    POSTFIX.mailbox.await_messages("killed", 2);
}

#[test]
fn a_damaged_store_is_set_aside_and_serves_nobody_ill() {
    let prescreen = prescreen();
    deliver(&prescreen, client(92), "damaged");
    let stopped = prescreen.stop("TERM");
    let damaged = b"not what it was".repeat(1_000);
    fs::write(stopped.store(), &damaged).unwrap();
    let prescreen = stopped.start();
    prescreen.await_log("allowlist file damaged");
    let kept = fs::read_dir(prescreen.home())
        .unwrap()
        .any(|entry| fs::read(entry.unwrap().path()).is_ok_and(|bytes| bytes == damaged));
    assert!(kept, "the damaged file is kept for whoever wants to look at it");
    deliver(&prescreen, client(92), "damaged");
    POSTFIX.mailbox.await_messages("damaged", 2);
}

#[test]
fn sigterm_ends_conversations_and_lets_messages_finish() {
    let mut prescreen = prescreen();
    let mut sending = Talk::greeted(client(93), prescreen.smtp);
    assert_eq!(sending.envelope(SENDER, "draining@example.org").code, 250);
    sending.ask("DATA", "354 ");
    let mut talking = Talk::greeted(client(94), prescreen.smtp);

    prescreen.signal("TERM");
    let replies = talking.closed();
    assert_eq!(replies.iter().map(|said| said.code).collect::<Vec<_>>(), [421], "{}", talking.record());
    eventually("new clients to be refused", || TcpStream::connect(prescreen.smtp).err());

    sending.send(&dotted(&message("draining", "hello\r\n")));
    sending.expect("250 2.0.0");
    sending.ask("QUIT", "221 ");
    assert!(sending.closed().is_empty());
    POSTFIX.mailbox.await_messages("draining", 1);
    let status = prescreen.wait();
    assert!(status.success(), "{status}\n{}", prescreen.log());
}

/// All lines of a reply have one code (RFC 5321 §4.2.1): behind the teaser `220-` cannot stand 421.
#[test]
fn sigterm_completes_the_greeting_of_who_waits_for_it() {
    let mut prescreen = Config::before(&POSTFIX, &DNS).set("screen.greet_wait", "'1h'").start();
    let mut waiting = Talk::connect(client(105), prescreen.smtp);
    prescreen.await_metric("prescreen_sessions", &["state=\"screen\""], 1.0);
    prescreen.signal("TERM");
    let replies = waiting.closed();
    assert_eq!(replies.iter().map(|said| said.code).collect::<Vec<_>>(), [220, 421], "{}", waiting.record());
    let status = prescreen.wait();
    assert!(status.success(), "{status}\n{}", prescreen.log());
    prescreen.await_log("\"outcome\":\"drained\"");
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut prescreen = prescreen();
    let mut sending = Talk::greeted(client(95), prescreen.smtp);
    assert_eq!(sending.envelope(SENDER, "cut-off@example.org").code, 250);
    sending.ask("DATA", "354 ");
    prescreen.signal("TERM");
    eventually("the drain to begin", || TcpStream::connect(prescreen.smtp).err());
    assert!(prescreen.ended().is_none(), "a message is still on its way");
    prescreen.signal("TERM");
    prescreen.wait();
    assert!(sending.closed().is_empty());
    assert!(POSTFIX.mailbox.messages("cut-off").is_empty());
}

#[test]
fn addresses_that_are_taken_are_no_fault_of_the_configuration() {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let there = taken.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    let run = Command::new(PROGRAM)
        .args(["run", "--set", "metrics.listen=", "--set", "admin.socket="])
        .args(["--listen", &there[0], "--listen", &there[1]])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    // A service manager tries again after EX_UNAVAILABLE, and not after EX_CONFIG.
    assert_eq!(run.status.code(), Some(69), "{said}");
    assert!(there.iter().all(|address| said.contains(&format!("cannot listen on {address}"))), "{said}");
}

#[test]
fn a_reload_takes_a_good_configuration_and_leaves_a_bad_one() {
    let prescreen = prescreen();
    let banner =
        |prescreen: &Prescreen, from| Talk::connect(from, prescreen.smtp).expect("220 ").text().to_owned();
    assert_eq!(banner(&prescreen, client(97)), "220 mx.example.org ESMTP");

    let another = prescreen.config().clone().set("smtp.banner", "'mx.example.org ESMTP reloaded'");
    prescreen.reconfigure(&another.toml());
    prescreen.await_log("reloaded");
    assert_eq!(banner(&prescreen, client(97)), "220 mx.example.org ESMTP reloaded");

    prescreen.reconfigure(&another.set("screen.greet_wait", "'soon'").toml());
    prescreen.await_log("reload refused");
    assert!(prescreen.log().contains("soon"), "{}", prescreen.log());
    assert_eq!(banner(&prescreen, client(97)), "220 mx.example.org ESMTP reloaded");
}

#[test]
fn check_names_every_error_at_once_and_exits_78() {
    let text = "hostnam = 'mx.example.org'\n\
                [screen]\n\
                greet_wait = '6 parsecs'\n\
                greet_action = 'shrug'\n\
                [restrictions]\n\
                sender = ['reject_everybody']\n";
    let (_folder, file) = config_file(text);
    let name = file.to_str().unwrap();
    for verb in ["check", "run"] {
        let ended = command(&[verb, "--config", name]);
        assert_eq!(ended.code, Some(78), "{verb}: {}", ended.said);
        for line in [1, 3, 4, 6] {
            assert!(ended.said.contains(&format!("{name}:{line}:")), "{verb}, line {line}: {}", ended.said);
        }
        for word in ["hostname", "6 parsecs", "shrug", "reject_everybody"] {
            assert!(ended.said.contains(word), "{verb}: {word} in {}", ended.said);
        }
    }
}

#[test]
fn check_is_content_with_what_the_tests_run() {
    let text = Config::before(&POSTFIX, &DNS).toml();
    let (_folder, file) = config_file(&text);
    let ended = command(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[test]
fn a_file_that_is_not_there_is_named_and_exits_78() {
    for verb in ["check", "run"] {
        let ended = command(&[verb, "--config", "/nonexistent/prescreen.toml"]);
        assert_eq!(ended.code, Some(78), "{verb}: {}", ended.said);
        assert!(ended.said.contains("/nonexistent/prescreen.toml"), "{verb}: {}", ended.said);
    }
}

#[test]
fn out_of_descriptors_strangers_are_turned_away_and_it_recovers() {
    const CROWD: u8 = 100;
    let prescreen = Config::before(&POSTFIX, &DNS).launch_with_files(100);
    let crowd: Vec<Talk> =
        (0..CROWD).map(|host| Talk::connect(Ipv4Addr::new(127, 8, 0, host), prescreen.smtp)).collect();
    let mut turned_away = 0;
    for mut talk in crowd {
        // Those inside are greeted; those outside are told to come later, or, under a flood, nothing at all.
        match talk.reply_or_end() {
            Some(said) if said.code == 220 => {}
            Some(said) => {
                assert_eq!(said.code, 421, "{}", talk.record());
                turned_away += 1;
            }
            None => turned_away += 1,
        }
    }
    assert!(turned_away > 0, "one hundred descriptors can't be enough for one hundred clients");
    assert_eq!(prescreen.fetch("/healthz").map(|(status, _)| status), Some(200));
    prescreen.await_connections(f64::from(CROWD));
    deliver(&prescreen, client(96), "after-the-crowd");
    POSTFIX.mailbox.await_messages("after-the-crowd", 1);
}

/// Without a metrics listener the healthcheck asks by SMTP, behind a PROXY header as in front of one; for backends it
/// asks the admin socket.
#[test]
fn the_healthcheck_asks_what_there_is_to_ask() {
    let mut prescreen = Config::before(&POSTFIX, &DNS).set("screen.greet_banner", "'wait'").start();
    let file = prescreen.home().join("prescreen.toml");
    let check = |more: &[&str]| {
        let mut arguments = vec!["healthcheck", "--config", file.to_str().unwrap()];
        arguments.extend(more);
        command(&arguments)
    };
    let healthy =
        |ended: &Ended, said: &str| assert!(ended.code == Some(0) && ended.said.contains(said), "{ended:?}");
    healthy(&check(&[]), "alive");
    healthy(&check(&["--ready"]), "ready");
    // It is greeted, and no zombie that talks before that.
    healthy(&check(&["--set", "metrics.listen="]), "220 mx.example.org");
    prescreen.await_connections(1.0);
    prescreen.await_log("\"pregreet\":\"passed\"");
    healthy(&check(&["--ready", "--set", "metrics.listen="]), "ready");
    let unknown = check(&["--ready", "--set", "metrics.listen=", "--set", "admin.socket="]);
    assert!(unknown.code == Some(1) && unknown.said.contains("admin.socket"), "{unknown:?}");
    // A server that cannot read its new configuration goes on with the old one, and so is well.
    fs::write(&file, fs::read_to_string(&file).unwrap() + "\n[nonsense]\na = 1\n").unwrap();
    healthy(&check(&[]), "alive");

    prescreen.signal("TERM");
    prescreen.wait();
    for asked in [&["--set", "metrics.listen="] as &[&str], &[], &["--ready"]] {
        let ended = check(asked);
        assert!(ended.code == Some(1) && ended.said.contains("refused"), "{ended:?}");
    }
    assert_eq!(check(&["--ready", "--set", "metrics.listen="]).code, Some(1));
}

#[test]
fn the_healthcheck_knows_without_metrics_that_no_backend_answers() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut prescreen = Config::before_address(nobody, DNS.address).launch();
    prescreen.await_status("/readyz", 503);
    let file = prescreen.config_file();
    let arguments =
        ["healthcheck", "--ready", "--config", file.to_str().unwrap(), "--set", "metrics.listen="];
    let ended = command(&arguments);
    assert!(ended.code == Some(1) && ended.said.contains("no backend answers"), "{ended:?}");
}

#[test]
fn the_healthcheck_is_a_proxy_where_one_is_required() {
    let prescreen = Config::before(&POSTFIX, &DNS)
        .listener("proxy_protocol", "'required'")
        .listener("trusted", "['127.0.0.0/8']")
        .start();
    let file = prescreen.home().join("prescreen.toml");
    let arguments = ["healthcheck", "--config", file.to_str().unwrap(), "--set", "metrics.listen="];
    let ended = command(&arguments);
    assert!(ended.code == Some(0) && ended.said.contains("220 mx.example.org"), "{ended:?}");
}
