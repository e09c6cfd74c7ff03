//! The load: clean clients, zombies, and connections that are held, each from a loopback address of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use prescreen::demo::{CAST, Character};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::support::prescreen::Config;

/// Longer than anything that is measured; who waits for so long has met a fault.
const PATIENCE: Duration = Duration::from_secs(60);

/// Members of the demo's cast who are no zombies, or who need a backend that tells recipients apart.
const NO_ZOMBIES: [&str; 2] = ["clean first-timer", "dictionary attacker"];

/// How long a zombie waits for a reply: longer than anybody takes who means to answer.
const ZOMBIES_PATIENCE: Duration = Duration::from_secs(15);

/// The zombie that speaks before the greeting. postscreen throws away what it said, so that it waits in vain.
const EARLY: &str = "early talker";

/// The one zombie that a DNS list knows.
const LISTED: &str = "listed on a DNSBL";

/// The names that exist, and who is listed: everybody in 127.128.0.0/16 and above.
pub(crate) const ZONE: &str = "
    example.net                   MX   10 mail.example.net
    mail.example.net              A    127.1.0.1
    bl.example.org                SOA  120
    2.0.0.127.bl.example.org      A    127.0.0.2
    *.128.127.bl.example.org      A    127.0.0.4
    *.129.127.bl.example.org      A    127.0.0.4
";

/// The DNS list.
pub(crate) const LIST: &str = "bl.example.org";

/// A prescreen that expects them: it asks the list, lets everybody come as often as it likes, and writes its log as it
/// comes, where tests read JSON.
pub(crate) fn expected(config: Config) -> Config {
    config
        .set("log.format", "'text'")
        .set("dnsbl.sites", &format!("['{LIST}']"))
        .set("limits.client_connection_count_limit", "0")
        .set("limits.client_connection_rate_limit", "0")
        .set("backend.probe_interval", "'60s'")
}

/// An address that no client has had before: 127.16.0.1 and up.
pub(crate) fn stranger() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    nth(Ipv4Addr::new(127, 16, 0, 0), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The same among those that the DNS list holds: 127.128.0.1 and up.
fn listed_stranger() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    nth(Ipv4Addr::new(127, 128, 0, 0), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One of the clients that come again and again: 127.1.0.1 and up.
pub(crate) fn regular(index: usize) -> Ipv4Addr {
    nth(Ipv4Addr::new(127, 1, 0, 0), u32::try_from(index).unwrap_or_default() + 1)
}

fn nth(first: Ipv4Addr, index: u32) -> Ipv4Addr {
    // No address ends in 0 or 255: lists and networks treat those specially.
    Ipv4Addr::from(first.to_bits() + index / 250 * 256 + index % 250 + 1)
}

/// An SMTP connection seen from the client.
pub(crate) struct Talk {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Talk {
    pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, heard: Vec::new() })
    }

    /// Connects and goes on until the recipient is accepted.
    pub(crate) async fn envelope(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let mut talk = Self::connect(from, to).await?;
        talk.hear(220).await?;
        talk.ask(b"EHLO mail.example.net\r\n", 250).await?;
        talk.ask(b"MAIL FROM:<friend@example.net>\r\n", 250).await?;
        talk.ask(b"RCPT TO:<crowd@example.org>\r\n", 250).await?;
        Ok(talk)
    }

    /// Waits for one whole reply, which must have this code.
    pub(crate) async fn hear(&mut self, code: u16) -> io::Result<()> {
        let reply = timeout(PATIENCE, self.reply()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if reply.starts_with(&code.to_string()) {
            return Ok(());
        }
        Err(io::Error::other(format!("expected {code}, heard {reply:?}")))
    }

    /// Says something, and waits for its reply.
    pub(crate) async fn ask(&mut self, what: &[u8], code: u16) -> io::Result<()> {
        self.stream.write_all(what).await?;
        self.hear(code).await
    }

    /// The last line of the next reply.
    async fn reply(&mut self) -> io::Result<String> {
        loop {
            while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                if line.get(3) != Some(&b'-') {
                    return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.heard).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Fails if the other side has hung up: who is turned away costs nothing.
    pub(crate) fn ensure_held(&mut self) -> io::Result<()> {
        loop {
            match self.stream.try_read_buf(&mut self.heard) {
                Ok(0) => return Err(io::Error::other(String::from_utf8_lossy(&self.heard))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says goodbye, and waits for the other side to close.
    pub(crate) async fn quit(mut self) -> io::Result<()> {
        self.ask(b"QUIT\r\n", 221).await?;
        while self.stream.read_buf(&mut self.heard).await? > 0 {}
        Ok(())
    }
}

/// One session with one message, which must be accepted.
pub(crate) async fn deliver(from: Ipv4Addr, to: SocketAddr, message: &[u8]) -> io::Result<()> {
    let mut talk = Talk::envelope(from, to).await?;
    talk.ask(b"DATA\r\n", 354).await?;
    talk.ask(message, 250).await?;
    talk.quit().await
}

/// So many sessions with one message each, `at_once` side by side, each of them from its own regular client. Returns
/// how long each took.
pub(crate) async fn deliveries(
    to: SocketAddr,
    message: &'static [u8],
    count: usize,
    at_once: usize,
) -> io::Result<Vec<Duration>> {
    let mut lanes = JoinSet::new();
    for lane in 0..at_once {
        let share = count / at_once + usize::from(lane < count % at_once);
        lanes.spawn(async move {
            let mut took = Vec::with_capacity(share);
            for _ in 0..share {
                let begun = Instant::now();
                deliver(regular(lane), to, message).await?;
                took.push(begun.elapsed());
            }
            io::Result::Ok(took)
        });
    }
    let mut took = Vec::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        took.extend(lane.map_err(io::Error::other)??);
    }
    Ok(took)
}

/// What a message of `size` bytes is on the wire, final dot included.
pub(crate) fn message(size: usize) -> &'static [u8] {
    let head = "From: <friend@example.net>\r\nTo: <crowd@example.org>\r\nSubject: load\r\n\r\n";
    let line = "The quick brown fox jumps over the lazy dog, and the lazy dog lets it happen.\r\n";
    let mut bytes = head.as_bytes().to_vec();
    while bytes.len() + line.len() <= size {
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.extend_from_slice(b".\r\n");
    bytes.leak()
}

/// So many zombies, a like number of each kind, each from an address that nobody has seen before. What they hear is
/// their own affair: a proxy that knows no SMTP tells them other things than one that does.
pub(crate) async fn zombies(to: SocketAddr, count: usize) -> io::Result<()> {
    let kinds = CAST.into_iter().filter(|character| !NO_ZOMBIES.contains(&character.name));
    let mut visits = JoinSet::new();
    for zombie in kinds.cycle().take(count) {
        let address = if zombie.name == LISTED { listed_stranger() } else { stranger() };
        visits.spawn(async move {
            let visit = timeout(ZOMBIES_PATIENCE, Character { address, ..zombie }.visit(to)).await;
            match visit {
                Err(_) if zombie.name == EARLY => Ok(()),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{}: timed out", zombie.name))),
                // Reset or broken off: they are zombies.
                Ok(_) => Ok(()),
            }
        });
        // Not one burst of all: a few arrive, then the others get their turn.
        tokio::task::yield_now().await;
    }
    while let Some(visit) = visits.join_next().await {
        visit.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Opens so many silent connections, each from an address of its own, and returns once the last one is established.
pub(crate) async fn held(to: SocketAddr, count: usize) -> io::Result<Vec<Talk>> {
    let mut talks = Vec::with_capacity(count);
    for _ in 0..count {
        talks.push(Talk::connect(stranger(), to).await?);
    }
    Ok(talks)
}

/// Opens so many sessions and leaves each of them where its recipient was accepted and DATA answered.
pub(crate) async fn handed_over(to: SocketAddr, count: usize) -> io::Result<Vec<Talk>> {
    let mut talks = Vec::with_capacity(count);
    for _ in 0..count {
        let mut talk = Talk::envelope(stranger(), to).await?;
        talk.ask(b"DATA\r\n", 354).await?;
        talks.push(talk);
    }
    Ok(talks)
}

/// 64 bytes there and 64 bytes back, so many times over one connection.
pub(crate) async fn ping_pong(to: SocketAddr, count: usize) -> io::Result<Vec<Duration>> {
    let mut talk = Talk::connect(regular(0), to).await?;
    talk.hear(220).await?;
    let ping = format!("NOOP {}\r\n", "x".repeat(57));
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        talk.ask(ping.as_bytes(), 250).await?;
        took.push(begun.elapsed());
    }
    talk.quit().await?;
    Ok(took)
}
