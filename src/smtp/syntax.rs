//! What is wrong with a command line, and how Postfix's smtpd says it.

use super::command::Verb;
use super::reply::Reply;

/// A line that is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// Not UTF-8.
    Utf8,
    /// Nothing on it, or a control character.
    Line,
    /// The verb's argument is missing, or is there and should not be.
    Argument(Verb),
    /// MAIL names no sender that could be one.
    Sender,
    /// RCPT or VRFY names no recipient that could be one.
    Recipient(Verb),
    /// A word behind a path that is no parameter.
    Option {
        /// MAIL or RCPT.
        verb: Verb,
        /// The word.
        option: String,
    },
    /// `SIZE=` without a number.
    MessageSize,
    /// `SIZE=` with a number that no file can have.
    MessageSizeOverflow,
    /// ETRN with what is no domain.
    EtrnDomain,
}

impl SyntaxError {
    /// The verb of the line, where it has one that this engine knows: errors of order come before errors of syntax.
    pub fn verb(&self) -> Option<Verb> {
        match self {
            Self::Utf8 | Self::Line => None,
            Self::Argument(verb) | Self::Recipient(verb) | Self::Option { verb, .. } => Some(*verb),
            Self::Sender | Self::MessageSize | Self::MessageSizeOverflow => Some(Verb::Mail),
            Self::EtrnDomain => Some(Verb::Etrn),
        }
    }

    /// The reply.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Utf8 => Reply::new(500, "5.5.2 Error: bad UTF-8 syntax"),
            Self::Line => Reply::new(500, "5.5.2 Error: bad syntax"),
            Self::Argument(verb) => usage(*verb),
            Self::Sender => Reply::new(501, "5.1.7 Bad sender address syntax"),
            Self::Recipient(_) => Reply::new(501, "5.1.3 Bad recipient address syntax"),
            Self::Option { option, .. } => Reply::new(555, format!("5.5.4 Unsupported option: {option}")),
            Self::MessageSize => Reply::new(501, "5.5.4 Bad message size syntax"),
            Self::MessageSizeOverflow => {
                Reply::new(552, "5.3.4 Message size exceeds file system imposed limit")
            }
            Self::EtrnDomain => Reply::new(501, "Error: invalid parameter syntax"),
        }
    }
}

fn usage(verb: Verb) -> Reply {
    match verb {
        Verb::Helo => Reply::new(501, "Syntax: HELO hostname"),
        Verb::Ehlo => Reply::new(501, "Syntax: EHLO hostname"),
        Verb::Mail => Reply::new(501, "5.5.4 Syntax: MAIL FROM:<address>"),
        Verb::Rcpt => Reply::new(501, "5.5.4 Syntax: RCPT TO:<address>"),
        // 521 closes: the bytes that follow would be content, and nobody knows how many.
        Verb::Bdat => Reply::new(521, "5.5.4 Syntax: BDAT count [LAST]"),
        Verb::Vrfy => Reply::new(501, "5.5.4 Syntax: VRFY address [SMTPUTF8]"),
        Verb::Etrn => Reply::new(500, "Syntax: ETRN domain"),
        Verb::Auth => Reply::new(501, "5.5.4 Syntax: AUTH mechanism"),
        Verb::Data | Verb::Rset | Verb::Noop | Verb::StartTls | Verb::Help | Verb::Quit => {
            Reply::new(501, format!("5.5.4 Syntax: {}", verb.as_str()))
        }
    }
}
