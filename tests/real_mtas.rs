//! prescreen in front of other mail servers than Postfix: clean mail arrives in the first connection, whole, and the
//! server knows from whom.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use support::client;
use support::clients::smtplib;
use support::dns::Dns;
use support::message::{assert_same, body, dotted, long_body, message, received};
use support::mta::Mta;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;

static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

#[test]
fn exim_by_proxy_version_2() {
    let Some(exim) = Mta::exim() else { return };
    proves(&exim, "proxy-v2", client(110));
}

#[test]
fn exim_by_proxy_version_1() {
    let Some(exim) = Mta::exim() else { return };
    proves(&exim, "proxy-v1", client(111));
}

#[test]
fn opensmtpd_by_proxy_version_2() {
    let Some(opensmtpd) = Mta::opensmtpd() else { return };
    proves(&opensmtpd, "proxy-v2", client(112));
}

#[test]
fn haraka_by_proxy_version_1() {
    proves(&Mta::haraka(), "proxy-v1", client(113));
}

/// Sendmail has no such protocol: shown is what a transparent source address will have to equal.
#[test]
fn sendmail_knows_a_client_by_its_connection() {
    let Some(sendmail) = Mta::sendmail() else { return };
    let mut talk = Talk::greeted(client(114), sendmail.direct);
    send(&mut talk, "plain", &dotted(&message("plain", "hello\r\n")));
    names(&sendmail, "plain", client(114));
}

/// All that is asked of a server behind prescreen.
#[track_caller]
fn proves(mta: &Mta, identity: &str, from: Ipv4Addr) {
    let identity = format!("'{identity}'");
    let prescreen =
        Config::before_address(mta.proxied, DNS.address).set("backend.identity", &identity).start();
    let mut talk = Talk::greeted(from, prescreen.smtp);
    send(&mut talk, "first", &dotted(&message("first", "hello\r\n")));
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
    names(mta, "first", from);
    prescreen.one_outcome_for_each_of(1);

    takes_twenty_megabytes(mta, &prescreen, from);
    let mut talk = Talk::connect(from, prescreen.smtp);
    talk.expect("220 ");
    let offer = talk.ask("EHLO mail.example.com", "250 ");
    if offer.offers("CHUNKING") {
        takes_chunks(mta, &mut talk);
    }
    if offer.offers("SMTPUTF8") {
        takes_addresses_in_utf_8(mta, &mut talk);
    }
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
    prescreen.one_outcome_for_each_of(3);
}

/// Sends one message; EHLO has been said.
#[track_caller]
fn send(talk: &mut Talk, recipient: &str, wire: &[u8]) {
    assert_eq!(talk.envelope(SENDER, &format!("{recipient}@example.org")).code, 250, "{}", talk.record());
    talk.ask("DATA", "354 ");
    talk.send(wire);
    talk.expect("250 ");
}

#[track_caller]
fn names(mta: &Mta, recipient: &str, from: Ipv4Addr) {
    let mail = mta.mailbox.await_messages(recipient, 1).remove(0);
    assert!(received(&mail).contains(&format!("[{from}]")), "{}", received(&mail));
}

#[track_caller]
fn takes_twenty_megabytes(mta: &Mta, prescreen: &Prescreen, from: Ipv4Addr) {
    let message = message("big", &long_body(20 << 20));
    let script = format!("smtp.sendmail('{SENDER}', ['big@example.org'], message)");
    smtplib(from, prescreen.smtp, &script, &message).sent();
    let mail = mta.mailbox.await_messages("big", 1).remove(0);
    assert_same(&body(&mail), &body(message.replace("\r\n", "\n").as_bytes()));
}

#[track_caller]
fn takes_chunks(mta: &Mta, talk: &mut Talk) {
    assert_eq!(talk.envelope(SENDER, "chunks@example.org").code, 250, "{}", talk.record());
    let (first, second) = (b"Subject: chunks\r\n\r\none\r\n.\r\n", b"two\r\n");
    talk.send(&[format!("BDAT {}\r\n", first.len()).as_bytes(), first].concat());
    talk.expect("250 ");
    talk.send(&[format!("BDAT {} LAST\r\n", second.len()).as_bytes(), second].concat());
    talk.expect("250 ");
    let mail = mta.mailbox.await_messages("chunks", 1).remove(0);
    assert_same(&body(&mail), b"one\n.\ntwo\n");
}

#[track_caller]
fn takes_addresses_in_utf_8(mta: &Mta, talk: &mut Talk) {
    talk.ask("MAIL FROM:<grüße@example.com> SMTPUTF8 BODY=8BITMIME", "250 ");
    talk.ask("RCPT TO:<empfänger@example.org>", "250 ");
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("utf8", "Schöne Grüße\r\n")));
    talk.expect("250 ");
    mta.mailbox.await_messages("empfänger", 1);
}
