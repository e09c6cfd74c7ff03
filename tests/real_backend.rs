//! A backend that dies, is not there yet, or comes back: mail is put off, never lost and never refused for good.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use support::daemon::kill;
use support::dns::Dns;
use support::message::{dotted, long_body, message};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;
use support::{client, eventually, free_address};

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

/// A Postfix of which processes may be killed: its master lets others take their place soon.
fn mortal() -> Postfix {
    Postfix::start_with(&["service_throttle_time = 1s"])
}

/// A client that has heard 354.
fn talk_up_to_data(prescreen: &Prescreen, from: Ipv4Addr, recipient: &str) -> Talk {
    let mut talk = Talk::greeted(from, prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, &format!("{recipient}@example.org")).code, 250);
    talk.ask("DATA", "354 ");
    talk
}

/// No reply, or one that asks to try again; whatever it is, the message was not accepted.
#[track_caller]
fn assert_not_accepted(talk: &mut Talk) {
    let replies = talk.closed();
    assert!(replies.iter().all(|said| (400..500).contains(&said.code)), "{}", talk.record());
}

/// What every mail server does next: it comes back until somebody has its mail.
fn try_again(prescreen: &Prescreen, postfix: &Postfix, from: Ipv4Addr, recipient: &str) {
    eventually("a backend that takes the message", || {
        let mut talk = Talk::greeted(from, prescreen.smtp);
        if talk.envelope(SENDER, &format!("{recipient}@example.org")).code != 250 {
            return None;
        }
        talk.ask("DATA", "354 ");
        talk.send(&dotted(&message(recipient, "hello\r\n")));
        talk.expect("250 2.0.0");
        talk.ask("QUIT", "221 ");
        Some(())
    });
    postfix.mailbox.await_messages(recipient, 1);
}

#[test]
fn a_unix_socket_leads_to_smtpd_which_learns_who_the_client_is() {
    let service = "prescreen unix n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy\n";
    let postfix = Postfix::start_serving(service, &[]);
    let socket = format!("['unix:{}']", postfix.socket("prescreen").display());
    let prescreen = Config::before(&postfix, &DNS).set("backend.servers", &socket).start();
    try_again(&prescreen, &postfix, client(79), "by-socket");
    postfix.await_log(&["client=unknown[127.0.0.79]"]);
}

#[test]
fn a_backend_killed_in_the_middle_of_data_loses_nothing() {
    let postfix = mortal();
    let prescreen = Config::before(&postfix, &DNS).start();
    let mut talk = talk_up_to_data(&prescreen, client(80), "killed");
    let wire = dotted(&message("killed", &long_body(200_000)));
    let (first, rest) = wire.split_at(wire.len() / 2);
    talk.send(first);
    kill(postfix.server_of("127.0.0.80"), "KILL");
    // The rest, dot and all, may find the connection gone already.
    let _ = talk.try_send(rest);
    assert_not_accepted(&mut talk);
    prescreen.one_outcome_for_each_of(1);
    assert!(postfix.mailbox.messages("killed").is_empty());
    try_again(&prescreen, &postfix, client(80), "killed");
}

#[test]
fn a_backend_that_dies_with_the_whole_message_in_hand_is_not_answered_for() {
    let postfix = mortal();
    let prescreen = Config::before(&postfix, &DNS).start();
    let mut talk = talk_up_to_data(&prescreen, client(81), "in-hand");
    let server = postfix.server_of("127.0.0.81");
    kill(server, "STOP");
    talk.send(&dotted(&message("in-hand", "hello\r\n")));
    kill(server, "KILL");
    assert_not_accepted(&mut talk);
    prescreen.one_outcome_for_each_of(1);
    assert!(postfix.mailbox.messages("in-hand").is_empty());
    try_again(&prescreen, &postfix, client(81), "in-hand");
}

#[test]
fn a_client_that_is_gone_in_the_middle_of_data_has_sent_nothing() {
    let prescreen = Config::before(&POSTFIX, &DNS).start();
    let mut talk = talk_up_to_data(&prescreen, client(82), "gone");
    talk.send(&message("gone", "the beginning\r\n").into_bytes());
    drop(talk);
    POSTFIX.await_log(&["lost connection after DATA", "[127.0.0.82]"]);
    assert!(POSTFIX.mailbox.messages("gone").is_empty());
    prescreen.one_outcome_for_each_of(1);
}

#[test]
fn a_backend_that_is_not_there_yet_is_a_warning_and_puts_mail_off() {
    let (proxied, direct) = (free_address(), free_address());
    let mut prescreen = Config::before_address(proxied, DNS.address).launch();
    prescreen.await_status("/readyz", 503);
    prescreen.await_log("backend is down");

    let mut talk = Talk::greeted(client(83), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.ask("RCPT TO:<later@example.org>", "451 4.3.0 ");
    // Not the client's error, so nothing is held against it.
    talk.ask("RCPT TO:<later-too@example.org>", "451 4.3.0 ");
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
    prescreen.one_outcome_for_each_of(1);
    assert_eq!(prescreen.connections(&["outcome=\"unavailable\""]), 1.0, "{}", prescreen.log());

    let postfix = Postfix::start_at(proxied, direct, &[]);
    prescreen.await_status("/readyz", 200);
    let mut talk = talk_up_to_data(&prescreen, client(84), "later");
    talk.send(&dotted(&message("later", "hello\r\n")));
    talk.expect("250 2.0.0");
    postfix.mailbox.await_messages("later", 1);
}

#[test]
fn who_is_always_let_through_is_put_off_before_any_greeting() {
    let mut prescreen =
        Config::before_address(free_address(), DNS.address).set("screen.access_list", "'permit'").launch();
    prescreen.await_status("/readyz", 503);
    let mut talk = Talk::connect(client(86), prescreen.smtp);
    talk.expect("421 4.3.2 ");
    assert!(talk.closed().is_empty(), "{}", talk.record());
    prescreen.one_outcome_for_each_of(1);
    assert_eq!(prescreen.connections(&["outcome=\"unavailable\""]), 1.0, "{}", prescreen.log());
}

#[test]
fn a_second_backend_takes_over_from_one_that_is_down() {
    let nobody = free_address();
    let servers = format!("['{nobody}', '{}']", POSTFIX.proxied);
    let prescreen = Config::before(&POSTFIX, &DNS).set("backend.servers", &servers).start();
    try_again(&prescreen, &POSTFIX, client(85), "second");
    prescreen.one_outcome_for_each_of(1);
}
