//! Begins TLS with servers, and believes none that its certificate does not bear out.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::table::LoadError;

/// What a certificate must bear: a DNS name, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName(ServerName<'static>);

impl CertificateName {
    /// An IP address.
    pub fn of(address: std::net::IpAddr) -> Self {
        Self(ServerName::from(address))
    }
}

impl FromStr for CertificateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = ServerName::try_from(text.to_owned());
        name.map(Self).map_err(|_| {
            format!("`{text}` is no name that a certificate could bear; write one such as mail.example.org, or an IP address")
        })
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str())
    }
}

/// Why there is no TLS with a server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its certificate is not to be trusted: issuer, name or time.
    #[error("{0}")]
    Untrusted(io::Error),
    /// It broke off, or offers nothing that is good enough.
    #[error("{0}")]
    Failed(io::Error),
}

/// Begins TLS with servers. Clones share what they trust.
#[derive(Clone)]
pub struct Connector(TlsConnector);

impl Connector {
    /// Trusts what the certificates in the PEM file `ca` have signed, or what the system trusts.
    ///
    /// Waits for the disk: call it off the network path.
    pub fn new(ca: Option<&Path>) -> Result<Self, LoadError> {
        let roots = match ca {
            Some(file) => from_file(file)?,
            None => from_system()?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| wrong("tls", error.to_string()))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Does the handshake with the server that must be `name`.
    pub async fn connect<S>(&self, name: &CertificateName, stream: S) -> Result<TlsStream<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.0.connect(name.0.clone(), stream).await.map_err(|error| {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
            match cause {
                Some(rustls::Error::InvalidCertificate(_)) => ConnectError::Untrusted(error),
                _ => ConnectError::Failed(error),
            }
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

fn from_file(file: &Path) -> Result<RootCertStore, LoadError> {
    let shown = file.display().to_string();
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| wrong(&shown, format!("cannot read PEM certificates: {error}")))?;
    for certificate in certificates {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            .map_err(|error| wrong(&shown, format!("holds what is no certificate: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong(&shown, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(roots)
}

fn from_system() -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let what = "this system trusts nobody; install its CA certificates (ca-certificates), or name a file";
        return Err(wrong("backend.tls_ca", what.to_owned()));
    }
    Ok(roots)
}

fn wrong(spec: &str, what: String) -> LoadError {
    LoadError::Spec { spec: spec.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_as_they_are_written() {
        for text in ["mail.example.org", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(text.parse::<CertificateName>().unwrap().to_string(), text);
        }
        assert!("not a name".parse::<CertificateName>().unwrap_err().contains("write one such as"));
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Connector::new(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("holds no PEM certificate"), "{error}");
    }
}
