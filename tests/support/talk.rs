//! A client that says exactly what the test makes it say, when it makes it say it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// One SMTP connection, with a record of what was said that every failure shows.
pub struct Talk {
    stream: BufReader<TcpStream>,
    record: String,
}

/// A server's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The code of its last line.
    pub code: u16,
    /// Its lines, codes and all, without CRLF.
    pub lines: Vec<String>,
}

impl Said {
    /// The last line.
    pub fn text(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// Whether EHLO offered a keyword.
    pub fn offers(&self, keyword: &str) -> bool {
        self.lines.iter().skip(1).any(|line| {
            line.get(4..).and_then(|rest| rest.split(' ').next()).is_some_and(|word| word == keyword)
        })
    }
}

impl Talk {
    /// Connects from a loopback address; says nothing and reads nothing.
    #[track_caller]
    pub fn connect(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into()).unwrap();
        socket.connect(&to.into()).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), record: String::new() }
    }

    /// Connects, waits for the whole greeting, and introduces itself.
    #[track_caller]
    pub fn greeted(from: Ipv4Addr, to: SocketAddr) -> Self {
        let mut talk = Self::connect(from, to);
        talk.expect("220 ");
        talk.ask("EHLO mail.example.com", "250 ");
        talk
    }

    /// Goes on up to the reply to RCPT, which it returns: EHLO has been said.
    #[track_caller]
    pub fn envelope(&mut self, sender: &str, recipient: &str) -> Said {
        self.ask(&format!("MAIL FROM:<{sender}>"), "250 ");
        self.say(&format!("RCPT TO:<{recipient}>"));
        self.reply()
    }

    /// Sends a line.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send(bytes) {
            panic!("send: {error}\n{}", self.record);
        }
    }

    /// Sends bytes to a server that may have closed already.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.note("C", bytes);
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one whole reply.
    #[track_caller]
    pub fn reply(&mut self) -> Said {
        match self.reply_or_end() {
            Some(said) => said,
            None => panic!("the server closed the connection\n{}", self.record),
        }
    }

    /// Reads one reply and checks how its last line starts.
    #[track_caller]
    pub fn expect(&mut self, start: &str) -> Said {
        let said = self.reply();
        assert!(said.text().starts_with(start), "expected {start:?}\n{}", self.record);
        said
    }

    /// Sends a line and checks how the reply to it starts.
    #[track_caller]
    pub fn ask(&mut self, line: &str, start: &str) -> Said {
        self.say(line);
        self.expect(start)
    }

    /// Reads up to the server's end of the connection and closes, too; returns the replies that came before it.
    ///
    /// A reset counts as an end, too: that is how TCP closes on bytes which nobody has read.
    #[track_caller]
    pub fn closed(&mut self) -> Vec<Said> {
        let mut replies = Vec::new();
        while let Some(said) = self.reply_or_end() {
            replies.push(said);
        }
        self.try_half_close();
        replies
    }

    /// Reads up to the server's end of the connection, whatever it says: it need not be SMTP any more.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
            Err(error) => panic!("read: {error}\n{}", self.record),
        }
        self.note("S", &rest);
        rest
    }

    /// Says nothing more, and still listens.
    pub fn half_close(&mut self) {
        self.note("C", b"(half-close)");
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// [`Talk::half_close`] towards a server that may have closed already.
    pub fn try_half_close(&mut self) {
        self.note("C", b"(half-close)");
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// The client's own port: tells its connection from others in a log.
    pub fn port(&self) -> u16 {
        self.stream.get_ref().local_addr().unwrap().port()
    }

    /// What was said so far.
    pub fn record(&self) -> &str {
        &self.record
    }

    /// Reads one reply; `None` when the server has closed.
    #[track_caller]
    pub fn reply_or_end(&mut self) -> Option<Said> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            match self.stream.by_ref().take(64 * 1024).read_until(b'\n', &mut line) {
                Ok(0) => {
                    assert!(lines.is_empty(), "closed in the middle of a reply\n{}", self.record);
                    return None;
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return None;
                }
                Err(error) => panic!("read: {error}\n{}", self.record),
            }
            self.note("S", &line);
            let text = String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned();
            let code = text.get(..3).and_then(|code| code.parse().ok());
            let more = text.as_bytes().get(3) == Some(&b'-');
            lines.push(text);
            let Some(code) = code else { panic!("not a reply\n{}", self.record) };
            if !more {
                return Some(Said { code, lines });
            }
        }
    }

    /// Long messages are cut: what matters in them is not for eyes.
    fn note(&mut self, who: &str, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(200)];
        writeln!(self.record, "{who}: {}", shown.escape_ascii()).unwrap();
    }
}
