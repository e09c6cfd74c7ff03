//! SMTP replies: ours to the client, and the backend's to us (RFC 5321 §4.2, enhanced codes RFC 3463).

use std::fmt;

/// One reply: a code and one or more lines of text. The enhanced status code, where there is one, is the first
/// word of each line, as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    lines: Vec<String>,
}

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
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// A reply of several lines; no line at all counts as one empty line.
    pub fn multiline(code: u16, mut lines: Vec<String>) -> Self {
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self { code, lines }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The texts of the lines, without codes.
    pub fn lines(&self) -> &[String] {
        &self.lines
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
}

/// Prints the first line as logs show it: `550 5.7.1 Text`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.first().map_or("", String::as_str))
    }
}
