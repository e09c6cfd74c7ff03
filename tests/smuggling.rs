//! SMTP smuggling: what only some servers take for the end of a message, in every form, cut at every byte, whatever the
//! identity and however much is inspected. What arrives through prescreen is what would have arrived without it; and
//! where every transaction is inspected, nothing of the kind arrives at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use support::PATIENCE;
use support::prescreen::{Config, Prescreen};
use support::sink::{End, Introduction, Kept, Sink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Every form that some server has been seen to take for an end.
const FORMS: [&str; 11] = [
    "\n.\n",
    "\r.\r",
    "\r.\n",
    "\n.\r",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r\n",
    "\r\n.\r",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\r\n.\r\r\n",
];

/// What stands behind the form: a message of its own, for whoever falls for it.
const SMUGGLED: &str = "MAIL FROM:<evil@x>\r\nRCPT TO:<e@x>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n";

/// Clients at once.
const CROWD: usize = 40;

/// A content, and where it is cut into two segments.
#[derive(Clone)]
struct Case {
    /// Says EHLO with this.
    name: String,
    content: Vec<u8>,
    cut: usize,
}

fn cases() -> Vec<Case> {
    let of_form = |(number, form): (usize, &&str)| {
        let content = format!("Hi{form}{SMUGGLED}").into_bytes();
        let case =
            move |cut| Case { name: format!("f{number}-{cut}.example"), content: content.clone(), cut };
        (0..form.len() + 2 + SMUGGLED.len()).map(case)
    };
    FORMS.iter().enumerate().flat_map(of_form).collect()
}

/// Sends every case to `server`; returns when each client has read to the end of its connection.
fn play(runtime: &Runtime, server: SocketAddr) {
    runtime.block_on(async {
        let (crowd, mut clients) = (Arc::new(Semaphore::new(CROWD)), JoinSet::new());
        for case in cases() {
            let crowd = Arc::clone(&crowd);
            clients.spawn(async move {
                let _place = crowd.acquire().await.unwrap();
                // Whoever falls for a form may be cut off: then the rest cannot be sent.
                let _ = timeout(PATIENCE, send(server, &case)).await.expect("an end");
            });
        }
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
    });
}

async fn send(server: SocketAddr, case: &Case) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let ehlo = format!("EHLO {}\r\n", case.name);
    for said in ["", &ehlo, "MAIL FROM:<good@x>\r\n", "RCPT TO:<g@x>\r\n", "DATA\r\n"] {
        stream.write_all(said.as_bytes()).await?;
        reply(&mut stream).await?;
    }
    let (one, two) = case.content.split_at(case.cut);
    stream.write_all(one).await?;
    // So that the two pieces are mostly read as two; where they are not, nothing is to differ either.
    sleep(Duration::from_millis(1)).await;
    stream.write_all(two).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Reads one whole reply.
async fn reply(stream: &mut TcpStream) -> io::Result<()> {
    let mut said = Vec::new();
    loop {
        if stream.read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let last = said.strip_suffix(b"\r\n").and_then(|said| said.rsplit(|byte| *byte == b'\n').next());
        if last.is_some_and(|last| last.get(3) == Some(&b' ')) {
            return Ok(());
        }
    }
}

/// What arrives without prescreen.
fn direct(end: End) -> Vec<Kept> {
    let runtime = Runtime::new().unwrap();
    let sink = runtime.block_on(Sink::start(end, Introduction::Xclient));
    play(&runtime, sink.address);
    let kept = sink.kept();
    let messages = if end == End::Lenient { 2 } else { 1 };
    assert_eq!(kept.len(), messages * cases().len(), "a {end:?} server");
    kept
}

/// A prescreen in front of a sink, in all of whose dialogues nothing needs DNS.
fn prescreen(sink: &Sink, identity: &str, inspect: &str, forbid: &str) -> Prescreen {
    Config::before_address(sink.address, "127.0.0.1:1".parse().unwrap())
        .set("backend.identity", &format!("'{identity}'"))
        .set("relay.inspect", &format!("'{inspect}'"))
        .set("relay.forbid_bare_newline", &format!("'{forbid}'"))
        .set("domains.local", "['x']")
        .set("limits.client_connection_count_limit", "0")
        .set("screen.greet_wait", "'0'")
        .set("restrictions.sender", "''")
        .set("restrictions.recipient", "''")
        .set("log.level", "'warn'")
        .start()
}

/// What arrives through prescreen.
fn through(end: End, identity: &str, inspect: &str, forbid: &str) -> Vec<Kept> {
    let runtime = Runtime::new().unwrap();
    let introduction =
        if identity.starts_with("proxy") { Introduction::ProxyHeader } else { Introduction::Xclient };
    let sink = runtime.block_on(Sink::start(end, introduction));
    let prescreen = prescreen(&sink, identity, inspect, forbid);
    play(&runtime, prescreen.smtp);
    prescreen.one_outcome_for_each_of(u32::try_from(cases().len()).unwrap());
    sink.kept()
}

/// Fails at the first message that only one of both has.
#[track_caller]
fn assert_same(arrived: &[Kept], meant: &[Kept], what: &str) {
    if let Some(lost) = meant.iter().find(|kept| !arrived.contains(kept)) {
        panic!("{what}: {} of {}, lost: {lost:?}", arrived.len(), meant.len());
    }
    if let Some(added) = arrived.iter().find(|kept| !meant.contains(kept)) {
        panic!("{what}: {} of {}, added: {added:?}", arrived.len(), meant.len());
    }
    assert_eq!(arrived.len(), meant.len(), "{what}: arrived twice");
}

/// Both kinds of server, both kinds of inspection.
#[track_caller]
fn holds(identity: &str) {
    for end in [End::Strict, End::Lenient] {
        let arrived = through(end, identity, "connection", "reject");
        assert!(
            arrived == direct(end),
            "{identity}: a {end:?} server heard something else than the client said"
        );
        let arrived = through(end, identity, "transaction", "reject");
        assert_eq!(arrived, [], "{identity}: arrived at a {end:?} server");
    }
}

#[test]
fn by_proxy_version_2() {
    holds("proxy-v2");
}

#[test]
fn by_proxy_version_1() {
    holds("proxy-v1");
}

#[test]
fn by_xclient() {
    holds("xclient");
}

#[test]
fn by_source_address() {
    if nix::unistd::geteuid().is_root() {
        holds("transparent");
    } else {
        eprintln!("skipped: only root may connect from another's address");
    }
}

#[test]
fn by_no_identity() {
    holds("none");
}

/// Where it is let through, prescreen at least sees the end where the specification has it.
#[test]
fn noted_or_not() {
    for forbid in ["note", "no"] {
        let arrived = through(End::Strict, "proxy-v2", "transaction", forbid);
        assert_same(&arrived, &direct(End::Strict), forbid);
    }
}
