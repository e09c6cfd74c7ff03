//! What users read of the table of keys: the example file, where every key stands with its default, commented out;
//! and the reference.

use super::Config;
use super::keys::{Section, listener, sections};
use super::listen::Listener;

const WIDTH: usize = 110;
const FORM_COLUMN: usize = 42;

const HEAD: &str = "\
# prescreen.toml: every key with its default. Uncomment what you change.
#
# Times are a number with s, m, h, d or w, such as \"6s\"; a bare number has the unit in brackets. Relative file names
# are taken from this file's folder. Each key can also be set by the environment (PRESCREEN_SCREEN_GREET_WAIT=6s, or
# PRESCREEN_SCREEN_GREET_WAIT_FILE=/run/secrets/…) and, before all else, on the command line
# (--set screen.greet_wait=6s). `prescreen check --config prescreen.toml` names every error at once.
";

/// The commented default configuration.
pub fn example() -> String {
    let (mut config, mut listen) = (Config::default(), Listener::default());
    let mut text = String::from(HEAD);
    for section in sections(&mut config) {
        let top = section.name.is_empty();
        if !top {
            text.push_str(&format!("\n[{}]\n", section.name));
        }
        write(&mut text, &section);
        if top {
            let listener = listener(&mut listen);
            text.push_str("\n# [[listen]]\n");
            write(&mut text, &listener);
        }
    }
    text
}

/// All keys in a Markdown table for each section.
pub fn reference() -> String {
    let (mut config, mut listen) = (Config::default(), Listener::default());
    let mut text = String::new();
    let mut all = sections(&mut config);
    all.insert(1, listener(&mut listen));
    for section in all {
        if !section.name.is_empty() {
            text.push_str(&format!("\n## `[{}]`\n\n{}\n\n", section.name, section.doc));
        }
        text.push_str("| key | value | default | |\n|---|---|---|---|\n");
        for key in section.keys {
            let default = key.slot.show().map_or(String::new(), |value| format!("`{value}`"));
            let form = key.slot.form();
            text.push_str(&format!("| `{}` | {form} | {default} | {} |\n", key.name, key.doc));
        }
    }
    text
}

fn write(text: &mut String, section: &Section<'_>) {
    comment(text, section.doc);
    for key in &section.keys {
        text.push('\n');
        comment(text, key.doc);
        let line = match key.slot.show() {
            Some(value) => format!("#{} = {value}", key.name),
            None => format!("# {} =", key.name),
        };
        text.push_str(&format!("{line:FORM_COLUMN$}  # {}\n", key.slot.form()));
    }
}

/// Breaks a text into comment lines.
pub(super) fn comment(text: &mut String, doc: &str) {
    let mut line = String::from("#");
    for word in doc.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 1 {
        text.push_str(&line);
        text.push('\n');
    }
}
