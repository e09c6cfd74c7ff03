//! The proof of the first promise: only the backend accepts mail, so however often prescreen dies, every message that
//! a client saw accepted is in the mailbox, exactly as sent.
//!
//! `PRESCREEN_TEST_KILLS=200 cargo test --test real_kills -- --nocapture` is the long form.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use support::clients::smtp_source;
use support::dns::Dns;
use support::message::{body, long_body};
use support::postfix::Postfix;
use support::prescreen::Config;

/// Senders at once.
const SENDERS: usize = 4;

/// One message, and how it went.
struct Sent {
    text: String,
    attempts: usize,
    accepted: bool,
}

#[test]
fn however_often_it_is_killed_what_a_client_saw_accepted_is_delivered_as_sent() {
    let kills = std::env::var("PRESCREEN_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let (postfix, dns) = (Postfix::start(), Dns::start(&[]));
    let folder = TempDir::with_prefix("prescreen-kills-").unwrap();
    let mut prescreen = Config::before(&postfix, &dns).set("screen.greet_wait", "'50ms'").start();
    let over = Over(AtomicBool::new(false));
    let sent: Vec<Sent> = thread::scope(|scope| {
        let _whistle = Whistle(&over);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (over, folder, to) = (&over, folder.path(), prescreen.smtp);
                scope.spawn(move || send_until(over, sender, folder, to))
            })
            .collect();
        for _ in 0..kills {
            thread::sleep(Duration::from_millis(at_random(1_500)));
            prescreen = prescreen.stop("KILL").start();
        }
        over.0.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let attempts: usize = sent.iter().map(|message| message.attempts).sum();
    let accepted: usize = sent.iter().filter(|message| message.accepted).count();
    assert!(accepted > 0, "no traffic, no proof");

    // Postfix delivers in its own time: wait for what was accepted, then look at everything.
    let copies = support::eventually("all that was accepted to be delivered", || {
        let copies = copies(&postfix);
        sent.iter().all(|message| !message.accepted || copies.contains_key(&message.text)).then_some(copies)
    });
    let known: BTreeMap<_, _> = sent.iter().map(|message| (message.text.as_str(), message)).collect();
    let mut duplicates = 0;
    for (text, count) in &copies {
        let message = known.get(text.as_str());
        let message = message.unwrap_or_else(|| panic!("nobody sent this, or not so: {text:.300}"));
        // An attempt that was cut off behind the final dot may have been accepted all the same: nobody could tell
        // the client, and RFC 5321 §4.5.4.1 has it try again. Each copy but one is such an attempt.
        let unanswered = message.attempts - usize::from(message.accepted);
        assert!(*count <= unanswered + usize::from(message.accepted), "{count} copies of {text:.80}");
        duplicates += count - 1;
    }
    println!(
        "{kills} kills, {} messages, {attempts} attempts: {accepted} seen accepted, none lost, none changed; \
         {duplicates} delivered twice, after an attempt that was cut off before its answer came",
        sent.len(),
    );
}

/// Sends message after message, each until it is accepted.
fn send_until(over: &Over, sender: usize, folder: &Path, to: SocketAddr) -> Vec<Sent> {
    let mut sent = Vec::new();
    while !over.is() {
        let number = sent.len();
        let long = long_body(at_random(200_000) as usize).replace("\r\n", "\n");
        let text = format!("message {number} of sender {sender}\n{long}");
        let file = folder.join(format!("{sender}-{number}"));
        fs::write(&file, format!("Subject: {sender}-{number}\n\n{text}")).unwrap();
        // smtp-source puts an empty line behind every message.
        let text = text + "\n";
        let mut message = Sent { text, attempts: 0, accepted: false };
        while !message.accepted && !over.is() {
            message.attempts += 1;
            let options =
                ["-f", "sender@example.com", "-t", "kills@example.org", "-F", file.to_str().unwrap()];
            // It exits with 0 once the server has said 250 to the message, and 221.
            message.accepted = smtp_source(to, &options).succeeded;
        }
        fs::remove_file(&file).unwrap();
        sent.push(message);
    }
    sent
}

/// Every body in the mailbox, and how often it is there.
fn copies(postfix: &Postfix) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for mail in postfix.mailbox.messages("kills") {
        *copies.entry(String::from_utf8(body(&mail)).unwrap()).or_default() += 1;
    }
    copies
}

/// A number below `limit`.
fn at_random(limit: u64) -> u64 {
    RandomState::new().hash_one(limit) % limit
}

struct Over(AtomicBool);

impl Over {
    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ends the traffic, also when the test fails.
struct Whistle<'a>(&'a Over);

impl Drop for Whistle<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
