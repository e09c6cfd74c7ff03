//! The command line, as transcripts: tests/cli/*.txt are played and must go exactly as written. `00-how-to-read.txt`
//! says how; `UPDATE=1 cargo test --test cli` writes them anew.

#![allow(clippy::panic, clippy::unwrap_used)]

mod generated;
mod streaming;
mod transcript;

use std::fs;
use std::path::Path;

use transcript::Transcript;

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() > 1);
    let mut wrong = Vec::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let played = Transcript::parse(&written).play();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, played).unwrap();
        } else if let Some((line, (written, played))) =
            (1..).zip(written.lines().zip(played.lines())).find(|(_, (written, played))| written != played)
        {
            wrong.push(format!("{}:{line}:\n  written {written}\n  played  {played}", file.display()));
        } else if written != played {
            wrong.push(format!("{}: what was played has another length", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 writes what was played", wrong.join("\n"));
}
