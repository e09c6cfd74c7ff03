//! What a client has said of itself and of its mail: HELO, MAIL and RCPT as parsed values that can be replayed.

use std::fmt;

use super::address::{Address, PathSyntax, ReversePath};
use super::command::{Verb, decimal};
use super::syntax::SyntaxError;
use super::words;

/// HELO or EHLO: the first fixes the protocol at SMTP, the second at ESMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HELO was said, or nothing yet.
    Smtp,
    /// EHLO was said.
    Esmtp,
}

impl Protocol {
    /// `SMTP` or `ESMTP`, as logs and policy servers know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
        }
    }

    /// How it is begun.
    pub fn verb(self) -> Verb {
        match self {
            Self::Smtp => Verb::Helo,
            Self::Esmtp => Verb::Ehlo,
        }
    }
}

/// A client's HELO or EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helo {
    /// Which of the two verbs.
    pub protocol: Protocol,
    /// The argument with what could confuse a reader (space, `<>()\";@`, non-printables) turned into `?`,
    /// as Postfix stores it; restrictions, logs and the backend see this.
    pub name: String,
}

impl Helo {
    /// Keeps an argument of HELO or EHLO in a form that is safe to show and to replay: printable ASCII.
    pub fn new(protocol: Protocol, argument: &str) -> Self {
        let neuter = |character: char| match character {
            '<' | '>' | '(' | ')' | '\\' | '"' | ';' | '@' => '?',
            _ if character.is_ascii_graphic() => character,
            _ => '?',
        };
        let mut name = String::with_capacity(argument.len());
        name.extend(argument.chars().map(neuter));
        Self { protocol, name }
    }

    /// The command as it is replayed to the backend.
    pub fn command(&self) -> String {
        [self.protocol.verb().as_str(), " ", &self.name].concat()
    }
}

/// A parameter behind a path: `SIZE=1000`, `SMTPUTF8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The keyword as written.
    pub keyword: String,
    /// What stands behind `=`.
    pub value: Option<String>,
}

impl Parameter {
    /// Reads `keyword[=value]` (RFC 5321 §4.1.2); `None` where the keyword is none, or the value holds a blank. There is
    /// no quoting in a value, so another server would read further parameters behind that blank.
    fn parse(word: &str) -> Option<Self> {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value.to_owned())),
            None => (word, None),
        };
        let is_keyword = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !value.as_deref().unwrap_or_default().contains(|c: char| c == ' ' || c.is_control());
        is_keyword.then(|| Self { keyword: keyword.to_owned(), value })
    }

    /// Whether this is `keyword`, in any case.
    pub fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }
}

/// Prints `keyword[=value]`, as it is replayed.
impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.keyword),
            None => f.write_str(&self.keyword),
        }
    }
}

/// A MAIL command that parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who sends.
    pub sender: ReversePath,
    /// ESMTP parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The command as it is replayed to the backend.
    pub command: String,
}

/// A RCPT command that parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// Who shall receive.
    pub recipient: Address,
    /// ESMTP parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The command as it is replayed to the backend.
    pub command: String,
}

impl Mail {
    /// Reads what stands behind MAIL.
    pub(super) fn parse(argument: &str, syntax: PathSyntax) -> Result<Self, SyntaxError> {
        let (path, words) = path_and_words(Verb::Mail, "FROM:", argument)?;
        let sender = ReversePath::parse_path(path, syntax).map_err(|_| SyntaxError::Sender)?;
        let parameters = parameters(Verb::Mail, words)?;
        let mail = Self { command: replay("MAIL FROM", sender.as_str(), &parameters), sender, parameters };
        if mail.needs_smtputf8() && !mail.smtputf8() {
            return Err(SyntaxError::Sender);
        }
        match mail.parameter("SIZE").and_then(|size| size.value.as_deref()) {
            Some(size) if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(SyntaxError::MessageSize)
            }
            Some(size) if decimal(size).is_none() => Err(SyntaxError::MessageSizeOverflow),
            _ => Ok(mail),
        }
    }

    /// The value of `SIZE=`, where one was given and is a number (RFC 1870 §6.1).
    pub fn size(&self) -> Option<u64> {
        decimal(self.parameter("SIZE")?.value.as_deref()?)
    }

    /// Whether the message may use UTF-8 in its envelope and header (RFC 6531 §3.4).
    pub fn smtputf8(&self) -> bool {
        self.parameter("SMTPUTF8").is_some()
    }

    fn parameter(&self, keyword: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.is(keyword))
    }

    fn needs_smtputf8(&self) -> bool {
        self.sender.mailbox().is_some_and(Address::needs_smtputf8)
    }
}

impl Rcpt {
    /// Reads what stands behind RCPT.
    pub(super) fn parse(argument: &str, syntax: PathSyntax) -> Result<Self, SyntaxError> {
        let (path, words) = path_and_words(Verb::Rcpt, "TO:", argument)?;
        let recipient = Address::parse_path(path, syntax).map_err(|_| SyntaxError::Recipient(Verb::Rcpt))?;
        let parameters = parameters(Verb::Rcpt, words)?;
        Ok(Self::new(recipient, parameters))
    }

    pub(super) fn new(recipient: Address, parameters: Vec<Parameter>) -> Self {
        Self { command: replay("RCPT TO", recipient.as_str(), &parameters), recipient, parameters }
    }
}

/// The path behind `FROM:` or `TO:`, and the words behind the path.
fn path_and_words<'a>(
    verb: Verb,
    keyword: &str,
    argument: &'a str,
) -> Result<(&'a str, impl Iterator<Item = &'a str>), SyntaxError> {
    let rest = match argument.split_at_checked(keyword.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(keyword) => rest,
        _ => return Err(SyntaxError::Argument(verb)),
    };
    let (path, rest) = words::split_first(rest).ok_or(SyntaxError::Argument(verb))?;
    Ok((path, words::all(rest)))
}

fn parameters<'a>(verb: Verb, words: impl Iterator<Item = &'a str>) -> Result<Vec<Parameter>, SyntaxError> {
    words
        .map(|word| {
            Parameter::parse(word).ok_or_else(|| SyntaxError::Option { verb, option: word.to_owned() })
        })
        .collect()
}

/// The command, put together from what was understood: one blank between words, `<>` around the path.
fn replay(keywords: &str, path: &str, parameters: &[Parameter]) -> String {
    let mut command = [keywords, ":<", path, ">"].concat();
    for parameter in parameters {
        command.push_str(&format!(" {parameter}"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(argument: &str) -> Mail {
        Mail::parse(argument, PathSyntax::Lenient).unwrap()
    }

    #[test]
    fn what_is_replayed_is_put_together_anew() {
        for (said, replayed) in [
            ("FROM:<a@b>", "MAIL FROM:<a@b>"),
            ("from: a@b  SIZE=10\tBODY=8BITMIME", "MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME"),
            ("FROM:<>", "MAIL FROM:<>"),
            ("FROM:<@x,@y:\"a b\"@c> RET=HDRS", "MAIL FROM:<\"a b\"@c> RET=HDRS"),
            ("FROM:<a@b> AUTH=<>", "MAIL FROM:<a@b> AUTH=<>"),
        ] {
            assert_eq!(mail(said).command, replayed);
        }
        let rcpt = Rcpt::parse("To: u@v NOTIFY=NEVER ORCPT=rfc822;u+40v", PathSyntax::Lenient).unwrap();
        assert_eq!(rcpt.command, "RCPT TO:<u@v> NOTIFY=NEVER ORCPT=rfc822;u+40v");
    }

    #[test]
    fn sizes() {
        assert_eq!(mail("FROM:<a@b> size=1000").size(), Some(1000));
        assert_eq!(mail("FROM:<a@b>").size(), None);
    }

    #[test]
    fn a_domain_in_utf8_must_be_declared() {
        let undeclared = Mail::parse("FROM:<a@bücher.example>", PathSyntax::Lenient);
        assert_eq!(undeclared, Err(SyntaxError::Sender));
        assert!(mail("FROM:<a@bücher.example> SMTPUTF8").smtputf8());
        assert!(!mail("FROM:<büro@b>").smtputf8());
    }

    #[test]
    fn helo_names_are_made_harmless() {
        let helo = Helo::new(Protocol::Esmtp, "a b<c>@\"d\";\u{202e}é[1.2.3.4]");
        assert_eq!(helo.name, "a?b?c???d????[1.2.3.4]");
    }
}
