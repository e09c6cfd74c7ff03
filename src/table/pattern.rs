//! `regexp:` and `pcre:` tables: `[!]/pattern/flags value`, first match wins.

use std::borrow::Cow;

use fancy_regex::{BytesMode, Regex, RegexBuilder};

use super::dialect::{self, Syntax};
use super::error::Findings;
use super::program::{Builder, NO_ENDIF, Program, Statement, nothing_behind, statement};
use super::template::Template;
use super::values::{Interner, ValueId, Values};
use super::words::is_space;

/// Steps of backtracking that one pattern may take for one key, about a millisecond.
const BACKTRACK_LIMIT: usize = 100_000;
/// Octets that a compiled pattern may take, and its lazily built automaton.
const SIZE_LIMIT: usize = 4 << 20;
const CACHE_LIMIT: usize = 512 << 10;
/// Instructions of a pattern that needs backtracking.
const PROGRAM_LIMIT: usize = 100_000;

/// Whose patterns they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `regexp:`
    Posix,
    /// `pcre:`
    Pcre,
}

/// The rules of a pattern table.
#[derive(Debug)]
pub(super) struct Patterns {
    program: Program<Pattern, Rule>,
    values: Values,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    negated: bool,
    line: usize,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    /// `regexp:` knows `/one/!/other/`: one and not the other.
    second: Option<Pattern>,
    value: ValueId,
    /// The value, if something must be put in.
    template: Option<Template>,
}

impl Patterns {
    /// The value of the first rule that matches `key`.
    pub(super) fn get(&self, key: &str) -> Result<Option<Cow<'_, str>>, String> {
        self.program.first(|pattern| pattern.holds(key), |rule| rule.answer(key, &self.values))
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }
}

impl Rule {
    fn answer<'v>(&self, key: &str, values: &'v Values) -> Result<Option<Cow<'v, str>>, String> {
        if !self.pattern.holds(key)? {
            return Ok(None);
        }
        if let Some(second) = &self.second
            && !second.holds(key)?
        {
            return Ok(None);
        }
        let Some(template) = &self.template else { return Ok(Some(Cow::Borrowed(values.text(self.value)))) };
        let groups =
            self.pattern.regex.captures(key.as_bytes()).map_err(|error| self.pattern.trouble(&error))?;
        let group = |number| {
            groups.as_ref().and_then(|groups| groups.get(number)).map_or(&[][..], |group| group.as_bytes())
        };
        match String::from_utf8(template.expand(group)) {
            Ok(empty) if empty.is_empty() => {
                Err(format!("line {}: the value came out empty", self.pattern.line))
            }
            Ok(value) => Ok(Some(Cow::Owned(value))),
            Err(_) => Err(format!("line {}: the value came out with half a character", self.pattern.line)),
        }
    }
}

impl Pattern {
    fn holds(&self, key: &str) -> Result<bool, String> {
        let matches = self.regex.is_match(key.as_bytes()).map_err(|error| self.trouble(&error))?;
        Ok(matches != self.negated)
    }

    fn trouble(&self, error: &fancy_regex::Error) -> String {
        format!("line {}: {error}", self.line)
    }
}

/// Reads rules one by one.
#[derive(Debug)]
pub(super) struct Reader {
    dialect: Dialect,
    program: Builder<Pattern, Rule>,
    values: Interner,
}

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, program: Builder::new(), values: Interner::default() }
    }

    pub(super) fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        match statement(text) {
            Statement::If(rest) => {
                let (pattern, extra) = self.pattern(line, rest)?;
                nothing_behind("if", extra)?;
                self.program.begin(pattern, line);
                Ok(())
            }
            Statement::EndIf(extra) => {
                nothing_behind("endif", extra)?;
                self.program.end()
            }
            Statement::Rule(rule) => self.rule(line, rule),
        }
    }

    fn rule(&mut self, line: usize, rule: &str) -> Result<(), String> {
        let (pattern, mut rest) = self.pattern(line, rule)?;
        let mut second = None;
        if rest.starts_with('!') && self.dialect == Dialect::Posix {
            let (other, behind) = self.pattern(line, rest)?;
            (second, rest) = (Some(other), behind);
        }
        if rest.is_empty() {
            return Err("no value behind the pattern: write /pattern/ value".to_owned());
        }
        let value = self.values.intern(rest, line)?;
        let template = match Template::parse(rest)? {
            _ if !rest.contains('$') => None,
            template => Some(template),
        };
        let named = template.as_ref().map_or(0, Template::highest_group);
        let groups = pattern.regex.captures_len() - 1;
        if named > 0 && pattern.negated {
            return Err(format!("`${named}`: a pattern with `!` has no groups when it matches"));
        }
        if named > groups {
            return Err(format!("`${named}`: the pattern has {groups} groups"));
        }
        self.program.rule(Rule { pattern, second, value, template });
        Ok(())
    }

    /// A pattern with its `!` and flags, and what follows it without the blanks between.
    fn pattern<'a>(&self, line: usize, text: &'a str) -> Result<(Pattern, &'a str), String> {
        let written = Written::parse(text, self.dialect)?;
        let regex = match self.dialect {
            Dialect::Posix => written.posix()?,
            Dialect::Pcre => written.pcre()?,
        };
        Ok((Pattern { regex, negated: written.negated, line }, written.behind))
    }

    pub(super) fn finish(self, findings: &mut Findings) -> Patterns {
        let (program, open) = self.program.finish();
        open.into_iter().for_each(|line| findings.warn(line, NO_ENDIF));
        Patterns { program, values: self.values.finish() }
    }
}

/// A pattern between its delimiters.
struct Written<'a> {
    negated: bool,
    pattern: &'a str,
    flags: &'a str,
    behind: &'a str,
}

impl<'a> Written<'a> {
    fn parse(text: &'a str, dialect: Dialect) -> Result<Self, String> {
        let opened = text.trim_start_matches(|c| c == '!' || is_space(c));
        let negations = text[..text.len() - opened.len()].matches('!').count();
        let delimiter = match opened.chars().next() {
            Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(format!("`{text}` should begin with a pattern: write /pattern/ value")),
        };
        let body = &opened[1..];
        let end =
            closing(body, delimiter).ok_or_else(|| format!("the pattern has no closing `{delimiter}`"))?;
        let tail = &body[end + 1..];
        let second = |c| c == '!' && dialect == Dialect::Posix;
        let flags = tail.find(|c| is_space(c) || second(c)).unwrap_or(tail.len());
        let (flags, behind) = tail.split_at(flags);
        let (pattern, behind) = (&body[..end], behind.trim_matches(is_space));
        Ok(Self { negated: negations % 2 == 1, pattern, flags, behind })
    }

    fn posix(&self) -> Result<Regex, String> {
        let [mut fold, mut newline, mut extended] = [true, false, true];
        for flag in self.flags.chars() {
            match flag {
                'i' => fold = !fold,
                'm' => newline = !newline,
                'x' => extended = !extended,
                _ => return Err(format!("`{flag}` is no flag: i, m and x are")),
            }
        }
        let syntax = if extended { Syntax::Extended } else { Syntax::Basic };
        let pattern = dialect::posix(self.pattern, syntax)?;
        let mut builder = RegexBuilder::new(&pattern);
        builder.case_insensitive(fold).multi_line(newline).dot_matches_new_line(!newline);
        build(&mut builder)
    }

    fn pcre(&self) -> Result<Regex, String> {
        let mut on = "is".to_owned();
        for flag in self.flags.chars() {
            match flag {
                // E and X change nothing: no key ends with a newline, and unknown escapes are refused anyway.
                'i' | 'm' | 's' | 'x' | 'A' | 'E' | 'U' | 'X' => match on.find(flag) {
                    Some(at) => drop(on.remove(at)),
                    None => on.push(flag),
                },
                _ => return Err(format!("`{flag}` is no flag: i, m, s, x, A, E, U and X are")),
            }
        }
        let is_on = |flag| on.contains(flag);
        let options: String = on.chars().filter(|flag| "imsxU".contains(*flag)).collect();
        let mut pattern = dialect::pcre(self.pattern, &options)?;
        if is_on('A') {
            pattern = format!("\\A(?:{pattern})");
        }
        if is_on('U') {
            pattern = format!("(?U){pattern}");
        }
        let mut builder = RegexBuilder::new(&pattern);
        builder
            .case_insensitive(is_on('i'))
            .multi_line(is_on('m'))
            .dot_matches_new_line(is_on('s'))
            .ignore_whitespace(is_on('x'));
        build(&mut builder)
    }
}

/// Where the pattern ends; a backslash takes the next character with it, and both stay in the pattern.
fn closing(body: &str, delimiter: char) -> Option<usize> {
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == delimiter => return Some(at),
            _ => {}
        }
    }
    None
}

fn build(builder: &mut RegexBuilder) -> Result<Regex, String> {
    builder
        .bytes_mode(BytesMode::Ascii)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(SIZE_LIMIT)
        .delegate_dfa_size_limit(CACHE_LIMIT)
        .max_prog_size(PROGRAM_LIMIT)
        .build()
        .map_err(|error| format!("the pattern cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Table;

    fn table(spec: &str) -> Table {
        Table::load(spec, Path::new("/")).unwrap()
    }

    fn errors(spec: &str) -> Vec<String> {
        Table::load(spec, Path::new("/")).unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn value(table: &Table, key: &str) -> Option<String> {
        table.lookup(key).unwrap().map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn the_first_rule_that_matches_answers() {
        let table = table("regexp:{ {/^a(.)c$/ OK $1}, {!/b/ NO}, {/b/!/x/ ONLY B} }");
        assert_eq!(value(&table, "abc").as_deref(), Some("OK b"));
        assert_eq!(value(&table, "xyz").as_deref(), Some("NO"));
        assert_eq!(value(&table, "bb").as_deref(), Some("ONLY B"));
        assert_eq!(value(&table, "bx"), None);
    }

    #[test]
    fn a_pattern_that_runs_away_is_a_lookup_error() {
        let table = table("pcre:{ {/^(a|aa)+(?=c)\\1$/ OK} }");
        let error = table.lookup(&format!("{}b", "a".repeat(60))).unwrap_err();
        assert!(error.what.starts_with("line 1: "), "{error}");
    }

    #[test]
    fn a_value_that_comes_out_empty_is_a_lookup_error() {
        let table = table("pcre:{ {/^a(b)?/ $1} }");
        assert_eq!(value(&table, "ab").as_deref(), Some("b"));
        assert!(table.lookup("ac").unwrap_err().what.contains("empty"));
    }

    #[test]
    fn all_bad_rules_are_told_with_their_number() {
        let errors =
            errors("pcre:{ {/a/ $1}, {!/(a)/ $1}, {/a/}, {/a OK}, {abc OK}, {/a/q OK}, {/(/ OK} {/x/ OK} }");
        let starts: Vec<_> = errors.iter().map(|error| error.rsplit_once("}:").unwrap().1).collect();
        assert_eq!(starts.len(), 7, "{errors:#?}");
        for (index, start) in starts.iter().enumerate() {
            assert!(start.starts_with(&(index + 1).to_string()), "{start}");
        }
    }
}
