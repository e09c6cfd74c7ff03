//! Postfix's way to cut a parameter's value: words between commas and blanks, where `{ … }` is one word.

/// What isspace(3) calls a space; [`char::is_ascii_whitespace`] leaves the vertical tab out.
pub(super) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// The words of `text`: `a, inline:{ b = c }, d` has three.
pub fn words(text: &str) -> Words<'_> {
    Words { rest: text }
}

/// Iterator of [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches(is_separator);
        let mut depth = 0_usize;
        let end = text
            .find(|c| {
                match c {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0 && is_separator(c)
            })
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

/// What stands between the braces of `{ … }`, without the blanks at its ends.
pub fn unbrace(text: &str) -> Result<&str, String> {
    let Some(inner) = text.strip_prefix('{') else {
        return Err(format!("`{text}` should stand in braces: {{ {text} }}"));
    };
    let mut depth = 1_usize;
    let closing = inner.find(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(closing) = closing else {
        return Err(format!("`{text}` has no closing brace"));
    };
    match &inner[closing + 1..] {
        "" => Ok(inner[..closing].trim_matches(is_space)),
        garbage => Err(format!("`{garbage}` stands behind the closing brace")),
    }
}

/// Where `text` first has a character that `stops`, outside `"…"` and not behind a backslash.
///
/// `Err` is an open quote.
pub(super) fn find_unquoted(text: &str, stops: impl Fn(char) -> bool) -> Result<Option<usize>, String> {
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '"' => quoted = !quoted,
            c if !quoted && stops(c) => return Ok(Some(at)),
            _ => {}
        }
    }
    if quoted { Err(format!("`{text}` has a \" that is not closed")) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_commas_and_blanks_outside_braces() {
        let found: Vec<_> = words(" a,b  c\n{ d, {e f} } inline:{ g = h }x,").collect();
        assert_eq!(found, ["a", "b", "c", "{ d, {e f} }", "inline:{ g = h }x"]);
        assert_eq!(words(" , ").next(), None);
        assert_eq!(words("{ a b").collect::<Vec<_>>(), ["{ a b"]);
        assert_eq!(words("a} b").collect::<Vec<_>>(), ["a}", "b"]);
    }

    #[test]
    fn braces_come_off_once() {
        assert_eq!(unbrace("{ a {b} }"), Ok("a {b}"));
        assert_eq!(unbrace("{}"), Ok(""));
        assert!(unbrace("a").is_err());
        assert!(unbrace("{ a").is_err());
        assert!(unbrace("{ a } b").is_err());
    }

    #[test]
    fn quotes_and_backslashes_hide_what_would_stop() {
        let at = |text| find_unquoted(text, is_space);
        assert_eq!(at("a b"), Ok(Some(1)));
        assert_eq!(at("\"a b\"@c d"), Ok(Some(7)));
        assert_eq!(at("a\\ b c"), Ok(Some(4)));
        assert_eq!(at("abc"), Ok(None));
        assert!(at("\"a b").is_err());
    }
}
