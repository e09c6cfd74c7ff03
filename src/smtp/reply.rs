//! SMTP replies: ours to the client, and the backend's to us (RFC 5321 §4.2, enhanced codes RFC 3463).

use std::borrow::Cow;
use std::fmt;

use super::line::is_plain;

/// One reply: a code and one or more lines of text. The enhanced status code, where there is one, is the first
/// word of each line, as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// The lines, LF between them. Most replies are one line that never changes, and own nothing.
    text: Cow<'static, str>,
}

/// Octets that the lines of most replies need; EHLO is the longest.
const USUAL: usize = 160;

/// An enhanced status code `class.subject.detail` (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl Reply {
    /// A one-line reply: `Reply::new(250, "2.1.0 Ok")`.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: one_line(text.into()) }
    }

    /// A reply of several lines; no line at all counts as one empty line.
    pub fn multiline<L: AsRef<str>>(code: u16, lines: impl IntoIterator<Item = L>) -> Self {
        let mut text = String::with_capacity(USUAL);
        for (at, line) in lines.into_iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            text.push_str(&one_line(line.as_ref().into()));
        }
        Self { code, text: text.into() }
    }

    /// A reply whose lines stand in `text`, LF between them.
    pub(super) fn joined(code: u16, text: String) -> Self {
        Self { code, text: text.into() }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The texts of the lines, without codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// The texts of all lines but the first, LF between them.
    pub fn further_lines(&self) -> &str {
        self.text.split_once('\n').map_or("", |(_, further)| further)
    }

    fn first_line(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    /// Octets that it owns.
    pub(crate) fn capacity(&self) -> usize {
        match &self.text {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.capacity(),
        }
    }

    /// The enhanced status code of the first line, where it has one.
    pub fn status(&self) -> Option<Status> {
        Status::of_text(self.first_line())
    }

    /// 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// 4xx.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether the connection is closed behind this reply (RFC 5321 §3.8: 421; RFC 7504: 521).
    pub fn closes(&self) -> bool {
        matches!(self.code, 421 | 521)
    }

    /// The reply as bytes: `250-first`, `250 last`, each with CR LF. What is not printable becomes a space, so that
    /// no text, wherever it came from, can end a line early.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        self.write_to(&mut wire);
        wire
    }

    /// The same, behind what `wire` holds.
    pub fn write_to(&self, wire: &mut Vec<u8>) {
        wire.reserve(self.text.len() + 6 * (1 + self.text.bytes().filter(|byte| *byte == b'\n').count()));
        let digit = |unit| b'0' + u8::try_from(self.code / unit % 10).unwrap_or_default();
        let code = [digit(100), digit(10), digit(1)];
        let mut separator = 0;
        for line in self.lines() {
            wire.extend_from_slice(&code);
            separator = wire.len();
            wire.push(b'-');
            if is_plain(line.as_bytes()) {
                wire.extend_from_slice(line.as_bytes());
            } else {
                wire.extend(line.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
            }
            wire.extend_from_slice(b"\r\n");
        }
        // Behind the last line's code.
        if let Some(separator) = wire.get_mut(separator) {
            *separator = b' ';
        }
    }

    /// What `soft_bounce` makes of it: 5xx becomes 4xx, and a status 5.x.y becomes 4.x.y.
    #[must_use]
    pub fn soften(self) -> Self {
        if !(500..600).contains(&self.code) {
            return self;
        }
        let softened = |line: &str| match line.strip_prefix('5') {
            Some(rest) if Status::of_text(line).is_some() => format!("4{rest}"),
            _ => line.to_owned(),
        };
        Self::multiline(self.code - 100, self.lines().map(softened))
    }

    /// A refusal with a footer behind its text, as `smtpd_reject_footer` has it: `\n` in the footer begins a new
    /// line, a leading `\c` joins its first line to the reply's last. Every new line repeats the status code.
    #[must_use]
    pub fn with_footer(mut self, footer: &str) -> Self {
        if self.is_positive() || footer.is_empty() {
            return self;
        }
        let prefix = self.status().map_or(String::new(), |status| format!("{status} "));
        let footer = &*one_line(footer.into());
        let (joined, footer) = match footer.strip_prefix("\\c") {
            Some(footer) => (footer.split("\\n").next(), footer),
            None => (None, footer),
        };
        let text = self.text.to_mut();
        text.extend(joined);
        for line in footer.split("\\n").skip(usize::from(joined.is_some())) {
            text.extend(["\n", &prefix, line]);
        }
        self
    }
}

/// Prints the first line as logs show it: `550 5.7.1 Text`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.first_line())
    }
}

impl Status {
    /// The status code that `text` begins with.
    pub fn of_text(text: &str) -> Option<Self> {
        let word = text.split(' ').next()?;
        let mut parts = word.split('.').map(number);
        match (parts.next()??, parts.next()??, parts.next()??, parts.next()) {
            (class @ (2 | 4 | 5), subject, detail, None) => {
                Some(Self { class: class.try_into().ok()?, subject, detail })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Text without what stands between lines here.
fn one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memchr(b'\n', text.as_bytes()).is_some() { text.replace('\n', " ").into() } else { text }
}

/// One to three digits (RFC 3463 §2).
fn number(text: &str) -> Option<u16> {
    let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        String::from_utf8(reply.to_wire()).unwrap()
    }

    #[test]
    fn lines_on_the_wire() {
        assert_eq!(wire(&Reply::new(250, "2.1.0 Ok")), "250 2.1.0 Ok\r\n");
        let ehlo = Reply::multiline(250, ["mx", "SIZE 10", "DSN"]);
        assert_eq!(wire(&ehlo), "250-mx\r\n250-SIZE 10\r\n250 DSN\r\n");
        assert_eq!(wire(&Reply::multiline::<&str>(250, [])), "250 \r\n");
    }

    #[test]
    fn no_text_ends_a_line_early() {
        let hostile = Reply::new(550, "5.7.1 a\r\n250 b\0");
        assert_eq!(wire(&hostile), "550 5.7.1 a  250 b \r\n");
    }

    #[test]
    fn status_codes() {
        assert_eq!(Reply::new(550, "5.7.25 x").status(), Some(Status { class: 5, subject: 7, detail: 25 }));
        for text in ["", "5.7", "5.7.1.1", "3.0.0 x", "5.7.x", "5..1", "5.7.1000", "+5.7.1", "Error: 5.7.1"] {
            assert_eq!(Reply::new(550, text).status(), None, "{text}");
        }
        assert_eq!(Reply::new(550, "5.7.2").status().unwrap().to_string(), "5.7.2");
    }

    #[test]
    fn soft_bounce() {
        for (hard, soft) in [
            ((554, "5.7.1 <a>: Relay access denied"), "454 4.7.1 <a>: Relay access denied"),
            ((502, "5.5.2 Error: x"), "402 4.5.2 Error: x"),
            ((521, "5.5.1 Protocol error"), "421 4.5.1 Protocol error"),
            ((501, "Syntax: HELO hostname"), "401 Syntax: HELO hostname"),
            ((450, "4.7.1 x"), "450 4.7.1 x"),
            ((250, "2.1.0 Ok"), "250 2.1.0 Ok"),
        ] {
            assert_eq!(Reply::new(hard.0, hard.1).soften().to_string(), soft);
        }
    }

    #[test]
    fn footers() {
        let reply = || Reply::new(454, "4.7.1 <a>: Relay access denied");
        assert_eq!(
            wire(&reply().with_footer("For help, call.\\nOr write.")),
            "454-4.7.1 <a>: Relay access denied\r\n454-4.7.1 For help, call.\r\n454 4.7.1 Or write.\r\n"
        );
        assert_eq!(
            wire(&reply().with_footer("\\c. For help, call.\\nOr write.")),
            "454-4.7.1 <a>: Relay access denied. For help, call.\r\n454 4.7.1 Or write.\r\n"
        );
        assert_eq!(Reply::new(250, "2.0.0 Ok").with_footer("x"), Reply::new(250, "2.0.0 Ok"));
        let hostile = reply().with_footer("\\c; x\n250 y");
        assert_eq!(wire(&hostile), "454 4.7.1 <a>: Relay access denied; x 250 y\r\n");
    }
}
