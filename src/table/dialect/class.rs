//! Bracket expressions: `[…]` in both dialects, written so that the engine sees no set operators in them.

use std::fmt::Write;

use super::{Rest, push_octet, take, take_all};

/// A bracket expression that is being built.
#[derive(Debug)]
pub(super) struct Class(String);

impl Class {
    /// `[`, or `[^` if that comes next.
    pub(super) fn open(rest: &mut Rest<'_>) -> Self {
        Self(if take(rest, '^') { "[^".to_owned() } else { "[".to_owned() })
    }

    pub(super) fn push(&mut self, c: char) {
        push_octet(&mut self.0, c);
    }

    pub(super) fn range(&mut self, from: char, to: char) -> Result<(), String> {
        if from > to {
            return Err(format!("the range `{from}-{to}` goes backwards"));
        }
        self.push(from);
        self.0.push('-');
        self.push(to);
        Ok(())
    }

    /// A class in the engine's syntax, brackets included.
    pub(super) fn nest(&mut self, class: &str) {
        self.0.push_str(class);
    }

    /// `[:alpha:]` with `[:` already gone; PCRE also has `[:^alpha:]`.
    pub(super) fn named(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| c.is_ascii_alphabetic() || *c == '^') {
            name.push(c);
        }
        if !take_all(rest, ":]") || !NAMES.contains(&name.trim_start_matches('^')) {
            return Err(format!("`[:{name}:]` is no character class: {} are", NAMES.join(", ")));
        }
        let _ = write!(self.0, "[[:{name}:]]");
        Ok(())
    }

    pub(super) fn close(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

/// Whether a `-` comes next that is not the last in its brackets.
pub(super) fn is_range(rest: &Rest<'_>) -> bool {
    let mut ahead = rest.clone();
    take(&mut ahead, '-') && ahead.peek() != Some(&']')
}

/// What is said of a range that begins or ends with anything but a character.
pub(super) const NO_RANGE: &str = "a range in brackets goes from one character to another";

const NAMES: [&str; 13] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
    "word", "xdigit",
];
