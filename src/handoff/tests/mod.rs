//! The hand-off against scripted servers.

mod encryption;
mod faults;
mod health;
mod pool;
mod rig;
mod steps;
mod sync;
mod transparent;
