//! `[admin]`: the operator's hand on a running server.

use std::path::PathBuf;

/// Where operators ask, and what they may ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The socket that `prescreen status` and its kin ask at, for its owner alone (mode 0600). Default
    /// [`SOCKET`](Self::SOCKET), and none where that cannot be opened; another one must be.
    pub socket: Option<PathBuf>,
    /// Octets of memory for decisions about the last connections (`prescreen why`). Default 8 MiB, about eight thousand
    /// connections; 0 keeps none.
    pub history_size: usize,
}

impl Admin {
    /// Where commands ask unless they are told otherwise.
    pub const SOCKET: &str = "/run/prescreen/admin.sock";
}

impl Default for Admin {
    fn default() -> Self {
        Self { socket: Some(Self::SOCKET.into()), history_size: 8 << 20 }
    }
}
