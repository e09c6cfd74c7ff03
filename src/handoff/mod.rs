//! The hand-off: connect to a backend, tell it who the client is, and bring it to where the client is.
//!
//! The backend is the last restriction: its reply to MAIL or RCPT *is* the reply. It is spoken to in lock-step, one
//! command and one reply, because a server may take anything that waits behind a command for an attack; only MAIL and
//! its first recipient go together, to a server that offers PIPELINING.
//!
//! Nothing gets here unscreened: a connection is opened with a [`Proof`], and only the screen and the dialogue can
//! make what is in it. Nothing is refused here either: whatever goes wrong on our side of a backend is
//! [`Unavailable`], and a 451 to the client. A server that will not hear who the client is, is never spoken to
//! without.

mod backend;
mod backends;
mod connect;
mod content;
mod encryption;
mod introduction;
mod lockstep;
mod lone_dot;
mod probe;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod totals;
mod trouble;
mod verify;
mod whereabouts;
mod xclient;

pub use backend::Backend;
pub use backends::Backends;
pub use content::{Begun, Ready};
pub use encryption::BackendTls;
pub use lone_dot::LoneDot;
pub use server::{Health, Place};
pub use session::Handoff;
pub use settings::{Address, Identity, Order, Settings};
pub use totals::Totals;
pub use trouble::{Phase, Trouble, Unavailable};
pub use verify::AddressProbe;

use crate::dialogue::{Checked, Passthrough};
use crate::screen::Passed;
use crate::tls::Stream;
use crate::wire::Socket;

/// The way to a server: a socket, or TLS over one.
pub type Link = Stream<Socket>;

/// Why the backend may be opened.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Permanently permitted: the backend greets the client itself.
    Passed(&'a Passed),
    /// A recipient that every list permits.
    Checked(&'a Checked),
    /// A session that becomes the backend's.
    Passthrough(&'a Passthrough),
}
