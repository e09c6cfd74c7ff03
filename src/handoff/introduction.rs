//! How a backend is told who the client is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::settings::Identity;
use crate::id::Id;
use crate::policy::{Names, TlsFacts};
use crate::proxy_protocol::{self, Endpoints, Tlv};
use crate::smtp::envelope::Helo;
use crate::wire::Socket;

/// What there is to tell of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    /// Who speaks to whom; `None` when it is we who ask something.
    pub(super) ends: Option<Endpoints>,
    /// What DNS says that it is called, if somebody has asked.
    pub(super) names: Option<&'a Names>,
    /// What it calls itself, if it has.
    pub(super) helo: Option<&'a Helo>,
    /// The connection's id, as the log knows it; `None` when it is ours.
    pub(super) id: Option<Id>,
    /// What TLS it speaks, where TLS ends here.
    pub(super) tls: Option<&'a TlsFacts>,
    /// What we call ourselves.
    pub(super) hostname: &'a str,
}

impl<'a> Client<'a> {
    pub(super) fn ourselves(hostname: &'a str) -> Self {
        Self { ends: None, names: None, helo: None, id: None, tls: None, hostname }
    }

    /// Its address without its port, which may still be in use between the two of them.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.ends.map(|ends| ends.client.ip().to_canonical())
    }

    /// With ends, whoever it is; `socket` is the one to the server.
    pub(super) fn over(self, socket: &Socket) -> Self {
        Self { ends: self.ends.or_else(|| Some(own_ends(socket))), ..self }
    }

    /// What is to be sent in front of everything else; empty if nothing is.
    pub(super) fn header(&self, identity: Identity) -> Vec<u8> {
        let Some(ends) = self.ends else { return Vec::new() };
        match identity {
            Identity::ProxyV2 => {
                let tls = self.tls.map(|tls| Tlv::ssl(&tls.protocol, &tls.cipher));
                let id = self.id.map(Tlv::unique_id);
                let tlvs: Vec<_> = id.into_iter().chain(tls).collect();
                proxy_protocol::write_v2(&ends, &tlvs)
            }
            Identity::ProxyV1 => proxy_protocol::write_v1(&ends),
            Identity::Xclient | Identity::Transparent | Identity::None => Vec::new(),
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
