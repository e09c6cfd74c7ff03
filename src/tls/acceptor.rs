//! Ends TLS for clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{HandshakeKind, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use super::totals::{Handshake, Statistics, Totals};
use super::{Settings, Stream};
use crate::table::{LoadError, Refresh};

/// What a client that takes nothing may leave waiting inside its TLS session, in bytes.
const WAITING: usize = 16 * 1024;

/// What SMTP is called in ALPN (RFC 7301). No name is registered; these are in use.
const ALPN: [&[u8]; 2] = [b"smtp", b"esmtp"];

/// Why a handshake came to nothing; always the end of that connection, never of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// `handshake_time_limit` ran out.
    #[error("TLS handshake timed out")]
    Timeout,
    /// The client broke off or made no sense.
    #[error("TLS handshake failed")]
    Failed,
}

/// Ends TLS for clients. Clones share certificates, tickets and the cap on handshakes.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    handshakes: Arc<Semaphore>,
    time_limit: Duration,
    statistics: Arc<Statistics>,
}

impl Acceptor {
    /// Reads the certificates that `settings` names. What `before` has counted is counted on, and sessions that it
    /// has begun can be resumed.
    ///
    /// Waits for the disk: call it off the network path.
    pub fn new(settings: &Settings, before: Option<&Self>) -> Result<Self, Vec<LoadError>> {
        let statistics = before.map_or_else(Arc::default, |before| Arc::clone(&before.statistics));
        let certificates = Arc::new(Certificates::load(&settings.certificates, Arc::clone(&statistics))?);
        statistics.fresh();
        Ok(Self {
            config: Arc::new(config(&certificates, before).map_err(|error| {
                vec![LoadError::Spec { spec: "tls".to_owned(), what: error.to_string() }]
            })?),
            certificates,
            handshakes: Arc::new(Semaphore::new(settings.handshake_count_limit)),
            time_limit: settings.handshake_time_limit,
            statistics,
        })
    }

    /// The certificates, to be refreshed off the network path.
    pub fn certificates(&self) -> Arc<dyn Refresh> {
        Arc::clone(&self.certificates) as Arc<dyn Refresh>
    }

    /// Until when each certificate in use is valid, with the file that it comes from; those that do not say are left
    /// out.
    pub fn expiries(&self) -> Vec<(PathBuf, SystemTime)> {
        self.certificates.expiries()
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        self.statistics.read()
    }

    /// Does the handshake. The caller has made sure that nothing the client sent in clear is left unread
    /// (RFC 3207 §4.2: what came before TLS must be forgotten).
    pub async fn accept(&self, socket: TcpStream) -> Result<Stream, HandshakeError> {
        let done = timeout(self.time_limit, self.handshake(socket)).await;
        let (ended, result) = match done {
            Ok(Some(tls)) => (kind(&tls), Ok(Stream::Tls(Box::new(tls.into())))),
            Ok(None) => (Handshake::Failed, Err(HandshakeError::Failed)),
            Err(_) => (Handshake::TimedOut, Err(HandshakeError::Timeout)),
        };
        self.statistics.ended(ended);
        result
    }

    /// Who has not even said hello takes no place among those whose handshakes run.
    async fn handshake(&self, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
        let hello = LazyConfigAcceptor::new(Default::default(), socket).await.ok()?;
        let _place = self.handshakes.acquire().await.ok()?;
        let limited = |connection: &mut rustls::ServerConnection| connection.set_buffer_limit(Some(WAITING));
        hello.into_stream_with(Arc::clone(&self.config), limited).await.ok()
    }
}

/// Tickets carry sessions, encrypted with keys that change every six hours and are forgotten after twelve: nothing is
/// remembered here, and what is recorded today cannot be read for long with keys that leak.
fn config(
    certificates: &Arc<Certificates>,
    before: Option<&Acceptor>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as Arc<_>);
    // Who wants to speak something else is refused (RFC 7301 §3.2), so that no browser can be sent here in the belief
    // that this is its web server (ALPACA). Mail clients say nothing of it, as a rule.
    config.alpn_protocols = ALPN.map(Vec::from).into();
    // All suites are good; but who looks at a server from outside wants to see that it has an opinion.
    config.ignore_client_order = true;
    config.ticketer = match before {
        Some(before) => Arc::clone(&before.config.ticketer),
        None => rustls::crypto::aws_lc_rs::Ticketer::new()?,
    };
    Ok(config)
}

fn kind(tls: &TlsStream<TcpStream>) -> Handshake {
    match tls.get_ref().1.handshake_kind() {
        Some(HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{fs, io};

    use rustls::crypto::SupportedKxGroup;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::table::Refreshed;
    use crate::tls::Pair;

    /// A key and a self-signed certificate for `name`, in files; returns the certificate too.
    fn certificate(folder: &Path, name: &str) -> (Pair, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let pair =
            Pair { chain: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        fs::write(&pair.chain, made.cert.pem()).unwrap();
        fs::write(&pair.key, made.signing_key.serialize_pem()).unwrap();
        (pair, made.cert.der().clone())
    }

    fn acceptor(certificates: &[&Pair]) -> Acceptor {
        let certificates = certificates.iter().copied().cloned().collect();
        Acceptor::new(&Settings { certificates, ..Settings::default() }, None).unwrap()
    }

    /// A client that trusts `root` and speaks `version` only. It remembers its sessions.
    fn client(
        root: &CertificateDer<'static>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Connects as `client`, which knows the server by `name`; returns what was agreed on.
    async fn echo(
        acceptor: &Acceptor,
        client: &Arc<ClientConfig>,
        name: &'static str,
    ) -> io::Result<(String, Option<HandshakeKind>, Option<NamedGroup>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = acceptor.clone();
        let served = tokio::spawn(async move {
            let (socket, _) = listener.accept().await?;
            let mut stream = acceptor.accept(socket).await.map_err(io::Error::other)?;
            let mut got = [0; 4];
            stream.read_exact(&mut got).await?;
            stream.write_all(&got).await?;
            stream.flush().await?;
            Ok::<_, io::Error>(stream.agreed().unwrap().0)
        });
        let socket = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::clone(client));
        let mut client = connector.connect(ServerName::try_from(name).unwrap(), socket).await?;
        client.write_all(b"ping").await?;
        let mut back = [0; 4];
        client.read_exact(&mut back).await?;
        assert_eq!(&back, b"ping");
        let agreed = client.get_ref().1;
        let group = agreed.negotiated_key_exchange_group().map(SupportedKxGroup::name);
        Ok((served.await.unwrap()?, agreed.handshake_kind(), group))
    }

    const NAME: &str = "mx.example.com";

    #[tokio::test]
    async fn the_certificate_follows_the_name_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (one, one_der) = certificate(folder.path(), "mx1.example.com");
        let (two, two_der) = certificate(folder.path(), "mx2.example.com");
        let acceptor = acceptor(&[&one, &two]);
        for (der, name) in [(one_der, "mx1.example.com"), (two_der, "mx2.example.com")] {
            echo(&acceptor, &client(&der, &TLS13), name).await.unwrap();
        }
    }

    #[tokio::test]
    async fn keys_are_agreed_on_as_no_quantum_computer_can_tell_them() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, der) = certificate(folder.path(), NAME);
        let agreed = echo(&acceptor(&[&pair]), &client(&der, &TLS13), NAME).await.unwrap();
        assert_eq!(agreed.2, Some(NamedGroup::X25519MLKEM768));
    }

    #[tokio::test]
    async fn who_wants_to_speak_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, der) = certificate(folder.path(), NAME);
        let acceptor = acceptor(&[&pair]);
        for version in [&TLS12, &TLS13] {
            for (offered, is_served) in [
                (&[][..], true),
                (&["smtp"], true),
                (&["esmtp"], true),
                (&["h2", "smtp"], true),
                (&["h2", "http/1.1"], false),
            ] {
                let mut client = Arc::unwrap_or_clone(client(&der, version));
                client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
                let served = echo(&acceptor, &Arc::new(client), NAME).await;
                assert_eq!(served.is_ok(), is_served, "{version:?} {offered:?}");
            }
        }
        assert_eq!(acceptor.totals().handshakes, [8, 0, 2, 0]);
    }

    #[tokio::test]
    async fn a_changed_pair_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, old) = certificate(folder.path(), NAME);
        let acceptor = acceptor(&[&pair]);
        let certificates = acceptor.certificates();
        assert_eq!(certificates.refresh(), Refreshed::Unchanged);

        fs::write(&pair.key, "no key at all").unwrap();
        let Refreshed::Kept(errors) = certificates.refresh() else { panic!("taken") };
        assert!(errors[0].to_string().contains("mx.example.com.key: cannot read"), "{errors:?}");
        assert_eq!(certificates.refresh(), Refreshed::Unchanged, "told once");
        echo(&acceptor, &client(&old, &TLS13), NAME).await.unwrap();
        let Totals { reloads, reload_failures, stale, .. } = acceptor.totals();
        assert_eq!((reloads, reload_failures, stale), (0, 1, true));

        let (_, new) = certificate(folder.path(), NAME);
        assert!(matches!(certificates.refresh(), Refreshed::Replaced(_)));
        echo(&acceptor, &client(&new, &TLS13), NAME).await.unwrap();
        assert!(echo(&acceptor, &client(&old, &TLS13), NAME).await.is_err());
        let Totals { reloads, reload_failures, stale, .. } = acceptor.totals();
        assert_eq!((reloads, reload_failures, stale), (1, 1, false));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (one, _) = certificate(folder.path(), "one.example.com");
        let (two, _) = certificate(folder.path(), "two.example.com");
        let mixed = Pair { chain: one.chain, key: two.key };
        let settings = Settings { certificates: vec![mixed], ..Settings::default() };
        let errors = Acceptor::new(&settings, None).err().unwrap();
        assert!(errors[0].to_string().contains("two.example.com.key: does not fit"), "{errors:?}");
    }

    #[tokio::test]
    async fn a_session_is_resumed_by_its_ticket_even_after_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, der) = certificate(folder.path(), NAME);
        for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
            let before = acceptor(&[&pair]);
            let client = client(&der, version);
            let first = echo(&before, &client, NAME).await.unwrap();
            assert_eq!(first.0, name);
            assert_ne!(first.1, Some(HandshakeKind::Resumed));
            let second = echo(&before, &client, NAME).await.unwrap();
            assert_eq!(second.1, Some(HandshakeKind::Resumed), "{name}");

            let settings = Settings { certificates: vec![pair.clone()], ..Settings::default() };
            let after = Acceptor::new(&settings, Some(&before)).unwrap();
            let third = echo(&after, &client, NAME).await.unwrap();
            assert_eq!(third.1, Some(HandshakeKind::Resumed), "{name}");
            assert_eq!(after.totals().handshakes, [1, 2, 0, 0]);
        }
    }

    #[tokio::test]
    async fn who_has_said_nothing_takes_nobodys_place() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, der) = certificate(folder.path(), NAME);
        let settings = Settings { certificates: vec![pair], handshake_count_limit: 1, ..Settings::default() };
        let acceptor = Acceptor::new(&settings, None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            waiting.spawn(async move { acceptor.accept(socket).await.err() });
        }
        echo(&acceptor, &client(&der, &TLS13), NAME).await.unwrap();
        drop(silent);
        assert_eq!(waiting.join_all().await, [Some(HandshakeError::Failed); 3]);
        assert_eq!(acceptor.totals().handshakes, [1, 0, 3, 0]);
    }

    #[tokio::test]
    async fn a_handshake_has_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, _) = certificate(folder.path(), NAME);
        let handshake_time_limit = Duration::from_millis(1);
        let settings = Settings { certificates: vec![pair], handshake_time_limit, ..Settings::default() };
        let acceptor = Acceptor::new(&settings, None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        assert_eq!(acceptor.accept(socket).await.err(), Some(HandshakeError::Timeout));
        assert_eq!(acceptor.totals().handshakes, [0, 0, 0, 1]);
    }

    #[tokio::test]
    async fn what_is_no_handshake_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, _) = certificate(folder.path(), NAME);
        let acceptor = acceptor(&[&pair]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"MAIL FROM:<a@example.com>\r\n").await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        assert_eq!(acceptor.accept(socket).await.err(), Some(HandshakeError::Failed));
    }
}
