//! Words that no mail client says first (`smtpd_forbidden_commands`).

use std::fmt;
use std::str::FromStr;

/// First words that give a client away as something else than a mail client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForbiddenCommands(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This word, in any case.
    Word(String),
    /// Every word that does not begin with a letter.
    NoLetter,
}

/// How Postfix's default says [`Pattern::NoLetter`]; its expression ignores case.
const NO_LETTER: &str = "regexp:{{/^[^A-Z]/ Bogus}}";

/// Postfix's default: `CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}`.
impl Default for ForbiddenCommands {
    fn default() -> Self {
        let words = ["CONNECT", "GET", "POST"].map(|word| Pattern::Word(word.to_owned()));
        Self(words.into_iter().chain([Pattern::NoLetter]).collect())
    }
}

impl ForbiddenCommands {
    /// Whether `word` is one of them.
    pub fn contains(&self, word: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Word(forbidden) => word.eq_ignore_ascii_case(forbidden),
            Pattern::NoLetter => word.starts_with(|first: char| !first.is_ascii_alphabetic()),
        })
    }
}

/// Words between blanks or commas, and the one expression that Postfix's default holds.
impl FromStr for ForbiddenCommands {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (words, no_letter) = match text.split_once(NO_LETTER) {
            Some((before, behind)) => (format!("{before} {behind}"), Some(Pattern::NoLetter)),
            None => (text.to_owned(), None),
        };
        let words = words.split([' ', ',', '\t', '\r', '\n']).filter(|word| !word.is_empty()).map(|word| {
            if word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                Ok(Pattern::Word(word.to_owned()))
            } else {
                Err(format!(
                    "`{word}` is no first word of a command; write words such as GET, or {NO_LETTER}"
                ))
            }
        });
        words.chain(no_letter.map(Ok)).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for ForbiddenCommands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            match pattern {
                Pattern::Word(word) => write!(f, "{gap}{word}")?,
                Pattern::NoLetter => write!(f, "{gap}{NO_LETTER}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_its_text_says() {
        let text = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
        assert_eq!(text.parse(), Ok(ForbiddenCommands::default()));
        assert_eq!(ForbiddenCommands::default().to_string(), text);
    }

    #[test]
    fn letters_are_not_forbidden_whatever_their_case() {
        let forbidden = ForbiddenCommands::default();
        assert!(forbidden.contains("get"));
        assert!(forbidden.contains("123"));
        assert!(!forbidden.contains("foo"));
        assert!(!forbidden.contains(""));
    }

    #[test]
    fn other_tables_are_not_understood() {
        let error = "GET regexp:/etc/x".parse::<ForbiddenCommands>().unwrap_err();
        assert!(error.contains("regexp:/etc/x"), "{error}");
    }
}
