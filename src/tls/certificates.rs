//! Certificates and their keys: read from files, read again when those change, chosen by the name that is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::totals::Statistics;
use super::validity;
use crate::table::{File, Live, LoadError, Refresh, Refreshed, Sources};

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

/// The certificates in use, swapped whole when one of their files changes.
#[derive(Debug)]
pub struct Certificates {
    live: Live<Loaded>,
    statistics: Arc<Statistics>,
}

impl Certificates {
    /// Reads all of `pairs`. Everything that is wrong with any of them is told at once.
    pub(super) fn load(pairs: &[Pair], statistics: Arc<Statistics>) -> Result<Self, Vec<LoadError>> {
        let pairs = pairs.to_vec();
        let live = Live::new(move || Loaded::read(&pairs))?;
        Ok(Self { live, statistics })
    }

    /// Until when each certificate in use is valid, with the file that it comes from; those that do not say are left
    /// out.
    pub(super) fn expiries(&self) -> Vec<(PathBuf, SystemTime)> {
        let loaded = self.live.current();
        let expiry = |(chain, key): &(PathBuf, Arc<CertifiedKey>)| {
            let expires = validity::not_after(key.end_entity_cert().ok()?)?;
            Some((chain.clone(), expires))
        };
        loaded.keys.iter().filter_map(expiry).collect()
    }
}

/// What follows the files: a renewed pair is taken whole or not at all, so that the moment between the renewal of a
/// chain and that of its key passes unnoticed.
impl Refresh for Certificates {
    fn refresh(&self) -> Refreshed {
        let refreshed = self.live.refresh();
        self.statistics.refreshed(&refreshed);
        refreshed
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.live.current();
        let mut keys = loaded.keys.iter().map(|(_, key)| key);
        let named = hello.server_name().and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            keys.clone().find(|key| bears(key, &name))
        });
        named.or_else(|| keys.next()).cloned()
    }
}

/// Whether a certificate bears `name`.
fn bears(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    key.end_entity_cert()
        .ok()
        .and_then(|der| ParsedCertificate::try_from(der).ok())
        .is_some_and(|certificate| rustls::client::verify_server_name(&certificate, name).is_ok())
}

/// Certificates as they were read.
#[derive(Debug)]
struct Loaded {
    /// Each with the file of its chain, in the order of the configuration.
    keys: Vec<(PathBuf, Arc<CertifiedKey>)>,
    files: Vec<File>,
}

impl Sources for Loaded {
    fn files(&self) -> Vec<File> {
        self.files.clone()
    }
}

impl Loaded {
    fn read(pairs: &[Pair]) -> Result<Self, Vec<LoadError>> {
        if pairs.is_empty() {
            return Err(vec![LoadError::Spec {
                spec: "tls.certificates".to_owned(),
                what: "no certificate is given; name a chain and a key, or set starttls = \"passthrough\""
                    .to_owned(),
            }]);
        }
        // Looked at before they are read: what is written meanwhile shows as a change later.
        let files = pairs.iter().flat_map(|pair| [&pair.chain, &pair.key]).cloned().map(File::at).collect();
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for pair in pairs {
            match certified(pair) {
                Ok(key) => keys.push((pair.chain.clone(), key)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { keys, files }) } else { Err(errors) }
    }
}

fn certified(pair: &Pair) -> Result<Arc<CertifiedKey>, LoadError> {
    let at = |file: &PathBuf, what: String| LoadError::Spec { spec: file.display().to_string(), what };
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
