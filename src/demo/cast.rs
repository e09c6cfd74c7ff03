//! The clients of the demo: who they are, what they say, and what they should hear.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Longer than any wait of prescreen in the demo.
const PATIENCE: Duration = Duration::from_secs(30);

/// One client of the cast.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    /// Who it is.
    pub name: &'static str,
    /// The loopback address that it comes from.
    pub address: Ipv4Addr,
    /// What it does, in order.
    pub acts: &'static [Act],
    /// How the reply that ends its visit begins; empty: it hears nothing at all.
    pub hears: &'static str,
}

/// One thing that a client does.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Waits for a whole reply.
    Hear,
    /// Says these bytes, exactly.
    Say(&'static str),
    /// Says a command and waits for its reply.
    Ask(&'static str),
    /// Tries this many recipients that do not exist.
    Guess(u32),
    /// Goes away without a word.
    HangUp,
}

/// How a visit went.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The client's end of the connection.
    pub from: SocketAddr,
    /// The reply that decided it: the first refusal, or else the last reply before the goodbye.
    pub reply: String,
    /// The 421 that came last, where one did.
    pub goodbye: Option<String>,
    /// From connect to close.
    pub took: Duration,
    /// From connect to the `220 ` of the greeting, where there was one.
    pub greeted: Option<Duration>,
}

use Act::{Ask, Guess, HangUp, Hear, Say};

/// Everybody but the returning client, who is the first-timer once more.
pub const CAST: [Character; 10] = [
    FIRST_TIMER,
    Character {
        name: "early talker",
        address: Ipv4Addr::new(127, 0, 2, 3),
        acts: &[
            Say("EHLO early.example.net\r\n"),
            Hear,
            Hear,
            Ask("MAIL FROM:<spam@example.net>\r\n"),
            Ask("RCPT TO:<postbox@example.com>\r\n"),
        ],
        hears: "550 5.5.1 Protocol error",
    },
    Character {
        name: "pipeliner",
        address: Ipv4Addr::new(127, 0, 2, 4),
        acts: &[
            Hear,
            Say(
                "EHLO hurry.example.net\r\nMAIL FROM:<spam@example.net>\r\nRCPT TO:<postbox@example.com>\r\n",
            ),
            Hear,
            Hear,
            Hear,
        ],
        hears: "550 5.5.1 Protocol error",
    },
    Character {
        name: "HTTP bot",
        address: Ipv4Addr::new(127, 0, 2, 5),
        acts: &[Hear, Say("GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\n"), Hear],
        hears: "521 5.7.0 Error: I can break rules, too. Goodbye.",
    },
    Character {
        name: "listed on a DNSBL",
        address: Ipv4Addr::new(127, 0, 2, 6),
        acts: &[
            Hear,
            Ask("EHLO listed.example.net\r\n"),
            Ask("MAIL FROM:<spam@example.net>\r\n"),
            Ask("RCPT TO:<postbox@example.com>\r\n"),
        ],
        hears: "550 5.7.1 Service unavailable; client [127.0.2.6] blocked using bl.example.org",
    },
    Character {
        name: "bad HELO",
        address: Ipv4Addr::new(127, 0, 2, 7),
        acts: &[
            Hear,
            Ask("HELO friend\r\n"),
            Ask("MAIL FROM:<spam@example.net>\r\n"),
            Ask("RCPT TO:<postbox@example.com>\r\n"),
        ],
        hears: "504 5.5.2 <friend>: Helo command rejected: need fully-qualified hostname",
    },
    Character {
        name: "relay attempt",
        address: Ipv4Addr::new(127, 0, 2, 8),
        acts: &[
            Hear,
            Ask("EHLO open.example.net\r\n"),
            Ask("MAIL FROM:<spam@example.net>\r\n"),
            Ask("RCPT TO:<victim@example.org>\r\n"),
        ],
        hears: "554 5.7.1 <victim@example.org>: Relay access denied",
    },
    Character {
        name: "dictionary attacker",
        address: Ipv4Addr::new(127, 0, 2, 9),
        acts: &[
            Hear,
            Ask("EHLO harvest.example.net\r\n"),
            Ask("MAIL FROM:<spam@example.net>\r\n"),
            Guess(100),
        ],
        hears: "550 5.1.1 No such user here",
    },
    Character {
        name: "bare-newline sender",
        address: Ipv4Addr::new(127, 0, 2, 10),
        acts: &[
            Hear,
            Ask("EHLO unix.example.net\n"),
            Ask("MAIL FROM:<spam@example.net>\n"),
            Ask("RCPT TO:<postbox@example.com>\n"),
        ],
        hears: "550 5.5.1 Protocol error",
    },
    Character {
        name: "one that hangs up",
        address: Ipv4Addr::new(127, 0, 2, 11),
        acts: &[HangUp],
        hears: "",
    },
];

/// A clean client that nobody has seen before.
pub const FIRST_TIMER: Character = Character {
    name: "clean first-timer",
    address: Ipv4Addr::new(127, 0, 2, 1),
    acts: &CLEAN,
    hears: "250 2.0.0 Ok: kept",
};

/// The same client again.
pub const RETURNING: Character = Character { name: "returning client", ..FIRST_TIMER };

const CLEAN: [Act; 6] = [
    Hear,
    Ask("EHLO mail.example.net\r\n"),
    Ask("MAIL FROM:<friend@example.net>\r\n"),
    Ask("RCPT TO:<postbox@example.com>\r\n"),
    Ask("DATA\r\n"),
    Ask(concat!(
        "From: A friend <friend@example.net>\r\n",
        "To: <postbox@example.com>\r\n",
        "Subject: Delivered in the first connection\r\n",
        "\r\n",
        "Nothing was deferred, nothing was asked twice.\r\n",
        ".\r\n"
    )),
];

impl Character {
    /// Visits the server at `server` from this character's own address.
    pub async fn visit(&self, server: SocketAddr) -> io::Result<Visit> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(self.address), 0))?;
        let begin = Instant::now();
        let stream = socket.connect(server).await?;
        let mut heard = Heard { from: stream.local_addr()?, begin, replies: Vec::new(), greeted: None };
        let mut stream = BufReader::new(stream);
        for act in self.acts {
            let goes_on = match *act {
                HangUp => false,
                Hear => heard.reply(&mut stream).await?,
                Say(bytes) => {
                    stream.write_all(bytes.as_bytes()).await?;
                    true
                }
                Ask(command) => heard.answer(&mut stream, command).await?,
                Guess(names) => {
                    let mut goes_on = true;
                    for name in 0..names {
                        let command = format!("RCPT TO:<{name}.unknown@example.com>\r\n");
                        goes_on = goes_on && heard.answer(&mut stream, &command).await?;
                    }
                    goes_on
                }
            };
            if !goes_on {
                return Ok(heard.visit());
            }
        }
        // Where it was not closed on already; then what is left to hear: a 421, the answer to QUIT, the end.
        let _ = stream.write_all(b"QUIT\r\n").await;
        while heard.reply(&mut stream).await? {}
        Ok(heard.visit())
    }
}

/// The replies so far.
struct Heard {
    from: SocketAddr,
    begin: Instant,
    replies: Vec<String>,
    greeted: Option<Duration>,
}

impl Heard {
    /// Says a command and reads its reply; false where the server has closed.
    async fn answer(&mut self, stream: &mut BufReader<TcpStream>, command: &str) -> io::Result<bool> {
        if stream.write_all(command.as_bytes()).await.is_err() {
            return Ok(false);
        }
        self.reply(stream).await
    }

    /// Reads one whole reply; false at the end of the stream.
    async fn reply(&mut self, stream: &mut BufReader<TcpStream>) -> io::Result<bool> {
        loop {
            let mut line = String::new();
            match timeout(PATIENCE, stream.read_line(&mut line)).await {
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(0)) => return Ok(false),
                Ok(Ok(_)) => {}
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            if line.starts_with("220") {
                self.greeted.get_or_insert(self.begin.elapsed());
            }
            self.replies.push(line.trim_end().to_owned());
            return Ok(true);
        }
    }

    fn visit(self) -> Visit {
        let refusal = self.replies.iter().find(|reply| reply.starts_with(['4', '5']));
        let farewell = self.replies.iter().rev().find(|reply| !reply.starts_with("221"));
        let goodbye = self.replies.last().filter(|reply| reply.starts_with("421")).cloned();
        let reply = refusal.or(farewell).cloned().unwrap_or_default();
        Visit { from: self.from, reply, goodbye, took: self.begin.elapsed(), greeted: self.greeted }
    }
}
