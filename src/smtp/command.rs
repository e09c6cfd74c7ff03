//! SMTP commands: from a line's text to a value (RFC 5321 §4.1, RFC 3030 for BDAT).

use super::envelope::{Mail, Rcpt};

/// A command that parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// HELO with its argument.
    Helo(String),
    /// EHLO with its argument.
    Ehlo(String),
    /// MAIL.
    Mail(Mail),
    /// RCPT.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT: a chunk's size in bytes, and whether it is the last.
    Bdat {
        /// Bytes that follow the command line.
        size: u64,
        /// `LAST` was said.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY with the address text.
    Vrfy(String),
    /// ETRN with the domain text.
    Etrn(String),
    /// STARTTLS.
    StartTls,
    /// AUTH with its argument.
    Auth(String),
    /// QUIT.
    Quit,
    /// A verb that this engine does not know; what stands behind it is `rest`.
    Unknown {
        /// The first word as sent.
        verb: String,
        /// The remainder of the line.
        rest: String,
    },
}
