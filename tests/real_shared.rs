//! The shared allowlist against real servers: what one prescreen learns the other knows, and whatever the server does
//! costs nobody a mail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use support::clients::smtplib;
use support::dns::Dns;
use support::message::message;
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::redis::{Redis, servers};
use support::talk::Talk;
use support::{client, eventually_or};

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const OPERATIONS: &str = "prescreen_shared_allowlist_operations_total";
const STATE: &str = "prescreen_shared_allowlist_state";
const WAITED: &str = "prescreen_greet_wait_seconds_count";

/// A prescreen that shares its allowlist through a server.
fn sharing(address: &str) -> Config {
    // These tests share their processor with others: what is slow here is not the server.
    Config::before(&POSTFIX, &DNS)
        .set("allowlist.shared", &format!("'{address}'"))
        .set("allowlist.shared_timeout", "'1s'")
}

fn start(config: Config) -> Prescreen {
    let prescreen = config.start();
    await_state(&prescreen, "up");
    prescreen
}

/// One at which only a client that is known already gets through: the wait would outlast everybody's patience.
fn for_known_clients(config: Config) -> Prescreen {
    start(config.set("screen.greet_wait", "'1h'"))
}

#[track_caller]
fn await_state(prescreen: &Prescreen, state: &str) {
    prescreen.await_metric(STATE, &[&format!("state=\"{state}\"")], 1.0);
}

/// Waits until the server has been told so many things.
#[track_caller]
fn await_told(prescreen: &Prescreen, changes: f64) {
    prescreen.await_metric(OPERATIONS, &["operation=\"store\"", "result=\"done\""], changes);
}

#[track_caller]
fn deliver(prescreen: &Prescreen, from: Ipv4Addr, recipient: &str) {
    let script = format!("smtp.sendmail('sender@example.com', ['{recipient}@example.org'], message)");
    smtplib(from, prescreen.smtp, &script, &message(recipient, "hello\r\n")).sent();
}

#[test]
fn passed_at_one_known_at_the_other_and_revoked_at_one_unknown_at_the_other() {
    for (number, program) in (60..).zip(servers()) {
        let redis = Redis::start(program, &[]);
        let address = format!("redis://{}", redis.address);
        let (here, there) = (start(sharing(&address)), start(sharing(&address)));
        let friend = client(number);

        deliver(&here, friend, "shared");
        await_told(&here, 1.0);
        deliver(&there, friend, "shared");
        assert_eq!(there.metric(WAITED, &[]), 0.0, "known, so not kept waiting");
        let shown = redis.ask(&["HGETALL", &format!("prescreen:{friend}")]);
        for word in ["v\n1\n", "pregreet\n", "bare_newline\n", &format!("client\n{friend}\n")] {
            assert!(shown.contains(word), "{word:?} in {shown}");
        }
        let ttl: i64 = redis.ask(&["TTL", &format!("prescreen:{friend}")]).trim().parse().unwrap();
        assert!(ttl > 0, "kept for ever: {ttl}");

        // A client that is known breaks the protocol, and is not refused for it now.
        let mut talk = Talk::greeted(friend, there.smtp);
        talk.send(b"NOOP\n");
        talk.expect("250 ");
        talk.ask("QUIT", "221 ");
        eventually_or(
            || redis.ask(&["HGETALL", &format!("prescreen:{friend}")]),
            || redis.ask(&["HGET", &format!("prescreen:{friend}"), "revoked"]).trim().parse::<u64>().ok(),
        );
        let waited = here.metric(WAITED, &[]);
        // What a host has heard a moment ago counts for a second.
        thread::sleep(std::time::Duration::from_millis(1_100));
        deliver(&here, friend, "shared");
        assert_eq!(here.metric(WAITED, &[]), waited + 1.0, "tested anew");
        POSTFIX.mailbox.await_messages("shared", 3 * usize::from(number - 59));
    }
}

#[test]
fn another_program_may_write_records() {
    let redis = Redis::start(servers()[0], &[]);
    let prescreen = for_known_clients(sharing(&format!("redis://{}", redis.address)));
    let (friend, later) = (client(65), "4102444800");
    let name = format!("prescreen:{friend}");
    redis.ask(&["HSET", &name, "v", "1", "client", &friend.to_string(), "pregreet", later, "dnsbl", later]);
    redis.ask(&["EXPIREAT", &name, later]);
    deliver(&prescreen, friend, "by-hand");

    // And an operator takes back what no prescreen has given.
    let stranger = client(66);
    let name = format!("prescreen:{stranger}");
    redis.ask(&["HSET", &name, "v", "1", "client", &stranger.to_string(), "pregreet", later]);
    let removed = prescreen.ask(&["allowlist", "remove", &stranger.to_string()]);
    assert_eq!(removed.code, Some(0), "{}", removed.said);
    eventually_or(
        || redis.ask(&["HGETALL", &name]),
        || redis.ask(&["HGET", &name, "revoked"]).trim().parse::<u64>().ok(),
    );
}

/// Ends the traffic, also when the test fails.
struct Whistle<'a>(&'a AtomicBool);

impl Drop for Whistle<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An authority, and a certificate of its for 127.0.0.1 with the key.
fn certificates() -> (String, String, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (root, server.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

#[test]
fn users_with_few_rights_passwords_from_files_tls_and_unix_sockets() {
    const SECRET: &str = "correct-horse-battery-staple";
    let redis = Redis::start(servers()[0], &[]);
    let rights =
        "~prescreen:* +hgetall +hget +hset +hdel +del +expireat +set +incr +ttl +expire +multi +exec +ping";
    let user = format!("ACL SETUSER prescreen on >{SECRET} {rights}");
    assert!(redis.ask(&user.split(' ').collect::<Vec<_>>()).contains("OK"));
    let socket = redis.file("socket");
    let (root, chain, key) = certificates();
    let (root, chain, key) =
        (redis.write("ca.pem", &root), redis.write("cert.pem", &chain), redis.write("key.pem", &key));
    let password = redis.write("password", &format!("{SECRET}\n"));
    let tls = support::free_address();
    let set = redis.ask(&[
        "CONFIG",
        "SET",
        "tls-cert-file",
        chain.to_str().unwrap(),
        "tls-key-file",
        key.to_str().unwrap(),
        "tls-ca-cert-file",
        root.to_str().unwrap(),
        "tls-auth-clients",
        "no",
        "tls-port",
        &tls.port().to_string(),
    ]);
    assert!(set.contains("OK"), "{set}");
    let own = Redis::start(servers()[0], &[&format!("--unixsocket {}", socket.display())]);
    let in_clear = format!("redis://prescreen@{}", redis.address);
    let in_tls = format!("rediss://prescreen@{tls}");
    let on_socket = format!("unix://{}", socket.display());
    for (number, address, password, ca) in [
        (70, &in_clear, Some(&password), None),
        (71, &in_tls, Some(&password), Some(&root)),
        (72, &on_socket, None, None),
    ] {
        let mut config = sharing(address);
        if let Some(file) = password {
            config = config.set("allowlist.shared_password_file", &format!("'{}'", file.display()));
        }
        if let Some(file) = ca {
            config = config.set("allowlist.shared_ca_file", &format!("'{}'", file.display()));
        }
        let (here, there) = (start(config.clone()), for_known_clients(config.elsewhere()));
        deliver(&here, client(number), "by-every-way");
        await_told(&here, 1.0);
        deliver(&there, client(number), "by-every-way");
        for prescreen in [&here, &there] {
            let (_, metrics) = prescreen.fetch("/metrics").unwrap();
            assert!(!prescreen.log().contains(SECRET) && !metrics.contains(SECRET));
        }
    }
    drop(own);
    // A password that is wrong is told of, and is not told.
    let wrong = redis.write("wrong", "wrong-horse");
    let config = sharing(&in_clear).set("allowlist.shared_password_file", &format!("'{}'", wrong.display()));
    let prescreen = config.start();
    prescreen.await_log("shared allowlist out of reach");
    deliver(&prescreen, client(73), "without");
    assert!(!prescreen.log().contains("wrong-horse"));
}

#[test]
fn a_server_that_is_killed_started_and_paused_under_traffic_costs_nobody_a_mail() {
    const CLIENTS: u8 = 4;
    let mut redis = Redis::start(servers()[0], &[]);
    let address = format!("redis://{}", redis.address);
    let (here, there) = (start(sharing(&address)), start(sharing(&address)));
    let over = AtomicBool::new(false);
    let sent: usize = thread::scope(|scope| {
        let whistle = Whistle(&over);
        let clients: Vec<_> = (80..80 + CLIENTS)
            .map(|number| {
                let (here, there, over) = (&here, &there, &over);
                scope.spawn(move || {
                    let mut sent = 0;
                    while !over.load(Ordering::Relaxed) || sent < 4 {
                        deliver(if sent % 2 == 0 { here } else { there }, client(number), "through-it-all");
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        redis.kill();
        await_state(&here, "down");
        redis.restart();
        await_state(&here, "up");
        redis.ask(&["CLIENT", "PAUSE", "10000"]);
        await_state(&here, "down");
        await_state(&here, "up");
        drop(whistle);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    POSTFIX.mailbox.await_messages("through-it-all", sent);
    for prescreen in [&here, &there] {
        assert_eq!(prescreen.metric("prescreen_refusals_total", &[]), 0.0);
    }
    // It was emptied by its deaths, and has learnt anew.
    for number in 80..80 + CLIENTS {
        deliver(&here, client(number), "afterwards");
        let name = format!("prescreen:{}", client(number));
        eventually_or(
            || redis.ask(&["KEYS", "*"]),
            || redis.ask(&["EXISTS", &name]).contains('1').then_some(()),
        );
    }
}

#[test]
fn a_server_that_is_full_a_replica_or_full_of_other_things_costs_nobody_a_mail() {
    let redis = Redis::start(servers()[0], &[]);
    let prescreen = start(sharing(&format!("redis://{}", redis.address)));

    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    deliver(&prescreen, client(75), "full");
    await_state(&prescreen, "refusing");
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    await_told(&prescreen, 1.0);
    await_state(&prescreen, "up");
    assert!(redis.ask(&["EXISTS", &format!("prescreen:{}", client(75))]).contains('1'), "told later");

    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    deliver(&prescreen, client(76), "replica");
    await_state(&prescreen, "refusing");
    redis.ask(&["REPLICAOF", "NO", "ONE"]);
    await_told(&prescreen, 2.0);

    redis.ask(&["SET", &format!("prescreen:{}", client(77)), "mine"]);
    deliver(&prescreen, client(77), "foreign");
    prescreen.await_metric(OPERATIONS, &["operation=\"store\"", "result=\"foreign\""], 1.0);
    assert!(redis.ask(&["GET", &format!("prescreen:{}", client(77))]).contains("mine"), "somebody else's");
    deliver(&prescreen, client(77), "foreign");

    assert_eq!(prescreen.metric("prescreen_refusals_total", &[]), 0.0);
    POSTFIX.mailbox.await_messages("foreign", 2);
}

/// What a client is told about its message.
#[track_caller]
fn told(prescreen: &Prescreen, from: Ipv4Addr) -> u16 {
    let mut talk = Talk::greeted(from, prescreen.smtp);
    talk.ask("EHLO client.example.com", "250");
    talk.say("MAIL FROM:<sender@example.com>");
    talk.reply().code
}

#[test]
fn hosts_count_together_what_a_client_does_and_alone_while_the_server_is_away() {
    const RATES: &str = "prescreen_rate_limited_total";
    for (number, program) in (90..).zip(servers()) {
        let mut redis = Redis::start(program, &[]);
        let config = || {
            sharing(&format!("redis://{}", redis.address))
                .set("limits.shared_rates", "'yes'")
                .set("limits.rate_time_unit", "'1h'")
                .set("limits.client_message_rate_limit", "3")
        };
        let (here, there) = (start(config()), start(config()));
        let busy = client(number);
        assert_eq!([told(&here, busy), told(&here, busy), told(&there, busy)], [250; 3]);
        assert_eq!((told(&there, busy), told(&here, busy)), (450, 450), "the fourth and fifth of three");
        assert_eq!(told(&there, client(number + 4)), 250, "somebody else");
        for prescreen in [&here, &there] {
            prescreen.await_metric(RATES, &["limit=\"message_rate\""], 1.0);
        }
        let name = format!("prescreen:rate:message_rate:{busy}");
        assert_eq!(redis.ask(&["GET", &name]).trim(), "5");
        let ttl: u32 = redis.ask(&["TTL", &name]).trim().parse().unwrap();
        assert!((1..=3600).contains(&ttl), "{ttl}");

        // What would never begin anew counts for nothing, and is told to.
        let name = format!("prescreen:rate:message_rate:{}", client(number + 5));
        redis.ask(&["SET", &name, "1000"]);
        assert_eq!(told(&here, client(number + 5)), 250);
        assert!(redis.ask(&["TTL", &name]).trim().parse::<u32>().is_ok());

        // There it is the third by that host's own count.
        redis.kill();
        await_state(&there, "down");
        assert_eq!((told(&there, busy), told(&there, busy)), (250, 450));
    }
}

#[test]
fn what_belongs_to_the_server_changes_with_a_restart_and_a_reload_says_so() {
    let (redis, other) = (Redis::start(servers()[0], &[]), Redis::start(servers()[0], &[]));
    let mut prescreen = start(sharing(&format!("redis://{}", redis.address)));
    let before = prescreen.config().clone();
    for (key, value) in [
        ("allowlist.shared", format!("'redis://{}'", other.address)),
        ("allowlist.shared", "''".to_owned()),
        ("allowlist.shared_prefix", "'other:'".to_owned()),
        ("allowlist.shared_timeout", "'20ms'".to_owned()),
    ] {
        prescreen.rewrite(before.clone().set(key, &value));
        let ended = prescreen.ask(&["reload"]);
        let words = "allowlist.shared, and what belongs to it, cannot change while prescreen runs; restart or upgrade it";
        assert!(ended.code == Some(1) && ended.said.contains(words), "{key}: {}", ended.said);
    }
    // The one in force stays, whole.
    deliver(&prescreen, client(79), "as-before");
    await_told(&prescreen, 1.0);
    assert!(redis.ask(&["EXISTS", &format!("prescreen:{}", client(79))]).contains('1'));
    prescreen.rewrite(before.set("limits.shared_rates", "'yes'"));
    let ended = prescreen.ask(&["reload"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}
