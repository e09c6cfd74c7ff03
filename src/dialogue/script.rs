//! Plays the dialogues in `tests/dialogues/*.txt`; `00-how-to-read.txt` says how they are written.
//!
//! It lives here and not beside them because only the crate itself can make a client that was screened.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::allowlist::Test;
use crate::policy::{
    Cause, ClientNames, Decision, Facts, Judgement, List, NameStatus, Names, Note, NoteKind, Stage, TlsFacts,
};
use crate::screen::{Action, Screened};
use crate::smtp::address::PathSyntax;
use crate::smtp::capability::Capabilities;
use crate::smtp::line::LineBuffer;
use crate::smtp::reply::Reply;
use crate::tls::Starttls;

#[test]
fn every_dialogue_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut wrong = Vec::new();
    let mut played = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for dialogue in dialogues(&text) {
            played += 1;
            if let Err((line, what)) = play(&dialogue) {
                wrong.push(format!("{}:{line}: {what}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {played} dialogues went otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(played >= 40, "only {played} dialogues found");
}

/// A line of a script, with its number in the file.
type Numbered<'a> = (usize, &'a str);

/// What went otherwise, and where.
type Wrong = (usize, String);

/// The dialogues of a file: each begins with `== what it shows`.
fn dialogues(text: &str) -> Vec<Vec<Numbered<'_>>> {
    let mut dialogues = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end())) {
        if line.starts_with("== ") {
            dialogues.push(Vec::new());
        } else if !line.is_empty() && !line.starts_with('#') {
            dialogues.last_mut().expect("a dialogue begins with `== what it shows`").push((number, line));
        }
    }
    dialogues
}

fn play(script: &[Numbered<'_>]) -> Result<(), Wrong> {
    let is_setting = |(_, line): &Numbered<'_>| {
        line.split_once(": ").is_some_and(|(key, _)| key.len() > 1 && key != "TLS")
    };
    let (settings, talk): (Vec<_>, Vec<_>) = script.iter().copied().partition(is_setting);
    let mut setting = Setting::default();
    for (number, line) in settings {
        setting.read(line).map_err(|what| (number, what))?;
    }
    let mut stage = setting.enter();
    let mut talk = talk.into_iter().peekable();
    while let Some((number, line)) = talk.next() {
        let said = |line: &str| line.strip_prefix("C: ").or(line.strip_prefix("C:")).map(str::to_owned);
        let done = if let Some(text) = said(line) {
            let mut bytes = client_bytes(&text);
            while let Some(text) = talk.peek().and_then(|(_, line)| said(line)) {
                bytes.extend(client_bytes(&text));
                talk.next();
            }
            stage.client(&bytes)
        } else if let Some(reply) = line.strip_prefix("S: ") {
            stage.expect_server(reply)
        } else if let Some(text) = line.strip_prefix("B: ") {
            stage.expect_backend(text)
        } else if let Some(fact) = line.strip_prefix("R: ") {
            stage.expect_finding(fact)
        } else if let Some(time) = line.strip_prefix('~') {
            stage.wait(time)
        } else if let Some(protocol) = line.strip_prefix("TLS: ") {
            stage.secure(protocol)
        } else {
            Err(format!("`{line}` is no line of a dialogue"))
        };
        done.map_err(|what| (number, what))?;
    }
    let last = script.last().map_or(0, |(number, _)| *number);
    stage.expect_silence().map_err(|what| (last, what))
}

/// What stands before the talk.
#[derive(Default)]
struct Setting {
    settings: Option<Settings>,
    deep: Vec<(Test, Action)>,
    standing: Option<Reply>,
    teased: bool,
    offer: Vec<String>,
    starttls: Starttls,
    auth: Auth,
    encryption: Encryption,
    rules: Vec<Rule>,
    command_time_limit: Option<Duration>,
}

impl Setting {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once(": ").ok_or("no value")?;
        match key {
            "set" => self.set(value),
            "deep" => self.deep.extend(value.split(", ").map(deep_test)),
            "standing" => self.standing = Some(reply(value)),
            "teased" => self.teased = value == "yes",
            "offer" => self.offer = value.split(", ").map(str::to_owned).collect(),
            "starttls" => self.starttls = value.parse()?,
            "auth" => self.auth = value.parse()?,
            "encryption" if value == "required" => self.encryption = Encryption::Required,
            "policy" => self.rules.push(Rule::read(value)),
            _ => return Err(format!("`{key}` is no setting")),
        }
        Ok(())
    }

    fn set(&mut self, assignment: &str) {
        let (key, value) = assignment.split_once(" = ").unwrap();
        let settings = self.settings.get_or_insert_with(default_settings);
        let number = || value.parse::<u32>().unwrap();
        match key {
            "helo_required" => settings.helo_required = value == "yes",
            "disable_vrfy_command" => settings.disable_vrfy_command = value == "yes",
            "strict_rfc821_envelopes" => settings.strict_rfc821_envelopes = PathSyntax::Strict,
            "forbidden_commands" => value.clone_into(&mut settings.forbidden_commands),
            "discard_ehlo_keywords" => {
                settings.discard_ehlo_keywords = value.split(", ").map(str::to_owned).collect();
            }
            "mode" => settings.mode = value.parse().unwrap(),
            "message_size_limit" => settings.message_size_limit = number().into(),
            "recipient_limit" => settings.recipient_limit = number() as usize,
            "recipient_overshoot_limit" => settings.recipient_overshoot_limit = number() as usize,
            "command_count_limit" => settings.command_count_limit = number(),
            "line_length_limit" => settings.line_length_limit = number() as usize,
            "soft_bounce" => settings.soft_bounce = value == "yes",
            "reject_footer" if value == "default" => {
                settings.reject_footer = Settings::default().reject_footer;
            }
            "reject_footer" => settings.reject_footer = Some(value.parse().unwrap()),
            "reject_footer_maps" => value.clone_into(&mut settings.reject_footer_maps),
            "discard_ehlo_keyword_address_maps" => {
                value.clone_into(&mut settings.discard_ehlo_keyword_address_maps);
            }
            "hard_error_limit" => settings.errors.hard_error_limit = number(),
            "soft_error_limit" => settings.errors.soft_error_limit = number(),
            "error_sleep_time" => settings.errors.error_sleep_time = seconds(value),
            "junk_command_limit" => settings.errors.junk_command_limit = number(),
            "recipient_error_limit" => settings.errors.recipient_error_limit = number(),
            "command_time_limit" => self.command_time_limit = Some(seconds(value)),
            _ => panic!("no such setting: {key}"),
        }
    }

    fn enter(self) -> Stagehand {
        let names = Names {
            name: Some("client.example".into()),
            reverse: Some("client.example".into()),
            status: NameStatus::Ok,
            reverse_status: NameStatus::Ok,
        };
        let peer = Peer {
            client: "192.0.2.1:4242".parse().unwrap(),
            server: "198.51.100.1:25".parse().unwrap(),
            names: ClientNames::known(names),
            id: "000000000001".parse().unwrap(),
        };
        let mut settings = self.settings.unwrap_or_else(default_settings);
        settings.tables = Tables::load(&settings, Path::new("/")).unwrap();
        let lines = std::iter::once("backend".to_owned()).chain(self.offer);
        let capabilities = Arc::new(Capabilities::from_reply(&Reply::multiline(250, lines)));
        let offer =
            Offer { capabilities, starttls: self.starttls, auth: self.auth, encryption: self.encryption };
        let screened = Screened::for_test(self.standing, self.deep, self.teased);
        let line_length_limit = settings.line_length_limit;
        let mut stage = Stagehand {
            session: Session::new(Arc::new(settings), peer, screened, offer),
            line_length_limit,
            command_time_limit: self.command_time_limit.unwrap_or(Duration::from_secs(300)),
            rules: self.rules,
            buffer: LineBuffer::new(),
            events: VecDeque::new(),
            findings: VecDeque::new(),
            asked: None,
            place: Place::Dialogue,
        };
        let step = stage.session.greet();
        stage.take(step);
        stage
    }
}

fn default_settings() -> Settings {
    Settings {
        hostname: "mx.example".into(),
        banner: "mx.example ESMTP".into(),
        // The scripts show refusals without what differs from one connection to the next.
        reject_footer: None,
        ..Settings::default()
    }
}

fn deep_test(text: &str) -> (Test, Action) {
    let (test, action) = text.split_once(' ').unwrap();
    let test = Test::ALL.into_iter().find(|known| known.as_str() == test).unwrap();
    let action = match action {
        "ignore" => Action::Ignore,
        "enforce" => Action::Enforce,
        "drop" => Action::Drop,
        _ => panic!("no such action: {action}"),
    };
    (test, action)
}

/// What a restriction list says of a command.
struct Rule {
    stage: Stage,
    /// The address or name that it concerns; `*` for any.
    subject: String,
    says: String,
}

impl Rule {
    fn read(text: &str) -> Self {
        let (when, says) = text.split_once(" -> ").unwrap();
        let (stage, subject) = when.split_once(' ').unwrap_or((when, "*"));
        let stage = match stage {
            "connect" => Stage::Connect,
            "helo" => Stage::Helo,
            "mail" => Stage::Mail,
            "rcpt" => Stage::Rcpt,
            "data" => Stage::Data,
            "vrfy" => Stage::Vrfy,
            "etrn" => Stage::Etrn,
            "starttls" => Stage::StartTls,
            "auth" => Stage::Auth,
            _ => panic!("no such stage: {stage}"),
        };
        Self { stage, subject: subject.to_owned(), says: says.to_owned() }
    }

    fn concerns(&self, stage: Stage, facts: &Facts<'_>) -> bool {
        let subject = match stage {
            Stage::Connect | Stage::StartTls | Stage::Auth => None,
            Stage::Helo => facts.helo.map(|helo| helo.name.clone()),
            Stage::Mail => facts.mail.map(|mail| mail.sender.as_str().to_owned()),
            Stage::Rcpt | Stage::Vrfy => facts.rcpt.map(|rcpt| rcpt.recipient.as_str().to_owned()),
            Stage::Data => facts.pipelined.then(|| "pipelined".to_owned()),
            Stage::Etrn => facts.etrn.map(str::to_owned),
        };
        self.stage == stage && (self.subject == "*" || subject.as_deref() == Some(&self.subject))
    }

    fn apply(&self, judgement: &mut Judgement) {
        let because = |verb: &'static str| Cause {
            list: List::Recipient,
            verb,
            restriction: format!("{verb} …"),
            table: None,
            key: None,
            unanswered: false,
        };
        let cause = because("check_recipient_access");
        match self.says.split_once(' ').unwrap_or((&self.says, "")) {
            ("HANGUP", _) => judgement.decision = Decision::HangUp { cause },
            ("PREPEND", line) => judgement.effects.prepend.push(line.to_owned()),
            ("BCC", address) => judgement.effects.bcc.push(address.to_owned()),
            ("WARN", text) => {
                judgement.notes.push(Note { kind: NoteKind::Warn, cause, text: text.to_owned() });
            }
            ("SERVICE", said) => {
                let cause = because("check_policy_service");
                judgement.decision = Decision::Refuse { reply: reply(said), cause };
            }
            (known @ ("UNKNOWN" | "UNANSWERED"), said) => {
                let unanswered = known == "UNANSWERED";
                let cause = Cause { unanswered, ..because("reject_unverified_recipient") };
                judgement.decision = Decision::Refuse { reply: reply(said), cause };
            }
            _ => judgement.decision = Decision::Refuse { reply: reply(&self.says), cause },
        }
    }
}

/// Runs one dialogue.
struct Stagehand {
    session: Session,
    line_length_limit: usize,
    command_time_limit: Duration,
    rules: Vec<Rule>,
    buffer: LineBuffer,
    events: VecDeque<Event>,
    findings: VecDeque<String>,
    /// The recipient that the backend has been asked for.
    asked: Option<Checked>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Dialogue,
    Relay(ContentCommand),
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Delay(Duration),
    Server(String),
    Closed,
    Backend(String),
}

impl Stagehand {
    fn client(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.expect_silence()?;
        match self.place {
            Place::Closed => Err("the connection is closed".to_owned()),
            Place::Relay(_) => {
                self.relay(bytes);
                Ok(())
            }
            Place::Dialogue => {
                // The network may cut anywhere.
                let (first, second) = bytes.split_at(bytes.len() / 2);
                self.buffer.push(first);
                self.buffer.push(second);
                Ok(())
            }
        }
    }

    /// Lets the session take lines until something happens.
    fn pump(&mut self) {
        while self.events.is_empty() && self.asked.is_none() && self.place == Place::Dialogue {
            let step = match self.buffer.next_line(self.line_length_limit) {
                None => return,
                Some(Err(_)) => self.session.too_long(),
                Some(Ok(line)) => self.session.line(&line, Waiting::of(self.buffer.as_slice())),
            };
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Reply { reply, delay } => self.reply(&[reply], delay),
            Step::Close { replies, delay } => {
                self.reply(&replies, delay);
                self.events.push_back(Event::Closed);
                self.place = Place::Closed;
            }
            Step::Judge(pending) => {
                let judgement = self.judge(&pending);
                let step = self.session.decided(pending, judgement);
                self.take(step);
            }
            Step::Forward(checked) => {
                self.events.push_back(Event::Backend(checked.rcpt().command.clone()));
                self.asked = Some(checked);
            }
            Step::Relay(released) => {
                for line in &released.effects().prepend {
                    self.events.push_back(Event::Backend(format!("(in front) {line}")));
                }
                for address in &released.effects().bcc {
                    self.events.push_back(Event::Backend(format!("(also to) {address}")));
                }
                self.events.push_back(Event::Backend(released.command().line()));
                self.place = Place::Relay(released.command());
                let early = self.buffer.take();
                self.relay(&early);
            }
            Step::StartTls(reply) => self.reply(&[reply], None),
            Step::Passthrough(passthrough) => {
                self.events.push_back(Event::Backend(passthrough.line()));
                // What follows is the backend's.
                self.place = Place::Relay(ContentCommand::Data);
            }
        }
        let found = self.session.take_findings();
        self.findings.extend(found.iter().map(shown));
    }

    fn reply(&mut self, replies: &[Reply], delay: Option<Duration>) {
        self.events.extend(delay.map(Event::Delay));
        for reply in replies {
            let wire = String::from_utf8(reply.to_wire()).unwrap();
            self.events.extend(wire.split_terminator("\r\n").map(|line| Event::Server(line.to_owned())));
        }
    }

    fn relay(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.events.push_back(Event::Backend(line.trim_ascii_end().escape_ascii().to_string()));
        }
    }

    fn judge(&self, pending: &Pending) -> Judgement {
        let facts = pending.facts(&self.session);
        let mut judgement = Judgement::default();
        let concerned = self.rules.iter().filter(|rule| rule.concerns(pending.stage(), &facts));
        concerned.for_each(|rule| rule.apply(&mut judgement));
        judgement
    }

    fn expect(&mut self, expected: &str, of: impl Fn(Event) -> Result<String, Event>) -> Result<(), String> {
        self.pump();
        let got = self.events.pop_front().ok_or_else(|| format!("expected `{expected}`, nothing came"))?;
        let got = of(got).map_err(|other| format!("expected `{expected}`, got {other:?}"))?;
        let same = match expected.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == expected,
        };
        if same { Ok(()) } else { Err(format!("expected `{expected}`, got `{got}`")) }
    }

    fn expect_server(&mut self, line: &str) -> Result<(), String> {
        self.expect(line, |event| match event {
            Event::Server(line) => Ok(line),
            Event::Closed => Ok("(closes)".to_owned()),
            other => Err(other),
        })
    }

    /// `B: what the backend gets`, or `B: what it gets -> its reply`.
    fn expect_backend(&mut self, text: &str) -> Result<(), String> {
        let (line, answer) = match text.split_once(" -> ") {
            Some((line, answer)) => (line, Some(answer)),
            None => (text, None),
        };
        self.expect(line, |event| match event {
            Event::Backend(line) => Ok(line),
            other => Err(other),
        })?;
        let step = match (answer, self.asked.take()) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err("what does the backend answer? write `-> 250 2.1.5 Ok`".to_owned()),
            (Some("(down)"), Some(checked)) => self.session.unavailable(checked),
            (Some(answer), Some(checked)) => self.session.answered(checked, reply(answer)),
            (Some(answer), None) => match std::mem::replace(&mut self.place, Place::Dialogue) {
                Place::Relay(command) if !command.is_last() => self.session.continued(command, reply(answer)),
                _ => self.session.delivered(reply(answer)),
            },
        };
        self.take(step);
        Ok(())
    }

    /// Looks for the next finding that reads so.
    fn expect_finding(&mut self, fact: &str) -> Result<(), String> {
        self.pump();
        let found: Vec<_> = self.findings.iter().cloned().collect();
        while let Some(finding) = self.findings.pop_front() {
            if finding == fact {
                return Ok(());
            }
        }
        Err(format!("expected the finding `{fact}`, got {found:#?}"))
    }

    fn wait(&mut self, time: &str) -> Result<(), String> {
        let time = seconds(time);
        self.pump();
        if self.events.front() == Some(&Event::Delay(time)) {
            self.events.pop_front();
            return Ok(());
        }
        self.expect_silence()?;
        if time >= self.command_time_limit {
            let step = self.session.timed_out();
            self.take(step);
        }
        Ok(())
    }

    fn secure(&mut self, protocol: &str) -> Result<(), String> {
        self.expect_silence()?;
        let cipher = "TLS_AES_256_GCM_SHA384".to_owned();
        self.session.secured(TlsFacts { protocol: protocol.to_owned(), cipher, bits: 256 });
        Ok(())
    }

    fn expect_silence(&mut self) -> Result<(), String> {
        self.pump();
        match self.events.front() {
            None => Ok(()),
            Some(event) => Err(format!("nobody expected {event:?}")),
        }
    }
}

/// A reply as a script writes it: `550 5.7.1 Text`.
fn reply(text: &str) -> Reply {
    let (code, text) = text.split_once(' ').unwrap();
    Reply::new(code.parse().unwrap(), text.to_owned())
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

/// What a `C:` line sends: `\r \n \t \\ \x16` stand for bytes, `{3000*x}` for a text that often; CR LF follows
/// unless the line ends in `\n`.
fn client_bytes(text: &str) -> Vec<u8> {
    let mut bytes = unescape(text);
    if !bytes.ends_with(b"\n") {
        bytes.extend(b"\r\n");
    }
    bytes
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match (first, rest) {
            (b'\\', [b'x', high, low, behind @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = behind;
            }
            (b'\\', [escaped, behind @ ..]) => {
                bytes.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => *other,
                });
                rest = behind;
            }
            (b'{', _) => {
                let end = rest.iter().position(|byte| *byte == b'}').unwrap();
                let (count, what) = std::str::from_utf8(&rest[..end]).unwrap().split_once('*').unwrap();
                bytes.extend(unescape(what).repeat(count.parse().unwrap()));
                rest = &rest[end + 1..];
            }
            (byte, _) => bytes.push(byte),
        }
    }
    bytes
}

/// A finding in a line.
fn shown(finding: &Finding) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mail = |envelope: &Envelope| {
        format!(
            "from=<{}> to=<{}> proto={} helo=<{}>",
            envelope.sender.as_deref().unwrap_or_default(),
            envelope.recipient.as_deref().unwrap_or_default(),
            envelope.protocol.as_str(),
            envelope.helo.as_deref().unwrap_or_default()
        )
    };
    match finding {
        Finding::NonSmtpCommand { after, word, rest } => {
            let command = format!("{} {}", text(word), text(rest));
            format!("NON-SMTP COMMAND after {}: {}", after.as_str(), command.trim_end())
        }
        Finding::Pipelining { verb, waiting } => {
            format!("COMMAND PIPELINING after {}: {}", text(verb), text(waiting))
        }
        Finding::BareNewline { line } => format!("BARE NEWLINE after {}", text(line)),
        Finding::InjectedBehindStartTls { waiting } => format!("BEHIND STARTTLS: {}", text(waiting)),
        Finding::TimeLimit { after } => format!("COMMAND TIME LIMIT after {}", after.as_str()),
        Finding::CountLimit { after } => format!("COMMAND COUNT LIMIT after {}", after.as_str()),
        Finding::LengthLimit { after } => format!("COMMAND LENGTH LIMIT after {}", after.as_str()),
        Finding::TooManyErrors { after } => format!("too many errors after {}", after.as_str()),
        Finding::Reject { envelope, reply, .. } => {
            format!("reject: {}: {reply}; {}", envelope.command, mail(envelope))
        }
        Finding::WouldReject { envelope, reply, .. } => {
            format!("would reject: {}: {reply}; {}", envelope.command, mail(envelope))
        }
        Finding::WouldEnd { after } => format!("would end after {}", after.as_str()),
        Finding::BackendReject { envelope, reply } => format!("backend: {reply}; {}", mail(envelope)),
        Finding::HungUpOn { envelope, .. } => format!("hangup: {}; {}", envelope.command, mail(envelope)),
        Finding::Unavailable { envelope } => format!("unavailable: {}", mail(envelope)),
        Finding::Note { envelope, note } => {
            format!("{}: {}: {}; {}", note.kind.as_str(), envelope.command, note.text, mail(envelope))
        }
        Finding::WithoutRecipient { command } => format!("{command} without valid RCPT"),
        Finding::ProtocolError { after, reply } => format!("error after {}: {reply}", after.as_str()),
        Finding::Passed(tests) => {
            format!("passed: {}", tests.iter().map(|test| test.as_str()).collect::<Vec<_>>().join(" "))
        }
        Finding::Failed { test, action } => format!("failed: {} ({action})", test.as_str()),
    }
}
