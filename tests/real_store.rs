//! A disk that fails or hangs, by strace's hand: nobody waits for it, and who has passed passes from memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use tempfile::TempDir;

use support::client;
use support::clients::smtplib;
use support::dns::Dns;
use support::message::message;
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};

#[track_caller]
fn deliver(prescreen: &Prescreen, host: u8) {
    let script = "smtp.sendmail('sender@example.com', ['ill-disk@example.org'], message)";
    smtplib(client(host), prescreen.smtp, script, &message("ill-disk", "hello\r\n")).sent();
}

#[test]
fn a_disk_that_fails_or_hangs_costs_nobody_a_mail_nor_a_pass() {
    let (postfix, dns) = (Postfix::start(), Dns::start(&[]));
    let folder = TempDir::with_prefix("prescreen-strace-").unwrap();
    let log = folder.path().join("strace");
    // From the fifth on: the file is to be opened first.
    for (number, fault) in (60..).zip(["error=EIO:when=5+", "delay_enter=10s:when=5+"]) {
        let inject = format!("inject=fdatasync,fsync:{fault}");
        let wrapper = [
            "strace",
            "-f",
            "-qq",
            "-o",
            log.to_str().unwrap(),
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            &inject,
        ];
        let prescreen = Config::before(&postfix, &dns).launch_under(&wrapper);
        for host in [number, number + 2, number + 4] {
            deliver(&prescreen, host);
        }
        let waited = prescreen.metric("prescreen_greet_wait_seconds_count", &[]);
        assert_eq!(waited, 3.0, "{fault}");
        for host in [number, number + 2, number + 4] {
            deliver(&prescreen, host);
        }
        assert_eq!(
            prescreen.metric("prescreen_greet_wait_seconds_count", &[]),
            waited,
            "{fault}: from memory"
        );
        assert_eq!(prescreen.metric("prescreen_refusals_total", &[]), 0.0, "{fault}");
    }
    postfix.mailbox.await_messages("ill-disk", 12);
}
