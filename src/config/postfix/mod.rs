//! From a Postfix configuration to ours.
#![allow(dead_code, missing_docs)]

mod expand;
mod main_cf;
