//! `pcre:`: Perl-compatible patterns as PCRE2 reads them.
//!
//! What the engine lacks is refused by name: branch reset `(?|…)`, callouts, verbs, `\C`, `\X`, `\p`.

use super::class::{Class, NO_RANGE, is_range};
use super::escape::{character, class_of, group_reference, octal};
use super::{Interval, Rest, octets, push_octet, take, take_all, take_interval, take_until};

use Spelling::{Escaped, Plain};

/// The options that a pattern can switch within itself, as the letters of `(?imsxU)`.
type Options = Vec<char>;

const OPTIONS: &str = "imsxU";

/// The pattern in the engine's syntax. `options` are the letters in force at its start.
pub(crate) fn translate(pattern: &str, options: &str) -> Result<String, String> {
    let mut writer =
        Writer { out: String::new(), options: options.chars().collect(), groups: Vec::new(), captures: 0 };
    let mut rest = octets(pattern);
    while let Some(c) = rest.next() {
        writer.push(c, &mut rest)?;
    }
    if writer.groups.is_empty() { Ok(writer.out) } else { Err("a ( is not closed".to_owned()) }
}

struct Writer {
    out: String,
    options: Options,
    /// The options at the beginning of each open group.
    groups: Vec<Options>,
    /// Capturing groups so far.
    captures: usize,
}

impl Writer {
    fn push(&mut self, c: char, rest: &mut Rest<'_>) -> Result<(), String> {
        match c {
            '\\' => return self.escape(rest),
            '[' => self.bracket(rest)?,
            '(' => return self.open(rest),
            ')' => return self.close(rest),
            '|' | '^' | '$' => {
                self.out.push(c);
                return Ok(());
            }
            '#' if self.is_on('x') => {
                take_until(rest, '\n');
                return Ok(());
            }
            c if c.is_ascii_whitespace() && self.is_on('x') => return Ok(()),
            '*' | '+' | '?' => return Err(format!("`{c}` has nothing before it to repeat")),
            '{' if interval(rest)?.is_some() => return Err("`{` has nothing before it to repeat".to_owned()),
            '.' => self.out.push('.'),
            c => push_octet(&mut self.out, c),
        }
        self.repetition(rest)
    }

    fn is_on(&self, option: char) -> bool {
        self.options.contains(&option)
    }

    /// What repeats the item before, with the `?` or `+` behind it.
    fn repetition(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        self.skip_comments(rest)?;
        let Some(repetition) = take_repetition(rest)? else { return Ok(()) };
        self.out.push_str(&repetition);
        if let Some(mode) = rest.next_if(|c| matches!(c, '?' | '+')) {
            self.out.push(mode);
        }
        match take_repetition(rest)? {
            None => Ok(()),
            Some(second) => {
                Err(format!("`{second}` repeats a repetition: put that in a group, (?:…){second}"))
            }
        }
    }

    /// Passes over what may stand between an item and its repetition.
    fn skip_comments(&self, rest: &mut Rest<'_>) -> Result<(), String> {
        loop {
            if take_all(rest, "(?#") {
                take_until(rest, ')').ok_or("a comment (?#…) is not closed")?;
            } else if self.is_on('x') && take(rest, '#') {
                take_until(rest, '\n');
            } else if !self.is_on('x') || rest.next_if(char::is_ascii_whitespace).is_none() {
                return Ok(());
            }
        }
    }

    /// A group with `(` already gone.
    fn open(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let groups = self.groups.len();
        self.groups.push(self.options.clone());
        if rest.peek() == Some(&'*') {
            return Err("(*VERB) is not supported".to_owned());
        }
        if !take(rest, '?') {
            self.captures += 1;
            self.out.push('(');
            return Ok(());
        }
        for (theirs, ours) in
            [(":", "(?:"), ("=", "(?="), ("!", "(?!"), (">", "(?>"), ("<=", "(?<="), ("<!", "(?<!")]
        {
            if take_all(rest, theirs) {
                self.out.push_str(ours);
                return Ok(());
            }
        }
        for (open, close) in [("P<", '>'), ("<", '>'), ("'", '\'')] {
            if take_all(rest, open) {
                let name = take_until(rest, close).ok_or("a group's name is not closed")?;
                self.captures += 1;
                self.out.push_str(&format!("(?<{name}>"));
                return Ok(());
            }
        }
        match rest.peek() {
            Some('(') => return self.condition(rest),
            Some('|') => {
                return Err("(?|…) is not supported: write one group around the alternatives".to_owned());
            }
            Some('C') => return Err("(?C) is not supported".to_owned()),
            Some('#') => {
                self.groups.truncate(groups);
                take_until(rest, ')').ok_or("a comment (?#…) is not closed")?;
                return Ok(());
            }
            _ => {}
        }
        let text = rest.clone().take_while(|c| !matches!(c, ')' | ':')).collect::<String>();
        if let Some(reference) = reference(&text) {
            self.groups.truncate(groups);
            take_until(rest, ')').ok_or("a ( is not closed")?;
            self.out.push_str(&reference);
            return self.repetition(rest);
        }
        take_all(rest, &text);
        self.switch(&text)?;
        match rest.next() {
            Some(':') => self.out.push_str(&format!("(?{text}:")),
            Some(_) => {
                self.groups.truncate(groups);
                self.out.push_str(&format!("(?{text})"));
            }
            None => return Err("a ( is not closed".to_owned()),
        }
        Ok(())
    }

    /// `(?(1)…`, `(?(<name>)…`, or `(?(?=…)…`, whose condition is a group like others.
    fn condition(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        self.out.push_str("(?");
        let mut ahead = rest.clone();
        if take_all(&mut ahead, "(?") {
            return Ok(());
        }
        let condition = take_until(rest, ')').ok_or("a ( is not closed")?;
        self.out.push_str(&condition);
        self.out.push(')');
        Ok(())
    }

    /// Takes the options of `(?i-s)` into account.
    fn switch(&mut self, text: &str) -> Result<(), String> {
        let mut on = true;
        if text.is_empty() {
            return Err("`(?)` switches nothing".to_owned());
        }
        for c in text.chars() {
            match c {
                '-' if on => on = false,
                c if OPTIONS.contains(c) => {
                    self.options.retain(|option| *option != c);
                    if on {
                        self.options.push(c);
                    }
                }
                _ => return Err(format!("`(?{text}` is not supported: the options are i, m, s, x, U")),
            }
        }
        Ok(())
    }

    /// The end of a group. Options that were switched in it are switched back, which the engine does not do itself.
    fn close(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let before = self.groups.pop().ok_or("a ) has no ( before it")?;
        let on: String = OPTIONS.chars().filter(|c| before.contains(c) && !self.is_on(*c)).collect();
        let off: String = OPTIONS.chars().filter(|c| !before.contains(c) && self.is_on(*c)).collect();
        match (on.is_empty(), off.is_empty()) {
            (true, true) => {}
            (_, true) => self.out.push_str(&format!("(?{on})")),
            (_, false) => self.out.push_str(&format!("(?{on}-{off})")),
        }
        self.options = before;
        self.out.push(')');
        self.repetition(rest)
    }

    /// What stands behind a backslash, outside of brackets.
    fn escape(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let c = rest.next().ok_or(BACKSLASH)?;
        match c {
            'A' | 'z' | 'Z' | 'b' | 'B' | 'G' | 'K' => {
                self.out.push('\\');
                self.out.push(c);
                return Ok(());
            }
            'E' => return Ok(()),
            'Q' => {
                while !take_all(rest, "\\E") {
                    let Some(c) = rest.next() else { break };
                    push_octet(&mut self.out, c);
                }
            }
            'N' | 'R' => {
                self.out.push('\\');
                self.out.push(c);
            }
            '1'..='9' => self.number(c, rest)?,
            'g' | 'k' => self.out.push_str(&group_reference(c, rest)?),
            c => match class_of(c) {
                Some(class) => self.out.push_str(class),
                None => push_octet(&mut self.out, character(c, rest)?),
            },
        }
        self.repetition(rest)
    }

    /// A group's text again; or an octet, if the number has two digits or more and there are not that many groups.
    fn number(&mut self, first: char, rest: &mut Rest<'_>) -> Result<(), String> {
        let mut ahead = rest.clone();
        let mut digits = first.to_string();
        while let Some(digit) = ahead.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let group = digits.parse().unwrap_or(usize::MAX);
        if group < 10 || group <= self.captures || first > '7' {
            *rest = ahead;
            self.out.push_str(&format!("(?:\\{group})"));
        } else {
            push_octet(&mut self.out, octal(first, rest)?);
        }
        Ok(())
    }

    /// `[…]` with `[` already gone.
    fn bracket(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let mut class = Class::open(rest);
        let mut first = true;
        loop {
            match element(rest, &mut class)? {
                Element::Char(']', Plain) if !first => break,
                Element::Char(from, _) if is_range(rest) => {
                    rest.next();
                    match element(rest, &mut class)? {
                        Element::Char(to, _) => class.range(from, to)?,
                        Element::Class => return Err(NO_RANGE.to_owned()),
                    }
                }
                Element::Char(c, _) => class.push(c),
                Element::Class if is_range(rest) => return Err(NO_RANGE.to_owned()),
                Element::Class => {}
            }
            first = false;
        }
        self.out.push_str(&class.close());
        Ok(())
    }
}

/// What repeats an item, if that comes next.
fn take_repetition(rest: &mut Rest<'_>) -> Result<Option<String>, String> {
    if let Some(c) = rest.next_if(|c| matches!(c, '*' | '+' | '?')) {
        return Ok(Some(c.to_string()));
    }
    let mut ahead = rest.clone();
    if !take(&mut ahead, '{') {
        return Ok(None);
    }
    let interval = interval(&mut ahead)?;
    if interval.is_some() {
        *rest = ahead;
    }
    Ok(interval)
}

/// An interval with `{` already gone; a brace that begins none is an ordinary character.
fn interval(rest: &mut Rest<'_>) -> Result<Option<String>, String> {
    let Some(Interval { least, most }) = take_interval(rest, "}") else { return Ok(None) };
    match (least, most) {
        // A repetition since PCRE2 10.43, plain characters before.
        (None, _) => Err("`{,n}` means two things: write {0,n}, or \\{ for the character".to_owned()),
        (Some(least), Some(most)) if least > most => Err(format!("`{{{least},{most}}}` goes backwards")),
        (Some(least), Some(most)) => Ok(Some(format!("{{{least},{most}}}"))),
        (Some(least), None) => Ok(Some(format!("{{{least},}}"))),
    }
}

/// What comes next in brackets.
enum Element {
    Char(char, Spelling),
    /// A class; it has been written.
    Class,
}

/// Whether a character stands for itself, or behind a backslash.
enum Spelling {
    Plain,
    Escaped,
}

fn element(rest: &mut Rest<'_>, class: &mut Class) -> Result<Element, String> {
    let c = match rest.next().ok_or("a [ is not closed")? {
        '[' if take(rest, ':') => {
            class.named(rest)?;
            return Ok(Element::Class);
        }
        '[' if is_collating(rest) => {
            return Err("[.x.] and [=x=] are not supported: write the character".to_owned());
        }
        '\\' => rest.next().ok_or(BACKSLASH)?,
        c => return Ok(Element::Char(c, Plain)),
    };
    if let Some(known) = class_of(c) {
        class.nest(known);
        return Ok(Element::Class);
    }
    let escaped = match c {
        'b' => '\x08',
        'Q' | 'E' => return Err("\\Q…\\E in brackets is not supported: escape each character".to_owned()),
        '1'..='7' => octal(c, rest)?,
        c => character(c, rest)?,
    };
    Ok(Element::Char(escaped, Escaped))
}

/// Whether `.x.]` or `=x=]` comes next, which PCRE knows but refuses.
fn is_collating(rest: &Rest<'_>) -> bool {
    let mut ahead = rest.clone();
    let Some(kind) = ahead.next_if(|c| matches!(c, '.' | '=')) else { return false };
    take_until(&mut ahead, ']')
        .is_some_and(|name| name.len() > 1 && name.ends_with(kind) && !name.contains('\\'))
}

const BACKSLASH: &str = "it ends with a backslash";

/// `(?R)`, `(?1)`, `(?-1)`, `(?&name)`, `(?P>name)`: a group's pattern again. `(?P=name)`: its text again.
fn reference(text: &str) -> Option<String> {
    if let Some(name) = text.strip_prefix("P=") {
        return Some(format!("(?:\\k<{name}>)"));
    }
    let named = text.strip_prefix('&').or_else(|| text.strip_prefix("P>"));
    let digits = text.trim_start_matches(['-', '+']);
    let numbered = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    let group = match text {
        "R" => "0",
        _ if numbered => text,
        _ => named?,
    };
    Some(format!("(?:\\g<{group}>)"))
}
