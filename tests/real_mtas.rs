//! prescreen in front of other people's mail servers: clean mail arrives in the first connection, whole, and the server
//! knows from whom. What each of them has proven stands in README's table, which these tests compare, row by row;
//! `UPDATE=1 cargo test --test real_mtas -- --test-threads 1` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fs, thread};

use support::clients::smtplib;
use support::dns::Dns;
use support::mailbox::Mailbox;
use support::message::{assert_same, body, dotted, long_body, message, received};
use support::mta::Mta;
use support::network::{Abroad, HERE, THERE, transparent_routes};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;
use support::{client, eventually, eventually_or};

static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const SENDER: &str = "sender@example.com";

#[test]
fn postfix_by_proxy_version_2() {
    let mut postfix = Postfix::start();
    let at = postfix.proxied;
    proves("Postfix", &mut postfix, at, "proxy-v2", client(115));
}

#[test]
fn postfix_by_proxy_version_1() {
    let mut postfix = Postfix::start();
    let at = postfix.proxied;
    proves("Postfix", &mut postfix, at, "proxy-v1", client(116));
}

#[test]
fn postfix_by_xclient() {
    let mut postfix = Postfix::start_with(&["smtpd_authorized_xclient_hosts = 127.0.0.1"]);
    let at = postfix.direct;
    proves("Postfix", &mut postfix, at, "xclient", client(117));
    // Not only in the message: everything that Postfix itself judges and logs is about the client.
    postfix.await_log(&["smtpd[", "client=", "[127.0.0.117]"]);
}

#[test]
fn exim_by_proxy_version_2() {
    let Some(mut exim) = Mta::exim() else { return };
    let at = exim.proxied;
    proves("Exim", &mut exim, at, "proxy-v2", client(110));
}

#[test]
fn exim_by_proxy_version_1() {
    let Some(mut exim) = Mta::exim() else { return };
    let at = exim.proxied;
    proves("Exim", &mut exim, at, "proxy-v1", client(111));
}

#[test]
fn opensmtpd_by_proxy_version_2() {
    let Some(mut opensmtpd) = Mta::opensmtpd() else { return };
    let at = opensmtpd.proxied;
    proves("OpenSMTPD", &mut opensmtpd, at, "proxy-v2", client(112));
}

#[test]
fn haraka_by_proxy_version_1() {
    let mut haraka = Mta::haraka();
    let at = haraka.proxied;
    proves("Haraka", &mut haraka, at, "proxy-v1", client(113));
}

#[test]
fn haraka_by_xclient() {
    let mut haraka = Mta::haraka_without_proxy();
    let at = haraka.direct;
    proves("Haraka", &mut haraka, at, "xclient", client(118));
}

/// Sendmail knows neither PROXY nor XCLIENT.
#[test]
fn sendmail_by_source_address() {
    // Abroad there is no way to Debian's packages.
    Mta::fetch("sendmail");
    let Some(abroad) = Abroad::for_test("sendmail_by_source_address") else { return };
    let Some(mut sendmail) = Mta::sendmail() else { return };
    let at = sendmail.direct;
    transparent_routes("127.0.0.1", at.port());
    let mut config = Config::before_address(at, DNS.address).set("backend.identity", "'transparent'");
    config.smtp.set_ip(HERE.into());
    let prescreen = config.start();
    Proof { name: "Sendmail", server: &mut sendmail, prescreen, from: THERE, abroad: Some(&abroad) }
        .stands("transparent");
}

/// All that is asked of a server behind prescreen.
#[track_caller]
fn proves(name: &str, server: &mut dyn Server, at: SocketAddr, identity: &str, from: Ipv4Addr) {
    let config = Config::before_address(at, DNS.address).set("backend.identity", &format!("'{identity}'"));
    Proof { name, server, prescreen: config.start(), from, abroad: None }.stands(identity);
}

/// A mail server of any kind.
trait Server: Sync {
    fn mailbox(&self) -> &Mailbox;
    fn log(&self) -> String;
    fn restart(&mut self);
}

impl Server for Mta {
    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn log(&self) -> String {
        self.log()
    }

    fn restart(&mut self) {
        self.restart();
    }
}

impl Server for Postfix {
    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn log(&self) -> String {
        self.log()
    }

    fn restart(&mut self) {
        self.restart();
    }
}

/// A server behind prescreen, and where its clients come from.
struct Proof<'a> {
    name: &'a str,
    server: &'a mut dyn Server,
    prescreen: Prescreen,
    from: Ipv4Addr,
    abroad: Option<&'a Abroad>,
}

impl Proof<'_> {
    #[track_caller]
    fn stands(mut self, identity: &str) {
        self.there(|| self.takes_the_first_connection());
        self.prescreen.one_outcome_for_each_of(1);
        self.there(|| self.takes_twenty_megabytes());
        let (utf8, chunks) = self.there(|| self.takes_what_it_offers());
        self.prescreen.one_outcome_for_each_of(3);
        self.survives_a_restart();

        let proven = |offered: bool| if offered { "yes" } else { "not offered" };
        let cells =
            [self.name, identity, "yes", "yes", "yes", proven(utf8), proven(chunks), "yes"].join(" | ");
        stands_in_readme(&format!("| {} | {identity} |", self.name), &format!("| {cells} |"));
    }

    /// Does what a client does.
    fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.abroad {
            Some(abroad) => abroad.visit(work),
            None => work(),
        }
    }

    #[track_caller]
    fn takes_the_first_connection(&self) {
        let mut talk = Talk::greeted(self.from, self.prescreen.smtp);
        assert_eq!(talk.envelope(SENDER, "first@example.org").code, 250, "{}", talk.record());
        talk.ask("DATA", "354 ");
        talk.send(&dotted(&message("first", "hello\r\n")));
        talk.expect("250 ");
        talk.ask("QUIT", "221 ");
        assert!(talk.closed().is_empty());
        let mail = self.server.mailbox().await_messages("first", 1).remove(0);
        assert!(received(&mail).contains(&format!("[{}]", self.from)), "{}", received(&mail));
    }

    #[track_caller]
    fn takes_twenty_megabytes(&self) {
        let message = message("big", &long_body(20 << 20));
        let script = format!("smtp.sendmail('{SENDER}', ['big@example.org'], message)");
        smtplib(self.from, self.prescreen.smtp, &script, &message).sent();
        let mail = self.server.mailbox().await_messages("big", 1).remove(0);
        assert_same(&body(&mail), &body(message.replace("\r\n", "\n").as_bytes()));
    }

    /// SMTPUTF8 and CHUNKING, if offered: says which was.
    #[track_caller]
    fn takes_what_it_offers(&self) -> (bool, bool) {
        let mut talk = Talk::connect(self.from, self.prescreen.smtp);
        talk.expect("220 ");
        let offer = talk.ask("EHLO mail.example.com", "250 ");
        let (utf8, chunks) = (offer.offers("SMTPUTF8"), offer.offers("CHUNKING"));
        if chunks {
            self.takes_chunks(&mut talk);
        }
        if utf8 {
            self.takes_addresses_in_utf_8(&mut talk);
        }
        talk.ask("QUIT", "221 ");
        assert!(talk.closed().is_empty());
        (utf8, chunks)
    }

    #[track_caller]
    fn takes_chunks(&self, talk: &mut Talk) {
        assert_eq!(talk.envelope(SENDER, "chunks@example.org").code, 250, "{}", talk.record());
        let (first, second) = (b"Subject: chunks\r\n\r\none\r\n.\r\n", b"two\r\n");
        talk.send(&[format!("BDAT {}\r\n", first.len()).as_bytes(), first].concat());
        talk.expect("250 ");
        talk.send(&[format!("BDAT {} LAST\r\n", second.len()).as_bytes(), second].concat());
        talk.expect("250 ");
        let mail = self.server.mailbox().await_messages("chunks", 1).remove(0);
        assert_same(&body(&mail), b"one\n.\ntwo\n");
    }

    #[track_caller]
    fn takes_addresses_in_utf_8(&self, talk: &mut Talk) {
        talk.ask("MAIL FROM:<grüße@example.com> SMTPUTF8 BODY=8BITMIME", "250 ");
        talk.ask("RCPT TO:<empfänger@example.org>", "250 ");
        talk.ask("DATA", "354 ");
        talk.send(&dotted(&message("utf8", "Schöne Grüße\r\n")));
        talk.expect("250 ");
        self.server.mailbox().await_messages("empfänger", 1);
    }

    /// Restarts the server while a client sends one message after the other: none is refused for good, and each that
    /// was taken is there.
    #[track_caller]
    fn survives_a_restart(&mut self) {
        let Self { server, prescreen, from, abroad, .. } = self;
        let (smtp, from, abroad) = (prescreen.smtp, *from, *abroad);
        let (taken, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
        let traffic = || {
            while !enough.load(Ordering::Relaxed) {
                let next = taken.load(Ordering::Relaxed);
                if attempt(from, smtp, &format!("message{next}")).is_some() {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let await_more = || {
            let wanted = taken.load(Ordering::Relaxed) + 2;
            eventually("traffic", || (taken.load(Ordering::Relaxed) >= wanted).then_some(()));
        };
        thread::scope(|scope| {
            scope.spawn(|| abroad.map_or_else(traffic, |abroad| abroad.visit(traffic)));
            await_more();
            server.restart();
            await_more();
            enough.store(true, Ordering::Relaxed);
        });
        for message in 0..taken.into_inner() {
            let complaint =
                || format!("waited in vain for message{message}, which was taken\n{}", server.log());
            eventually_or(complaint, || {
                let arrived = server.mailbox().messages(&format!("message{message}"));
                (!arrived.is_empty()).then_some(())
            });
        }
    }
}

/// Tries to send one message; `None` if it was put off, by a reply or without one. Never is it refused.
#[track_caller]
fn attempt(from: Ipv4Addr, to: SocketAddr, recipient: &str) -> Option<()> {
    let mut talk = Talk::connect(from, to);
    let content = String::from_utf8(dotted(&message(recipient, "hello\r\n"))).unwrap();
    for (said, wanted) in [
        ("", 220),
        ("EHLO mail.example.com\r\n", 250),
        (&format!("MAIL FROM:<{SENDER}>\r\n"), 250),
        (&format!("RCPT TO:<{recipient}@example.org>\r\n"), 250),
        ("DATA\r\n", 354),
        (&content, 250),
        ("QUIT\r\n", 221),
    ] {
        talk.try_send(said.as_bytes()).ok()?;
        let reply = talk.reply_or_end()?;
        assert!(reply.code < 500, "{}", talk.record());
        if reply.code != wanted {
            return None;
        }
    }
    Some(())
}

/// Compares, or with `UPDATE` writes, a row of the table, which begins with `key`.
#[track_caller]
fn stands_in_readme(key: &str, row: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    if std::env::var_os("UPDATE").is_none() {
        assert!(text.lines().any(|line| line == row), "README.md has no row {row}; UPDATE=1 writes it");
        return;
    }
    let is_known = text.lines().any(|line| line.starts_with(key));
    let written = text.lines().flat_map(|line| match line {
        line if line.starts_with(key) => vec![row],
        TABLE if !is_known => vec![line, row],
        line => vec![line],
    });
    fs::write(&file, written.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

/// The line below which rows stand.
const TABLE: &str = "|---|---|---|---|---|---|---|---|";
