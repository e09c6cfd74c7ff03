//! `mode = "observe"` against a real server: whoever would have been refused gets through, and is told of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;

use support::client;
use support::dns::{Dns, LIST};
use support::message::dotted;
use support::message::message;
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;

const LISTED: Ipv4Addr = client(50);

/// Sends a message over a conversation that has been greeted.
#[track_caller]
fn send(mut talk: Talk, sender: &str) {
    assert_eq!(talk.envelope(sender, "observed@example.org").code, 250, "{}", talk.record());
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("observed", "hello\r\n")));
    talk.expect("250 ");
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
}

#[track_caller]
fn observed(prescreen: &Prescreen, outcome: &str, times: f64) {
    prescreen.await_metric("prescreen_observed_total", &[&format!("outcome=\"{outcome}\"")], times);
}

#[test]
fn nobody_is_refused_and_everybody_is_told_of() {
    let (postfix, dns) = (Postfix::start(), Dns::start(&[LISTED]));
    let prescreen = Config::before(&postfix, &dns)
        .set("mode", "'observe'")
        .set("dnsbl.sites", &format!("['{LIST}']"))
        .set("dnsbl.action", "'drop'")
        .set("screen.greet_action", "'drop'")
        .set("screen.bare_newline_action", "'drop'")
        .set("restrictions.client", "'check_client_access inline:{{127.0.0.53 = HANGUP}}'")
        .start();

    send(Talk::greeted(LISTED, prescreen.smtp), "sender@example.com");
    observed(&prescreen, "dnsbl", 1.0);

    let mut early = Talk::connect(client(51), prescreen.smtp);
    early.say("EHLO mail.example.com");
    early.expect("220 ");
    early.expect("250 ");
    send(early, "sender@example.com");
    observed(&prescreen, "pregreet", 1.0);

    let mut sloppy = Talk::greeted(client(52), prescreen.smtp);
    sloppy.send(b"NOOP\n");
    sloppy.expect("250 ");
    sloppy.ask("NONSENSE", "500 ");
    sloppy.ask("NONSENSE", "500 ");
    send(sloppy, "sender@example.com");
    observed(&prescreen, "bare_newline", 1.0);

    send(Talk::greeted(client(53), prescreen.smtp), "sender@example.com");
    send(Talk::greeted(client(54), prescreen.smtp), "sender@nowhere.invalid");
    observed(&prescreen, "rejected", 2.0);
    prescreen.await_log("\"would_have\":\"rejected\"");

    postfix.mailbox.await_messages("observed", 5);
    assert_eq!(prescreen.connections(&["outcome=\"relayed\""]), 5.0);
    for action in ["reject", "defer", "hangup"] {
        let refused = prescreen.metric("prescreen_refusals_total", &[&format!("action=\"{action}\"")]);
        let protocol = ["by=\"protocol\"", &format!("action=\"{action}\"")].map(str::to_owned);
        let protocol: Vec<_> = protocol.iter().map(String::as_str).collect();
        assert_eq!(refused, prescreen.metric("prescreen_refusals_total", &protocol), "{action}");
    }
    // The backend has the last word, also here.
    let mut talk = Talk::greeted(client(55), prescreen.smtp);
    let said = talk.envelope("sender@example.com", "nobody@elsewhere.example");
    assert_eq!(said.code / 100, 5, "{said:?}");
}
