//! The temporary allowlist: which client has passed which test, and until when.

mod record;

pub use record::{Key, Prefixes, Record, Test};
