//! `[relay]`: how much is inspected, and what forwarding may cost.

use std::time::Duration;

use super::content::ForbidBareNewline;
use crate::spelling::spelled;

/// `[relay]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much of a connection is screened. Default: `connection`.
    pub inspect: Inspect,
    /// With `inspect = "transaction"`: what becomes of a message with a dot alone on what only some servers take for a
    /// line (SMTP smuggling). Default: `reject`.
    pub forbid_bare_newline: ForbidBareNewline,
    /// How long neither side may send anything. Default 900 s: a server may take 10 minutes to answer the final
    /// dot (RFC 5321 §4.5.3.2.6).
    pub idle_timeout: Duration,
    /// Bytes that one pipe shall hold; one splice moves no more. Default 1 MiB, the most that an ordinary user
    /// is given.
    pub pipe_size: usize,
    /// Pipes of the whole process; 0 never splices. Default 48, three quarters of what an ordinary user is
    /// given of that size.
    pub max_pipes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inspect: Inspect::Connection,
            forbid_bare_newline: ForbidBareNewline::default(),
            idle_timeout: Duration::from_secs(900),
            pipe_size: 1 << 20,
            max_pipes: 48,
        }
    }
}

/// How much of a connection is screened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Inspect {
    /// Up to the first DATA or BDAT.
    #[default]
    Connection,
    /// Every MAIL transaction.
    Transaction,
}

spelled!(Inspect { Connection = "connection", Transaction = "transaction" });
