//! The relay on real sockets: every byte, every end, and nothing left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ends;
mod integrity;
mod limits;
mod rig;
