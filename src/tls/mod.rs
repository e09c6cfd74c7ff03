//! TLS: with clients, where it ends here, and with backends across a network.
//!
//! rustls does the work (TLS 1.2 and 1.3, X25519MLKEM768 where the client offers it). [`Certificates`] follow their
//! files; a pair that does not fit leaves the old one in place. The [`Acceptor`] gives each handshake a deadline and
//! lets only so many run at once, so that a flood of them cannot take the processor from the others.
//!
//! No certificate is asked of a client: with SMTP there is nobody who would know it. A backend's is looked at closely:
//! the [`Connector`] believes none that it does not bear out.

mod acceptor;
mod certificates;
mod connector;
mod stream;
mod totals;
mod validity;

pub use acceptor::{Acceptor, HandshakeError};
pub use certificates::{Certificates, Pair};
pub use connector::{CertificateName, ConnectError, Connector};
pub use stream::Stream;
pub use totals::{Handshake, Totals};

use std::time::Duration;

use crate::spelling::spelled;

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

spelled!(Starttls { Terminate = "terminate", Passthrough = "passthrough", Off = "off" });

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What STARTTLS does. Default off.
    pub starttls: Starttls,
    /// Certificates, chosen by the name that the client asks for (SNI); the first serves all others.
    pub certificates: Vec<Pair>,
    /// How long a handshake may take. Default 10 s.
    pub handshake_time_limit: Duration,
    /// How many handshakes run at once; the rest wait within their time limit. Default 500.
    pub handshake_count_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            starttls: Starttls::Off,
            certificates: Vec::new(),
            handshake_time_limit: Duration::from_secs(10),
            handshake_count_limit: 500,
        }
    }
}
