//! Values with `$1` in them.

/// A value in which groups of the pattern are put.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads `$1`, `${1}`, `$(1)`, and `$$` for a dollar sign.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, reference)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (part, behind) = reference_at(reference)?;
            parts.push(part);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The highest group that it names; 0 if none.
    pub(super) fn highest_group(&self) -> usize {
        let group = |part: &Part| match part {
            Part::Group(group) => *group,
            Part::Text(_) => 0,
        };
        self.parts.iter().map(group).max().unwrap_or(0)
    }

    /// The value; `group` gives the text of a group, empty if it did not take part in the match.
    pub(super) fn expand<'k>(&self, group: impl Fn(usize) -> &'k [u8]) -> Vec<u8> {
        let mut value = Vec::new();
        for part in &self.parts {
            value.extend_from_slice(match part {
                Part::Group(number) => group(*number),
                Part::Text(text) => text.as_bytes(),
            });
        }
        value
    }
}

/// What a `$` that is already gone stands for, and what follows it.
fn reference_at(text: &str) -> Result<(Part, &str), String> {
    if let Some(behind) = text.strip_prefix('$') {
        return Ok((Part::Text("$".to_owned()), behind));
    }
    let (name, behind) = match text.chars().next() {
        Some('{') => text[1..].split_once('}').ok_or("a ${ is not closed")?,
        Some('(') => text[1..].split_once(')').ok_or("a $( is not closed")?,
        _ => {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
            text.split_at(end)
        }
    };
    let digits = name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match name.parse() {
        Ok(group) if digits == name.len() && group > 0 => Ok((Part::Group(group), behind)),
        _ if name.is_empty() => Err("a `$` without group: write $1, or $$ for a dollar sign".to_owned()),
        _ if digits == 0 => {
            Err(format!("`${name}` is no group: write its number, such as $1, or $$ for a dollar sign"))
        }
        _ if digits < name.len() => {
            let (number, letters) = name.split_at(digits);
            Err(format!("`${name}` is no group: write ${{{number}}}{letters}"))
        }
        _ => Err(format!("`${name}` is no group: they are counted from 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_in() {
        let template = Template::parse("a$1b ${2}c $(1)$$x").unwrap_err();
        assert!(template.contains("${1}b"), "{template}");
        let template = Template::parse("a$1 ${2}c $(1)$$1").unwrap();
        assert_eq!(template.highest_group(), 2);
        assert_eq!(template.expand(|group| [&b""[..], b"one", b"two"][group]), b"aone twoc one$1");
        assert_eq!(Template::parse("plain").unwrap().highest_group(), 0);
    }

    #[test]
    fn what_is_no_group_is_refused() {
        for text in
            ["$", "a $ b", "$0", "$name", "${1", "$(1", "${}", "$1x", "${1?a}", "$99999999999999999999"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
