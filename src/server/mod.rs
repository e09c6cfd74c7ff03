//! (being built)
pub mod files;
pub mod listen;
