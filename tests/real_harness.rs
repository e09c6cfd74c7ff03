//! What the other tests against real servers take for granted, shown without prescreen: the servers start, deliver
//! and answer, and the clients' ways of sending differ in nothing that counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::LazyLock;

use support::client;
use support::clients::{smtp_source, smtplib, swaks};
use support::dns::Dns;
use support::message::{assert_same, dotted, long_body, message, received, without_received};
use support::postfix::Postfix;
use support::talk::Talk;

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);

#[test]
fn one_message_sent_twice_arrives_the_same_but_for_received() {
    let message = message("twice", &long_body(100_000));
    for from in [client(11), client(13)] {
        let script = "smtp.sendmail('sender@example.com', ['twice@example.org'], message)";
        smtplib(from, POSTFIX.direct, script, &message).sent();
    }
    let mails = POSTFIX.mailbox.await_messages("twice", 2);
    assert_same(&without_received(&mails[0]), &without_received(&mails[1]));
    let fields: Vec<_> = mails.iter().map(|mail| received(mail)).collect();
    for from in ["[127.0.0.11]", "[127.0.0.13]"] {
        assert_eq!(fields.iter().filter(|field| field.contains(from)).count(), 1, "{fields:?}");
    }
}

#[test]
fn swaks_is_told_what_postfix_answers() {
    let to = |recipient| ["--from", "sender@example.com", "--to", recipient];
    let sent =
        swaks(client(11), POSTFIX.direct, &to("direct-swaks@example.org"), &message("swaks", "hello\r\n"));
    assert!(sent.sent().said.contains("250 2.0.0 Ok: queued"));
    let refused =
        swaks(client(11), POSTFIX.direct, &to("nobody@example.org"), &message("swaks", "hello\r\n"));
    assert!(refused.said.contains("550 5.1.1 <nobody@example.org>"), "{}", refused.said);
    assert!(!refused.succeeded);
}

#[test]
fn postfix_refuses_whom_it_does_not_know() {
    let mut talk = Talk::greeted(client(12), POSTFIX.direct);
    assert_eq!(talk.envelope("sender@example.com", "nobody-here@example.org").code, 550);
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
}

#[test]
fn postfix_relays_for_none_of_our_clients() {
    let mut talk = Talk::greeted(client(12), POSTFIX.direct);
    assert_eq!(talk.envelope("sender@example.com", "someone@elsewhere.example").code, 554);
}

#[test]
fn postfix_believes_a_proxy_header() {
    let mut talk = Talk::connect(client(1), POSTFIX.proxied);
    talk.send(b"PROXY TCP4 192.0.2.99 192.0.2.1 4711 25\r\n");
    talk.expect("220 ");
    talk.ask("EHLO mail.example.com", "250 ");
    talk.envelope("sender@example.com", "proxied@example.org");
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("proxied", "hello\r\n")));
    talk.expect("250 ");
    let mail = POSTFIX.mailbox.await_messages("proxied", 1).remove(0);
    assert!(received(&mail).contains("[192.0.2.99]"), "{}", received(&mail));
}

#[test]
fn a_crowd_is_accepted_and_thrown_away() {
    smtp_source(POSTFIX.direct, &["-f", "sender@example.com", "-t", "crowd@example.org", "-r", "1000"])
        .sent();
    POSTFIX.await_log(&["qmgr", "nrcpt=1000"]);
}

#[test]
fn the_block_list_is_served_and_changes_when_told() {
    let dns = Dns::start(&[client(66)]);
    dns.list(&[client(67)]);
}
