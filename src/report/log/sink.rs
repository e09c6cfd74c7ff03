//! A way out to a log daemon, that of this host or another one.
//!
//! Only the log's own thread writes here, one event in each call, and may be made to wait: the queue in front of it
//! drops what it does not hold. A daemon that is started anew is found again; what it did not get is counted.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::output::Place;

/// How long a daemon may keep us waiting for one line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that is not there is left alone.
const REST: Duration = Duration::from_secs(1);

/// Lines that nobody would take; clones share the number.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicU64>);

impl Lost {
    pub(super) fn lines(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes to a log daemon.
pub(super) struct Sink {
    place: Place,
    state: State,
    lost: Lost,
}

enum State {
    Closed,
    Open(Link),
    /// Not there when it was last tried.
    Resting(Instant),
}

enum Link {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Sink {
    pub(super) fn new(place: Place, lost: Lost) -> Self {
        Self { place, state: State::Closed, lost }
    }

    /// What was open may have been closed by the other side long ago: that alone is no reason to lose a line.
    fn deliver(&mut self, line: &[u8]) -> io::Result<()> {
        if let State::Open(link) = &mut self.state {
            if link.send(line).is_ok() {
                return Ok(());
            }
            self.state = State::Closed;
        }
        let mut link = Link::open(&self.place)?;
        link.send(line)?;
        self.state = State::Open(link);
        Ok(())
    }
}

impl Write for Sink {
    /// Takes an event as a whole. Never fails: nobody could be told.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let delivered = match self.state {
            State::Resting(until) if Instant::now() < until => None,
            _ => Some(self.deliver(line)),
        };
        if let Some(Err(error)) = &delivered {
            // Once for each outage: whoever reads this log will not read it there.
            if !matches!(self.state, State::Resting(_)) {
                eprintln!("prescreen: the log cannot be written to {:?}: {error}", self.place);
            }
            self.state = State::Resting(Instant::now() + REST);
        }
        if !matches!(delivered, Some(Ok(()))) {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link {
    fn open(place: &Place) -> io::Result<Self> {
        match place {
            Place::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(socket))
            }
            Place::Udp(address) => {
                let own: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(own)?;
                socket.connect(address)?;
                Ok(Self::Udp(socket))
            }
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.send(line).map(drop),
            Self::Udp(socket) => socket.send(line).map(drop),
            Self::Tcp(stream) => stream.write_all(&[line.len().to_string().as_bytes(), b" ", line].concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn sink(place: Place) -> (Sink, Lost) {
        let lost = Lost::default();
        (Sink::new(place, lost.clone()), lost)
    }

    #[test]
    fn a_daemon_that_comes_back_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut sink, lost) = sink(Place::Unix(path.clone()));
        assert_eq!(sink.write(b"nobody is there\n").unwrap(), 16);
        assert_eq!(sink.write(b"nor now\n").unwrap(), 8);
        assert_eq!(lost.lines(), 2);

        let mut buffer = [0; 64];
        sink.state = State::Closed;
        for line in ["<22>one", "<22>two"] {
            let _ = fs::remove_file(&path);
            let daemon = UnixDatagram::bind(&path).unwrap();
            sink.write_all(format!("{line}\n").as_bytes()).unwrap();
            let length = daemon.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], line.as_bytes());
        }
        assert_eq!(lost.lines(), 2);
    }

    #[test]
    fn a_datagram_is_a_line() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut sink, lost) = sink(Place::Udp(daemon.local_addr().unwrap()));
        let mut buffer = [0; 64];
        for line in ["<22>1 one", "<22>1 two"] {
            sink.write_all(format!("{line}\n").as_bytes()).unwrap();
            let length = daemon.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], line.as_bytes());
        }
        assert_eq!(lost.lines(), 0);
    }

    #[test]
    fn in_a_stream_the_length_stands_in_front() {
        let daemon = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut sink, lost) = sink(Place::Tcp(daemon.local_addr().unwrap()));
        sink.write_all(b"one\n").unwrap();
        sink.write_all("zwölf\n".as_bytes()).unwrap();
        drop(sink);
        let mut text = String::new();
        daemon.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), lost.lines()), ("3 one6 zwölf", 0));
    }
}
