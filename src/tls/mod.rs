//! TLS with the client: certificates, the acceptor, and the stream that may or may not be inside TLS.
//!
//! rustls does the work (TLS 1.2 and 1.3, X25519MLKEM768 where the client offers it). Certificates are read from
//! files and can be read again; a pair that does not fit leaves the old one in place. A handshake has a deadline, and
//! only so many run at once, so that a flood of half-done handshakes cannot take the processor from the others.

mod validity;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What STARTTLS does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Starttls {
    /// prescreen ends TLS itself: needs a certificate; the checks go on inside.
    Terminate,
    /// No certificate needed: EHLO and STARTTLS are replayed to the backend and bytes are spliced.
    Passthrough,
    /// Not offered.
    #[default]
    Off,
}

impl std::str::FromStr for Starttls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "terminate" => Ok(Self::Terminate),
            "passthrough" => Ok(Self::Passthrough),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{text}` is not a way to do STARTTLS; write terminate, passthrough or off")),
        }
    }
}

impl std::fmt::Display for Starttls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Terminate => "terminate",
            Self::Passthrough => "passthrough",
            Self::Off => "off",
        })
    }
}

/// A certificate chain and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl std::str::FromStr for Pair {
    type Err = String;

    /// Reads `chain.pem key.pem`, or the name of one file that holds both.
    fn from_str(text: &str) -> Result<Self, String> {
        let files: Vec<_> = text.split_whitespace().collect();
        match files[..] {
            [both] => Ok(Self { chain: both.into(), key: both.into() }),
            [chain, key] => Ok(Self { chain: chain.into(), key: key.into() }),
            _ => {
                Err("not a certificate and its key; write the names of two PEM files, \"chain.pem key.pem\""
                    .into())
            }
        }
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.chain.display(), self.key.display())
    }
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What STARTTLS does. Default off.
    pub starttls: Starttls,
    /// Certificates, chosen by the name that the client asks for (SNI); the first serves all others.
    pub certificates: Vec<Pair>,
    /// How long a handshake may take. Default 10 s.
    pub handshake_time_limit: Duration,
    /// How many handshakes run at once; the rest wait within their time limit. Default 64.
    pub handshake_count_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            starttls: Starttls::Off,
            certificates: Vec::new(),
            handshake_time_limit: Duration::from_secs(10),
            handshake_count_limit: 64,
        }
    }
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct CertificateError {
    /// The file at fault.
    pub file: String,
    /// What is wrong and what would be right.
    pub what: String,
}

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
}

impl Acceptor {
    /// Reads the certificates that `settings` names.
    pub fn new(settings: &Settings) -> Result<Self, CertificateError> {
        let certificates = Arc::new(Certificates {
            pairs: settings.certificates.clone(),
            loaded: ArcSwap::from_pointee(load(&settings.certificates)?),
        });
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let failed = |error: rustls::Error| CertificateError { file: "tls".into(), what: error.to_string() };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(failed)?;
        Ok(Self {
            config: Arc::new(config),
            certificates,
            handshakes: Arc::new(Semaphore::new(settings.handshake_count_limit)),
            time_limit: settings.handshake_time_limit,
        })
    }

    /// Reads the files again. On error the certificates in use stay.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.certificates.loaded.store(Arc::new(load(&self.certificates.pairs)?));
        Ok(())
    }

    /// The files that the certificates come from.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.pairs.iter().flat_map(|pair| [&pair.chain, &pair.key])
    }

    /// Until when each certificate in use is valid, with the file that it comes from; those that do not say are left
    /// out.
    pub fn expiries(&self) -> Vec<(PathBuf, SystemTime)> {
        let loaded = self.certificates.loaded.load();
        let pairs = self.certificates.pairs.iter().zip(loaded.iter());
        let expiry = |(pair, key): (&Pair, &Arc<CertifiedKey>)| {
            let expires = validity::not_after(key.end_entity_cert().ok()?)?;
            Some((pair.chain.clone(), expires))
        };
        pairs.filter_map(expiry).collect()
    }

    /// Does the handshake. The caller has made sure that nothing the client sent in clear is left unread
    /// (RFC 3207 §4.2: what came before TLS must be forgotten).
    pub async fn accept(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let handshake = async {
            let _permit = self.handshakes.acquire().await.map_err(|_| HandshakeError::Failed)?;
            TlsAcceptor::from(Arc::clone(&self.config))
                .accept(socket)
                .await
                .map_err(|_| HandshakeError::Failed)
        };
        timeout(self.time_limit, handshake).await.map_err(|_| HandshakeError::Timeout)?
    }
}

/// The certificates in use, swapped whole when their files change.
#[derive(Debug)]
struct Certificates {
    pairs: Vec<Pair>,
    loaded: ArcSwap<Vec<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.loaded.load();
        let named = hello.server_name().and_then(|name| {
            let name = rustls::pki_types::ServerName::try_from(name).ok()?;
            loaded.iter().find(|key| is_for(key, &name))
        });
        named.or_else(|| loaded.first()).cloned()
    }
}

/// Whether a certificate bears `name`.
fn is_for(key: &CertifiedKey, name: &rustls::pki_types::ServerName<'_>) -> bool {
    key.end_entity_cert()
        .ok()
        .and_then(|der| rustls::server::ParsedCertificate::try_from(der).ok())
        .is_some_and(|certificate| rustls::client::verify_server_name(&certificate, name).is_ok())
}

fn load(pairs: &[Pair]) -> Result<Vec<Arc<CertifiedKey>>, CertificateError> {
    if pairs.is_empty() {
        let what =
            "no certificate is given; name a chain and a key, or set starttls = \"passthrough\"".into();
        return Err(CertificateError { file: "tls.certificates".into(), what });
    }
    pairs.iter().map(load_pair).collect()
}

fn load_pair(pair: &Pair) -> Result<Arc<CertifiedKey>, CertificateError> {
    let at = |file: &PathBuf, what: String| CertificateError { file: file.display().to_string(), what };
    let chain = CertificateDer::pem_file_iter(&pair.chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(&pair.chain, format!("cannot read a PEM certificate chain: {error}")))?;
    if chain.is_empty() {
        return Err(at(&pair.chain, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        .map_err(|error| at(&pair.key, format!("cannot read a PEM private key: {error}")))?;
    let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| at(&pair.key, format!("does not fit {}: {error}", pair.chain.display())))?;
    Ok(Arc::new(certified))
}

/// A client's stream: in clear, or inside TLS.
#[derive(Debug)]
pub enum Stream {
    /// As accepted.
    Plain(TcpStream),
    /// After STARTTLS. Boxed: a waiting connection should be small.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// What TLS was agreed on: protocol, cipher suite and key bits.
    pub fn agreed(&self) -> Option<(String, String, u16)> {
        let Self::Tls(tls) = self else { return None };
        let connection = tls.get_ref().1;
        let version = match connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let suite = connection.negotiated_cipher_suite()?.suite();
        let name = suite.as_str().unwrap_or("unknown").trim_start_matches("TLS13_").to_owned();
        let bits = if name.contains("AES_128") { 128 } else { 256 };
        Some((version.to_owned(), name, bits))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A key and a self-signed certificate for `name`, in files; returns the certificate too.
    fn certificate(folder: &std::path::Path, name: &str) -> (Pair, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let pair =
            Pair { chain: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        fs::write(&pair.chain, made.cert.pem()).unwrap();
        fs::write(&pair.key, made.signing_key.serialize_pem()).unwrap();
        (pair, made.cert.der().clone())
    }

    /// Connects as a client that trusts `root`; the name of the certificate that it was shown must be `name`.
    async fn echo(acceptor: &Acceptor, root: CertificateDer<'static>, name: &'static str) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = acceptor.clone();
        let served = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = Stream::Tls(Box::new(acceptor.accept(socket).await.map_err(io::Error::other)?));
            assert_eq!(stream.agreed().unwrap().0, "TLSv1.3");
            let mut got = [0; 4];
            stream.read_exact(&mut got).await?;
            stream.write_all(&got).await?;
            stream.flush().await
        });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let socket = TcpStream::connect(address).await?;
        let mut client = connector.connect(ServerName::try_from(name).unwrap(), socket).await?;
        client.write_all(b"ping").await?;
        let mut back = [0; 4];
        client.read_exact(&mut back).await?;
        assert_eq!(&back, b"ping");
        served.await.unwrap()
    }

    #[tokio::test]
    async fn the_certificate_follows_the_name_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (one, one_der) = certificate(folder.path(), "mx1.example.com");
        let (two, two_der) = certificate(folder.path(), "mx2.example.com");
        let acceptor =
            Acceptor::new(&Settings { certificates: vec![one, two], ..Settings::default() }).unwrap();
        echo(&acceptor, one_der, "mx1.example.com").await.unwrap();
        echo(&acceptor, two_der, "mx2.example.com").await.unwrap();
    }

    #[tokio::test]
    async fn a_changed_pair_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (pair, old) = certificate(folder.path(), "mx.example.com");
        let acceptor =
            Acceptor::new(&Settings { certificates: vec![pair.clone()], ..Settings::default() }).unwrap();
        fs::write(&pair.key, "no key at all").unwrap();
        let error = acceptor.reload().unwrap_err().to_string();
        assert!(error.contains("mx.example.com.key"), "{error}");
        echo(&acceptor, old.clone(), "mx.example.com").await.unwrap();
        let (_, new) = certificate(folder.path(), "mx.example.com");
        acceptor.reload().unwrap();
        echo(&acceptor, new, "mx.example.com").await.unwrap();
        assert!(echo(&acceptor, old, "mx.example.com").await.is_err());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (one, _) = certificate(folder.path(), "one.example.com");
        let (two, _) = certificate(folder.path(), "two.example.com");
        let mixed = Pair { chain: one.chain, key: two.key };
        let settings = Settings { certificates: vec![mixed], ..Settings::default() };
        let error = Acceptor::new(&settings).err().unwrap().to_string();
        assert!(error.contains("two.example.com.key: does not fit"), "{error}");
    }
}
