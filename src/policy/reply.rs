//! From a verdict to the words on the wire.

use std::borrow::Cow;

use crate::smtp::reply::{Reply, Status};

use super::codes::RejectCode;
use super::judgement::List;

/// What is judged, and so what a refusal names: Postfix's reply name and reply class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The client by its address and confirmed name.
    Client,
    /// The client by the name that its address claims.
    ReverseClient,
    /// The HELO argument.
    Helo,
    /// The MAIL address.
    Sender,
    /// The RCPT address.
    Recipient,
    /// The DATA command.
    Data,
    /// The ETRN argument.
    Etrn,
}

/// A refusal before it knows the name of what it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) code: RejectCode,
    /// Its class is overruled by the code's first digit.
    pub(super) status: Status,
    pub(super) text: Text,
    /// As [`Cause::unanswered`](super::Cause::unanswered).
    pub(super) unanswered: bool,
}

/// What a refusal says behind its codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// `<name>: Class rejected: why`
    Rejected(Subject, Cow<'static, str>),
    /// `<name>: what`
    Named(Subject, Cow<'static, str>),
    /// The text as it stands.
    Whole(Cow<'static, str>),
}

/// Code, status and text together may fill a line of RFC 5321 §4.5.3.1.5, less its CR LF.
const MAX_REPLY: usize = 510;

impl Subject {
    /// What the restrictions of `list` are about, where they do not say themselves.
    pub(super) fn of(list: List) -> Self {
        match list {
            List::Client => Self::Client,
            List::Helo => Self::Helo,
            List::Sender => Self::Sender,
            List::Relay | List::Recipient => Self::Recipient,
            List::Data => Self::Data,
            List::Etrn => Self::Etrn,
        }
    }

    /// Postfix's reply class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Client => "Client host",
            Self::ReverseClient => "Unverified Client host",
            Self::Helo => "Helo command",
            Self::Sender => "Sender address",
            Self::Recipient => "Recipient address",
            Self::Data => "Data command",
            Self::Etrn => "Etrn command",
        }
    }
}

/// An enhanced status code whose class is left to the reply code.
pub(super) const fn status(subject: u16, detail: u16) -> Status {
    Status { class: 5, subject, detail }
}

impl Rejection {
    /// `<name>: Class rejected: why`
    pub(super) fn of(
        subject: Subject,
        code: RejectCode,
        status: Status,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { code, status, text: Text::Rejected(subject, why.into()), unanswered: false }
    }

    /// A refusal in words of its own.
    pub(super) fn whole(code: RejectCode, status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status, text: Text::Whole(text.into()), unanswered: false }
    }

    /// The configuration cannot be followed: a mistake of ours, not of the client.
    pub(super) fn server_error() -> Self {
        Self::whole(RejectCode::LOCAL_ERROR, status(3, 5), "Server configuration error")
    }

    /// A list or table that relay control stands on does not answer.
    pub(super) fn lookup_failure(subject: Subject) -> Self {
        let text = Text::Named(subject, "Temporary lookup failure".into());
        Self { code: RejectCode::LOCAL_ERROR, status: status(3, 0), text, unanswered: true }
    }

    /// The same, where nobody has said that it must be refused.
    pub(super) fn for_want_of_an_answer(self) -> Self {
        Self { unanswered: true, ..self }
    }

    /// Whose name must be known before this can be said.
    pub(super) fn names(&self) -> Option<Subject> {
        match self.text {
            Text::Rejected(subject, _) | Text::Named(subject, _) => Some(subject),
            Text::Whole(_) => None,
        }
    }

    /// The reply, with `name` for what is refused.
    pub(super) fn into_reply(self, name: &str) -> Reply {
        let code = self.code.get();
        let status = Status { class: if code < 500 { 4 } else { 5 }, ..self.status };
        let mut line = match self.text {
            Text::Rejected(subject, why) => format!("{status} <{name}>: {} rejected: {why}", subject.class()),
            Text::Named(_, what) => format!("{status} <{name}>: {what}"),
            Text::Whole(text) => format!("{status} {text}"),
        };
        line.truncate(line.floor_char_boundary(MAX_REPLY - "550 ".len()));
        Reply::new(code, line.replace(|c: char| c.is_control(), " "))
    }
}

/// Splits `5.7.1 text` into a status that fits `subject` and the text; `default` stands in for a missing status.
pub(super) fn split_status(text: &str, default: Status, subject: Subject) -> (Status, &str) {
    match Status::of_text(text) {
        Some(status) => {
            let rest = text.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
            (fitting(status, subject), rest)
        }
        None => (default, text),
    }
}

/// The status that says of `subject` what `status` says of an address: a table does not know whose address it judges,
/// and RFC 3463 §3.2 has different codes for senders and recipients.
fn fitting(status: Status, subject: Subject) -> Status {
    if status.subject != 1 {
        return status;
    }
    match (subject, status.detail) {
        (Subject::Sender, 1 | 3 | 4 | 6 | 7) => self::status(1, 7),
        (Subject::Sender, 2 | 8) => self::status(1, 8),
        (Subject::Recipient, 1..=6) => status,
        (Subject::Recipient, 7) => self::status(1, 3),
        (Subject::Recipient, 8) => self::status(1, 2),
        (Subject::Sender | Subject::Recipient, _) => self::status(1, 0),
        _ => self::status(0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: u16) -> RejectCode {
        RejectCode::new(code).unwrap()
    }

    #[test]
    fn the_code_decides_the_class_of_the_status() {
        let refusal = |number| Rejection::of(Subject::Helo, code(number), status(7, 1), "no").into_reply("x");
        assert_eq!(refusal(554).to_string(), "554 5.7.1 <x>: Helo command rejected: no");
        assert_eq!(refusal(450).to_string(), "450 4.7.1 <x>: Helo command rejected: no");
    }

    #[test]
    fn a_reply_is_one_printable_line_of_bounded_length() {
        let text = "a\r\nb\tü".to_owned() + &"ü".repeat(600);
        let reply = Rejection::whole(code(550), status(7, 1), text).into_reply("");
        let shown = reply.to_string();
        assert!(shown.starts_with("550 5.7.1 a  b üü"), "{shown}");
        assert!((MAX_REPLY - 1..=MAX_REPLY).contains(&shown.len()));
    }

    #[test]
    fn statuses_about_addresses_are_fitted_to_what_is_refused() {
        let fit = |text: &str, subject| {
            let (status, text) = split_status(text, status(7, 1), subject);
            assert_eq!(text, "x");
            (status.subject, status.detail)
        };
        let details = |subject| (1..=9).map(|n| fit(&format!("5.1.{n} x"), subject).1).collect::<Vec<_>>();
        assert_eq!(details(Subject::Sender), [7, 8, 7, 7, 0, 7, 7, 8, 0]);
        assert_eq!(details(Subject::Recipient), [1, 2, 3, 4, 5, 6, 3, 2, 0]);
        assert_eq!(fit("4.1.1 x", Subject::Client), (0, 0));
        assert_eq!(fit("4.2.1 x", Subject::Client), (2, 1));
        assert_eq!(fit("x", Subject::Client), (7, 1));
    }

    #[test]
    fn a_status_needs_no_text() {
        assert_eq!(split_status("5.2.2", status(7, 1), Subject::Helo), (status(2, 2), ""));
    }
}
