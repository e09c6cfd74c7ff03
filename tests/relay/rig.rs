//! A client, a relay and a backend, and random traffic that can be told again from its seed.

use std::future::pending;

use prescreen::relay::{self, Early, Settings, Transfer};
use prescreen::wire::Socket;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// The far ends of a running relay.
pub(crate) struct Rig {
    pub(crate) client: TcpStream,
    pub(crate) backend: Socket,
    pub(crate) relay: JoinHandle<Transfer>,
}

#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Tcp,
    Unix,
}

impl Rig {
    pub(crate) async fn start(settings: Settings, backend: Backend, early: Early) -> Self {
        let (client, near_client) = pair().await;
        let (backend, near_backend) = match backend {
            Backend::Tcp => {
                let (far, near) = pair().await;
                (Socket::from(far), Socket::from(near))
            }
            Backend::Unix => {
                let (far, near) = UnixStream::pair().unwrap();
                (Socket::from(far), Socket::from(near))
            }
        };
        let relay = tokio::spawn(async move {
            relay::splice(near_client, near_backend, early, &settings, pending()).await
        });
        Self { client, backend, relay }
    }
}

/// Two ends of a TCP connection.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (far, near) = tokio::join!(connect, listener.accept());
    let (far, near) = (far.unwrap(), near.unwrap().0);
    far.set_nodelay(true).unwrap();
    near.set_nodelay(true).unwrap();
    (far, near)
}

/// Settings that never splice.
pub(crate) fn copying() -> Settings {
    Settings { max_pipes: 0, ..Settings::default() }
}

/// Marsaglia's xorshift: the same numbers from the same seed, on every machine.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes
            .chunks_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]));
        bytes
    }
}

/// Writes all of `bytes` in random pieces, then says that it has finished.
pub(crate) async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], mut random: Random) {
    let mut rest = bytes;
    while !rest.is_empty() {
        // Mostly small pieces, some large ones.
        let largest = [1, 100, 1500, 65536, 1 << 20][random.below(5)];
        let piece = 1 + random.below(largest.min(rest.len()));
        stream.write_all(&rest[..piece]).await.unwrap();
        rest = &rest[piece..];
        if random.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    stream.shutdown().await.unwrap();
}

/// Reads to the end in random pieces.
pub(crate) async fn hear(stream: &mut (impl AsyncRead + Unpin), mut random: Random) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buffer = vec![0; 300_000];
    loop {
        let largest = [10, 3000, buffer.len()][random.below(3)];
        let piece = 1 + random.below(largest);
        match stream.read(&mut buffer[..piece]).await.unwrap() {
            0 => return heard,
            read => heard.extend_from_slice(&buffer[..read]),
        }
        if random.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// That two streams are the same, without printing megabytes when they are not.
pub(crate) fn assert_same(heard: &[u8], said: &[u8], what: &str) {
    let differ = heard.iter().zip(said).position(|(a, b)| a != b);
    assert_eq!(differ, None, "{what}: first difference");
    assert_eq!(heard.len(), said.len(), "{what}: length");
}
