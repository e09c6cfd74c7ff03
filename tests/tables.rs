//! Every table type, match list and key order, as cases in `tests/tables/*.txt` that a mail admin can read and add to.
//!
//! ```text
//! [what the section shows]
//! type cidr                    a table whose file follows, each line behind `|`
//! |10.0.0.0/8  OK
//! ? 10.1.2.3 -> OK             what it answers; `nothing` if it does not have the key, `error: …` if it cannot answer
//! % 10.1.2.3 -> OK             the same, where Postfix answers otherwise; a comment says why
//! ! 1 all four octets          it does not load: line 1, and words of the message
//! ~ 1 reaches to the end       it loads with a warning
//!
//! table static:OK              a table without file
//! find client match            from here on keys go through access(5)'s orders: client, helo, address `+`
//! list match 10.0.0.0/8        a match list (match, dot, exact: parent domains); answers `yes` or `no`
//! keys address match +         the keys themselves; `!` marks those that every table gets
//! ```
//!
//! Postfix is the judge of the expectations: where postmap(1) is installed, every case marked `?` is put to it too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prescreen::table::{
    Extent, Key, LoadError, LookupError, MatchList, ParentDomains, Table, Warning, address_keys, host_keys,
    ip_keys,
};

#[test]
fn every_case_is_answered_as_written() {
    let mut failures = String::new();
    let mut cases = 0;
    for section in sections() {
        cases += section.cases.len() + section.errors.len() + section.warnings.len();
        for why in section.check() {
            let _ = writeln!(failures, "{}:{why} [{}]", section.file, section.title);
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(cases >= 300, "only {cases} cases: were files lost?");
}

#[test]
fn postfix_agrees() {
    let Some(postmap) = Postmap::installed() else {
        eprintln!("postmap(1) is not installed: Postfix was not asked");
        return;
    };
    let mut failures = String::new();
    let mut asked = 0;
    for section in sections() {
        let Some(spec) = section.lookup_spec().filter(|spec| postmap.knows(spec)) else { continue };
        let cases: Vec<_> = section.cases.iter().filter(|case| case.sign == '?').collect();
        let answers = postmap.ask(&spec, cases.iter().map(|case| case.key.as_str()));
        for Case { line, key, wanted, .. } in cases {
            asked += 1;
            let answer = answers.get(key).map_or("nothing", String::as_str);
            if answer != wanted {
                let _ = writeln!(
                    failures,
                    "{}:{line} {key}: wanted {wanted}, Postfix says {answer}",
                    section.file
                );
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(asked >= 200, "only {asked} cases were put to Postfix");
}

/// postmap(1) with a configuration of its own.
struct Postmap(tempfile::TempDir);

impl Postmap {
    fn installed() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("main.cf"),
            "compatibility_level = 3.6\nmeta_directory = /etc/postfix\n",
        )
        .unwrap();
        let postmap = Self(folder);
        postmap.knows("static:x").then_some(postmap)
    }

    /// Whether the table type is there; `pcre:` comes in a package of its own.
    fn knows(&self, spec: &str) -> bool {
        let probe = if spec.starts_with("pcre:") { "pcre:{ {/x/ x} }" } else { "static:x" };
        self.command(["-q", "x", probe]).output().is_ok_and(|output| output.stdout == b"x\n")
    }

    fn ask<'k>(&self, spec: &str, keys: impl Iterator<Item = &'k str>) -> HashMap<String, String> {
        let mut child =
            self.command(["-q", "-", spec]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        keys.for_each(|key| writeln!(stdin, "{key}").unwrap());
        drop(stdin);
        let answers = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let pairs = answers.lines().filter_map(|line| line.split_once('\t'));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("postmap");
        command.arg("-c").arg(self.0.path()).args(arguments).stderr(Stdio::null());
        command
    }
}

struct Section {
    file: String,
    title: String,
    subject: Subject,
    cases: Vec<Case>,
    /// Line and words.
    errors: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
    folder: tempfile::TempDir,
}

enum Subject {
    Table { spec: String, order: Order },
    List { text: String, parents: ParentDomains },
    Keys(Order),
}

/// In which order keys are made of what is sought.
#[derive(Clone)]
enum Order {
    Plain,
    Client(ParentDomains),
    Helo(ParentDomains),
    Address(ParentDomains, String),
}

struct Case {
    line: usize,
    sign: char,
    key: String,
    wanted: String,
}

/// What answers the cases of a section.
enum Loaded {
    Table(Table, Order),
    List(MatchList),
    Keys(Order),
}

impl Section {
    /// What is not as written.
    fn check(&self) -> Vec<String> {
        let (errors, warnings, subject) = match self.load() {
            Ok((warnings, subject)) => (Vec::new(), warnings, Some(subject)),
            Err(errors) => (errors, Vec::new(), None),
        };
        let errors: Vec<_> = errors.iter().map(error_parts).collect();
        let warnings: Vec<_> =
            warnings.iter().map(|Warning { line, what, .. }| (*line, what.clone())).collect();
        let findings =
            [differs("errors", &self.errors, &errors), differs("warnings", &self.warnings, &warnings)];
        let answers = self.cases.iter().filter_map(|Case { line, key, wanted, .. }| {
            let found = subject.as_ref()?.answer(key);
            let agrees = found == *wanted || wanted.starts_with("error:") && found.starts_with(wanted);
            (!agrees).then(|| format!("{line} {key}: wanted {wanted}, found {found}"))
        });
        findings.into_iter().flatten().chain(answers).collect()
    }

    fn load(&self) -> Result<(Vec<Warning>, Loaded), Vec<LoadError>> {
        Ok(match &self.subject {
            Subject::Table { spec, order } => {
                let table = Table::load(spec, self.folder.path())?;
                (table.warnings().to_vec(), Loaded::Table(table, order.clone()))
            }
            Subject::List { text, parents } => {
                let list = MatchList::load(text, self.folder.path(), *parents)?;
                (list.warnings().to_vec(), Loaded::List(list))
            }
            Subject::Keys(order) => (Vec::new(), Loaded::Keys(order.clone())),
        })
    }

    /// The table as postmap is to be asked for it.
    fn lookup_spec(&self) -> Option<String> {
        match &self.subject {
            Subject::Table { spec, order: Order::Plain } if !self.cases.is_empty() => {
                let (kind, name) = spec.split_once(':')?;
                let indexed = matches!(kind, "hash" | "btree" | "cdb" | "dbm" | "lmdb" | "sdbm");
                let file = self.folder.path().join(name);
                match file.exists() && !name.is_empty() {
                    true if indexed => None,
                    true => Some(format!("{kind}:{}", file.display())),
                    false => (kind != "fail" && kind != "proxy").then(|| spec.clone()),
                }
            }
            _ => None,
        }
    }
}

impl Loaded {
    fn answer(&self, key: &str) -> String {
        let error = |error: LookupError| format!("error: {}", error.what);
        match self {
            Self::Table(table, order) => match table.find(order.keys(key)) {
                Ok(found) => found.map_or("nothing".to_owned(), |found| found.value.into_owned()),
                Err(trouble) => error(trouble),
            },
            Self::List(list) => match has(list, key) {
                Ok(matches) => if matches { "yes" } else { "no" }.to_owned(),
                Err(trouble) => error(trouble),
            },
            Self::Keys(order) => order.keys(key).into_iter().map(mark).collect::<Vec<_>>().join(" "),
        }
    }
}

impl Order {
    fn keys<'k>(&self, text: &'k str) -> Vec<Key<'k>> {
        match self {
            Self::Plain => vec![Key::full(text)],
            Self::Client(parents) => {
                let (name, address) = text.strip_suffix(']').and_then(|text| text.split_once('[')).unwrap();
                host_keys(name, *parents).chain(ip_keys(address)).collect()
            }
            Self::Helo(parents) => host_keys(text, *parents).collect(),
            Self::Address(parents, delimiter) => match text.rsplit_once('@') {
                Some((local, domain)) => address_keys(local, Some(domain), delimiter, *parents),
                None => address_keys(text, None, delimiter, *parents),
            },
        }
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let order = words.next().unwrap();
        let parents = words.next().map_or(ParentDomains::Match, parents);
        match order {
            "client" => Self::Client(parents),
            "helo" => Self::Helo(parents),
            "address" => Self::Address(parents, words.next().unwrap_or_default().to_owned()),
            other => panic!("no order `{other}`"),
        }
    }
}

fn parents(text: &str) -> ParentDomains {
    match text {
        "match" => ParentDomains::Match,
        "dot" => ParentDomains::DotOnly,
        "exact" => ParentDomains::Exact,
        other => panic!("no parent domains `{other}`"),
    }
}

/// `name[address]`, an address, or a name.
fn has(list: &MatchList, key: &str) -> Result<bool, LookupError> {
    if let Some((name, address)) = key.strip_suffix(']').and_then(|key| key.split_once('['))
        && !name.is_empty()
    {
        return list.matches_client(Some(name), address.parse().unwrap());
    }
    match key.parse() {
        Ok(address) => list.matches_address(address),
        Err(_) => list.matches_name(key),
    }
}

fn mark(key: Key<'_>) -> String {
    match key.extent() {
        Extent::Full => format!("{}!", key.as_str()),
        Extent::Partial => key.as_str().to_owned(),
    }
}

fn error_parts(error: &LoadError) -> (usize, String) {
    match error {
        LoadError::Spec { what, .. } => (0, what.clone()),
        LoadError::Line { line, what, .. } => (*line, what.clone()),
    }
}

fn differs(kind: &str, wanted: &[(usize, String)], found: &[(usize, String)]) -> Option<String> {
    let agree = wanted.len() == found.len()
        && wanted.iter().zip(found).all(|((line, words), (at, what))| line == at && what.contains(words));
    (!agree).then(|| format!("{kind}: wanted {wanted:#?}, found {found:#?}"))
}

fn sections() -> Vec<Section> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut title = String::new();
    let mut order = Order::Plain;
    let text = fs::read_to_string(file).unwrap();
    for (index, line) in text.lines().enumerate() {
        let (head, rest) = line.split_at_checked(1).unwrap_or_default();
        let mut begin = |subject| {
            sections.push(Section {
                file: file.display().to_string(),
                title: title.clone(),
                subject,
                cases: Vec::new(),
                errors: Vec::new(),
                warnings: Vec::new(),
                folder: tempfile::tempdir().unwrap(),
            });
        };
        match head {
            "" | "#" => {}
            "[" => {
                title = rest.trim_end_matches(']').to_owned();
                order = Order::Plain;
            }
            "?" | "%" => {
                let (key, wanted) = rest.split_once(" -> ").unwrap_or_else(|| panic!("no `->` in {line}"));
                let case = Case {
                    line: index + 1,
                    sign: head.chars().next().unwrap(),
                    key: key.strip_prefix(' ').unwrap().to_owned(),
                    wanted: wanted.trim().to_owned(),
                };
                sections.last_mut().unwrap().cases.push(case);
            }
            "!" | "~" => {
                let (number, words) = rest.trim().split_once(' ').unwrap();
                let section = sections.last_mut().unwrap();
                let findings = if head == "!" { &mut section.errors } else { &mut section.warnings };
                findings.push((number.parse().unwrap(), words.to_owned()));
            }
            "|" => {
                let path = sections.last().unwrap().folder.path().join("file");
                let mut open = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
                writeln!(open, "{rest}").unwrap();
            }
            _ => {
                let (word, rest) = line.split_once(' ').unwrap();
                match word {
                    "type" => begin(Subject::Table { spec: format!("{rest}:file"), order: order.clone() }),
                    "table" => begin(Subject::Table { spec: rest.to_owned(), order: order.clone() }),
                    "find" => order = Order::parse(rest),
                    "keys" => begin(Subject::Keys(Order::parse(rest))),
                    "list" => {
                        let (mode, text) = rest.split_once(' ').unwrap_or((rest, ""));
                        begin(Subject::List { text: text.to_owned(), parents: parents(mode) });
                    }
                    other => panic!("{}:{}: no word `{other}`", file.display(), index + 1),
                }
            }
        }
    }
    sections
}

mod no_file_and_no_key_can_do_harm {
    use proptest::prelude::*;

    use super::{Path, Table};

    /// Rules that look like rules, and some that do not.
    fn rules() -> impl Strategy<Value = String> {
        let rule = prop_oneof![
            r"[!]?/[a-c.*+?(){}\[\]|^$\\dwsbQE<>:=!#1-9-]{0,12}/[imxsAUE]{0,2} [A-Z$1-3{}()]{0,6}",
            r"[!]?[0-9a-f:.\[\]]{1,12}(/[0-9]{1,3})? [A-Z]{0,4}",
            r#"[a-z"\\ ]{0,6}[ \t]+[A-Z ]{0,6}"#,
            "(if|endif|IF) ?[!]?(/a/|10.0.0.0/8|::/0)?",
            any::<String>(),
        ];
        proptest::collection::vec(rule, 0..8).prop_map(|rules| rules.join("\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn whatever_the_file_holds_it_loads_or_is_refused(
            kind in prop_oneof![Just("cidr"), Just("regexp"), Just("pcre"), Just("texthash"), Just("hash")],
            text in rules(),
            key in any::<String>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("file"), &text).unwrap();
            match Table::load(&format!("{kind}:file"), folder.path()) {
                Ok(table) => {
                    for key in [&*key, "abc", "10.1.2.3", "::1"] {
                        if let Ok(Some(value)) = table.lookup(key) {
                            prop_assert!(!value.is_empty());
                        }
                    }
                }
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }

        #[test]
        fn whatever_a_table_is_called_it_loads_or_is_refused(
            kind in "(cidr|regexp|pcre|inline|static|fail|proxy:inline|x)?",
            name in r"[:{}, a-z/=!0-9.]{0,20}",
        ) {
            match Table::load(&format!("{kind}{name}"), Path::new("/nonexistent")) {
                Ok(table) => drop(table.lookup("a")),
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }
    }
}
