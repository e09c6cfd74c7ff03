//! Changes without a dropped session: another configuration, another program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::LazyLock;

use support::daemon::kill;
use support::dns::Dns;
use support::message::{dotted, message};
use support::postfix::Postfix;
use support::prescreen::Config;
use support::talk::Talk;
use support::traffic::Traffic;
use support::{PATIENCE, client, eventually, free_address};

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";
const FRESH: &str = "prescreen_config_last_reload_successful";
const MEMORY: &str = "prescreen_resident_memory_bytes";

fn config() -> Config {
    Config::before(&POSTFIX, &DNS)
}

/// How often the longer tests do what they do; by hand it can be more.
fn times(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).map_or(usual, |number| number.parse().expect("a number"))
}

fn greets(address: SocketAddr, from: u8) {
    Talk::greeted(client(from), address).ask("QUIT", "221 ");
}

#[test]
fn a_reload_takes_everything_and_running_sessions_keep_theirs() {
    let mut prescreen = config().start();
    let mut before = Talk::greeted(client(20), prescreen.smtp);
    let (other, metrics) = (free_address(), free_address());
    let old_metrics = prescreen.config().admin;
    let mut changed =
        prescreen.config().clone().set("smtp.banner", "'mx.example.org says hello'").listens_at(other);
    changed.admin = metrics;
    let changed = changed.set("metrics.listen", &format!("'{metrics}'")).set("log.format", "'text'");
    prescreen.rewrite(changed);
    prescreen.signal("HUP");
    prescreen.await_status("/healthz", 200);
    prescreen.await_metric("prescreen_config_reloads_total", &["result=\"ok\""], 1.0);

    let mut after = Talk::connect(client(21), prescreen.smtp);
    assert_eq!(after.expect("220 ").text(), "220 mx.example.org says hello");
    greets(other, 22);
    assert_eq!(before.envelope(SENDER, "reloaded@example.org").code, 250, "{}", before.record());
    before.ask("QUIT", "221 ");
    eventually("the old metrics address to be closed", || TcpStream::connect(old_metrics).err());
    assert!(prescreen.log().lines().any(|line| line.contains(" INFO ")), "the log is written as text now");

    let mut waiting = Talk::connect(client(23), other);
    let fewer = prescreen.config().clone().listens_no_more_at(other);
    prescreen.rewrite(fewer);
    prescreen.reload("ok");
    eventually("the listener to be closed", || TcpStream::connect(other).err());
    waiting.expect("220 ");
    waiting.ask("QUIT", "221 ");
    greets(prescreen.smtp, 24);
}

#[test]
fn a_reload_is_refused_whole_and_says_why() {
    let mut prescreen = config().start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = taken.local_addr().unwrap();
    let good = prescreen.config().clone();
    let too_much = good.clone().set("smtp.banner", "'never said'");
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, good.admin.port()));
    for (bad, reason) in [
        (too_much.clone().set("screen.greet_wait", "'6 parsecs'"), "parsecs"),
        (
            too_much.clone().set("restrictions.client", "'check_client_access texthash:/nonexistent'"),
            "/nonexistent",
        ),
        (too_much.clone().listens_at(nowhere), "another server stands there"),
        (
            too_much.clone().set("metrics.listen", &format!("'{everywhere}'")),
            "while prescreen itself listens on",
        ),
        (
            too_much.set("allowlist.max_entries", "7"),
            "allowlist.max_entries cannot change while prescreen runs",
        ),
    ] {
        prescreen.rewrite(bad);
        prescreen.reload("failed");
        assert_eq!(prescreen.metric(FRESH, &[]), 0.0);
        prescreen.await_log(reason);
        let mut talk = Talk::connect(client(25), prescreen.smtp);
        assert_eq!(talk.expect("220 ").text(), "220 mx.example.org ESMTP");
        talk.ask("QUIT", "221 ");
    }
    prescreen.rewrite(good);
    prescreen.reload("ok");
    assert_eq!(prescreen.metric(FRESH, &[]), 1.0);
}

#[test]
fn a_changed_table_counts_at_once_when_it_is_told_to_look() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("senders");
    fs::write(&table, "nobody@example.net REJECT\n").unwrap();
    let list = format!("'check_sender_access texthash:{}'", table.display());
    let prescreen = config().set("restrictions.sender", &list).start();
    let code = |from| {
        let mut talk = Talk::greeted(client(from), prescreen.smtp);
        talk.envelope(SENDER, "table@example.org").code
    };
    assert_eq!(code(26), 250);
    fs::write(&table, "sender@example.com REJECT not you\n").unwrap();
    prescreen.reload("ok");
    assert_eq!(code(27), 554);
}

#[test]
fn reloads_under_load_drop_nobody_and_take_no_memory() {
    let times = times("RELOADS", 300);
    // Whatever grows, it shall not be the history.
    let config = config().set("screen.greet_wait", "'200ms'").set("admin.history_size", "0");
    let mut prescreen = config.start();
    let traffic = Traffic::start(prescreen.smtp, 8, None);
    let (other, one) = (free_address(), prescreen.config().clone());
    let two = one.clone().listens_at(other);
    let mut desk = BufReader::new(UnixStream::connect(prescreen.home().join("admin.sock")).unwrap());
    traffic.flow(20);
    let mut settled = 0.0;
    for turn in 0..times {
        prescreen.rewrite(if turn % 2 == 0 { two.clone() } else { one.clone() });
        desk.get_mut().write_all(b"{\"do\":\"reload\"}\n").unwrap();
        let mut answer = String::new();
        desk.read_line(&mut answer).unwrap();
        assert_eq!(answer, "{\"ok\":null}\n", "reload {turn}");
        if turn == times / 3 {
            settled = prescreen.metric(MEMORY, &[]);
        }
    }
    traffic.flow(20);
    let grown = prescreen.metric(MEMORY, &[]) - settled;
    let tally = traffic.stop();
    println!("{times} reloads, {} connections served, memory {settled} bytes and {grown} more", tally.served);
    assert!(tally.complaints.is_empty(), "{tally:?}");
    assert!(grown < settled / 10.0, "{settled} bytes and {grown} more");
}

#[test]
fn upgrades_under_load_cost_nobody_a_connection_and_no_message() {
    let times = times("UPGRADES", 6);
    let mut prescreen = config().set("screen.greet_wait", "'50ms'").start_generations(&[]);
    let traffic = Traffic::start(prescreen.smtp, 6, Some("upgraded"));
    for _ in 0..times {
        traffic.flow(20);
        prescreen.upgrade();
    }
    traffic.flow(20);
    let tally = traffic.stop();
    println!("{times} upgrades, {} messages sent", tally.served);
    assert!(tally.complaints.is_empty(), "{tally:?}");
    let messages = POSTFIX.mailbox.await_messages("upgraded", tally.served as usize);
    assert_eq!(messages.len(), tally.served as usize);
}

/// By hand: `CLIENTS=60 UPGRADES=20 cargo test --release --test real_changes -- --ignored --nocapture`.
#[test]
#[ignore = "takes the whole machine"]
fn upgrades_under_as_many_connections_as_there_can_be() {
    let clients = u8::try_from(times("CLIENTS", 60)).expect("fewer clients");
    let mut prescreen = config()
        .set("screen.greet_wait", "'50ms'")
        .set("limits.client_connection_rate_limit", "0")
        .start_generations(&[]);
    let (started, traffic) = (std::time::Instant::now(), Traffic::start(prescreen.smtp, clients, None));
    for _ in 0..times("UPGRADES", 20) {
        traffic.flow(500);
        prescreen.upgrade();
    }
    traffic.flow(500);
    let tally = traffic.stop();
    let rate = f64::from(tally.served) / started.elapsed().as_secs_f64();
    println!("{} connections, {rate:.0} a second", tally.served);
    assert!(tally.complaints.is_empty(), "{tally:?}");
}

#[test]
fn a_session_outlives_the_upgrade_and_the_allowlist_goes_over() {
    let mut prescreen = config().start_generations(&[]);
    let mut talking = Talk::greeted(client(30), prescreen.smtp);
    let mut sending = Talk::greeted(client(31), prescreen.smtp);
    assert_eq!(sending.envelope(SENDER, "outlives@example.org").code, 250);
    sending.ask("DATA", "354 ");
    let mut known = Talk::greeted(client(32), prescreen.smtp);
    assert_eq!(known.envelope(SENDER, "known@example.org").code, 250);
    known.ask("QUIT", "221 ");
    prescreen.await_connections(1.0);

    // Only who is remembered gets through the next one.
    prescreen.rewrite(prescreen.config().clone().set("screen.greet_wait", "'1h'"));
    let first = prescreen.pid();
    prescreen.upgrade();
    assert_ne!(prescreen.pid(), first);
    prescreen.await_metric("prescreen_allowlist_store_state", &["state=\"up\""], 1.0);
    greets(prescreen.smtp, 32);

    sending.send(&dotted(&message("outlives", "hello\r\n")));
    sending.expect("250 2.0.0");
    sending.ask("QUIT", "221 ");
    assert_eq!(talking.envelope(SENDER, "outlives@example.org").code, 250, "{}", talking.record());
    talking.ask("QUIT", "221 ");
    drop((talking, sending));
    eventually("the old process to end", || fs::metadata(format!("/proc/{first}/fd/0")).err());
    POSTFIX.mailbox.await_messages("outlives", 1);
}

#[test]
fn whoever_has_a_successor_drains_when_it_is_told_to_end() {
    let mut prescreen = config().start_generations(&[]);
    let mut talking = Talk::greeted(client(37), prescreen.smtp);
    let mut sending = Talk::greeted(client(38), prescreen.smtp);
    assert_eq!(sending.envelope(SENDER, "predecessor@example.org").code, 250);
    sending.ask("DATA", "354 ");
    let first = prescreen.pid();
    prescreen.upgrade();
    // systemd tells every process of a unit to end.
    kill(first, "TERM");
    let replies = talking.closed();
    assert_eq!(replies.iter().map(|said| said.code).collect::<Vec<_>>(), [421], "{}", talking.record());

    sending.send(&dotted(&message("predecessor", "hello\r\n")));
    sending.expect("250 2.0.0");
    sending.ask("QUIT", "221 ");
    drop(sending);
    eventually("the old process to end", || fs::metadata(format!("/proc/{first}/fd/0")).err());
    POSTFIX.mailbox.await_messages("predecessor", 1);
    let status = prescreen.ask(&["status"]);
    assert_eq!(status.code, Some(0), "the successor's admin socket is gone: {}", status.said);
}

#[test]
fn a_successor_that_cannot_start_leaves_the_old_one_serving() {
    let mut prescreen = config().start_generations(&[]);
    let good = prescreen.config().clone();
    prescreen.rewrite(good.clone().set("screen.greet_wait", "'6 parsecs'"));
    prescreen.signal("USR2");
    prescreen.await_log("upgrade refused: the new process would not start");
    assert!(prescreen.log().contains("parsecs"), "{}", prescreen.log());
    greets(prescreen.smtp, 33);
    prescreen.rewrite(good);
    prescreen.upgrade();
    greets(prescreen.smtp, 34);
}

/// Listens, and becomes what its arguments say, with the socket in its hands, as systemd does it.
const ACTIVATE: &str = "import os, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
host, port = sys.argv[1].rsplit(':', 1)
listener.bind((host, int(port)))
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='smtp')
os.execv(sys.argv[2], sys.argv[2:])";

#[test]
fn systemd_gives_the_socket_and_is_told_of_every_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |wanted: &str| loop {
        let mut buffer = [0; 4096];
        let length = systemd.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        let state = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if state.lines().any(|line| line.starts_with(wanted)) {
            return state;
        }
    };
    let config = config();
    let (address, notify) = (config.smtp.to_string(), format!("NOTIFY_SOCKET={}", path.display()));
    let wrapper = ["env", &notify, "WATCHDOG_USEC=200000", "python3", "-c", ACTIVATE, &address];
    let mut prescreen = config.start_generations(&wrapper);
    assert!(hear("READY=1").contains(&format!("STATUS=Serving at {address}")));
    assert!(!prescreen.log().contains("handed over"), "{}", prescreen.log());
    greets(prescreen.smtp, 35);
    hear("WATCHDOG=1");

    prescreen.signal("HUP");
    assert!(hear("RELOADING=1").contains("\nMONOTONIC_USEC="));
    hear("READY=1");

    prescreen.upgrade();
    assert!(hear("MAINPID=").contains(&format!("MAINPID={}\nREADY=1", prescreen.pid())));
    hear("WATCHDOG=1");
    greets(prescreen.smtp, 36);

    prescreen.signal("TERM");
    hear("STOPPING=1");
}
