//! main.cf and master.cf, read as Postfix reads them: what is set, and where it stands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::table::{LogicalLine, LogicalLines, unbrace};

/// A parameter as set; `value` is not expanded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) value: String,
    /// `main.cf:12`, or `master.cf:3 (-o)`.
    pub(super) origin: String,
}

/// Every parameter that is set, by name.
pub(super) type Settings = BTreeMap<String, Setting>;

/// What was read, and what is odd about it.
#[derive(Debug, Default)]
pub(super) struct MainCf {
    pub(super) settings: Settings,
    /// Sentences for the report, each with its line.
    pub(super) oddities: Vec<String>,
}

/// Reads main.cf, or what `postconf` or `postconf -n` prints: the same syntax.
pub(super) fn read_main(text: &str, file: &str) -> MainCf {
    let mut read = MainCf::default();
    for (line, entry) in lines(text, file, &mut read.oddities) {
        let Some((name, value)) = assignment(&entry) else {
            read.oddities.push(format!("{file}:{line}: `{entry}` sets nothing: there is no `=` in it"));
            continue;
        };
        let origin = format!("{file}:{line}");
        let setting = Setting { value: value.to_owned(), origin: origin.clone() };
        if let Some(earlier) = read.settings.insert(name.to_owned(), setting) {
            let what =
                format!("{origin}: {name} is given twice; Postfix takes this one and not {}", earlier.origin);
            read.oddities.push(what);
        }
    }
    read
}

/// A line of master.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// `smtp`, `127.0.0.1:10025`
    pub(super) name: String,
    /// `inet`, `unix`, `pass`
    pub(super) kind: String,
    /// `y` or `n`: whether it runs in the queue directory; `-` for the default.
    pub(super) chroot: String,
    /// Processes at once, where that is not the default.
    pub(super) limit: Option<u32>,
    /// `smtpd`, `postscreen`
    pub(super) command: String,
    /// What `-o` sets for this service alone.
    pub(super) settings: Settings,
    pub(super) origin: String,
}

impl Service {
    /// Whether mail from the Internet comes in here: port 25, by name or number, on any address.
    pub(super) fn is_port_25(&self) -> bool {
        let port = self.name.rsplit(':').next();
        self.kind == "inet" && matches!(port, Some("smtp" | "25"))
    }
}

/// Reads master.cf; lines that make no sense are told and left out.
pub(super) fn read_master(text: &str, file: &str, oddities: &mut Vec<String>) -> Vec<Service> {
    let mut services = Vec::new();
    for (line, entry) in lines(text, file, oddities) {
        let fields = fields(&entry);
        let [name, kind, _private, _unprivileged, chroot, _wakeup, limit, command, arguments @ ..] =
            &fields[..]
        else {
            oddities.push(format!("{file}:{line}: `{entry}` is no service: eight fields are wanted"));
            continue;
        };
        let origin = format!("{file}:{line}");
        services.push(Service {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            chroot: (*chroot).to_owned(),
            limit: limit.parse().ok(),
            command: (*command).to_owned(),
            settings: options(arguments, &origin),
            origin,
        });
    }
    services
}

/// What blanks separate; braces keep theirs. Commas are part of a field here.
fn fields(entry: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = entry.trim_start();
    while !rest.is_empty() {
        let mut depth = 0_usize;
        let end = rest.find(|c: char| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && c.is_ascii_whitespace()
        });
        let (field, behind) = rest.split_at(end.unwrap_or(rest.len()));
        fields.push(field);
        rest = behind.trim_start();
    }
    fields
}

/// `-o name=value`, `-oname=value` and `-o { name = value }`; other options are not ours.
fn options(arguments: &[&str], origin: &str) -> Settings {
    let mut settings = Settings::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let given = match argument.strip_prefix("-o") {
            Some("") => arguments.next().copied(),
            attached => attached,
        };
        let Some(given) = given else { continue };
        let given = unbrace(given).unwrap_or(given);
        if let Some((name, value)) = assignment(given) {
            let origin = format!("{origin} (-o)");
            settings.insert(name.to_owned(), Setting { value: value.to_owned(), origin });
        }
    }
    settings
}

fn assignment(entry: &str) -> Option<(&str, &str)> {
    let (name, value) = entry.split_once('=')?;
    Some((name.trim(), value.trim()))
}

fn lines<'t>(text: &'t str, file: &str, oddities: &mut Vec<String>) -> Vec<(usize, Cow<'t, str>)> {
    let mut lines = Vec::new();
    for LogicalLine { number, text } in LogicalLines::of(text.as_bytes()) {
        match text {
            Ok(text) => lines.push((number, text)),
            Err(what) => oddities.push(format!("{file}:{number}: {what}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_continue_over_comments_and_the_last_of_two_wins() {
        let read = read_main("a = 1,\n# no\n  2\nb=\na = 3\nnonsense\n", "main.cf");
        assert_eq!(read.settings["a"], Setting { value: "3".into(), origin: "main.cf:5".into() });
        assert_eq!(read.settings["b"].value, "");
        assert_eq!(
            read.oddities,
            [
                "main.cf:5: a is given twice; Postfix takes this one and not main.cf:1",
                "main.cf:6: `nonsense` sets nothing: there is no `=` in it",
            ]
        );
    }

    #[test]
    fn services_carry_their_own_settings() {
        let text = "\
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
  -o smtpd_client_restrictions=permit_mynetworks,reject -o { smtpd_banner = hello there }
  -osoft_bounce=yes -v
192.0.2.1:25 inet n - - - - smtpd
nonsense
";
        let mut oddities = Vec::new();
        let services = read_master(text, "master.cf", &mut oddities);
        assert_eq!(services.len(), 3);
        assert!(services[0].is_port_25() && !services[1].is_port_25() && services[2].is_port_25());
        let set = &services[1].settings;
        assert_eq!(set["smtpd_client_restrictions"].value, "permit_mynetworks,reject");
        assert_eq!(set["smtpd_client_restrictions"].origin, "master.cf:2 (-o)");
        assert_eq!(set["smtpd_banner"].value, "hello there");
        assert_eq!(set["soft_bounce"].value, "yes");
        assert_eq!(oddities, ["master.cf:6: `nonsense` is no service: eight fields are wanted"]);
    }
}
