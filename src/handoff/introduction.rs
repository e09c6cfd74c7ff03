//! How a backend is told who the client is.

use std::net::{Ipv4Addr, SocketAddr};

use super::settings::Identity;
use crate::policy::TlsFacts;
use crate::proxy_protocol::{self, Endpoints, Tlv};
use crate::wire::Socket;

/// What there is to tell of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    /// Who speaks to whom; `None` when it is we who ask something.
    pub(super) ends: Option<Endpoints>,
    /// The connection's id, as the log knows it.
    pub(super) id: &'a str,
    /// What TLS it speaks, where TLS ends here.
    pub(super) tls: Option<&'a TlsFacts>,
}

impl Client<'_> {
    pub(super) fn ourselves() -> Self {
        Self { ends: None, id: "probe", tls: None }
    }

    /// What is to be sent in front of everything else; empty if nothing is.
    pub(super) fn header(&self, identity: Identity, socket: &Socket) -> Vec<u8> {
        let ends = self.ends.unwrap_or_else(|| own_ends(socket));
        match identity {
            Identity::ProxyV2 => {
                let tls = self.tls.map(|tls| Tlv::ssl(&tls.protocol, &tls.cipher));
                let tlvs: Vec<_> = [Tlv::unique_id(self.id)].into_iter().chain(tls).collect();
                proxy_protocol::write_v2(&ends, &tlvs)
            }
            Identity::ProxyV1 => proxy_protocol::write_v1(&ends),
            Identity::None => Vec::new(),
        }
    }
}

/// The socket's own ends; of a unix socket, this host's.
///
/// Version 2 has LOCAL for what a proxy asks on its own behalf, but version 1 has only UNKNOWN, which not every server
/// takes. The truth in the ordinary form is understood by all.
fn own_ends(socket: &Socket) -> Endpoints {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match socket {
        Socket::Tcp(stream) => Endpoints {
            client: stream.local_addr().unwrap_or(here),
            server: stream.peer_addr().unwrap_or(here),
        },
        Socket::Unix(_) => Endpoints { client: here, server: here },
    }
}
