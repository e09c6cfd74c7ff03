//! `regexp:`: POSIX regular expressions (IEEE 1003.1 chapter 9) as the GNU C library reads them.
//!
//! One difference remains: where a pattern can match in several ways, POSIX prefers the longest match and the engine
//! the first alternative. It can show in `$1`, never in whether a key matches.

use super::class::{Class, NO_RANGE, is_range};
use super::{Interval, Rest, octets, push_octet, take, take_interval};

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
    let mut writer = Writer {
        syntax,
        out: String::new(),
        open: Vec::new(),
        groups: 0,
        closed: Vec::new(),
        last: Last::Start,
    };
    let mut rest = octets(pattern);
    while let Some(c) = rest.next() {
        writer.push(c, &mut rest)?;
    }
    if writer.open.is_empty() { Ok(writer.out) } else { Err("a ( is not closed".to_owned()) }
}

struct Writer {
    syntax: Syntax,
    out: String,
    /// The open groups: their number, and where they begin in `out`.
    open: Vec<(u32, usize)>,
    /// How many groups there are so far, and which of them are closed.
    groups: u32,
    closed: Vec<u32>,
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
            '*' if self.syntax == Syntax::Basic && self.is_at_start() => {
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
                self.groups += 1;
                self.open.push((self.groups, self.out.len()));
                self.out.push('(');
                self.last = Last::Start;
            }
            ')' => match (self.open.pop(), self.syntax) {
                (Some((number, start)), _) => {
                    self.closed.push(number);
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
            '+' | '?' if self.syntax == Syntax::Basic && self.is_at_start() => self.literal(operator),
            '}' => self.literal('}'),
            '?' if matches!(self.last, Last::Start) && !self.open.is_empty() => {
                return Err("`(?` is not POSIX: use a pcre: table for it".to_owned());
            }
            '+' => return self.repeat("+"),
            _ => return self.repeat("?"),
        }
        Ok(())
    }

    /// Whether nothing is there that could be repeated; basic expressions take `*` literally then.
    fn is_at_start(&self) -> bool {
        matches!(self.last, Last::Start | Last::Anchor)
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
            Last::Repeated(_) if self.syntax == Syntax::Basic && !matches!(repetition, "+" | "?") => {
                return Err(format!("`{repetition}` repeats a repetition"));
            }
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
            '1'..='9' if c.to_digit(10).is_some_and(|number| self.closed.contains(&number)) => {
                self.atom(&format!("(?:\\{c})"));
            }
            '1'..='9' => return Err(format!("`\\{c}` refers to a group that is not closed before it")),
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
        push_octet(&mut self.out, c);
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
    let mut class = Class::open(rest);
    let mut first = true;
    loop {
        match element(rest)? {
            Element::Plain(']') if !first => return Ok(class.close()),
            Element::Plain('-') if !first && rest.peek() != Some(&']') => {
                return Err(
                    "a `-` in brackets stands first or last, or between the ends of a range".to_owned()
                );
            }
            Element::Plain(from) | Element::Collating(from) if is_range(rest) => {
                rest.next();
                match element(rest)? {
                    Element::Plain(to) | Element::Collating(to) => class.range(from, to)?,
                    Element::Class | Element::Equivalent(_) => return Err(NO_RANGE.to_owned()),
                }
            }
            Element::Class | Element::Equivalent(_) if is_range(rest) => return Err(NO_RANGE.to_owned()),
            Element::Class => class.named(rest)?,
            Element::Plain(c) | Element::Collating(c) | Element::Equivalent(c) => class.push(c),
        }
        first = false;
    }
}

/// What comes next in brackets.
enum Element {
    Plain(char),
    /// `[.x.]`
    Collating(char),
    /// `[=x=]`
    Equivalent(char),
    /// `[:`, and the name of a class behind it.
    Class,
}

fn element(rest: &mut Rest<'_>) -> Result<Element, String> {
    let c = rest.next().ok_or("a [ is not closed")?;
    let Some(kind) = rest.next_if(|kind| c == '[' && matches!(kind, '.' | '=' | ':')) else {
        return Ok(Element::Plain(c));
    };
    if kind == ':' {
        return Ok(Element::Class);
    }
    match rest.next() {
        Some(x) if take(rest, kind) && take(rest, ']') => {
            Ok(if kind == '.' { Element::Collating(x) } else { Element::Equivalent(x) })
        }
        _ => Err(format!("`[{kind}` needs one character and `{kind}]` behind it")),
    }
}
