//! What operators ask a running program: how it is, and what it has counted.

pub mod http;
