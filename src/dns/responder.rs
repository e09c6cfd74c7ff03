//! A name server of one zone, with manners: silent, slow, failing or truncating where the zone says so.
//!
//! It serves the demo and the tests. It is no server for the Internet: no recursion, no limits of rate.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SOA};
use hickory_resolver::proto::rr::{RData, Record};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::record::{Kind, Question, host_text};
use super::zone::{Outcome, Response};
use super::{Trouble, Zone};

/// A UDP answer may be this long without EDNS (RFC 1035 §4.2.1).
const UDP_SIZE: usize = 512;

/// How many names are counted one by one; the demo and the tests ask for fewer.
const COUNTED_NAMES: usize = 10_000;

/// How often a free port is looked for.
const PORT_TRIES: u32 = 100;

/// How long a TCP client may keep silent.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// A running server; it stops when dropped.
pub struct Responder {
    shared: Arc<Shared>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Shared {
    zone: Mutex<Arc<Zone>>,
    queries: AtomicU64,
    asked: Mutex<HashMap<String, u64>>,
}

/// How a query came, and so how much may go back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

impl Responder {
    /// Serves `zone` on UDP and TCP at `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, zone: Zone) -> io::Result<Self> {
        let (udp, tcp) = bind_both(address).await?;
        let address = udp.local_addr()?;
        let shared = Arc::new(Shared {
            zone: Mutex::new(Arc::new(zone)),
            queries: AtomicU64::new(0),
            asked: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(&shared)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&shared)));
        Ok(Self { shared, address, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from `zone` from now on.
    pub fn serve(&self, zone: Zone) {
        *self.shared.zone.lock() = Arc::new(zone);
    }

    /// How many queries have come, retransmissions included.
    pub fn queries(&self) -> u64 {
        self.shared.queries.load(Ordering::Relaxed)
    }

    /// How many of them were for `name` (lower case, no final dot), of whatever type.
    pub fn queries_for(&self, name: &str) -> u64 {
        self.shared.asked.lock().get(name).copied().unwrap_or(0)
    }
}

/// One port for both transports; a free one for UDP may be taken for TCP, so that is tried several times.
async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let udp = UdpSocket::bind(address).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(taken) if address.port() != 0 || tries == PORT_TRIES => return Err(taken),
            Err(_) => tries += 1,
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut buffer = [0; 4096];
    loop {
        while tasks.try_join_next().is_some() {}
        // An error here is an ICMP message for an earlier answer; the socket itself goes on.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
        let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
        tasks.spawn(async move {
            if let Some(answer) = shared.answer(&query, Transport::Udp).await {
                let _ = socket.send_to(&answer, client).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                tasks.spawn(serve_stream(stream, Arc::clone(&shared)));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Queries one after the other, each with its length in front (RFC 1035 §4.2.2).
async fn serve_stream(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Ok(Ok(length)) = timeout(TCP_IDLE, stream.read_u16()).await {
        let mut query = vec![0; length.into()];
        let Ok(Ok(_)) = timeout(TCP_IDLE, stream.read_exact(&mut query)).await else { return };
        let Ok(query) = Message::from_vec(&query) else { return };
        let Some(answer) = shared.answer(&query, Transport::Tcp).await else { return };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        if stream.write_u16(length).await.is_err() || stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// The answer as it goes out; `None` for silence.
    async fn answer(&self, query: &Message, transport: Transport) -> Option<Vec<u8>> {
        let asked = query.queries.first()?;
        self.count(&host_text(asked.name()).to_ascii_lowercase());
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.metadata.recursion_desired = query.metadata.recursion_desired;
        message.metadata.recursion_available = true;
        message.add_query(asked.clone());
        let Some(kind) = Kind::from_record_type(asked.query_type()) else {
            return message.to_vec().ok();
        };
        let zone = Arc::clone(&self.zone.lock());
        let response = zone.respond(&Question { name: asked.name().clone(), kind });
        if !response.delay.is_zero() {
            sleep(response.delay).await;
        }
        let truncated = response.truncated;
        fill(&mut message, response)?;
        let whole = message.to_vec().ok()?;
        if transport == Transport::Udp && (truncated || whole.len() > UDP_SIZE) {
            return message.truncate().to_vec().ok();
        }
        Some(whole)
    }

    fn count(&self, name: &str) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let mut asked = self.asked.lock();
        if let Some(count) = asked.get_mut(name) {
            *count += 1;
        } else if asked.len() < COUNTED_NAMES {
            asked.insert(name.to_owned(), 1);
        }
    }
}

/// Puts what the zone says into `message`; `None` for silence.
fn fill(message: &mut Message, response: Response) -> Option<()> {
    for (owner, target, ttl) in response.aliases {
        message.add_answer(Record::from_rdata(owner, ttl, RData::CNAME(CNAME(target))));
    }
    let code = match response.outcome {
        Outcome::Fault(Trouble::Timeout) => return None,
        Outcome::Fault(Trouble::Refused) => ResponseCode::Refused,
        Outcome::Fault(_) => ResponseCode::ServFail,
        Outcome::NxDomain => ResponseCode::NXDomain,
        Outcome::NoData => ResponseCode::NoError,
        Outcome::Records(records) => {
            let wire = records.iter().filter_map(|(data, ttl)| Some((data.to_wire()?, *ttl)));
            message
                .add_answers(wire.map(|(data, ttl)| Record::from_rdata(response.owner.clone(), ttl, data)));
            message.metadata.response_code = ResponseCode::NoError;
            return Some(());
        }
    };
    message.metadata.response_code = code;
    if let Some((apex, ttl)) = response.authority {
        let soa = SOA::new(apex.clone(), apex.clone(), 1, 3600, 600, 86_400, ttl);
        message.add_authority(Record::from_rdata(apex, ttl, RData::SOA(soa)));
    }
    Some(())
}
