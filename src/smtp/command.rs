//! SMTP commands: from a line's text to a value (RFC 5321 §4.1, RFC 3030 for BDAT).

use super::address::{Address, PathSyntax};
use super::envelope::{Mail, Rcpt};
use super::host;
use super::line::is_plain;
use super::syntax::SyntaxError;
use super::words;

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
    /// VRFY.
    Vrfy {
        /// What it is judged as.
        rcpt: Rcpt,
        /// The text that it asked for.
        argument: String,
    },
    /// ETRN with the domain.
    Etrn(String),
    /// STARTTLS.
    StartTls,
    /// AUTH with its argument.
    Auth(String),
    /// HELP.
    Help,
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

/// The verbs that this engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// HELO
    Helo,
    /// EHLO
    Ehlo,
    /// MAIL
    Mail,
    /// RCPT
    Rcpt,
    /// DATA
    Data,
    /// BDAT
    Bdat,
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// VRFY
    Vrfy,
    /// ETRN
    Etrn,
    /// STARTTLS
    StartTls,
    /// AUTH
    Auth,
    /// HELP
    Help,
    /// QUIT
    Quit,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 14] = [
        Self::Helo,
        Self::Ehlo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Rset,
        Self::Noop,
        Self::Vrfy,
        Self::Etrn,
        Self::StartTls,
        Self::Auth,
        Self::Help,
        Self::Quit,
    ];

    /// The verb that `word` spells, in any case.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| word.eq_ignore_ascii_case(verb.as_str()))
    }

    /// The verb in capitals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Help => "HELP",
            Self::Quit => "QUIT",
        }
    }
}

impl Command {
    /// Reads the text of a line, its ending taken off.
    pub fn parse(line: &[u8], syntax: PathSyntax) -> Result<Self, SyntaxError> {
        let text = std::str::from_utf8(line).map_err(|_| SyntaxError::Utf8)?;
        let is_strange = |character: char| character.is_control() && character != '\t';
        if !is_plain(line) && text.contains(is_strange) {
            return Err(SyntaxError::Line);
        }
        let (word, rest) = words::split_first(text).ok_or(SyntaxError::Line)?;
        let rest = rest.trim_matches(words::BLANK);
        let Some(verb) = Verb::of(word) else {
            return Ok(Self::Unknown { verb: word.to_owned(), rest: rest.to_owned() });
        };
        match verb {
            Verb::Helo => required(verb, rest).map(Self::Helo),
            Verb::Ehlo => required(verb, rest).map(Self::Ehlo),
            Verb::Mail => Mail::parse(rest, syntax).map(Self::Mail),
            Verb::Rcpt => Rcpt::parse(rest, syntax).map(Self::Rcpt),
            Verb::Data => no_argument(verb, rest, Self::Data),
            Verb::Bdat => bdat(rest),
            Verb::Rset => no_argument(verb, rest, Self::Rset),
            Verb::Noop => Ok(Self::Noop),
            Verb::Vrfy => vrfy(rest),
            Verb::Etrn => etrn(rest),
            Verb::StartTls => no_argument(verb, rest, Self::StartTls),
            Verb::Auth => required(verb, rest).map(Self::Auth),
            Verb::Help => Ok(Self::Help),
            Verb::Quit => Ok(Self::Quit),
        }
    }
}

/// An argument of one or more words, put together again with one space between them.
fn required(verb: Verb, rest: &str) -> Result<String, SyntaxError> {
    let argument = words::all(rest).collect::<Vec<_>>().join(" ");
    if argument.is_empty() { Err(SyntaxError::Argument(verb)) } else { Ok(argument) }
}

fn no_argument(verb: Verb, rest: &str, command: Command) -> Result<Command, SyntaxError> {
    if rest.is_empty() { Ok(command) } else { Err(SyntaxError::Argument(verb)) }
}

fn bdat(rest: &str) -> Result<Command, SyntaxError> {
    let wrong = SyntaxError::Argument(Verb::Bdat);
    let mut words = words::all(rest);
    let size = words.next().and_then(decimal).ok_or(wrong.clone())?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(wrong),
    };
    if words.next().is_some() { Err(wrong) } else { Ok(Command::Bdat { size, last }) }
}

fn vrfy(rest: &str) -> Result<Command, SyntaxError> {
    let mut words: Vec<_> = words::all(rest).collect();
    // RFC 6531 §3.7.4.2: the parameter may follow the address.
    if words.last().is_some_and(|word| word.eq_ignore_ascii_case("SMTPUTF8")) {
        words.pop();
    }
    if words.is_empty() {
        return Err(SyntaxError::Argument(Verb::Vrfy));
    }
    let argument = words.join(" ");
    let recipient = Address::parse_path(&argument, PathSyntax::Lenient)
        .map_err(|_| SyntaxError::Recipient(Verb::Vrfy))?;
    Ok(Command::Vrfy { rcpt: Rcpt::new(recipient, Vec::new()), argument })
}

fn etrn(rest: &str) -> Result<Command, SyntaxError> {
    let mut words = words::all(rest);
    let (Some(word), None) = (words.next(), words.next()) else {
        return Err(SyntaxError::Argument(Verb::Etrn));
    };
    // RFC 1985 §5.2: `@` asks for subdomains too, `#` for a named queue.
    let domain = word.strip_prefix(['@', '#']).unwrap_or(word);
    if host::is_valid_hostname(domain) || host::address_literal(domain).is_some() {
        Ok(Command::Etrn(domain.to_owned()))
    } else {
        Err(SyntaxError::EtrnDomain)
    }
}

/// A number of decimal digits and nothing else that fits into a file's size.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|size| all_digits && *size <= i64::MAX.unsigned_abs())
}

/// Any line is a command or refused; what MAIL and RCPT replay is printable and means the same when it is read again,
/// also by one who takes every blank behind the path for the end of a parameter.
#[cfg(any(test, fuzzing))]
pub fn fuzz_command(data: &[u8]) {
    let is_one_word = |parameter: &super::envelope::Parameter| !parameter.to_string().contains(words::BLANK);
    for syntax in [PathSyntax::Lenient, PathSyntax::Strict] {
        match Command::parse(data, syntax) {
            Ok(Command::Mail(mail)) => {
                assert!(!mail.command.contains(char::is_control));
                let again = Command::parse(mail.command.as_bytes(), PathSyntax::Strict);
                assert!(mail.parameters.iter().all(is_one_word));
                assert_eq!(again, Ok(Command::Mail(mail)));
            }
            Ok(Command::Rcpt(rcpt)) => {
                assert!(!rcpt.command.contains(char::is_control));
                let again = Command::parse(rcpt.command.as_bytes(), PathSyntax::Strict);
                assert!(rcpt.parameters.iter().all(is_one_word));
                assert_eq!(again, Ok(Command::Rcpt(rcpt)));
            }
            Ok(_) => {}
            Err(error) => assert!(error.reply().code() >= 500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Command, SyntaxError> {
        Command::parse(line.as_bytes(), PathSyntax::Lenient)
    }

    fn refused(line: &str) -> String {
        parse(line).unwrap_err().reply().to_string()
    }

    #[test]
    fn verbs_are_known_in_any_case_and_with_blanks_around() {
        assert_eq!(parse("data"), Ok(Command::Data));
        assert_eq!(parse("  RsEt \t"), Ok(Command::Rset));
        assert_eq!(parse("NOOP whatever"), Ok(Command::Noop));
        assert_eq!(parse("quit now"), Ok(Command::Quit));
        assert_eq!(parse("ehlo a  b"), Ok(Command::Ehlo("a b".into())));
        assert_eq!(parse("AUTH PLAIN AGEAYg=="), Ok(Command::Auth("PLAIN AGEAYg==".into())));
        assert_eq!(parse("ETRN #queue.example"), Ok(Command::Etrn("queue.example".into())));
    }

    #[test]
    fn bdat_sizes() {
        assert_eq!(parse("BDAT 0"), Ok(Command::Bdat { size: 0, last: false }));
        assert_eq!(parse("bdat 86 last"), Ok(Command::Bdat { size: 86, last: true }));
        for line in [
            "BDAT",
            "BDAT x",
            "BDAT -1",
            "BDAT +1",
            "BDAT 1 FIRST",
            "BDAT 1 LAST x",
            "BDAT 9223372036854775808",
        ] {
            assert_eq!(refused(line), "521 5.5.4 Syntax: BDAT count [LAST]", "{line}");
        }
        assert!(parse("BDAT 9223372036854775807").is_ok());
    }

    #[test]
    fn unknown_verbs_keep_what_was_sent() {
        assert_eq!(
            parse("GET / HTTP/1.1"),
            Ok(Command::Unknown { verb: "GET".into(), rest: "/ HTTP/1.1".into() })
        );
        assert_eq!(parse("Subject: x"), Ok(Command::Unknown { verb: "Subject:".into(), rest: "x".into() }));
    }

    #[test]
    fn every_refusal_has_the_words_of_postfix() {
        for (line, reply) in [
            ("", "500 5.5.2 Error: bad syntax"),
            ("   ", "500 5.5.2 Error: bad syntax"),
            ("HELO a\rb", "500 5.5.2 Error: bad syntax"),
            ("MAIL FROM:<a\0@b>", "500 5.5.2 Error: bad syntax"),
            ("HELO", "501 Syntax: HELO hostname"),
            ("EHLO ", "501 Syntax: EHLO hostname"),
            ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            ("MAIL <a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            ("MAIL FROM <a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            ("MAIL FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            ("MAIL TO:<a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            ("MAIL FROM:<a b@c>", "501 5.1.7 Bad sender address syntax"),
            ("MAIL FROM:<a@b", "501 5.1.7 Bad sender address syntax"),
            ("MAIL FROM:<a@b>SIZE=1", "501 5.1.7 Bad sender address syntax"),
            ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4 Bad message size syntax"),
            ("MAIL FROM:<a@b> SIZE=", "501 5.5.4 Bad message size syntax"),
            (
                "MAIL FROM:<a@b> SIZE=99999999999999999999",
                "552 5.3.4 Message size exceeds file system imposed limit",
            ),
            ("MAIL FROM:Joe <a@b>", "555 5.5.4 Unsupported option: <a@b>"),
            ("RCPT", "501 5.5.4 Syntax: RCPT TO:<address>"),
            ("RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"),
            ("RCPT TO:<a@b> =x", "555 5.5.4 Unsupported option: =x"),
            (
                "MAIL FROM:<a@b> AUTH=\"x RET=FULL ENVID=\"",
                "555 5.5.4 Unsupported option: AUTH=\"x RET=FULL ENVID=\"",
            ),
            ("RCPT TO:<a@b> ORCPT=<x NOTIFY=NEVER", "555 5.5.4 Unsupported option: ORCPT=<x NOTIFY=NEVER"),
            ("RCPT TO:<a@b> ORCPT=x\\ y", "555 5.5.4 Unsupported option: ORCPT=x\\ y"),
            ("DATA now", "501 5.5.4 Syntax: DATA"),
            ("RSET x", "501 5.5.4 Syntax: RSET"),
            ("VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"),
            ("VRFY SMTPUTF8", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"),
            ("VRFY a b c", "501 5.1.3 Bad recipient address syntax"),
            ("ETRN", "500 Syntax: ETRN domain"),
            ("ETRN a b", "500 Syntax: ETRN domain"),
            ("ETRN a/b", "501 Error: invalid parameter syntax"),
            ("STARTTLS x", "501 5.5.4 Syntax: STARTTLS"),
            ("AUTH", "501 5.5.4 Syntax: AUTH mechanism"),
        ] {
            assert_eq!(refused(line), reply, "{line:?}");
        }
        let bad = Command::parse(b"EHLO \xff", PathSyntax::Lenient).unwrap_err();
        assert_eq!(bad.reply().to_string(), "500 5.5.2 Error: bad UTF-8 syntax");
    }

    #[test]
    fn a_refusal_remembers_its_verb() {
        assert_eq!(parse("MAIL FROM:<a b>").unwrap_err().verb(), Some(Verb::Mail));
        assert_eq!(parse("VRFY <>").unwrap_err().verb(), Some(Verb::Vrfy));
        assert_eq!(parse("").unwrap_err().verb(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_a_refusal(line in prop::collection::vec(any::<u8>(), 0..80)) {
            fuzz_command(&line);
        }

        #[test]
        fn what_is_replayed_means_the_same_and_holds_no_control_character(
            verb in prop::sample::select(vec!["MAIL FROM:", "RCPT TO:"]),
            path in "[a-c@.\"\\\\<>:,%!\t\r\n\u{0} ]{0,12}",
            parameters in "( [A-Za-z0-9=+;\"<>\\\\\t\n -]{0,8}){0,3}",
        ) {
            fuzz_command(format!("{verb}<{path}>{parameters}").as_bytes());
        }
    }
}
