//! The ways out: standard output, and a log daemon, that of this host or another one.
//!
//! Only the log's own thread writes here, one event in each call, and may be made to wait: the queue in front of it
//! drops what it does not hold. Writing never fails, as nobody could be told: what is not taken is counted. A daemon
//! that is started anew is found again.

use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::output::Place;

/// How long a daemon may keep us waiting for one line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that is not there is left alone.
const REST: Duration = Duration::from_secs(1);

/// Lines that nobody would take; clones share the number.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicU64>);

impl Lost {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lines(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes to a stream, many lines at once. Those that a full disk has not taken yet wait for the next try.
pub(super) struct Stream<W: Write> {
    to: BufWriter<W>,
    lost: Lost,
}

impl<W: Write> Stream<W> {
    pub(super) fn new(to: W, lost: Lost) -> Self {
        Self { to: BufWriter::new(to), lost }
    }
}

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.to.write_all(event).is_err() {
            self.lost.add();
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.to.flush();
        Ok(())
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
            match link.send(line) {
                Err(error) if !is_too_long(&error) => self.state = State::Closed,
                sent => return sent,
            }
        }
        let mut link = Link::open(&self.place)?;
        link.send(line)?;
        self.state = State::Open(link);
        Ok(())
    }
}

impl Write for Sink {
    /// Takes an event as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let delivered = match self.state {
            State::Resting(until) if Instant::now() < until => None,
            _ => Some(self.deliver(line)),
        };
        if let Some(Err(error)) = &delivered
            && !is_too_long(error)
        {
            // Once for each outage: whoever reads this log will not read it there.
            if !matches!(self.state, State::Resting(_)) {
                eprintln!("prescreen: the log cannot be written to {:?}: {error}", self.place);
            }
            self.state = State::Resting(Instant::now() + REST);
        }
        if !matches!(delivered, Some(Ok(()))) {
            self.lost.add();
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a line is more than a datagram holds: it is lost alone, the daemon is there.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EMSGSIZE as i32)
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
    fn a_line_that_no_datagram_holds_is_lost_alone() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut sink, lost) = sink(Place::Udp(daemon.local_addr().unwrap()));
        let mut buffer = [0; 64];
        for line in [&b"<22>one"[..], &[b'x'; 70_000], b"<22>two"] {
            sink.write_all(line).unwrap();
        }
        for line in ["<22>one", "<22>two"] {
            let length = daemon.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], line.as_bytes());
        }
        assert_eq!(lost.lines(), 1);
    }

    /// A disk with room for so many octets.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let taken = octets.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted() {
        let lost = Lost::default();
        let mut stream = Stream::new(Disk(9_999), lost.clone());
        let line = [&[b'x'; 999][..], b"\n"].concat();
        for _ in 0..20 {
            stream.write_all(&line).unwrap();
            stream.flush().unwrap();
        }
        // One octet short of ten lines on the disk, the end of the last and eight more in the buffer.
        assert_eq!(lost.lines(), 20 - 10 - 8);
        stream.to.get_mut().0 = usize::MAX;
        stream.flush().unwrap();
        stream.write_all(b"there is room again\n").unwrap();
        assert_eq!(lost.lines(), 2);
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
