//! The words of a command line: blanks separate them, unless `<>`, `""` or `\` protect the blank.

/// What separates words; every other control character has been refused before.
pub(super) const BLANK: [char; 2] = [' ', '\t'];

/// The first word and what stands behind it; `None` where there is no word.
pub(super) fn split_first(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(BLANK);
    let mut shelter = Shelter::default();
    let end = text.bytes().position(|octet| shelter.ends_word_at(octet));
    let (word, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    (!word.is_empty()).then_some((word, rest))
}

/// All words, in order.
pub(super) fn all(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, behind) = split_first(rest)?;
        rest = behind;
        Some(word)
    })
}

/// What protects a blank at this point of the line. Unclosed brackets and quotes reach to its end: the address
/// parser is the one who refuses them.
#[derive(Default)]
struct Shelter {
    brackets: usize,
    quoted: bool,
    escaped: bool,
}

impl Shelter {
    /// Octets will do: what has a meaning here is ASCII, which is no part of any other character.
    fn ends_word_at(&mut self, octet: u8) -> bool {
        if std::mem::take(&mut self.escaped) {
            return false;
        }
        match octet {
            b'\\' => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            b'<' if !self.quoted => self.brackets += 1,
            b'>' if !self.quoted => self.brackets = self.brackets.saturating_sub(1),
            b' ' | b'\t' => return !self.quoted && self.brackets == 0,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_separate_unless_protected() {
        let words: Vec<_> = all("  a\t<b c> \"d e\"@f g\\ h <\"> \">x").collect();
        assert_eq!(words, ["a", "<b c>", "\"d e\"@f", "g\\ h", "<\"> \">x"]);
    }

    #[test]
    fn an_unclosed_bracket_reaches_to_the_end() {
        assert_eq!(all("<a b SIZE=1").collect::<Vec<_>>(), ["<a b SIZE=1"]);
        assert_eq!(split_first(" \t "), None);
    }
}
