//! A maildir that all users share: servers note the recipient on top of each message.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::eventually;
use super::postfix::DOMAIN;

/// Where delivered messages end.
pub struct Mailbox(PathBuf);

impl Mailbox {
    /// The maildir at a path, which may come into being later.
    pub fn at(maildir: &Path) -> Self {
        Self(maildir.join("new"))
    }

    /// The messages that have arrived for a user so far, oldest first.
    pub fn messages(&self, user: &str) -> Vec<Vec<u8>> {
        let Ok(folder) = fs::read_dir(&self.0) else { return Vec::new() };
        let files: BTreeSet<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        let whole = files.iter().filter(|file| file.extension().is_none_or(|end| end != "part"));
        // A file may have got its final name since the folder was read: it will be there next time.
        let messages = whole.filter_map(|file| fs::read(file).ok());
        messages.filter(|mail| is_for(mail, &format!("{user}@{DOMAIN}"))).collect()
    }

    /// Waits until `count` messages have arrived for a user, and returns exactly those.
    #[track_caller]
    pub fn await_messages(&self, user: &str, count: usize) -> Vec<Vec<u8>> {
        let found = eventually(&format!("{count} message(s) for {user}"), || {
            Some(self.messages(user)).filter(|found| found.len() >= count)
        });
        assert_eq!(found.len(), count, "messages for {user}");
        found
    }
}

/// Whether a message says in its header that it was delivered to an address.
fn is_for(mail: &[u8], address: &str) -> bool {
    let end = mail.windows(2).position(|two| two == b"\n\n").unwrap_or(mail.len());
    let head = String::from_utf8_lossy(&mail[..end]);
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(field, value)| ["Delivered-To", "Envelope-to"].contains(&field) && value == address)
}
