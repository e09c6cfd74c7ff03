//! SMTP with the client until the hand-off: sans-IO, a line in and a [`Step`] out.
//!
//! A [`Session`] greets, learns HELO and the envelope, holds the client to the deep tests and counts its errors. It
//! judges no address itself: a command that the restriction lists have a say in becomes a [`Pending`], which only
//! [`Session::decided`] can finish, and a recipient that they permit becomes [`Checked`], which only the backend's
//! reply can finish. So nothing reaches a backend unchecked, and nothing is answered twice.
//!
//! What the client reads is Postfix smtpd's, word by word, because that is what log tools, senders and administrators
//! know.
//!
//! It refuses to read a socket, to look at a clock, and to answer the end of a message.

mod commands;
mod content;
mod deep;
mod ehlo;
mod errors;
mod finding;
mod footer;
mod outcome;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod script;
mod session;
mod settings;
mod step;
mod tables;

pub use finding::{After, Envelope, Finding, RefusedBy};
pub use session::{Peer, Session};
pub use settings::{Auth, Encryption, ErrorSettings, Offer, Settings};
pub use step::{Checked, ContentCommand, Passthrough, Pending, Released, Step, Waiting};
pub use tables::Tables;
