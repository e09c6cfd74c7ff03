//! What packages ship beside the program.

use std::fs;
use std::process::Command;

use super::transcript::PROGRAM;

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(PROGRAM).args(["generate", "man"]).arg(folder.path()).status().unwrap();
    assert!(status.success());
    let help = Command::new(PROGRAM).arg("help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut pages = vec!["prescreen.1".to_owned()];
    let named = commands.filter(|command| !matches!(*command, "" | "help"));
    pages.extend(named.map(|command| format!("prescreen-{command}.1")));
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(folder.path().join(&page)).unwrap_or_else(|_| panic!("no {page}"));
        assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{page}");
    }
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = Command::new(PROGRAM).args(["generate", "completions", shell]).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("prescreen") && text.contains("import-postfix"), "{shell}");
    }
}
