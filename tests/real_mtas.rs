//! Other mail servers than Postfix start side by side, and each names its client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::client;
use support::message::{dotted, message, received};
use support::mta::Mta;
use support::talk::Talk;

#[track_caller]
fn assert_takes_mail(mta: &Mta) {
    let mut talk = Talk::greeted(client(100), mta.direct);
    assert_eq!(talk.envelope("sender@example.com", "direct@example.org").code, 250);
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("direct", "hello\r\n")));
    talk.expect("250 ");
    std::thread::sleep(std::time::Duration::from_secs(2));
    eprintln!("{}", mta.log());
    let mail = mta.mailbox.await_messages("direct", 1).remove(0);
    assert!(received(&mail).contains("[127.0.0.100]"), "{}", received(&mail));
}

#[test]
fn exim_takes_mail_for_our_domain() {
    let Some(exim) = Mta::exim() else { return };
    assert_takes_mail(&exim);
}

#[test]
fn opensmtpd_takes_mail_for_our_domain() {
    let Some(opensmtpd) = Mta::opensmtpd() else { return };
    assert_takes_mail(&opensmtpd);
}

#[test]
fn sendmail_takes_mail_for_our_domain() {
    let Some(sendmail) = Mta::sendmail() else { return };
    assert_takes_mail(&sendmail);
}

#[test]
fn haraka_takes_mail_for_our_domain() {
    assert_takes_mail(&Mta::haraka());
}
