//! What operators ask: what would happen to a client, how a running program is, what it has counted.

pub mod desk;
pub mod explain;
pub mod http;
pub mod page;
pub mod preflight;
pub mod shadow;
