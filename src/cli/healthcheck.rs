//! `prescreen healthcheck`: for containers, where there is no curl and no shell to call it.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prescreen::admin::desk::{Call, Request, State};
use prescreen::config::{Config, Listener, ProxyProtocol};
use prescreen::proxy_protocol;

use super::Stopped;
use super::configuration::Configuration;

/// Ask the running server of this host whether it is well.
///
/// Asks the address in metrics.listen, or, where that is empty, the first listener by SMTP, and waits for its greeting;
/// a listener that requires a PROXY header gets one that says LOCAL, and must trust loopback. With --ready the admin
/// socket is asked where metrics.listen is empty. Ends with 0 if all is well, with 1 if not.
#[derive(Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    configuration: Configuration,
    /// Ask for more: whether mail can come in, with a backend that answers. For who sends clients here, not for who
    /// starts the server again: that would help no backend.
    #[arg(long)]
    ready: bool,
}

/// Beyond the greet wait, for everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an answer holds at most: the rest is not read.
const LONGEST: u64 = 4_096;

pub(super) fn healthcheck(options: &Healthcheck) -> Result<ExitCode, Stopped> {
    let config = options.configuration.glance().map_err(ill)?;
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let (asked, answer) = match (config.metrics.listen, config.listen.first()) {
        (Some(address), _) => (nearby(address).to_string(), ask_http(address, path)),
        // A greeting says nothing of backends.
        (None, _) if options.ready => match &config.admin.socket {
            Some(socket) => (socket.display().to_string(), ask_admin(socket)),
            None => {
                return Err(ill("only metrics.listen and admin.socket tell of backends; set one of them"));
            }
        },
        (None, Some(listener)) => (nearby(listener.address).to_string(), ask_smtp(&config, listener)),
        (None, None) => return Err(ill("no listener is configured")),
    };
    let answer = answer.map_err(|error| ill(format_args!("{asked}: {error}")))?;
    println!("{answer}");
    Ok(ExitCode::SUCCESS)
}

/// Docker keeps 0 and 1 for this, and reserves the rest.
fn ill(why: impl Display) -> Stopped {
    eprintln!("prescreen: {why}");
    ExitCode::FAILURE
}

fn ask_http(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = connect(address, PATIENCE)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    let said = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim().to_owned();
    match answer.split(' ').nth(1) {
        Some("200") => Ok(said),
        _ => Err(io::Error::other(if said.is_empty() { "no HTTP".to_owned() } else { said })),
    }
}

fn ask_admin(socket: &Path) -> io::Result<String> {
    let state: State = Call::to(socket)?.ask(&Request::Status).map_err(io::Error::other)?;
    state.not_ready.map_or_else(|| Ok("ready".to_owned()), |why| Err(io::Error::other(why)))
}

/// Whoever greets is alive, whatever the greeting.
fn ask_smtp(config: &Config, listener: &Listener) -> io::Result<String> {
    let mut stream = connect(listener.address, PATIENCE + config.screen.greet_wait)?;
    if listener.proxy_protocol == ProxyProtocol::Required {
        stream.write_all(&proxy_protocol::write_local())?;
    }
    // Behind a line such as `220-` more will come: who does not wait for it talks too early (RFC 5321 §4.3.1).
    let mut lines = BufReader::new((&stream).take(LONGEST)).lines();
    let last = loop {
        match lines.next().transpose()? {
            Some(line) if line.get(3..4) == Some("-") => {}
            other => break other.unwrap_or_default(),
        }
    };
    if last.get(..3).is_none_or(|code| code.parse::<u16>().is_err()) {
        return Err(io::Error::other("no greeting"));
    }
    let _ = stream.write_all(b"QUIT\r\n");
    Ok(last)
}

fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&nearby(address), PATIENCE)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Who listens on all addresses listens on loopback.
fn nearby(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        own => own,
    };
    (ip, address.port()).into()
}
