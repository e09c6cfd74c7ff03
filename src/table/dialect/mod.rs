//! What POSIX and PCRE mean by a pattern, said in the syntax of the engine that runs it.
//!
//! The engine (fancy-regex) speaks a third dialect. Most of it reads the same, and that is the danger: `\<` is a word
//! boundary to one and a `<` to the other, `\h` a blank or a hexadecimal digit, `[a&&b]` three characters or an
//! intersection, `a+?` optional or lazy. So patterns are not passed on but translated, and what has no translation
//! is refused when the table is loaded.
//!
//! Postfix runs both kinds on octets, in the C locale. So do we: `.` is one octet, and only ASCII has letters.

mod class;
mod escape;
mod pcre;
mod posix;

pub(super) use pcre::translate as pcre;
pub(super) use posix::{Syntax, translate as posix};

use std::iter::{Map, Peekable};
use std::str::Bytes;

/// The pattern, from where the reader is: octets, each as the character of that code.
type Rest<'a> = Peekable<Map<Bytes<'a>, fn(u8) -> char>>;

/// The octets of `pattern`.
fn octets(pattern: &str) -> Rest<'_> {
    let as_char: fn(u8) -> char = char::from;
    pattern.bytes().map(as_char).peekable()
}

/// Writes the octet `c` so that the engine takes it for itself, in every mode and place.
fn push_octet(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02X}", u32::from(c)));
    }
}

/// Takes `wanted` if it comes next.
fn take(rest: &mut Rest<'_>, wanted: char) -> bool {
    rest.next_if_eq(&wanted).is_some()
}

/// Takes `wanted` if it comes next, as a whole.
fn take_all(rest: &mut Rest<'_>, wanted: &str) -> bool {
    let mut ahead = rest.clone();
    let comes = wanted.chars().all(|c| take(&mut ahead, c));
    if comes {
        *rest = ahead;
    }
    comes
}

/// Takes everything up to `end`, and `end`.
fn take_until(rest: &mut Rest<'_>, end: char) -> Option<String> {
    let mut taken = String::new();
    loop {
        match rest.next()? {
            c if c == end => return Some(taken),
            c => taken.push(c),
        }
    }
}

/// Takes decimal digits, if any come next.
fn take_number(rest: &mut Rest<'_>) -> Option<u32> {
    let mut digits = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    digits.parse().ok()
}

/// `{least,most}`, as written.
struct Interval {
    least: Option<u32>,
    most: Option<u32>,
}

/// Takes `m}`, `m,}`, `m,n}` or `,n}`: an interval whose opening brace is already gone.
fn take_interval(rest: &mut Rest<'_>, close: &str) -> Option<Interval> {
    let mut ahead = rest.clone();
    let least = take_number(&mut ahead);
    let most = if take(&mut ahead, ',') { take_number(&mut ahead) } else { least };
    if least.or(most).is_none() || !take_all(&mut ahead, close) {
        return None;
    }
    *rest = ahead;
    Some(Interval { least, most })
}
