//! What others may know of a connection while it lives.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::id::Id;
use crate::limits::State;
use crate::proxy_protocol::Endpoints;

/// A connection as others see it while it lives; clones share it.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: Id,
    started: Instant,
    ends: Mutex<Ends>,
    stage: AtomicU8,
}

/// [`Endpoints`] in half the room: without what IPv6 has beside address and port.
#[derive(Clone, Copy, Debug)]
struct Ends {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
}

impl From<Endpoints> for Ends {
    fn from(Endpoints { client, server }: Endpoints) -> Self {
        Self { client: (client.ip(), client.port()), server: (server.ip(), server.port()) }
    }
}

impl From<Ends> for Endpoints {
    fn from(Ends { client, server }: Ends) -> Self {
        Self { client: client.into(), server: server.into() }
    }
}

impl Live {
    pub(super) fn new(id: Id, started: Instant, ends: Endpoints) -> Self {
        let stage = AtomicU8::new(State::Screen as u8);
        Self(Arc::new(Shared { id, started, ends: Mutex::new(ends.into()), stage }))
    }

    /// Octets that its clones share.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.0)
    }

    pub(super) fn announced(&self, ends: Endpoints) {
        *self.0.ends.lock() = ends.into();
    }

    pub(super) fn reached(&self, stage: State) {
        self.0.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Its name.
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// Its two ends, as far as they are known.
    pub fn ends(&self) -> Endpoints {
        (*self.0.ends.lock()).into()
    }

    /// Where it is.
    pub fn stage(&self) -> State {
        let stage = usize::from(self.0.stage.load(Ordering::Relaxed));
        State::ALL.get(stage).copied().unwrap_or(State::Screen)
    }

    /// How long it has lived.
    pub fn age(&self) -> Duration {
        self.0.started.elapsed()
    }
}
