//! One question to one name server over UDP: a datagram out, a datagram in.
//!
//! Nearly all lookups are this and no more, and each waits for most of its time; so while one waits it holds a socket,
//! a timer and the query, ready to be sent again. What comes is read into the stack of one poll.
//!
//! To be heard, a stranger has to guess (RFC 5452 §9): each query goes out under an id of a cryptographic generator,
//! from a port of its own, which the kernel draws and on which nobody but this server is let in; and an answer
//! has to repeat the id and the question. What does not is passed over, and the waiting goes on.
//!
//! It reads no meaning out of an answer, follows no alias and speaks no TCP. That a server knows no EDNS is not
//! remembered: there are few such, and asking twice is all it costs.

#![expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]

use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{
    DEFAULT_MAX_PAYLOAD_LEN, Edns, Header, Message, MessageType, OpCode, Query, ResponseCode,
};
use hickory_resolver::proto::rr::DNSClass;
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use parking_lot::Mutex;
use rustix::net::connect_unspec;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::Trouble;
use super::record::Question;

/// After how long a query is sent again, and after twice as long each time. RFC 1035 §4.2.1 has seconds for the world;
/// this server stands near, and what it has lost is to be had again before the client's wait is over.
const PATIENCE: Duration = Duration::from_millis(333);

/// The largest datagram that is read. Servers are told 1232 octets, which pass every path unfragmented.
const LARGEST: usize = 4096;

/// Sockets that are kept for later queries.
const IDLE: usize = 256;

/// What ends the waiting. Of an ICMP message epoll tells as an error alone, without anything to read.
const TIDINGS: Interest = Interest::READABLE.add(Interest::ERROR);

/// A server's UDP port, and sockets on which nothing is under way: each will have another port when it is used again.
///
/// A socket that the runtime watches takes five system calls to make and to close, and twice as many bytes as it has:
/// glibc finds no use for what was aligned and given back.
pub(super) struct Udp {
    server: SocketAddr,
    idle: Mutex<Vec<UdpSocket>>,
}

impl Udp {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// What the server answers to `question` until then; it may be anything that answers this question, a refusal or a
    /// truncated message too.
    pub(super) fn exchange(
        &self,
        question: &Question,
        until: Instant,
    ) -> impl Future<Output = Result<Message, Trouble>> {
        async move {
            let mut dialect = Dialect::Edns;
            loop {
                let asked = Asked::new(question, dialect)?;
                let socket = self.connect().map_err(|_| Trouble::Unreachable)?;
                let answer = asked.over(&socket, until).await?;
                self.keep(socket);
                if dialect == Dialect::Plain || !is_lost(answer.metadata.response_code) {
                    return Ok(answer);
                }
                dialect = Dialect::Plain;
            }
        }
    }

    /// A socket that no other query has, and no other server reaches, on a port that the kernel has drawn just now. It
    /// is bound only by connecting, so nothing can have been queued on it before.
    fn connect(&self) -> io::Result<UdpSocket> {
        let idle = self.idle.lock().pop();
        if let Some(socket) = idle {
            SockRef::from(&socket).connect(&self.server.into())?;
            return Ok(socket);
        }
        let socket =
            Socket::new(Domain::for_address(self.server), Type::DGRAM.nonblocking().cloexec(), None)?;
        socket.connect(&self.server.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// Keeps a socket for another query, without its port; not one on which more has arrived than the answer.
    fn keep(&self, socket: UdpSocket) {
        let is_off = connect_unspec(&socket).is_ok();
        // By way of the runtime, which would take the socket for readable at the next query otherwise.
        let more = socket.try_io(Interest::READABLE, || (&*SockRef::from(&socket)).read(&mut [0]));
        let is_empty = more.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        let mut idle = self.idle.lock();
        if is_off && is_empty && idle.len() < IDLE {
            idle.push(socket);
        }
    }
}

/// Whether a query carries an OPT record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// RFC 6891.
    Edns,
    /// RFC 1035: for a server that could not make sense of the other.
    Plain,
}

/// A question as it goes out, the same each time it is sent.
struct Asked<'a> {
    question: &'a Question,
    query: Box<[u8]>,
}

impl<'a> Asked<'a> {
    fn new(question: &'a Question, dialect: Dialect) -> Result<Self, Trouble> {
        // With an id of rand's generator for the thread, which is a cryptographic one.
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(question.name.clone(), question.kind.record_type()));
        if dialect == Dialect::Edns {
            let mut edns = Edns::new();
            edns.set_max_payload(DEFAULT_MAX_PAYLOAD_LEN);
            message.set_edns(edns);
        }
        // Cut to size: the encoder takes room for half a kilobyte.
        let query = message.to_vec().map_err(|_| Trouble::Malformed)?.into_boxed_slice();
        Ok(Self { question, query })
    }

    /// Asks, and asks again while nobody speaks.
    fn over(&self, socket: &UdpSocket, until: Instant) -> impl Future<Output = Result<Message, Trouble>> {
        async move {
            let mut patience = PATIENCE;
            loop {
                self.send(socket)?;
                let again = Instant::now() + patience;
                loop {
                    // Not the loop's condition: what that yields is kept for the whole turn, the yield in it too.
                    let Ok(ready) = timeout_at(again.min(until), socket.ready(TIDINGS)).await else { break };
                    if let Some(answer) = self.receive(socket, ready) {
                        return answer;
                    }
                    // One datagram each time: who floods this socket uses up this task's turn, not the thread.
                    yield_now().await;
                }
                if again >= until {
                    return Err(Trouble::Timeout);
                }
                patience *= 2;
            }
        }
    }

    fn send(&self, socket: &UdpSocket) -> Result<(), Trouble> {
        // Without asking the reactor first: a new socket has room.
        match SockRef::from(socket).send(&self.query) {
            // With no room to send from, the query is lost as any datagram may be.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(Trouble::Unreachable),
            _ => Ok(()),
        }
    }

    /// Takes in what the socket is ready for; `None` if that is no answer.
    fn receive(&self, socket: &UdpSocket, ready: io::Result<Ready>) -> Option<Result<Message, Trouble>> {
        // One of the two: the runtime tries nothing for both at once.
        let tiding = if ready.is_ok_and(Ready::is_readable) { Interest::READABLE } else { Interest::ERROR };
        let heard = socket.try_io(tiding, || {
            let mut datagram = [0; LARGEST];
            let length = (&*SockRef::from(socket)).read(&mut datagram)?;
            Ok(self.hear(&datagram[..length]))
        });
        match heard {
            Ok(answer) => answer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // Nobody listens on that port (ICMP), or the way there is gone.
            Err(_) => Some(Err(Trouble::Unreachable)),
        }
    }

    /// The answer that a datagram is; `None` if it answers something else, or nothing.
    fn hear(&self, datagram: &[u8]) -> Option<Result<Message, Trouble>> {
        if datagram.first_chunk::<2>() != self.query.first_chunk() {
            return None;
        }
        let Some(message) = Message::from_vec(datagram).ok().or_else(|| cut_off(datagram)) else {
            return Some(Err(Trouble::Malformed));
        };
        let is_answer = message.metadata.message_type == MessageType::Response
            && message.metadata.op_code == OpCode::Query
            && self.is_repeated_in(&message);
        is_answer.then_some(Ok(message))
    }

    fn is_repeated_in(&self, message: &Message) -> bool {
        match message.queries.as_slice() {
            [query] => {
                query.query_class() == DNSClass::IN
                    && query.query_type() == self.question.kind.record_type()
                    // Without case (RFC 4343).
                    && *query.name() == self.question.name
            }
            // What could not be read cannot be repeated.
            [] => is_lost(message.metadata.response_code) || message.metadata.truncation,
            _ => false,
        }
    }
}

/// Says that the server could not read the query, or knows nothing of its kind; on a query with an OPT record, that
/// it knows no EDNS (RFC 6891 §7).
fn is_lost(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp)
}

/// The header of a message that was cut off in the middle of a record and says so: nothing else in it counts
/// (RFC 2181 §9).
fn cut_off(datagram: &[u8]) -> Option<Message> {
    let Header { metadata, .. } = Header::read(&mut BinDecoder::new(datagram)).ok()?;
    if !metadata.truncation {
        return None;
    }
    let mut message = Message::response(metadata.id, metadata.op_code);
    message.metadata = metadata;
    Some(message)
}

#[cfg(test)]
mod tests;
