//! The SMTP wire: lines, commands, addresses, replies. Pure: no sockets, no clock.
//!
//! prescreen replays what it has read to another server, so what it accepts here it must be able to say again
//! without a second meaning: a replayed command is put together anew from what was understood of it, and nothing
//! with a control character, a bare CR or a bare LF inside ever becomes a [`Command`](command::Command).

pub mod address;
pub mod capability;
pub mod command;
pub mod envelope;
pub mod excerpt;
pub mod host;
pub mod line;
pub mod reply;
pub mod reply_reader;
pub mod syntax;
mod words;
