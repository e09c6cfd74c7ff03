//! Transcripts: commands with what goes in and what comes out.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The program that cargo built.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_prescreen");

/// A file of transcripts, line by line.
pub(crate) struct Transcript<'a>(Vec<Part<'a>>);

enum Part<'a> {
    /// A line that stays as it is.
    Text(&'a str),
    /// A line of a file.
    File {
        line: &'a str,
        name: &'a str,
        text: &'a str,
    },
    /// A new folder.
    Case(&'a str),
    Call {
        line: &'a str,
        input: Vec<&'a str>,
    },
}

impl<'a> Transcript<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut parts = Vec::new();
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("==", _) => parts.push(Part::Case(line)),
                ("file:", rest) => {
                    let (name, text) = rest.split_once(':').unwrap();
                    let text = text.trim_start();
                    parts.push(Part::File { line, name, text });
                }
                ("$", _) => parts.push(Part::Call { line, input: Vec::new() }),
                ("<", rest) => match parts.last_mut() {
                    Some(Part::Call { input, .. }) => input.push(rest),
                    _ => panic!("no command in front of {line}"),
                },
                // What came out the last time.
                ("|" | "!" | "=", _) => {}
                _ => parts.push(Part::Text(line)),
            }
        }
        Self(parts)
    }

    /// The text as it should have been.
    pub(crate) fn play(&self) -> String {
        let mut text = String::new();
        let mut folder = tempfile::tempdir().unwrap();
        for part in &self.0 {
            match part {
                Part::Text(line) => writeln!(text, "{line}").unwrap(),
                Part::Case(line) => {
                    folder = tempfile::tempdir().unwrap();
                    writeln!(text, "{line}").unwrap();
                }
                Part::File { line, name, text: content } => {
                    let file = folder.path().join(name);
                    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
                    writeln!(file, "{content}").unwrap();
                    writeln!(text, "{line}").unwrap();
                }
                Part::Call { line, input } => {
                    writeln!(text, "{line}").unwrap();
                    for line in input {
                        writeln!(text, "{}", format!("< {line}").trim_end()).unwrap();
                    }
                    text.push_str(&call(line, input, folder.path()));
                }
            }
        }
        text
    }
}

/// Runs a command, and writes down what came out.
fn call(line: &str, input: &[&str], folder: &Path) -> String {
    let (variables, arguments) = line.strip_prefix("$ ").unwrap().split_once("prescreen ").unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(words(arguments)).current_dir(folder).env_clear().env("PRESCREEN_HOSTNAME", "mx.test");
    command.env("PRESCREEN_DOMAINS_LOCAL", "here.test");
    command.envs(words(variables).iter().map(|word| word.split_once('=').unwrap()));
    let stdin = folder.join(".stdin");
    fs::write(&stdin, input.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let output = command.stdin(Stdio::from(fs::File::open(stdin).unwrap())).output().unwrap();
    let mut text = String::new();
    for (sign, octets) in [("|", output.stdout), ("!", output.stderr)] {
        for line in String::from_utf8(octets).unwrap().lines() {
            writeln!(text, "{}", format!("{sign} {line}").trim_end()).unwrap();
        }
    }
    match output.status.code() {
        Some(0) => {}
        code => writeln!(text, "= {}", code.unwrap()).unwrap(),
    }
    text
}

/// Words as a shell would split them that knows single quotes alone.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}
