//! Every transaction inspected in front of a real Postfix that is told nothing of its clients: `identity = "none"` with
//! `relay.inspect = "transaction"`. And a Postfix that refuses to be told by XCLIENT.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use support::client;
use support::dns::Dns;
use support::message::{assert_same, body, dotted, long_body, message};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;

/// Takes no DATA from one sender, and no large messages.
static POSTFIX: LazyLock<Postfix> = LazyLock::new(|| {
    Postfix::start_with(&[
        "smtpd_data_restrictions = check_sender_access inline:{{no-data@example.com = 554 5.7.1 no data}}",
        "message_size_limit = 100000",
    ])
});
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

fn config() -> Config {
    Config::before_address(POSTFIX.direct, DNS.address)
        .set("backend.identity", "'none'")
        .set("relay.inspect", "'transaction'")
        // Who passes it, is offered PIPELINING only the next time.
        .set("screen.pipelining_enable", "false")
        .set("errors.hard_error_limit", "20")
}

#[track_caller]
fn greeted(prescreen: &Prescreen, from: Ipv4Addr) -> Talk {
    Talk::greeted(from, prescreen.smtp)
}

/// MAIL, RCPT and DATA.
#[track_caller]
fn up_to_data(talk: &mut Talk, recipient: &str) {
    assert_eq!(talk.envelope(SENDER, &format!("{recipient}@example.org")).code, 250, "{}", talk.record());
    talk.ask("DATA", "354 ");
}

#[track_caller]
fn send(talk: &mut Talk, recipient: &str) {
    up_to_data(talk, recipient);
    talk.send(&dotted(&message(recipient, "hello\r\n")));
    talk.expect("250 2.0.0 ");
}

#[track_caller]
fn quit(mut talk: Talk) {
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty(), "{}", talk.record());
}

#[test]
fn two_messages_in_one_session_and_one_taken_back() {
    let prescreen = config().start();
    let mut talk = greeted(&prescreen, client(120));
    send(&mut talk, "one-of-two");
    assert_eq!(talk.envelope(SENDER, "taken-back@example.org").code, 250);
    talk.ask("RSET", "250 ");
    talk.ask("DATA", "503 ");
    send(&mut talk, "two-of-two");
    quit(talk);
    POSTFIX.mailbox.await_messages("one-of-two", 1);
    POSTFIX.mailbox.await_messages("two-of-two", 1);
    assert!(POSTFIX.mailbox.messages("taken-back").is_empty());
    prescreen.one_outcome_for_each_of(1);
    assert_eq!(prescreen.connections(&["outcome=\"relayed\""]), 1.0, "{}", prescreen.log());
}

/// Nobody's log tools shall take a client for a zombie that has delivered.
#[test]
fn who_leaves_out_quit_has_delivered_all_the_same() {
    let prescreen = config().start();
    let mut between = greeted(&prescreen, client(129));
    send(&mut between, "and-gone");
    drop(between);
    let mut within = greeted(&prescreen, client(130));
    send(&mut within, "and-gone");
    up_to_data(&mut within, "half-sent");
    within.send(b"Subject: half");
    drop(within);
    prescreen.one_outcome_for_each_of(2);
    assert_eq!(prescreen.connections(&["outcome=\"relayed\""]), 2.0, "{}", prescreen.log());
    POSTFIX.mailbox.await_messages("and-gone", 2);
    assert!(POSTFIX.mailbox.messages("half-sent").is_empty());
}

#[test]
fn the_next_transaction_may_stand_behind_the_dot_and_quit_too() {
    let prescreen = config().start();
    let mut talk = greeted(&prescreen, client(121));
    up_to_data(&mut talk, "pipelined-one");
    let mut flood = dotted(&message("pipelined-one", "hello\r\n"));
    flood.extend_from_slice(
        b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<pipelined-two@example.org>\r\nDATA\r\n",
    );
    talk.send(&flood);
    for reply in ["250 2.0.0 ", "250 2.1.0 ", "250 2.1.5 ", "354 "] {
        talk.expect(reply);
    }
    talk.send(&[&*dotted(&message("pipelined-two", "hello\r\n")), b"QUIT\r\n"].concat());
    talk.expect("250 2.0.0 ");
    talk.expect("221 ");
    assert!(talk.closed().is_empty(), "{}", talk.record());
    POSTFIX.mailbox.await_messages("pipelined-one", 1);
    POSTFIX.mailbox.await_messages("pipelined-two", 1);
}

#[test]
fn a_backend_that_refuses_data_is_still_in_step() {
    let prescreen = config().start();
    let mut talk = greeted(&prescreen, client(122));
    assert_eq!(talk.envelope("no-data@example.com", "refused@example.org").code, 250);
    talk.ask("DATA", "554 5.7.1 ");
    talk.ask("RSET", "250 ");
    send(&mut talk, "after-refused");
    quit(talk);
    POSTFIX.mailbox.await_messages("after-refused", 1);
    assert!(POSTFIX.mailbox.messages("refused").is_empty());
}

#[test]
fn the_lists_judge_the_second_transaction_like_the_first() {
    let prescreen = config().start();
    let mut talk = greeted(&prescreen, client(123));
    send(&mut talk, "permitted");
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    // Postfix must not be asked: it takes every client for one of its own.
    talk.ask("RCPT TO:<somebody@elsewhere.example>", "554 5.7.1 ");
    talk.ask("RSET", "250 ");
    talk.ask("MAIL FROM:<somebody@nowhere.invalid>", "250 ");
    talk.ask("RCPT TO:<forged@example.org>", "450 4.1.8 ");
    quit(talk);
    POSTFIX.mailbox.await_messages("permitted", 1);
    assert!(!POSTFIX.log().contains("elsewhere.example") && !POSTFIX.log().contains("nowhere.invalid"));
}

#[test]
fn a_message_that_is_too_big_costs_itself_alone() {
    let prescreen = config().start();
    let mut talk = greeted(&prescreen, client(124));
    up_to_data(&mut talk, "too-big");
    talk.send(&dotted(&message("too-big", &long_body(200_000))));
    talk.expect("552 5.3.4 ");
    talk.ask(&format!("MAIL FROM:<{SENDER}> SIZE=200000"), "250 ");
    // The backend is asked with the recipient, and refuses the sender.
    talk.ask("RCPT TO:<too-big@example.org>", "552 5.3.4 ");
    talk.ask("RSET", "250 ");
    send(&mut talk, "small-enough");
    quit(talk);
    POSTFIX.mailbox.await_messages("small-enough", 1);
    assert!(POSTFIX.mailbox.messages("too-big").is_empty());
}

#[test]
fn chunks_are_counted_whatever_is_in_them() {
    let prescreen = config().start();
    let mut talk = greeted(&prescreen, client(125));
    assert_eq!(talk.envelope(SENDER, "chunked@example.org").code, 250);
    let chunks: [&[u8]; 3] = [b"Subject: chunks\r\n\r\none\r\n.\r\nQUIT\r\n", b"\n.\ntwo", b"\r\n"];
    for chunk in chunks {
        talk.send(&[format!("BDAT {}\r\n", chunk.len()).as_bytes(), chunk].concat());
        talk.expect("250 ");
    }
    // However many they are: behind 20 commands without a recipient a session ends.
    for _ in 0..20 {
        talk.send(b"BDAT 1\r\n.");
        talk.expect("250 ");
    }
    talk.ask("BDAT 0 LAST", "250 ");
    // All at once, as RFC 3030 §4.2 has it; a message taken back in the middle, too.
    talk.send(
        b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<chunked-away@example.org>\r\nBDAT 5\r\nabc\r\nRSET\r\n\
          MAIL FROM:<sender@example.com>\r\nRCPT TO:<chunked-twice@example.org>\r\nBDAT 5\r\nabc\r\nBDAT 3 LAST\r\nd\r\n",
    );
    for reply in ["250 2.1.0", "250 2.1.5", "250 ", "250 ", "250 2.1.0", "250 2.1.5", "250 ", "250 2.0.0"] {
        talk.expect(reply);
    }
    quit(talk);
    let mail = POSTFIX.mailbox.await_messages("chunked", 1).remove(0);
    assert_same(&body(&mail), format!("one\n.\nQUIT\n\n.\ntwo\n{}\n", ".".repeat(20)).as_bytes());
    POSTFIX.mailbox.await_messages("chunked-twice", 1);
    assert!(POSTFIX.mailbox.messages("chunked-away").is_empty());
}

#[test]
fn what_only_looks_like_an_end_is_refused_or_noted() {
    let smuggled = b"Subject: x\r\n\r\nhello\n.\r\nMAIL FROM:<evil@example.com>\r\n.\r\n";
    // Also where clients are merely observed: this shields the backend.
    for mode in ["'enforce'", "'observe'"] {
        let prescreen = config().set("mode", mode).start();
        let mut talk = greeted(&prescreen, client(126));
        up_to_data(&mut talk, "smuggled");
        talk.send(smuggled);
        talk.expect("521 5.5.2 ");
        assert!(talk.closed().is_empty(), "{}", talk.record());
        prescreen.one_outcome_for_each_of(1);
        assert_eq!(prescreen.connections(&["outcome=\"bare_newline\""]), 1.0, "{}", prescreen.log());
        assert!(POSTFIX.mailbox.messages("smuggled").is_empty());
    }

    let prescreen = config().set("relay.forbid_bare_newline", "'note'").start();
    let mut talk = greeted(&prescreen, client(127));
    up_to_data(&mut talk, "noted");
    talk.send(smuggled);
    talk.expect("250 2.0.0 ");
    quit(talk);
    POSTFIX.mailbox.await_messages("noted", 1);
    prescreen.one_outcome_for_each_of(1);
}

/// It is taken for this host, too, so its messages are looked at like all others; lists and tests are not for it.
#[test]
fn a_permanently_permitted_client_is_talked_to_all_the_same() {
    let prescreen = config()
        .set("mynetworks", "['127.0.0.129/32']")
        .set("screen.greet_wait", "'1h'")
        .set("restrictions.client", "'reject'")
        .start();
    let mut talk = Talk::connect(client(129), prescreen.smtp);
    assert!(!talk.expect("220 ").text().contains("Postfix"), "{}", talk.record());
    talk.ask("EHLO localhost", "250 ");
    send(&mut talk, "permitted-one");
    up_to_data(&mut talk, "permitted-smuggled");
    talk.send(b"Subject: x\r\n\r\nhello\n.\r\nMAIL FROM:<evil@example.com>\r\n.\r\n");
    talk.expect("521 5.5.2 ");
    assert!(talk.closed().is_empty(), "{}", talk.record());
    POSTFIX.mailbox.await_messages("permitted-one", 1);
    prescreen.one_outcome_for_each_of(1);
    assert!(POSTFIX.mailbox.messages("permitted-smuggled").is_empty());
}

#[test]
fn a_server_that_refuses_xclient_is_an_alarm_and_never_spoken_to_without() {
    // Postfix offers XCLIENT to nobody.
    let mut prescreen =
        Config::before_address(POSTFIX.direct, DNS.address).set("backend.identity", "'xclient'").launch();
    prescreen.await_status("/readyz", 503);
    prescreen.await_log("\"trouble\":\"identity\"");
    prescreen.await_metric("prescreen_backend_failures_total", &["trouble=\"identity\""], 1.0);

    let mut talk = greeted(&prescreen, client(128));
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.ask("RCPT TO:<unheard@example.org>", "451 4.3.0 ");
    quit(talk);
    prescreen.one_outcome_for_each_of(1);
    assert!(!POSTFIX.log().contains("unheard@"));
    assert_eq!(prescreen.connections(&["outcome=\"unavailable\""]), 1.0, "{}", prescreen.log());
}
