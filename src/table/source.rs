//! Where rules come from: the logical lines of a file, or `{ {rule}, {rule} }` in place.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read};
use std::iter::Enumerate;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::slice::Split;

use super::error::{Findings, LoadError};
use super::words::{is_space, unbrace, words};

/// A file as it was when it was read, so that a change can be told by its metadata.
///
/// Inode and change time are part of it: a file that was replaced by rename, or rewritten in place with its old
/// modification time put back, is another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: PathBuf,
    stamp: Stamp,
}

/// Device, inode, size, modification time, change time; nothing if the file cannot be looked at.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

impl File {
    /// The file as it is now, unread.
    pub fn at(path: PathBuf) -> Self {
        let stamp = fs::metadata(&path).ok().as_ref().map(stamp);
        Self { path, stamp }
    }

    /// Reads the file whole. The stamp is taken first: what is written meanwhile shows as a change later.
    pub(super) fn read(path: PathBuf) -> io::Result<(Self, Vec<u8>)> {
        // Looked at before it is opened, because opening a FIFO waits for a writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut open = fs::File::open(&path)?;
        let stamp = Some(stamp(&open.metadata()?));
        let mut octets = Vec::new();
        open.read_to_end(&mut octets)?;
        Ok((Self { path, stamp }, octets))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is now.
    pub(super) fn now(&self) -> Self {
        Self::at(self.path.clone())
    }

    /// Whether the file on disk is no longer the one that was read.
    pub fn changed(&self) -> bool {
        self.now() != *self
    }
}

fn stamp(of: &fs::Metadata) -> (u64, u64, u64, (i64, i64), (i64, i64)) {
    (of.dev(), of.ino(), of.size(), (of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec()))
}

/// The rules of one table, before anybody has looked at them.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    rules: Rules,
    file: Option<File>,
}

#[derive(Debug)]
enum Rules {
    File(Vec<u8>),
    InPlace(Vec<String>),
}

impl Source {
    /// The file `name`, taken from `base` if relative.
    pub(super) fn file(spec: &str, name: &str, base: &Path) -> Result<Self, LoadError> {
        let path = base.join(name);
        let shown = path.display().to_string();
        let (file, octets) = File::read(path)
            .map_err(|error| LoadError::spec(spec, format!("cannot read {shown}: {error}")))?;
        if octets.contains(&0) {
            let what = format!("{shown} is no text: name the source that the database was made of");
            return Err(LoadError::spec(spec, what));
        }
        Ok(Self { name: shown, rules: Rules::File(octets), file: Some(file) })
    }

    /// A file, or the rules between the braces of `{ {rule}, {rule} }`.
    pub(super) fn file_or_in_place(spec: &str, name: &str, base: &Path) -> Result<Self, LoadError> {
        if !name.starts_with('{') {
            return Self::file(spec, name, base);
        }
        let rules = unbrace(name)
            .and_then(|inner| words(inner).map(|rule| unbrace(rule).map(str::to_owned)).collect())
            .map_err(|what| LoadError::spec(spec, format!("{what}; write {{ {{rule}}, {{rule}} }}")))?;
        Ok(Self { name: spec.to_owned(), rules: Rules::InPlace(rules), file: None })
    }

    /// Hands every rule to `take` with its line number, and collects what `take` objects to.
    pub(super) fn read(
        &self,
        findings: &mut Findings,
        mut take: impl FnMut(&mut Findings, usize, &str) -> Result<(), String>,
    ) {
        for LogicalLine { number, text } in self.lines() {
            let taken = text
                .map_err(str::to_owned)
                .and_then(|text| take(findings, number, text.trim_end_matches(is_space)));
            if let Err(what) = taken {
                findings.error(number, what);
            }
        }
    }

    fn lines(&self) -> Box<dyn Iterator<Item = LogicalLine<'_>> + '_> {
        match &self.rules {
            Rules::File(octets) => Box::new(LogicalLines::of(octets)),
            Rules::InPlace(rules) => Box::new(
                rules
                    .iter()
                    .enumerate()
                    .map(|(index, rule)| LogicalLine { number: index + 1, text: Ok(Cow::Borrowed(rule)) }),
            ),
        }
    }

    /// The file's path, or the table as configured.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file, if it is one.
    pub(super) fn into_file(self) -> Option<File> {
        self.file
    }
}

/// A physical line with those that continue it, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogicalLine<'a> {
    /// Of its first physical line, counted from 1.
    pub(crate) number: usize,
    pub(crate) text: Result<Cow<'a, str>, &'static str>,
}

/// Cuts a file as postmap(1) does: blank lines and comments vanish, even between a line and its continuation; a
/// line that starts with whitespace continues the one before it.
pub(crate) struct LogicalLines<'a> {
    physical: Enumerate<Split<'a, u8, IsNewline>>,
    begun: Option<(usize, Cow<'a, str>)>,
}

type IsNewline = fn(&u8) -> bool;

impl<'a> LogicalLines<'a> {
    pub(crate) fn of(octets: &'a [u8]) -> Self {
        let is_newline: IsNewline = |octet| *octet == b'\n';
        Self { physical: octets.split(is_newline).enumerate(), begun: None }
    }
}

impl<'a> Iterator for LogicalLines<'a> {
    type Item = LogicalLine<'a>;

    fn next(&mut self) -> Option<LogicalLine<'a>> {
        for (index, octets) in self.physical.by_ref() {
            let number = index + 1;
            let Ok(text) = std::str::from_utf8(octets) else {
                return Some(LogicalLine { number, text: Err(NOT_UTF8) });
            };
            let text = text.strip_suffix('\r').unwrap_or(text);
            if is_void(text) {
                continue;
            }
            match (&mut self.begun, text.starts_with(is_space)) {
                (Some((_, begun)), true) => begun.to_mut().push_str(text),
                (None, true) => return Some(LogicalLine { number, text: Err(NOTHING_TO_CONTINUE) }),
                (begun, false) => {
                    if let Some((number, text)) = begun.replace((number, Cow::Borrowed(text))) {
                        return Some(LogicalLine { number, text: Ok(text) });
                    }
                }
            }
        }
        self.begun.take().map(|(number, text)| LogicalLine { number, text: Ok(text) })
    }
}

const NOT_UTF8: &str = "not UTF-8: save the file as UTF-8";
const NOTHING_TO_CONTINUE: &str =
    "starts with whitespace, which continues a line, but no line stands above it: start in the first column";

/// Whether a line is blank or a comment.
fn is_void(line: &str) -> bool {
    let text = line.trim_start_matches(is_space);
    text.is_empty() || text.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String)> {
        LogicalLines::of(text.as_bytes())
            .map(|line| (line.number, line.text.unwrap_or_else(Cow::Borrowed).into_owned()))
            .collect()
    }

    fn expect(text: &str, wanted: &[(usize, &str)]) {
        let wanted: Vec<_> = wanted.iter().map(|(number, text)| (*number, (*text).to_owned())).collect();
        assert_eq!(lines(text), wanted);
    }

    #[test]
    fn blank_lines_and_comments_vanish() {
        expect("\n# comment\n  # indented comment\n \t \na 1\n\nb 2\n", &[(5, "a 1"), (7, "b 2")]);
    }

    #[test]
    fn whitespace_continues_across_comments_and_blank_lines() {
        expect("a 1\n# between\n\n  2\n\t3\nb 4", &[(1, "a 1  2\t3"), (6, "b 4")]);
    }

    #[test]
    fn a_first_line_with_whitespace_is_an_error() {
        expect("  a 1\nb 2", &[(1, NOTHING_TO_CONTINUE), (2, "b 2")]);
    }

    #[test]
    fn carriage_returns_vanish() {
        expect("a 1\r\n  2\r\nb 2\r\n\r\n", &[(1, "a 1  2"), (3, "b 2")]);
    }

    #[test]
    fn octets_that_are_not_utf8_spoil_only_their_line() {
        let mut found: Vec<_> =
            LogicalLines::of(b"a 1\nb \xff\nc 3").map(|line| (line.number, line.text.is_ok())).collect();
        found.sort_unstable();
        assert_eq!(found, [(1, true), (2, false), (3, true)]);
    }

    #[test]
    fn a_rewritten_file_has_changed_even_at_the_same_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        fs::write(&path, "a OK").unwrap();
        let (file, octets) = File::read(path.clone()).unwrap();
        assert_eq!(octets, b"a OK");
        assert!(!file.changed());
        let other = folder.path().join("new");
        fs::write(&other, "b OK").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(file.changed());
        fs::remove_file(&path).unwrap();
        assert!(file.changed());
    }

    #[test]
    fn a_folder_is_not_read() {
        assert!(File::read(std::env::temp_dir()).is_err());
    }
}
