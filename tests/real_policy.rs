//! Restrictions that ask somebody: the backend about addresses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::LazyLock;

use support::client;
use support::dns::Dns;
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

/// What a client hears of a recipient, and what comes behind it if the session ends there.
#[track_caller]
fn envelope(prescreen: &Prescreen, host: u8, sender: &str, recipient: &str) -> Vec<String> {
    let mut talk = Talk::greeted(client(host), prescreen.smtp);
    let mut said = vec![talk.envelope(sender, recipient)];
    if said[0].code >= 400 {
        said.extend(talk.closed());
    }
    said.iter().map(|said| said.text().to_owned()).collect()
}

#[test]
fn the_backend_is_asked_about_an_address_once() {
    let prescreen = Config::before(&POSTFIX, &DNS)
        .set("restrictions.sender", "'reject_unverified_sender'")
        .set("restrictions.recipient", "'reject_unverified_recipient'")
        .set("verification.unverified_recipient_reject_code", "550")
        .set("verification.sender", "'probe@mx.example.org'")
        .start();
    let refused = |address: &str| {
        format!(
            "host {} said: 550 5.1.1 <{address}>: Recipient address rejected: User unknown in virtual mailbox table \
             (in reply to RCPT TO command)",
            POSTFIX.proxied
        )
    };
    let goodbye = "421 4.7.0 mx.example.org Error: too many errors".to_owned();
    for host in [150, 151] {
        let wanted = format!(
            "550 5.1.1 <nobody-asked@example.org>: Recipient address rejected: undeliverable address: {}",
            refused("nobody-asked@example.org")
        );
        assert_eq!(envelope(&prescreen, host, SENDER, "nobody-asked@example.org"), [wanted, goodbye.clone()]);
    }
    let log = POSTFIX.log();
    let probes =
        log.lines().filter(|line| line.contains("from=<probe@mx.example.org> to=<nobody-asked@example.org>"));
    assert_eq!(probes.count(), 1, "{log}");

    assert_eq!(envelope(&prescreen, 152, SENDER, "asked@example.org"), ["250 2.1.5 Ok"]);

    // The backend knows nothing of strangers; but of its own users it does.
    let wanted = format!(
        "450 4.1.7 <nobody@example.org>: Sender address rejected: unverified address: {}",
        refused("nobody@example.org")
    );
    assert_eq!(envelope(&prescreen, 153, "nobody@example.org", "asked@example.org"), [wanted, goodbye]);
    assert_eq!(envelope(&prescreen, 154, "asked@example.org", "asked@example.org"), ["250 2.1.5 Ok"]);
}

#[test]
fn without_a_backend_to_ask_nobody_is_refused_for_good() {
    let nowhere = support::free_address();
    let prescreen = Config::before_address(nowhere, DNS.address)
        .set("restrictions.recipient", "'reject_unverified_recipient'")
        .set("verification.unverified_recipient_reject_code", "550")
        .launch();
    let said = envelope(&prescreen, 155, SENDER, "user@example.org");
    assert_eq!(
        said[0],
        "450 4.1.1 <user@example.org>: Recipient address rejected: address verification problem"
    );
}
