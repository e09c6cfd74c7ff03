//! The desk: where the operator of a running server asks, and says what is to be done.
//!
//! A unix socket for its owner alone. The protocol is JSON by the line, so that any script can speak it:
//!
//! ```text
//! > {"do":"why","about":"192.0.2.1"}
//! < {"item":{"id":"D207XF0H5GGB","outcome":"dnsbl",…}}
//! < {"ok":null}
//! ```
//!
//! A request is one object, [`Request`]; what it asks for stands in `do`. The answer is any number of `item`s, then `ok`
//! with whatever there is to say at once, or `error` with a sentence. The next request may follow.

mod call;
mod replies;
mod request;
mod serve;
mod socket;
mod wire;

pub use call::{Call, Enough, NoAnswer};
pub use replies::{
    Allowlisted, Backend, DnsList, Filed, Freshness, Ordered, Overlap, Passes, Seats, Session, State, Stored,
};
pub use request::Request;
pub use serve::{Answer, Desk, Follow, serve};
pub use socket::{Socket, open};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::{self, Unit};

/// The longest request, in octets: a batch of passes to be imported.
pub const LONGEST_REQUEST: usize = 1 << 20;

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// One of several things; more follow.
    Item(Value),
    /// All is said.
    Ok(Value),
    /// Nothing more comes, and why: a sentence.
    Error(String),
}

/// A time as the configuration writes it, `7d`; a bare number counts days. The error says what would be right.
pub fn time(text: &str) -> Result<Duration, String> {
    time::parse(text, Unit::Days)
}

/// How long something has lasted or will last, in its two largest units: `3d 4h`, `0s`.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let parts = units.iter().enumerate().map(|(place, (unit, name))| {
        let rest = if place == 0 { seconds } else { seconds % units[place - 1].0 };
        (rest / unit, *name)
    });
    let shown: Vec<_> = parts.skip_while(|(number, name)| *number == 0 && *name != "s").take(2).collect();
    shown.iter().map(|(number, name)| format!("{number}{name}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_600, "1h 0m"), (90_000, "1d 1h"), (864_000, "10d 0h")]
        {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(time("7d"), time("7"));
    }
}
