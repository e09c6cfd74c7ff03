//! TLS with a server, by STARTTLS. Whatever goes wrong with it, nothing is said in clear instead.

use tokio::time::Instant;

use super::backend::{Backend, Outcome, timed};
use super::lockstep::Lost;
use super::server::Health;
use super::settings::{Address, Settings};
use super::trouble::{Failure, Phase, Trouble};
use crate::smtp::capability::Capabilities;
use crate::spelling::spelled;
use crate::tls::{CertificateName, ConnectError, Connector};

/// Whether TLS is spoken with the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendTls {
    /// It is not: `off`. For servers on this host, and in networks that can be trusted.
    #[default]
    Off,
    /// By STARTTLS, with a certificate that bears the server's name: `starttls`.
    StartTls,
}

spelled!(BackendTls { Off = "off", StartTls = "starttls" });

/// What is there to speak TLS with the servers.
#[derive(Clone, Debug)]
pub(super) enum Encryption {
    /// It is not asked for.
    Off,
    /// It is.
    With(Connector),
    /// It is, and cannot be had: nobody can be believed. Then nobody is spoken with.
    Broken,
}

impl Encryption {
    pub(super) fn of(settings: &Settings) -> Self {
        match settings.tls {
            BackendTls::Off => Self::Off,
            BackendTls::StartTls => Connector::new(settings.tls_ca.as_deref()).map_or_else(
                |error| {
                    tracing::error!("{error}; no backend can be believed, so none is spoken with");
                    Self::Broken
                },
                Self::With,
            ),
        }
    }
}

impl Backend {
    /// Goes on inside TLS, where that is asked for. The greeting has been read; inside, there is no other.
    pub(super) async fn encrypted(
        mut self: Box<Self>,
        encryption: &Encryption,
        hostname: &str,
    ) -> Outcome<Box<Self>> {
        let failed = |reply| Failure { phase: Phase::Tls, trouble: Trouble::Tls, reply };
        let connector = match encryption {
            Encryption::Off => return Ok(self),
            Encryption::With(connector) => connector,
            Encryption::Broken => return Err(failed(None)),
        };
        let offer = self.ask(Phase::Tls, &format!("EHLO {hostname}")).await?;
        if !Capabilities::from_reply(&offer).offers("STARTTLS") {
            return Err(failed(Some(offer)));
        }
        let reply = self.ask(Phase::Tls, "STARTTLS").await?;
        if reply.code() != 220 {
            return Err(failed(Some(reply)));
        }
        let Some(name) = certificate_name(&self.settings, &self.server.address) else {
            return Err(failed(None));
        };
        let Self { server, conversation, settings, .. } = *self;
        let begun = Instant::now();
        let encrypted = conversation.encrypted(connector, &name, settings.greeting_timeout).await;
        let encrypted = encrypted.map_err(|error| {
            // Told with the news that it is down, and not again and again.
            if server.health() != Health::Down {
                let error = error.to_string();
                tracing::warn!(server = &*server.name, error, "no TLS with the backend");
            }
            Lost::from(error.trouble())
        });
        let conversation = timed(&server, Phase::Tls, begun, encrypted)?;
        Ok(Self::over(server, settings, conversation))
    }
}

/// Why a conversation cannot go on inside TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTls {
    #[error("the handshake takes too long")]
    Timeout,
    #[error("it says something behind its reply to STARTTLS")]
    Injected,
    #[error("{0}")]
    Handshake(#[from] ConnectError),
}

impl NoTls {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Timeout => Trouble::Timeout,
            Self::Injected => Trouble::Malformed,
            Self::Handshake(ConnectError::Untrusted(_)) => Trouble::Untrusted,
            Self::Handshake(ConnectError::Failed(_)) => Trouble::Tls,
        }
    }
}

/// What the server's certificate must bear.
fn certificate_name(settings: &Settings, address: &Address) -> Option<CertificateName> {
    let given = settings.tls_name.clone();
    given.or_else(|| match address {
        Address::Tcp(address) => Some(CertificateName::of(address.ip())),
        Address::Name { host, .. } => host.parse().ok(),
        Address::Unix(_) => None,
    })
}
