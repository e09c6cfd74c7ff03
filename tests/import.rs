//! `import-postfix` on configurations as they are found: what comes out is shown in tests/import/, and works.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use prescreen::config::postfix::{Imported, Source, import};
use prescreen::config::{self, Config};

/// Imports `name`, compares what comes out with what was read by eye, and loads it.
///
/// `UPDATE=1 cargo test --test import` writes it anew.
fn imports(name: &str) -> (Imported, Config) {
    let folder = Path::new("tests/import").join(name);
    let imported = import(&Source::open(&folder).unwrap());
    let told = format!("{}\n{}", imported.report, imported.postfix_side);
    for (file, text) in [("prescreen.toml", &imported.toml), ("report.txt", &told)] {
        let file = folder.join(file);
        let text = &text.replace(env!("CARGO_MANIFEST_DIR"), "");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), *text, "{}: UPDATE=1 writes it anew", file.display());
    }
    let source =
        config::Source::Text { name: format!("{name}.toml"), text: imported.toml.clone(), base: ".".into() };
    match Config::load(&source, &[], []) {
        Ok((config, _)) => (imported, config),
        Err(problems) => {
            panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
        }
    }
}

#[test]
fn debian() {
    imports("debian");
}

#[test]
fn docker_mailserver() {
    imports("docker-mailserver");
}

#[test]
fn mailcow() {
    imports("mailcow");
}

#[test]
fn iredmail() {
    imports("iredmail");
}

#[test]
fn modoboa() {
    imports("modoboa");
}

#[test]
fn error_limits() {
    imports("error-limits");
}

#[test]
fn manual_2000() {
    imports("manual-2000");
}

#[test]
fn main_cf_limits() {
    imports("main-cf-limits");
}

#[test]
fn centos_guide() {
    imports("centos-guide");
}
