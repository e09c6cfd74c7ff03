//! The way for answers that no datagram holds (RFC 7766): hickory's resolver, which knows how to keep a connection and
//! to share it.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use tokio::time::{Instant, timeout_at};

use super::record::{Data, Question};
use super::reply::{self, select};
use super::{Answer, Trouble};

/// One server, over TCP.
pub(super) struct Tcp(TokioResolver);

impl Tcp {
    pub(super) fn new(address: SocketAddr, timeout: Duration) -> Result<Self, NetError> {
        let mut tcp = ConnectionConfig::tcp();
        tcp.port = address.port();
        let server = NameServerConfig::new(address.ip(), true, vec![tcp]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = timeout;
        options.attempts = 0;
        options.num_concurrent_reqs = 1;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.preserve_intermediates = true;
        Ok(Self(builder.build()?))
    }

    /// What the server knows, aliases followed to their end.
    pub(super) async fn lookup(&self, question: &Question, until: Instant) -> Answer<Data> {
        let lookup = self.0.lookup(question.name.clone(), question.kind.record_type());
        match timeout_at(until, lookup).await {
            Ok(Ok(lookup)) => select(question, lookup.answers()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
                Answer::NotFound { ttl: none.negative_ttl.map(reply::lifetime) }
            }
            Ok(Err(error)) => Answer::Temporary(trouble_of(&error)),
            Err(_) => Answer::Temporary(Trouble::Timeout),
        }
    }
}

fn trouble_of(error: &NetError) -> Trouble {
    match error {
        NetError::Timeout => Trouble::Timeout,
        NetError::Dns(DnsError::ResponseCode(code)) => reply::trouble_of(*code).unwrap_or(Trouble::Malformed),
        NetError::Busy => Trouble::Busy,
        NetError::Io(_) | NetError::NoConnections => Trouble::Unreachable,
        _ => Trouble::Malformed,
    }
}
