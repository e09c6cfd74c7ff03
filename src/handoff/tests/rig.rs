//! A client's dialogue that every list permits, and servers that follow a script.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use crate::dialogue::{
    Auth, Checked, Encryption, ErrorSettings, Offer, Passthrough, Peer, Released, Session,
    Settings as DialogueSettings, Step, Waiting,
};
use crate::handoff::{Address, Backends, Handoff, Identity, Settings};
use crate::id::Id;
use crate::policy::{ClientNames, Effects, Judgement};
use crate::proxy_protocol::Endpoints;
use crate::screen::Screened;
use crate::smtp::capability::Capabilities;
use crate::smtp::line::LineBuffer;
use crate::smtp::reply::Reply;
use crate::tls::Starttls;

/// A server that takes one recipient of one mail.
pub(super) const GOOD: &str = "
    > 220 b
    < EHLO client.example
    > 250 b
    < MAIL FROM:<a@b>
    > 250 2.1.0 ok
    < RCPT TO:<one@x>
    > 250 2.1.5 good
    ";

/// Who speaks to whom, in every test.
pub(super) fn ends() -> Endpoints {
    Endpoints { client: "192.0.2.7:4242".parse().unwrap(), server: "198.51.100.1:25".parse().unwrap() }
}

/// What their connection is called.
pub(super) fn id() -> Id {
    "0ABCDEFGHJKM".parse().unwrap()
}

/// Settings for `servers` that need not be told who the client is.
pub(super) fn settings(servers: &[&Server]) -> Settings {
    Settings {
        servers: servers.iter().map(|server| server.address.clone()).collect(),
        identity: Identity::None,
        ..Settings::default()
    }
}

/// As [`settings`], for servers that answer too late.
pub(super) fn hasty(servers: &[&Server]) -> Settings {
    let soon = Duration::from_millis(100);
    Settings { greeting_timeout: soon, command_timeout: soon, ..settings(servers) }
}

pub(super) fn handoff(settings: &Settings) -> Handoff {
    Handoff::new(Arc::new(Backends::new(settings, "mx.example")), ends(), id())
}

/// A session with a client that every list permits.
pub(super) struct Client {
    session: Session,
    effects: Effects,
}

impl Client {
    /// It has said EHLO.
    pub(super) fn new() -> Self {
        let mut client = Self::silent();
        client.say("EHLO client.example");
        client
    }

    /// It has said nothing.
    pub(super) fn silent() -> Self {
        Self::with(Effects::default())
    }

    /// What it says gets `effects` of the lists.
    pub(super) fn with(effects: Effects) -> Self {
        let lines = ["b", "CHUNKING", "STARTTLS", "8BITMIME"].map(str::to_owned).to_vec();
        let capabilities = Arc::new(Capabilities::from_reply(&Reply::multiline(250, lines)));
        let ends = ends();
        let peer = Peer { client: ends.client, server: ends.server, names: ClientNames::default(), id: id() };
        let (starttls, encryption) = (Starttls::Passthrough, Encryption::Optional);
        let offer = Offer { capabilities, starttls, auth: Auth::Hide, encryption };
        let errors = ErrorSettings { recipient_error_limit: 1000, ..ErrorSettings::default() };
        let settings = DialogueSettings { errors, command_count_limit: 1000, ..DialogueSettings::default() };
        let screened = Screened::for_test(None, Vec::new(), false);
        let mut session = Session::new(Arc::new(settings), peer, screened, offer);
        let step = session.greet();
        let mut client = Self { session, effects };
        client.permit(step);
        client
    }

    /// Says a line and is permitted.
    pub(super) fn say(&mut self, line: &str) -> Step {
        let mut buffer = LineBuffer::new();
        buffer.push(format!("{line}\r\n").as_bytes());
        let line = buffer.next_line(2048).unwrap().unwrap();
        let step = self.session.line(&line, Waiting::Nothing);
        self.permit(step)
    }

    fn permit(&mut self, step: Step) -> Step {
        match step {
            Step::Judge(pending) => {
                let effects = self.effects.clone();
                self.session.decided(pending, Judgement { effects, ..Judgement::default() })
            }
            step => step,
        }
    }

    /// Begins a transaction.
    pub(super) fn mail(&mut self, address: &str) {
        self.say("RSET");
        self.say(&format!("MAIL FROM:<{address}>"));
    }

    /// Names a recipient.
    pub(super) fn rcpt(&mut self, address: &str) -> Checked {
        match self.say(&format!("RCPT TO:<{address}>")) {
            Step::Forward(checked) => checked,
            step => panic!("{address}: {step:?}"),
        }
    }

    /// Names a recipient and has it asked for; returns what the client hears.
    pub(super) async fn asks(&mut self, handoff: &mut Handoff, address: &str) -> String {
        let checked = self.rcpt(address);
        match handoff.recipient(&checked).await {
            Ok(reply) => {
                let said = reply.to_string();
                self.session.answered(checked, reply);
                said
            }
            Err(unavailable) => {
                let said = unavailable.reply().to_string();
                self.session.unavailable(checked);
                format!("{said} ({}, {})", unavailable.phase.as_str(), unavailable.trouble.as_str())
            }
        }
    }

    /// Says DATA or BDAT.
    pub(super) fn content(&mut self, line: &str) -> Released {
        match self.say(line) {
            Step::Relay(released) => released,
            step => panic!("{line}: {step:?}"),
        }
    }

    /// Says STARTTLS.
    pub(super) fn passthrough(&mut self, line: &str) -> Passthrough {
        match self.say(line) {
            Step::Passthrough(passthrough) => passthrough,
            step => panic!("{line}: {step:?}"),
        }
    }
}

/// A server that follows one script for each connection, in turn.
///
/// A script has one line for each act: `< text` hears a line, exactly this and nothing behind it; `> text` says a line;
/// `= text` says no more than that; `\r`, `\n` and `\0` spell what they do in Rust. `!` resets the connection; `.` hears nothing until the client is
/// gone. At the end of a script it closes.
pub(super) struct Server {
    pub(super) address: Address,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(scripts: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let scripts: Vec<_> = scripts.iter().map(|script| (*script).to_owned()).collect();
        let task = tokio::spawn(async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let reset = socket2::SockRef::from(&stream).try_clone().unwrap();
                play(stream, &script, || reset.set_linger(Some(Duration::ZERO)).unwrap()).await;
            }
        });
        Self { address, task }
    }

    /// One that listens on a unix socket.
    pub(super) fn start_unix(path: &Path, script: &'static str) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            play(stream, script, || {}).await;
        });
        Self { address: Address::Unix(path.to_owned()), task }
    }

    /// An address where nobody listens.
    pub(super) async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        Self { address, task: tokio::spawn(async {}) }
    }

    /// That every script was played to its end.
    pub(super) async fn done(self) {
        self.task.await.unwrap();
    }
}

async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &str, reset: impl Fn()) {
    for act in script.lines().map(str::trim).filter(|act| !act.is_empty()) {
        match act.split_at(1) {
            (">", text) => stream.write_all(format!("{}\r\n", text.trim_start()).as_bytes()).await.unwrap(),
            ("=", text) => stream.write_all(&unescaped(text.trim_start())).await.unwrap(),
            ("<", text) => {
                let expected = [unescaped(text.trim_start()), b"\r\n".to_vec()].concat();
                let (heard, expected) = (heard(&mut stream).await, String::from_utf8(expected).unwrap());
                assert_eq!(String::from_utf8_lossy(&heard), expected, "script {script}");
            }
            (".", _) => assert_eq!(heard(&mut stream).await, b"", "script {script}"),
            ("!", _) => return reset(),
            act => panic!("{act:?}"),
        }
    }
}

/// What one command brings: everything up to a line end and whatever is there behind it; nothing at the end.
async fn heard(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") {
        match stream.read_buf(&mut heard).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    heard
}

fn unescaped(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0").into_bytes()
}
