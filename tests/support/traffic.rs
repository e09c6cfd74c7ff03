//! Clients that keep coming, and that notice when one of them is let down.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use socket2::{Domain, Socket, Type};

use super::{PATIENCE, eventually};

/// Clients that come one after the other, from several addresses at once, until told to stop.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

/// How it went.
#[derive(Debug)]
pub struct Tally {
    /// Connections that went from greeting to goodbye.
    pub served: u32,
    /// What happened to the others.
    pub complaints: Vec<String>,
}

impl Traffic {
    /// Lets `at_once` clients come to `to`, each from an address of its own. `recipient`, if any, is sent a message by each
    /// visit; else the client introduces itself and leaves.
    pub fn start(to: SocketAddr, at_once: u8, recipient: Option<&'static str>) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let clients = (0..at_once).map(|host| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || {
                let from = Ipv4Addr::new(127, 7, 7, host);
                let mut complaints = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match visit(from, to, recipient) {
                        Ok(()) => {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(complaint) => complaints.push(complaint),
                    }
                }
                complaints
            })
        });
        let clients = clients.collect();
        Self { stop, served, clients }
    }

    /// Waits until so many more have been served.
    #[track_caller]
    pub fn flow(&self, more: u32) {
        let until = self.served.load(Ordering::Relaxed) + more;
        eventually("clients to be served", || (self.served.load(Ordering::Relaxed) >= until).then_some(()));
    }

    /// Lets those who are inside finish, and tells how it went.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let complaints = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        Tally { served: self.served.load(Ordering::Relaxed), complaints }
    }
}

fn visit(from: Ipv4Addr, to: SocketAddr, recipient: Option<&str>) -> Result<(), String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(|error| error.to_string())?;
    let broken = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into()).map_err(broken("bind"))?;
    socket.connect(&to.into()).map_err(broken("connect"))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken("time limit"))?;
    stream.set_nodelay(true).map_err(broken("no delay"))?;
    let mut stream = BufReader::new(stream);
    let mut said = |say: &str, expected: &str| {
        if !say.is_empty() {
            stream.get_mut().write_all(format!("{say}\r\n").as_bytes()).map_err(broken(say))?;
        }
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).map_err(broken(say))? == 0 {
                return Err(format!("cut off after {say:?}"));
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return if line.starts_with(expected) { Ok(()) } else { Err(format!("{say:?}: {line:?}")) };
            }
        }
    };
    said("", "220")?;
    said("EHLO mail.example.com", "250")?;
    if let Some(recipient) = recipient {
        said("MAIL FROM:<sender@example.com>", "250")?;
        said(&format!("RCPT TO:<{recipient}@example.org>"), "250")?;
        said("DATA", "354")?;
        said("Subject: traffic\r\n\r\nhello\r\n.", "250")?;
    }
    said("QUIT", "221")
}
