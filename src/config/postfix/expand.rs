//! `$name` and its kin: what a value means once everything that it refers to is filled in.
//!
//! ```text
//! $name ${name} $(name)              the value of name
//! ${name?text} ${name?{text}}        text if name has a value
//! ${name:text} ${name:{text}}        text if it has none
//! ${name?{text}:{other}}             one or the other
//! ${{a} == {b} ? {text} : {other}}   by comparison; also != < <= > >=, and ==level … for compatibility levels
//! $$                                 a dollar sign
//! ```

use std::cmp::Ordering;

/// How deep names may refer to names; deeper is a circle.
const DEEPEST: usize = 32;

/// Fills in `text`; `value` gives what a name stands for, itself not filled in, or nothing for an unknown name.
///
/// The error is a sentence about the part that cannot be understood.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    Expander { value }.expand(text, 0)
}

struct Expander<'a> {
    value: &'a dyn Fn(&str) -> Option<String>,
}

impl Expander<'_> {
    fn expand(&self, mut text: &str, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err(format!("`{text}` refers to itself"));
        }
        let mut expanded = String::new();
        while let Some((before, behind)) = text.split_once('$') {
            expanded.push_str(before);
            text = if let Some(rest) = behind.strip_prefix('$') {
                expanded.push('$');
                rest
            } else if behind.starts_with(['{', '(']) {
                let (inner, rest) = group(behind)?;
                expanded.push_str(&self.reference(inner.trim(), depth)?);
                rest
            } else {
                let (name, rest) = name(behind);
                if name.is_empty() {
                    return Err(format!("`${behind}` names nothing; write $$ for a dollar sign"));
                }
                expanded.push_str(&self.named(name, depth)?);
                rest
            };
        }
        expanded.push_str(text);
        Ok(expanded)
    }

    fn named(&self, name: &str, depth: usize) -> Result<String, String> {
        self.expand(&(self.value)(name).unwrap_or_default(), depth + 1)
    }

    /// What stands between `${` and `}`.
    fn reference(&self, inner: &str, depth: usize) -> Result<String, String> {
        if inner.starts_with('{') {
            return self.comparison(inner, depth);
        }
        let (name, rest) = name(inner);
        if name.is_empty() {
            return Err(format!("`${{{inner}}}` names nothing"));
        }
        let value = self.named(name, depth)?;
        match rest.trim_start() {
            "" => Ok(value),
            rest => self.choice(rest, !value.is_empty(), depth),
        }
    }

    fn comparison(&self, inner: &str, depth: usize) -> Result<String, String> {
        let (left, rest) = group(inner)?;
        let operator: String =
            rest.trim_start().chars().take_while(|c| !matches!(c, '{' | ' ' | '\t')).collect();
        let rest = rest.trim_start().strip_prefix(operator.as_str()).unwrap_or_default().trim_start();
        let malformed = || format!("`{inner}` is no comparison; write {{a}} == {{b}} ? {{text}} : {{other}}");
        if !rest.starts_with('{') {
            return Err(malformed());
        }
        let (right, rest) = group(rest)?;
        let (left, right) = (self.expand(left.trim(), depth + 1)?, self.expand(right.trim(), depth + 1)?);
        let (sign, ordering) = match operator.strip_suffix("level") {
            Some(sign) => (sign, compare_levels(&left, &right)),
            None => (operator.as_str(), compare(&left, &right)),
        };
        let holds = match sign {
            "==" => ordering.is_eq(),
            "!=" => ordering.is_ne(),
            "<" => ordering.is_lt(),
            "<=" => ordering.is_le(),
            ">" => ordering.is_gt(),
            ">=" => ordering.is_ge(),
            _ => return Err(malformed()),
        };
        self.choice(rest.trim_start(), holds, depth)
    }

    /// `?text`, `:text`, `?{text}:{other}`.
    fn choice(&self, text: &str, holds: bool, depth: usize) -> Result<String, String> {
        let (wanted, other) = match text.strip_prefix('?').map(str::trim_start) {
            Some(braced) if braced.starts_with('{') => {
                let (wanted, rest) = group(braced)?;
                let other = match rest.trim() {
                    "" => "",
                    rest => rest.strip_prefix(':').ok_or_else(|| {
                        format!("`{rest}` stands behind a choice; write {{text}}:{{other}}")
                    })?,
                };
                (wanted, other)
            }
            Some(plain) => (plain, ""),
            None => match text.strip_prefix(':') {
                Some(other) => ("", other),
                None if text.is_empty() => ("", ""),
                None => return Err(format!("`{text}` is no choice; write ?{{text}}:{{other}}")),
            },
        };
        if holds { self.expand(wanted.trim(), depth + 1) } else { self.expand(unbraced(other), depth + 1) }
    }
}

/// What the bracket at the start of `text` encloses, and what comes behind it.
fn group(text: &str) -> Result<(&str, &str), String> {
    let (open, close) = if text.starts_with('(') { ('(', ')') } else { ('{', '}') };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Ok((&text[1..at], &text[at + 1..]));
            }
        }
    }
    Err(format!("`{text}` has no closing {close}"))
}

/// The text of a choice; braces around the whole are not part of it.
fn unbraced(text: &str) -> &str {
    let text = text.trim();
    match group(text) {
        Ok((inner, "")) if text.starts_with('{') => inner.trim(),
        _ => text,
    }
}

fn name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// As numbers if both are, else as texts.
fn compare(left: &str, right: &str) -> Ordering {
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// `3.10` is above `3.9`; a missing part counts 0.
fn compare_levels(left: &str, right: &str) -> Ordering {
    let parts = |level: &str| {
        let mut parts = level.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        [parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
    };
    parts(left).cmp(&parts(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a = 1, b is empty, c refers to a, d to itself.
    fn value(name: &str) -> Option<String> {
        let value = match name {
            "a" => "1",
            "b" => "",
            "c" => "<$a>",
            "d" => "$d",
            "compatibility_level" => "3.6",
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// Each of these is what `postconf -x` of Postfix 3.7 prints.
    #[test]
    fn values_are_what_postconf_prints() {
        for (text, expanded) in [
            ("${a?yes}", "yes"),
            ("${a:no}", ""),
            ("${b:no}", "no"),
            ("${a?{yes}:{no}}", "yes"),
            ("${b?{yes}:{no}}", "no"),
            ("${ a ? {yes} : {no} }", "yes"),
            ("${a? {x} : {y} }", "x"),
            ("${a ?{x} :{y}}", "x"),
            ("$(a?{x}:{y})", "x"),
            ("${{$a} == {1} ? {eq} : {ne}}", "eq"),
            ("${{$a}=={1}?{eq}:{ne}}", "eq"),
            ("${{$a} < {10} ? {lt} : {ge}}", "lt"),
            ("${{ 9 } < {10} ? {lt}:{ge}}", "lt"),
            ("${{} < {10} ? {lt}:{ge}}", "lt"),
            ("${{-1} < {0} ? {lt}:{ge}}", "lt"),
            ("${{5x} < {10} ? {lt} : {ge}}", "ge"),
            ("${{abc} < {abd} ? {lt}}", "lt"),
            ("${{} == {} ? {e} : {n}}", "e"),
            ("${{1} == {1} ? x : y}", "x : y"),
            ("${{$a} == {1} ? {${b?{1}:{2}}} : {n}}", "2"),
            ("${{$compatibility_level} <level {2} ? {subnet} : {host}}", "host"),
            ("${{$compatibility_level} >=level {3.10} ? {n} : {o}}", "o"),
            ("$(a) ${a} $a.b $$a", "1 1 1.b $a"),
            ("${a?x$b y}", "x y"),
            ("${a?{yes ${b:inner} $a}:{no}}", "yes inner 1"),
            ("${b?{x}}-${b?{x}:y}", "-y"),
            ("${a?{x ${b?{u}:{v}}}}", "x v"),
            ("${a?x:{y}}", "x:{y}"),
            ("${a?{x}:y}", "x"),
            ("${a:x}${b:{x}}", "x"),
            ("${a?}|${a:}|", "||"),
            ("${a?b:c}", "b:c"),
            ("${a}}", "1}"),
            ("{a, $a}", "{a, 1}"),
            ("${undefined}", ""),
            ("$c", "<1>"),
        ] {
            assert_eq!(expand(text, &value).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn what_postconf_refuses_is_an_error() {
        for text in ["x$ y", "$", "${a", "${a?{x}y}", "${{a} = {b} ? {x}}", "$d", "${}", "${{a} ? {b}}"] {
            assert!(expand(text, &value).is_err(), "{text}");
        }
    }
}
