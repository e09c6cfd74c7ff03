//! What an access table, or a policy server, can answer: access(5).

use crate::smtp::address::Address;

use super::codes::RejectCode;

/// A right-hand side that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// OK, RELAY, or a number that is no reply: the list permits.
    Ok,
    /// Nothing is said, and shorter keys are not asked.
    Dunno,
    /// REJECT, with an optional status and text.
    Reject(&'a str),
    /// DEFER, with an optional status and text.
    Defer(&'a str),
    /// `550 text`
    Code(RejectCode, &'a str),
    /// DEFER_IF_PERMIT, with an optional status and text.
    DeferIfPermit(&'a str),
    /// DEFER_IF_REJECT, with an optional status and text.
    DeferIfReject(&'a str),
    /// INFO: written down, nothing else.
    Info(&'a str),
    /// WARN: written down, nothing else.
    Warn(&'a str),
    /// HANGUP: the connection ends without a reply.
    HangUp(&'a str),
    /// PREPEND: a header line in front of the message.
    Prepend(&'a str),
    /// BCC: one more recipient.
    Bcc(&'a str),
    /// A list of restrictions and classes.
    List(&'a str),
}

/// Why a right-hand side cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(
        "{0} needs a queue, and prescreen has none: REJECT here, or let the mail server behind do it in its own tables"
    )]
    NeedsQueue(&'static str),
    #[error("PREPEND needs a header line: write `PREPEND Name: text`")]
    NoHeader,
    #[error("BCC needs an address: write `BCC user@domain`")]
    NoAddress,
    #[error("`{0}` names a table, which an access table cannot do: define a restriction class and name that")]
    NamesTable(String),
    #[error("the value is empty: write an action such as OK, DUNNO or REJECT")]
    Empty,
}

impl<'a> Action<'a> {
    /// Reads a right-hand side. Anything that is no action is taken for a list of restrictions.
    pub(super) fn parse(value: &'a str) -> Result<Self, Unfit> {
        let value = value.trim();
        let (word, text) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        let text = text.trim_start();
        if let Some(action) = Self::named(word, text) {
            return action;
        }
        if value.is_empty() {
            return Err(Unfit::Empty);
        }
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Ok);
        }
        if let (Some(code), false) = (reply_code(word), text.is_empty()) {
            return Ok(Self::Code(code, text));
        }
        if value.contains(':') {
            return Err(Unfit::NamesTable(value.to_owned()));
        }
        Ok(Self::List(value))
    }

    fn named(word: &str, text: &'a str) -> Option<Result<Self, Unfit>> {
        Some(Ok(match word.to_ascii_uppercase().as_str() {
            "DUNNO" => Self::Dunno,
            "OK" | "RELAY" => Self::Ok,
            "REJECT" => Self::Reject(text),
            "DEFER" => Self::Defer(text),
            "DEFER_IF_PERMIT" => Self::DeferIfPermit(text),
            "DEFER_IF_REJECT" => Self::DeferIfReject(text),
            "INFO" => Self::Info(text),
            "WARN" => Self::Warn(text),
            "HANGUP" => Self::HangUp(text),
            "PREPEND" if is_header(text) => Self::Prepend(text),
            "PREPEND" => return Some(Err(Unfit::NoHeader)),
            "BCC" if is_address(text) => Self::Bcc(text),
            "BCC" => return Some(Err(Unfit::NoAddress)),
            "DISCARD" => return Some(Err(Unfit::NeedsQueue("DISCARD"))),
            "HOLD" => return Some(Err(Unfit::NeedsQueue("HOLD"))),
            "FILTER" => return Some(Err(Unfit::NeedsQueue("FILTER"))),
            "REDIRECT" => return Some(Err(Unfit::NeedsQueue("REDIRECT"))),
            _ => return None,
        }))
    }
}

/// Whether `value` is what Postfix takes for OK and its author for a refusal: a reply code without text.
pub(super) fn is_code_without_text(value: &str) -> bool {
    reply_code(value.trim()).is_some()
}

fn reply_code(word: &str) -> Option<RejectCode> {
    if word.len() != 3 { None } else { RejectCode::new(word.parse().ok()?) }
}

/// Whether `text` can stand in front of a message: a field name of RFC 5322 §3.6.8, a colon, one line.
fn is_header(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, _)| {
        !name.is_empty() && name.trim_end().bytes().all(|byte| byte.is_ascii_graphic())
    }) && !text.contains(char::is_control)
}

fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok_and(|address| address.domain().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: u16) -> RejectCode {
        RejectCode::new(code).unwrap()
    }

    #[test]
    fn words_are_read_in_any_case() {
        for (value, action) in [
            ("OK", Action::Ok),
            ("ok because I say so", Action::Ok),
            ("Relay", Action::Ok),
            ("1718000000", Action::Ok),
            ("dunno whatever", Action::Dunno),
            ("REJECT", Action::Reject("")),
            ("reject\t 5.7.9  no", Action::Reject("5.7.9  no")),
            ("DEFER later", Action::Defer("later")),
            ("defer_if_permit x", Action::DeferIfPermit("x")),
            ("defer_if_reject x", Action::DeferIfReject("x")),
            ("550 no", Action::Code(code(550), "no")),
            ("421 4.3.2 bye", Action::Code(code(421), "4.3.2 bye")),
            ("INFO x", Action::Info("x")),
            ("warn", Action::Warn("")),
            ("hangup x", Action::HangUp("x")),
            ("PREPEND X-Spam: yes: really", Action::Prepend("X-Spam: yes: really")),
            ("BCC a@b.c", Action::Bcc("a@b.c")),
            ("permit_mynetworks, reject", Action::List("permit_mynetworks, reject")),
            ("OKAY", Action::List("OKAY")),
            ("4500 x", Action::List("4500 x")),
            ("350 x", Action::List("350 x")),
        ] {
            assert_eq!(Action::parse(value), Ok(action), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        assert_eq!(Action::parse("hold it"), Err(Unfit::NeedsQueue("HOLD")));
        assert_eq!(Action::parse("DISCARD"), Err(Unfit::NeedsQueue("DISCARD")));
        assert_eq!(Action::parse("FILTER x:y"), Err(Unfit::NeedsQueue("FILTER")));
        assert_eq!(Action::parse("REDIRECT a@b"), Err(Unfit::NeedsQueue("REDIRECT")));
        assert_eq!(Action::parse("PREPEND no header"), Err(Unfit::NoHeader));
        assert_eq!(Action::parse("PREPEND : x"), Err(Unfit::NoHeader));
        assert_eq!(Action::parse("BCC postmaster"), Err(Unfit::NoAddress));
        assert_eq!(Action::parse("BCC <a@b>"), Err(Unfit::NoAddress));
        assert_eq!(Action::parse(" "), Err(Unfit::Empty));
        assert!(matches!(Action::parse("check_x hash:/y"), Err(Unfit::NamesTable(_))));
    }

    #[test]
    fn a_code_without_text_is_seen() {
        assert!(is_code_without_text("550"));
        assert!(is_code_without_text(" 450 "));
        assert!(!is_code_without_text("550 x"));
        assert!(!is_code_without_text("1718000000"));
        assert!(!is_code_without_text("250"));
    }
}
