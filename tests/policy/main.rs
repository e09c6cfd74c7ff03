//! Plays the cases in `tests/policy/*.txt`: what the restriction lists say, with the full reply.
//!
//! `tests/policy/00-how-to-read.txt` explains how a case is written.

#![allow(clippy::unwrap_used, clippy::panic)]

mod settings;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use prescreen::dns::{Resolver, Zone};
use prescreen::policy::{
    Carry, ClientNames, Decision, Facts, Judgement, NameStatus, Names, Policy, Probed, Stage, TlsFacts,
    Trace, Verifier,
};
use prescreen::smtp::address::{Address, PathSyntax};
use prescreen::smtp::command::Command;
use prescreen::smtp::envelope::{Helo, Mail, Protocol, Rcpt};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

/// Decisions that the files hold at least, so that none gets lost unseen.
const DECISIONS: usize = 900;

#[tokio::test]
async fn every_case_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let (mut decisions, mut wrong) = (0, Vec::new());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        for case in cases(&name, &text) {
            let results = case.play().await;
            decisions += results.len();
            wrong.extend(results.into_iter().filter_map(Result::err));
        }
    }
    assert!(wrong.is_empty(), "{} of {decisions} went otherwise:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(decisions >= DECISIONS, "{decisions} decisions are fewer than {DECISIONS}");
    println!("{decisions} decisions");
}

/// What stands between one `==` and the next.
struct Case<'t> {
    place: String,
    given: Given<'t>,
    tries: Vec<Try<'t>>,
}

#[derive(Default)]
struct Given<'t> {
    settings: Vec<(&'t str, &'t str)>,
    zone: String,
    /// The lines of each file.
    files: HashMap<&'t str, String>,
    /// The action with which each policy server answers.
    servers: Vec<(&'t str, &'t str)>,
    probes: HashMap<&'t str, Probed>,
}

struct Try<'t> {
    line: usize,
    what: What<'t>,
    wanted: Vec<&'t str>,
}

enum What<'t> {
    /// Facts, and whether they go on from those before.
    Judge { facts: &'t str, goes_on: bool },
    /// A setting that must be refused, with what must be said of it.
    Refused { key: &'t str, value: &'t str },
}

fn cases<'t>(file: &str, text: &'t str) -> Vec<Case<'t>> {
    let mut cases: Vec<Case<'t>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", index + 1);
        let line_text = line.trim();
        if line_text.is_empty() || line_text.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            let place = format!("{place} ({title})");
            cases.push(Case { place, given: Given::default(), tries: Vec::new() });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{place}: nothing has begun"));
        if line.starts_with(' ') {
            let last = case.tries.last_mut().unwrap_or_else(|| panic!("{place}: nothing was tried"));
            last.wanted.push(line_text);
            continue;
        }
        let (word, rest) =
            line.split_once(": ").unwrap_or_else(|| panic!("{place}: `{line}` has no `word: `"));
        let pair = |separator| {
            let (key, value) =
                rest.split_once(separator).unwrap_or_else(|| panic!("{place}: no `{separator}`"));
            (key.trim(), value.trim())
        };
        let what = match word {
            "set" => {
                case.given.settings.push(pair("="));
                continue;
            }
            "zone" => {
                case.given.zone.push_str(rest);
                case.given.zone.push('\n');
                continue;
            }
            "file" => {
                let (name, line) = pair("=");
                *case.given.files.entry(name).or_default() += &format!("{line}\n");
                continue;
            }
            "server" => {
                case.given.servers.push(pair("->"));
                continue;
            }
            "probe" => {
                let (address, answer) = pair("->");
                case.given.probes.insert(address, probed(answer));
                continue;
            }
            "try" => What::Judge { facts: rest, goes_on: false },
            "then" => What::Judge { facts: rest, goes_on: true },
            "refused" => {
                let (key, value) = pair("=");
                What::Refused { key, value }
            }
            _ => panic!("{place}: `{word}` is not known"),
        };
        case.tries.push(Try { line: index + 1, what, wanted: Vec::new() });
    }
    cases
}

fn probed(answer: &str) -> Probed {
    match answer.split_once(' ').unwrap_or((answer, "")) {
        ("deliverable", _) => Probed::Deliverable,
        ("undeliverable", why) => Probed::Undeliverable(why.to_owned()),
        ("deferred", why) => Probed::Deferred(why.to_owned()),
        ("failed", _) => Probed::Failed,
        _ => panic!("`{answer}` is no answer to a probe"),
    }
}

impl Case<'_> {
    async fn play(&self) -> Vec<Result<(), String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, lines) in &self.given.files {
            fs::write(folder.path().join(name), lines).unwrap();
        }
        let servers: Vec<_> =
            self.given.servers.iter().map(|(name, action)| serve(&folder, name, action)).collect();
        let policy = self.policy(&self.given.settings, &folder);
        let (mut session, mut results) = (Session::default(), Vec::new());
        for attempt in &self.tries {
            let result = match attempt.what {
                What::Refused { key, value } => self.refused(key, value, &attempt.wanted, &folder),
                What::Judge { facts, goes_on } => {
                    let policy =
                        policy.as_ref().unwrap_or_else(|errors| panic!("{}: {errors:#?}", self.place));
                    if !goes_on {
                        session = Session::default();
                    }
                    let mut trace = Trace::on();
                    let judgement = session.judge(policy, facts, &mut trace).await;
                    compare(&attempt.wanted, &shown(&judgement)).map_err(|difference| {
                        format!(
                            "try: {facts}\n{difference}\nnotes: {:#?}\n{:#?}",
                            judgement.notes,
                            trace.steps()
                        )
                    })
                }
            };
            results.push(result.map_err(|wrong| format!("{}, line {}\n{wrong}", self.place, attempt.line)));
        }
        for server in servers {
            server.abort();
        }
        results
    }

    fn policy(&self, given: &[(&str, &str)], folder: &TempDir) -> Result<Policy, Vec<String>> {
        let mut settings = settings::bare();
        for (key, value) in given {
            settings::set(&mut settings, key, value)
                .unwrap_or_else(|why| panic!("{}: {key}: {why}", self.place));
        }
        let zone = Zone::parse(&self.given.zone).unwrap_or_else(|error| panic!("{}: {error}", self.place));
        let policy = Policy::new(settings, Resolver::from_zone(zone), folder.path())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        if self.given.probes.is_empty() {
            return Ok(policy);
        }
        let answers =
            self.given.probes.iter().map(|(address, probed)| ((*address).to_owned(), probed.clone()));
        Ok(policy.with_verifier(Arc::new(Oracle(answers.collect()))))
    }

    fn refused(&self, key: &str, value: &str, wanted: &[&str], folder: &TempDir) -> Result<(), String> {
        let mut given = self.given.settings.clone();
        given.push((key, value));
        match self.policy(&given, folder) {
            Ok(_) => Err(format!("`{key} = {value}` was not refused")),
            Err(problems) => {
                let said: Vec<_> = problems.iter().map(|problem| format!("-> {problem}")).collect();
                let matches = said.len() == wanted.len()
                    && said.iter().zip(wanted).all(|(said, wanted)| match wanted.strip_suffix('…') {
                        Some(start) => said.starts_with(start),
                        None => said == wanted,
                    });
                if matches {
                    return Ok(());
                }
                Err(format!("wanted {wanted:#?}\nbut    {said:#?}"))
            }
        }
    }
}

/// Answers probes from a list; of any other address nobody can be asked.
struct Oracle(HashMap<String, Probed>);

impl Verifier for Oracle {
    fn probe<'a>(&'a self, address: &'a Address) -> Pin<Box<dyn Future<Output = Probed> + Send + 'a>> {
        let probed = self.0.get(address.as_str()).cloned().unwrap_or(Probed::Failed);
        Box::pin(std::future::ready(probed))
    }
}

/// A policy server on a unix socket that gives every request the same action; `$recipient` is the recipient's.
fn serve(folder: &TempDir, name: &str, action: &str) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(folder.path().join(name)).unwrap();
    let action = action.to_owned();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let action = action.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut line, mut attributes) = (String::new(), HashMap::new());
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    if let Some((name, value)) = line.trim_end().split_once('=') {
                        attributes.insert(format!("${name}"), value.to_owned());
                    } else {
                        let mut answer = format!("action={action}\n\n");
                        // The longest names first: $recipient_count is not $recipient.
                        let mut told: Vec<_> = attributes.drain().collect();
                        told.sort_by_key(|(name, _): &(String, String)| Reverse(name.len()));
                        for (name, value) in told {
                            answer = answer.replace(&name, &value);
                        }
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    })
}

/// What a client has said so far.
struct Session {
    client: String,
    names: ClientNames,
    carry: Carry,
    helo: Option<Helo>,
    mail: Option<Mail>,
    rcpt: Option<Rcpt>,
    etrn: Option<String>,
    accepted: usize,
    tls: Option<TlsFacts>,
    pipelined: bool,
    size: String,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            client: "203.0.113.7".into(),
            names: ClientNames::default(),
            carry: Carry::default(),
            helo: Some(Helo::new(Protocol::Esmtp, "client.example")),
            mail: Some(mail("<sender@client.example>")),
            rcpt: Some(rcpt("<user@example.com>")),
            etrn: None,
            accepted: 0,
            tls: None,
            pipelined: false,
            size: String::new(),
        }
    }
}

impl Session {
    async fn judge(&mut self, policy: &Policy, facts: &str, trace: &mut Trace) -> Judgement {
        let mut stage = Stage::Rcpt;
        for fact in facts.split(", ").map(str::trim).filter(|fact| !fact.is_empty() && *fact != "everything")
        {
            let (word, value) = fact.split_once(' ').unwrap_or((fact, ""));
            match (word, value) {
                ("at", name) => stage = self.stage(name),
                ("client", client) => self.client(client),
                ("helo" | "ehlo", "none") => self.helo = None,
                ("helo", name) => self.helo = Some(helo(Protocol::Smtp, name)),
                ("ehlo", name) => self.helo = Some(helo(Protocol::Esmtp, name)),
                ("from", "none") => self.mail = None,
                ("from", path) => self.mail = Some(mail(&format!("{path}{}", self.size))),
                ("to", "none") => self.rcpt = None,
                ("to", path) => self.rcpt = Some(rcpt(path)),
                ("etrn", domain) => self.etrn = Some(domain.to_owned()),
                ("accepted", count) => self.accepted = count.parse().unwrap(),
                ("tls", _) => {
                    let cipher = "TLS_AES_256_GCM_SHA384".to_owned();
                    self.tls = Some(TlsFacts { protocol: "TLSv1.3".to_owned(), cipher, bits: 256 });
                }
                ("pipelined", _) => self.pipelined = true,
                _ => panic!("`{fact}` is no fact"),
            }
        }
        let facts = Facts {
            client: format!("[{}]:1025", self.client)
                .parse()
                .or_else(|_| format!("{}:1025", self.client).parse())
                .unwrap(),
            server: "198.51.100.25:25".parse().unwrap(),
            names: &self.names,
            helo: self.helo.as_ref(),
            mail: self.mail.as_ref(),
            rcpt: self.rcpt.as_ref(),
            etrn: self.etrn.as_deref(),
            accepted: self.accepted,
            tls: self.tls.as_ref(),
            pipelined: self.pipelined,
            id: "00000000000A".parse().unwrap(),
            transaction: 3,
        };
        policy.judge(stage, &facts, &mut self.carry, trace).await
    }

    /// The stage of this name; before MAIL nothing of an envelope is known.
    fn stage(&mut self, name: &str) -> Stage {
        match name {
            "connect" => (self.helo, self.mail, self.rcpt) = (None, None, None),
            "helo" | "etrn" => (self.mail, self.rcpt) = (None, None),
            "mail" => self.rcpt = None,
            _ => {}
        }
        match name {
            "connect" => Stage::Connect,
            "helo" => Stage::Helo,
            "mail" => Stage::Mail,
            "rcpt" => Stage::Rcpt,
            "data" => Stage::Data,
            "vrfy" => Stage::Vrfy,
            "etrn" => Stage::Etrn,
            _ => panic!("`{name}` is no stage"),
        }
    }

    /// `address`, whose names are looked up; `name[address]`; `unknown[address]`, with what is wrong behind it.
    fn client(&mut self, client: &str) {
        let Some((name, rest)) = client.split_once('[') else {
            client.clone_into(&mut self.client);
            return;
        };
        let (address, why) = rest.split_once(']').unwrap();
        address.clone_into(&mut self.client);
        let names = match (name, why.trim().split_once(' ').unwrap_or((why.trim(), ""))) {
            ("unknown", ("", _)) => Names::unknown(NameStatus::Permanent),
            ("unknown", ("temporary", _)) => Names::unknown(NameStatus::Temporary),
            ("unknown", ("claims", reverse)) => Names {
                name: None,
                reverse: Some(reverse.to_owned()),
                status: NameStatus::Forged,
                reverse_status: NameStatus::Ok,
            },
            (name, ("", _)) => Names {
                name: Some(name.to_owned()),
                reverse: Some(name.to_owned()),
                status: NameStatus::Ok,
                reverse_status: NameStatus::Ok,
            },
            _ => panic!("`{client}` is no client"),
        };
        self.names = ClientNames::known(names);
    }
}

fn helo(protocol: Protocol, name: &str) -> Helo {
    Helo::new(protocol, name)
}

fn mail(path: &str) -> Mail {
    match Command::parse(format!("MAIL FROM:{path} SMTPUTF8").as_bytes(), PathSyntax::Lenient) {
        Ok(Command::Mail(mail)) => mail,
        other => panic!("MAIL FROM:{path}: {other:?}"),
    }
}

fn rcpt(path: &str) -> Rcpt {
    match Command::parse(format!("RCPT TO:{path}").as_bytes(), PathSyntax::Lenient) {
        Ok(Command::Rcpt(rcpt)) => rcpt,
        other => panic!("RCPT TO:{path}: {other:?}"),
    }
}

/// A judgement, line by line, as cases write it.
fn shown(judgement: &Judgement) -> Vec<String> {
    let mut lines = match &judgement.decision {
        Decision::Permit => vec!["-> permit".to_owned()],
        Decision::Refuse { reply, .. } => vec![format!("-> {reply}")],
        Decision::HangUp { .. } => vec!["-> hangup".to_owned()],
    };
    if let Decision::Refuse { cause, .. } | Decision::HangUp { cause } = &judgement.decision {
        let mut by = format!("by: {} {} `{}`", cause.list.as_str(), cause.verb, cause.restriction);
        if let Some(table) = &cause.table {
            by += &format!(" {table} {}", cause.key.as_deref().unwrap_or("-"));
        }
        if cause.unanswered {
            by += ", unanswered";
        }
        lines.push(by);
    }
    lines.extend(judgement.effects.prepend.iter().map(|line| format!("prepend: {line}")));
    lines.extend(judgement.effects.bcc.iter().map(|address| format!("bcc: {address}")));
    lines.extend(
        judgement
            .notes
            .iter()
            .map(|note| format!("{}: {}", note.kind.as_str(), note.text).trim_end().to_owned()),
    );
    lines
}

/// The decision and its effects must be as wanted, and so must be notes; who decided only where it is written.
fn compare(wanted: &[&str], said: &[String]) -> Result<(), String> {
    let names_who = wanted.iter().any(|line| line.starts_with("by: "));
    let said: Vec<_> = said.iter().filter(|line| names_who || !line.starts_with("by: ")).collect();
    let same = said.len() == wanted.len()
        && said.iter().zip(wanted).all(|(said, wanted)| match wanted.strip_suffix('…') {
            Some(start) => said.starts_with(start),
            None => said == wanted,
        });
    if same { Ok(()) } else { Err(format!("wanted {wanted:#?}\nbut    {said:#?}")) }
}
