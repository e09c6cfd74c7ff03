//! `regexp:`: POSIX regular expressions (IEEE 1003.1 chapter 9) as the GNU C library reads them, in the C locale but
//! by characters instead of octets.
//!
//! One difference remains: where a pattern can match in several ways, POSIX prefers the longest match and the engine
//! the first alternative. It can show in `$1`, never in whether a key matches.

use super::class::Class;
use super::{Interval, Rest, push_literal, take, take_interval};

/// Which characters are operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// `( ) { } | + ?` are operators behind a backslash.
    Basic,
    /// They are by themselves. Postfix's default.
    Extended,
}

/// The pattern in the engine's syntax.
pub(crate) fn translate(pattern: &str, syntax: Syntax) -> Result<String, String> {
    let mut writer = Writer { syntax, out: String::new(), groups: Vec::new(), last: Last::Start };
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        writer.push(c, &mut rest)?;
    }
    if writer.groups.is_empty() { Ok(writer.out) } else { Err("a ( is not closed".to_owned()) }
}

struct Writer {
    syntax: Syntax,
    out: String,
    /// Where the open groups begin in `out`.
    groups: Vec<usize>,
    last: Last,
}

/// What was written last.
enum Last {
    /// Nothing: the pattern, a group or an alternative begins.
    Start,
    /// `^`, `$` or a word boundary.
    Anchor,
    /// Something that can be repeated and begins there in `out`.
    Atom(usize),
    /// The same, with its repetition.
    Repeated(usize),
}

impl Writer {
    fn push(&mut self, c: char, rest: &mut Rest<'_>) -> Result<(), String> {
        match c {
            '\\' => match rest.next() {
                None => return Err("it ends with a backslash".to_owned()),
                Some(operator) if is_operator(operator) => match self.syntax {
                    Syntax::Basic => return self.operator(operator, rest),
                    Syntax::Extended => self.literal(operator),
                },
                Some(escaped) => return self.escape(escaped),
            },
            operator if is_operator(operator) => match self.syntax {
                Syntax::Basic => self.literal(operator),
                Syntax::Extended => return self.operator(operator, rest),
            },
            '*' if self.syntax == Syntax::Basic && matches!(self.last, Last::Start | Last::Anchor) => {
                self.literal('*');
            }
            '*' => return self.repeat("*"),
            '^' if self.syntax == Syntax::Extended || matches!(self.last, Last::Start) => self.anchor("^"),
            '$' if self.syntax == Syntax::Extended || ends(rest) => self.anchor("$"),
            '.' => self.atom("."),
            '[' => {
                let class = bracket(rest)?;
                self.atom(&class);
            }
            c => self.literal(c),
        }
        Ok(())
    }

    fn operator(&mut self, operator: char, rest: &mut Rest<'_>) -> Result<(), String> {
        match operator {
            '(' => {
                self.groups.push(self.out.len());
                self.out.push('(');
                self.last = Last::Start;
            }
            ')' => match (self.groups.pop(), self.syntax) {
                (Some(start), _) => {
                    self.out.push(')');
                    self.last = Last::Atom(start);
                }
                (None, Syntax::Extended) => self.literal(')'),
                (None, Syntax::Basic) => return Err("a \\) has no \\( before it".to_owned()),
            },
            '|' => {
                self.out.push('|');
                self.last = Last::Start;
            }
            '{' => return self.interval(rest),
            '}' => self.literal('}'),
            '?' if matches!(self.last, Last::Start) && !self.groups.is_empty() => {
                return Err("`(?` is not POSIX: use a pcre: table for it".to_owned());
            }
            '+' => return self.repeat("+"),
            _ => return self.repeat("?"),
        }
        Ok(())
    }

    fn interval(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let close = match self.syntax {
            Syntax::Basic => "\\}",
            Syntax::Extended => "}",
        };
        let Some(Interval { least, most }) = take_interval(rest, close) else {
            return Err("`{` begins a repetition such as {2,5}: write \\{ for the character".to_owned());
        };
        // `{,n}` is GNU's way to write `{0,n}`.
        let least = least.unwrap_or(0);
        match most {
            Some(most) if least > most => Err(format!("`{{{least},{most}}}` goes backwards")),
            Some(most) => self.repeat(&format!("{{{least},{most}}}")),
            None => self.repeat(&format!("{{{least},}}")),
        }
    }

    /// A repetition of a repetition needs a group in the engine's syntax, where `a+?` is something else.
    fn repeat(&mut self, repetition: &str) -> Result<(), String> {
        let start = match self.last {
            Last::Atom(start) => start,
            Last::Repeated(start) => {
                self.out.insert_str(start, "(?:");
                self.out.push(')');
                start
            }
            Last::Start | Last::Anchor => {
                return Err(format!("`{repetition}` has nothing before it to repeat"));
            }
        };
        self.out.push_str(repetition);
        self.last = Last::Repeated(start);
        Ok(())
    }

    /// GNU's operators, back references, and every other sign behind a backslash: itself.
    fn escape(&mut self, c: char) -> Result<(), String> {
        match c {
            'w' => self.atom("[0-9A-Za-z_]"),
            'W' => self.atom("[^0-9A-Za-z_]"),
            's' => self.atom(r"[ \t\n\x0b\f\r]"),
            'S' => self.atom(r"[^ \t\n\x0b\f\r]"),
            'b' | 'B' | '<' | '>' => self.anchor(&format!("\\{c}")),
            '`' => self.anchor(r"\A"),
            '\'' => self.anchor(r"\z"),
            '1'..='9' => self.atom(&format!("(?:\\{c})")),
            // POSIX leaves it open. With the GNU library such a pattern matches nothing where case is ignored.
            c if c.is_ascii_alphanumeric() => {
                return Err(format!(
                    "`\\{c}` means nothing here: write [0-9] and the like, or use a pcre: table"
                ));
            }
            c => self.literal(c),
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        self.last = Last::Atom(self.out.len());
        push_literal(&mut self.out, c);
    }

    fn atom(&mut self, text: &str) {
        self.last = Last::Atom(self.out.len());
        self.out.push_str(text);
    }

    fn anchor(&mut self, text: &str) {
        self.last = Last::Anchor;
        self.out.push_str(text);
    }
}

fn is_operator(c: char) -> bool {
    matches!(c, '(' | ')' | '{' | '}' | '|' | '+' | '?')
}

/// Whether a basic expression, or a group or alternative in it, ends here.
fn ends(rest: &Rest<'_>) -> bool {
    let mut ahead = rest.clone();
    match ahead.next() {
        None => true,
        Some('\\') => matches!(ahead.next(), Some(')' | '|')),
        Some(_) => false,
    }
}

/// `[…]` with `[` already gone. A backslash is nothing special in it.
fn bracket(rest: &mut Rest<'_>) -> Result<String, String> {
    let unclosed = || "a [ is not closed".to_owned();
    let mut class = Class::open(rest);
    let mut first = true;
    loop {
        let from = match rest.next().ok_or_else(unclosed)? {
            ']' if !first => return Ok(class.close()),
            '[' if take(rest, ':') => {
                class.named(rest)?;
                first = false;
                continue;
            }
            c => element(c, rest)?,
        };
        first = false;
        let mut ahead = rest.clone();
        if !take(&mut ahead, '-') || ahead.peek() == Some(&']') {
            class.push(from);
            continue;
        }
        let to = ahead.next().ok_or_else(unclosed)?;
        let to = element(to, &mut ahead)?;
        class.range(from, to)?;
        *rest = ahead;
    }
}

/// One character of a bracket expression: itself, `[.x.]` or `[=x=]`.
fn element(c: char, rest: &mut Rest<'_>) -> Result<char, String> {
    let Some(kind) = rest.next_if(|kind| c == '[' && matches!(kind, '.' | '=')) else { return Ok(c) };
    let element = rest.next();
    match element {
        Some(element) if take(rest, kind) && take(rest, ']') => Ok(element),
        _ => Err(format!("`[{kind}` needs one character and `{kind}]` behind it")),
    }
}
