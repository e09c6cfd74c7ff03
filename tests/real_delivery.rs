//! Clean mail in front of a real Postfix: it arrives in the first connection, whole, and from whom it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::LazyLock;

use support::client;
use support::clients::{smtp_source, smtplib, swaks};
use support::dns::Dns;
use support::message::{assert_same, body, dotted, long_body, message, received, without_received};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

/// All tests on, as they are by default, and a block list that lists nobody here.
fn prescreen() -> Prescreen {
    config().start()
}

fn config() -> Config {
    Config::before(&POSTFIX, &DNS)
}

const SENDER: &str = "sender@example.com";

/// Sends one message by smtplib and expects that it was taken.
#[track_caller]
fn deliver(prescreen: &Prescreen, from: u8, recipient: &str) {
    let script = format!("smtp.sendmail('{SENDER}', ['{recipient}@example.org'], message)");
    smtplib(client(from), prescreen.smtp, &script, &message(recipient, "hello\r\n")).sent();
}

#[test]
fn the_message_is_byte_identical_to_one_delivered_directly() {
    let prescreen = prescreen();
    let message = message("twin", &long_body(300_000));
    let script = format!("smtp.sendmail('{SENDER}', ['twin@example.org'], message)");
    for to in [POSTFIX.direct, prescreen.smtp] {
        smtplib(client(10), to, &script, &message).sent();
    }
    let mails = POSTFIX.mailbox.await_messages("twin", 2);
    assert_same(&without_received(&mails[0]), &without_received(&mails[1]));
    prescreen.one_outcome_for_each_of(1);
}

#[test]
fn the_backends_received_field_names_the_client() {
    let prescreen = prescreen();
    deliver(&prescreen, 21, "named");
    let mail = POSTFIX.mailbox.await_messages("named", 1).remove(0);
    let field = received(&mail);
    assert!(field.contains("from mail.example.com (unknown [127.0.0.21])"), "{field}");
}

#[test]
fn version_1_of_the_proxy_protocol_names_the_client_as_well() {
    let prescreen = config().set("backend.identity", "'proxy-v1'").start();
    deliver(&prescreen, 22, "named-by-v1");
    let mail = POSTFIX.mailbox.await_messages("named-by-v1", 1).remove(0);
    assert!(received(&mail).contains("[127.0.0.22]"), "{}", received(&mail));
}

#[test]
fn a_clean_new_client_is_delivered_in_its_first_connection() {
    let prescreen = config().set("log.format", "'postscreen'").start();
    deliver(&prescreen, 23, "first");
    POSTFIX.mailbox.await_messages("first", 1);
    prescreen.await_log("PASS NEW [127.0.0.23]");
    assert_eq!(prescreen.connections(&[]), 1.0, "{}", prescreen.log());
}

#[test]
fn a_returning_client_waits_for_nothing() {
    let prescreen = config().set("log.format", "'postscreen'").start();
    deliver(&prescreen, 24, "returning");
    // Were there a wait now, it would outlast everybody's patience.
    let mut stopped = prescreen.stop("TERM");
    stopped.config = stopped.config.set("screen.greet_wait", "'1h'");
    let prescreen = stopped.start();
    deliver(&prescreen, 24, "returning");
    POSTFIX.mailbox.await_messages("returning", 2);
    prescreen.await_log("PASS OLD [127.0.0.24]");
}

#[test]
fn swaks_and_smtp_source_get_through_too() {
    let prescreen = prescreen();
    let options = ["--from", SENDER, "--to", "swaks@example.org"];
    swaks(client(25), prescreen.smtp, &options, &message("swaks", "hello\r\n")).sent();
    smtp_source(prescreen.smtp, &["-f", SENDER, "-t", "source@example.org", "-m", "3", "-s", "3"]).sent();
    POSTFIX.mailbox.await_messages("swaks", 1);
    POSTFIX.mailbox.await_messages("source", 3);
    prescreen.one_outcome_for_each_of(4);
}

#[test]
fn fifty_megabytes_arrive_whole() {
    let prescreen = prescreen();
    let message = message("huge", &long_body(50 << 20));
    let script = format!("smtp.sendmail('{SENDER}', ['huge@example.org'], message)");
    smtplib(client(26), prescreen.smtp, &script, &message).sent();
    let mail = POSTFIX.mailbox.await_messages("huge", 1).remove(0);
    assert_same(&body(&mail), &body(message.replace("\r\n", "\n").as_bytes()));
    let spliced = prescreen.metric("prescreen_relay_bytes_total", &["=\"backend\"", "=\"spliced\""]);
    // Its beginning is copied: whether a flow is bulk shows only as it goes on.
    assert!(spliced > f64::from(49 << 20), "spliced {spliced} bytes of them");
}

#[test]
fn a_permanently_permitted_client_meets_the_backend_itself() {
    let friends = "['127.0.0.38/32']";
    let prescreen = config().set("mynetworks", friends).set("screen.greet_wait", "'1h'").start();
    let mut talk = Talk::connect(client(38), prescreen.smtp);
    assert!(talk.expect("220 ").text().starts_with("220 backend.example.org ESMTP Postfix"));
    talk.ask("EHLO localhost", "250 ");
    assert_eq!(talk.envelope(SENDER, "friend@example.org").code, 250);
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("friend", "hello\r\n")));
    talk.expect("250 ");
    let mail = POSTFIX.mailbox.await_messages("friend", 1).remove(0);
    assert!(received(&mail).contains("[127.0.0.38]"), "{}", received(&mail));
}

#[test]
fn behind_a_proxy_the_backend_knows_the_client_that_the_proxy_has_named() {
    let prescreen =
        config().listener("proxy_protocol", "'required'").listener("trusted", "['127.0.0.39/32']").start();
    let mut talk = Talk::connect(client(39), prescreen.smtp);
    talk.send(b"PROXY TCP4 192.0.2.39 192.0.2.1 4711 25\r\n");
    talk.expect("220 ");
    talk.ask("EHLO mail.example.com", "250 ");
    assert_eq!(talk.envelope(SENDER, "behind-a-proxy@example.org").code, 250);
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("behind", "hello\r\n")));
    talk.expect("250 ");
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
    let mail = POSTFIX.mailbox.await_messages("behind-a-proxy", 1).remove(0);
    assert!(received(&mail).contains("[192.0.2.39]"), "{}", received(&mail));

    // No header from one who must send it; and one from somebody who may not.
    let mut without = Talk::connect(client(39), prescreen.smtp);
    without.say("EHLO mail.example.com");
    assert!(without.closed().is_empty());
    let mut stranger = Talk::connect(client(40), prescreen.smtp);
    stranger.send(b"PROXY TCP4 192.0.2.39 192.0.2.1 4711 25\r\n");
    assert!(stranger.closed().is_empty());
    prescreen.one_outcome_for_each_of(3);
    assert_eq!(prescreen.connections(&["outcome=\"bad_proxy_header\""]), 2.0, "{}", prescreen.log());
}

#[test]
fn a_thousand_recipients_are_one_transaction() {
    let prescreen = prescreen();
    let options = ["-f", SENDER, "-t", "crowd@example.org", "-r", "1000"];
    smtp_source(prescreen.smtp, &options).sent();
    POSTFIX.await_log(&["qmgr", "nrcpt=1000"]);
}

#[test]
fn addresses_in_utf_8_pass() {
    let prescreen = prescreen();
    let script = "smtp.ehlo()\n\
                  smtp.sendmail('grüße@example.com', ['empfänger@example.org'], message, ['SMTPUTF8', 'BODY=8BITMIME'])";
    let message = message("utf8", "Schöne Grüße\r\n").replace("Subject: utf8", "Subject: Grüße");
    smtplib(client(28), prescreen.smtp, script, &message).sent();
    let mail = POSTFIX.mailbox.await_messages("empfänger", 1).remove(0);
    let text = String::from_utf8(mail).unwrap();
    assert!(text.contains("\nSubject: Grüße\n") && text.contains("\n\nSchöne Grüße\n"), "{text}");
}

#[test]
fn eight_bit_content_arrives_as_it_is() {
    let prescreen = prescreen();
    let mut talk = Talk::greeted(client(29), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}> BODY=8BITMIME"), "250 ");
    talk.ask("RCPT TO:<eight-bit@example.org>", "250 ");
    talk.ask("DATA", "354 ");
    let octets: Vec<u8> = (0x80..=0xff).collect();
    talk.send(b"Subject: eight\r\n\r\n");
    talk.send(&octets);
    talk.send(b"\r\n.\r\n");
    talk.expect("250 ");
    let mail = POSTFIX.mailbox.await_messages("eight-bit", 1).remove(0);
    assert_same(&body(&mail), &[&octets[..], b"\n"].concat());
}

#[test]
fn delivery_status_parameters_reach_the_backend() {
    let prescreen = prescreen();
    let mut talk = Talk::greeted(client(30), prescreen.smtp);
    // To a sender whose mail we can read: the notification of success says what the backend was asked for.
    talk.ask("MAIL FROM:<dsn-sender@example.org> RET=HDRS ENVID=envelope+2B17", "250 ");
    talk.ask("RCPT TO:<dsn@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;original@example.net", "250 ");
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("dsn", "not to be returned\r\n")));
    talk.expect("250 ");
    let report = POSTFIX.mailbox.await_messages("dsn-sender", 1).remove(0);
    let report = String::from_utf8_lossy(&report).into_owned();
    for line in ["Original-Envelope-Id: envelope+17", "Original-Recipient: rfc822;original@example.net"] {
        assert!(report.contains(&format!("\n{line}\n")), "{line} is missing in\n{report}");
    }
    assert!(!report.contains("not to be returned"), "{report}");
}

#[test]
fn a_client_that_has_passed_may_pipeline_its_envelope() {
    let prescreen = prescreen();
    deliver(&prescreen, 31, "pipelined-before");
    let mut talk = Talk::connect(client(31), prescreen.smtp);
    talk.expect("220 ");
    assert!(talk.ask("EHLO mail.example.com", "250 ").offers("PIPELINING"));
    talk.send(
        format!("MAIL FROM:<{SENDER}>\r\nRCPT TO:<pipelined@example.org>\r\nRCPT TO:<pipelined-2@example.org>\r\nDATA\r\n")
            .as_bytes(),
    );
    for reply in ["250 2.1.0", "250 2.1.5", "250 2.1.5", "354 "] {
        talk.expect(reply);
    }
    talk.send(&dotted(&message("pipelined", "hello\r\n")));
    talk.expect("250 ");
    // The next transaction in one piece with the end of the session, as RFC 2920 section 3.1 allows.
    talk.send(
        format!("RSET\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<pipelined@example.org>\r\nQUIT\r\n").as_bytes(),
    );
    for reply in ["250 ", "250 2.1.0", "250 2.1.5", "221 "] {
        talk.expect(reply);
    }
    assert!(talk.closed().is_empty());
    POSTFIX.mailbox.await_messages("pipelined", 1);
    POSTFIX.mailbox.await_messages("pipelined-2", 1);
}

#[test]
fn a_new_client_is_not_invited_to_pipeline() {
    let prescreen = prescreen();
    let mut talk = Talk::connect(client(32), prescreen.smtp);
    talk.expect("220 ");
    assert!(!talk.ask("EHLO mail.example.com", "250 ").offers("PIPELINING"), "{}", talk.record());
}

#[test]
fn what_ehlo_offers_is_what_the_backend_offers() {
    let prescreen = prescreen();
    let mut here = Talk::connect(client(33), prescreen.smtp);
    let mut there = Talk::connect(client(33), POSTFIX.direct);
    here.expect("220 ");
    there.expect("220 ");
    let here = here.ask("EHLO mail.example.com", "250 ");
    let there = there.ask("EHLO mail.example.com", "250 ");
    for keyword in ["SIZE", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"] {
        assert!(there.offers(keyword) && here.offers(keyword), "{keyword}: {here:?} {there:?}");
    }
}

#[test]
fn chunks_pass_through_whatever_they_hold() {
    let prescreen = prescreen();
    let mut talk = Talk::greeted(client(34), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "chunks@example.org").code, 250);
    // What would end a DATA command is content here (RFC 3030 section 2).
    let first = b"Subject: chunks\r\n\r\none\r\n.\r\nQUIT\r\n";
    let second = b"two\r\n";
    talk.send(&[format!("BDAT {}\r\n", first.len()).as_bytes(), first].concat());
    talk.expect("250 ");
    talk.send(&[format!("BDAT {} LAST\r\n", second.len()).as_bytes(), second].concat());
    talk.expect("250 ");
    talk.ask("QUIT", "221 ");
    let mail = POSTFIX.mailbox.await_messages("chunks", 1).remove(0);
    assert_same(&body(&mail), b"one\n.\nQUIT\ntwo\n");
}

#[test]
fn a_session_goes_on_behind_a_message() {
    let prescreen = prescreen();
    let mut talk = Talk::greeted(client(35), prescreen.smtp);
    for _ in 0..3 {
        assert_eq!(talk.envelope(SENDER, "again@example.org").code, 250);
        talk.ask("DATA", "354 ");
        talk.send(&dotted(&message("again", "hello\r\n")));
        talk.expect("250 2.0.0");
    }
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
    POSTFIX.mailbox.await_messages("again", 3);
    prescreen.one_outcome_for_each_of(1);
}

#[test]
fn a_client_that_half_closes_behind_its_last_word_still_hears_the_answer() {
    let prescreen = prescreen();
    let mut talk = Talk::greeted(client(36), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "half-closed@example.org").code, 250);
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("half", "hello\r\n")));
    talk.say("QUIT");
    talk.half_close();
    talk.expect("250 2.0.0");
    talk.expect("221 ");
    assert!(talk.closed().is_empty());
    POSTFIX.mailbox.await_messages("half-closed", 1);
}

#[test]
fn one_dead_recipient_does_not_cost_the_others_their_mail() {
    let prescreen = prescreen();
    let mut talk = Talk::greeted(client(37), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    for number in 0..50 {
        if number == 25 {
            talk.ask("RCPT TO:<nobody@example.org>", "550 5.1.1 <nobody@example.org>");
        } else {
            talk.ask(&format!("RCPT TO:<alive@example.org> ORCPT=rfc822;alive-{number}@example.org"), "250 ");
        }
    }
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("alive", "hello\r\n")));
    talk.expect("250 ");
    POSTFIX.await_log(&["qmgr", "nrcpt=49"]);
}
