//! The floors of the house: a module uses only those before it in the line, so no circle can exist.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: [&str; 24] = [
    "spelling",
    "time",
    "id",
    "smtp",
    "proxy_protocol",
    "dns",
    "table",
    "allowlist",
    "rate",
    "limits",
    "tls",
    "wire",
    "screen",
    "policy",
    "dialogue",
    "handoff",
    "relay",
    "report",
    "connection",
    "metrics",
    "config",
    "admin",
    "server",
    "demo",
];

/// Files that take part in no decision about time or sockets, and so must not name the runtime.
const PURE: [&str; 8] = [
    "smtp/",
    "proxy_protocol/",
    "dialogue/",
    "allowlist/record.rs",
    "screen/lists.rs",
    "screen/score.rs",
    "table/",
    "rate/",
];

#[test]
fn every_module_uses_only_the_floors_below() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(floor) = floor_of(&file) else { continue };
        for used in modules_used(&code_of(&file)) {
            match FLOORS.iter().position(|f| *f == used) {
                None => wrong.push(format!("{}: `{used}` has no floor", file.display())),
                Some(other) if other > floor => {
                    wrong.push(format!("{}: uses `{used}`, which is above it", file.display()));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_do_not_name_the_runtime() {
    let src = source_root();
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|file| {
            let name = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
            PURE.iter().any(|p| name.starts_with(p)) && code_of(file).contains("tokio::")
        })
        .collect();
    assert!(wrong.is_empty(), "pure modules that name tokio: {wrong:?}");
}

#[test]
fn every_floor_exists() {
    for floor in FLOORS {
        let file = source_root().join(format!("{floor}.rs"));
        let folder = source_root().join(floor).join("mod.rs");
        assert!(file.exists() || folder.exists(), "no module `{floor}`");
    }
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![source_root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The floor of a file; `None` for `main.rs` and `lib.rs`, which stand on the roof.
fn floor_of(file: &Path) -> Option<usize> {
    let first = file.strip_prefix(source_root()).unwrap().components().next().unwrap();
    let name = first.as_os_str().to_string_lossy();
    FLOORS.iter().position(|f| *f == name.trim_end_matches(".rs"))
}

/// The file without comments and without the tests at its foot.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `x` in `crate::x`, in paths and in `use crate::{x, y}`.
fn modules_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for tail in code.split("crate::").skip(1) {
        if let Some(group) = tail.strip_prefix('{') {
            let group = group.split("};").next().unwrap_or_default();
            let mut depth = 0;
            for part in group.split_inclusive(['{', '}', ',']) {
                if depth == 0 {
                    used.push(identifier(part.trim()));
                }
                match part.chars().last() {
                    Some('{') => depth += 1,
                    Some('}') => depth -= 1,
                    _ => {}
                }
            }
        } else {
            used.push(identifier(tail));
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
