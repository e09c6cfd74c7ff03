//! A second policy beside the one in force: who would newly be refused, who let in?
//!
//! What the live policy has learnt of a connection is played through under the other one, as `explain` plays a case,
//! once the connection has ended. So nobody waits for it and nothing comes of it: it counts no rates, writes no
//! allowlist, asks no policy server and probes no address. It asks DNS, as any judgement does; what the live one has
//! asked is remembered there.
//!
//! It does not guess. What the live policy never learnt, because it had refused the client before, or never made that
//! test, leaves the other one undecided, and says so.
//!
//! - A client on the allowlist is judged as if it came for the first time: DNS lists are asked about it. Tests of
//!   behaviour that it has passed before count as passed.
//! - Orders of an operator stand above both policies.
//! - Each recipient is compared by itself: that a refusal may end the session for those behind it does not count.

mod compare;
mod seen;
mod summary;
mod tally;

pub use compare::{Compared, Shadowed};
pub use seen::Seen;
pub use summary::{Difference, Kind, News, Summary};
pub use tally::{Counters, Tally};

use std::time::Duration;

use tokio::time::timeout;

use super::explain::Explainer;
use crate::config::Config;
use crate::relay::Inspect;
use crate::screen::Mode;
use crate::time;

/// How long one connection may be thought about.
const PATIENCE: Duration = Duration::from_secs(30);

/// A second policy, ready to be asked.
pub struct Shadow {
    explainer: Explainer,
    blind: Vec<String>,
}

impl Shadow {
    /// The policy of `config`, which `explainer` explains, beside `live`.
    pub fn new(explainer: Explainer, config: &Config, live: &Config) -> Self {
        Self { explainer, blind: blind_spots(config, live) }
    }

    /// What it will not see: sentences.
    pub fn blind_spots(&self) -> &[String] {
        &self.blind
    }

    /// The policy itself.
    pub fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// What it makes of a connection, decision by decision; none where the client has asked for nothing. `None`: it
    /// could not say in time.
    pub async fn judge(&self, seen: &Seen) -> Option<Vec<Compared>> {
        timeout(PATIENCE, compare::compare(&self.explainer, seen)).await.ok()
    }
}

/// Differences between two policies that cannot show.
fn blind_spots(config: &Config, live: &Config) -> Vec<String> {
    let (new, old) = (&config.screen, &live.screen);
    let mut spots = Vec::new();
    if config.mode == Mode::Observe {
        spots.push("mode = \"observe\" refuses nobody, so nobody is newly refused".to_owned());
    }
    if new.greet_wait > old.greet_wait && !old.greet_wait.is_zero() {
        let (wait, known) = (time::show(new.greet_wait), time::show(old.greet_wait));
        spots.push(format!(
            "screen.greet_wait = {wait}: clients are known to have waited for {known} only, and count as having passed"
        ));
    }
    if !config.policy.data.is_empty() {
        spots.push("restrictions.data is not judged".to_owned());
    }
    if config.dialogue.message_size_limit != live.dialogue.message_size_limit {
        spots.push("smtp.message_size_limit: sizes that MAIL declares are not looked at".to_owned());
    }
    if config.tls_required != live.tls_required {
        spots.push("tls.required is not judged".to_owned());
    }
    if live.relay.inspect == Inspect::Connection {
        spots.push(
            "relay.inspect = \"connection\": mail behind the first message of a connection is not seen"
                .to_owned(),
        );
    }
    spots
}

#[cfg(test)]
mod tests;
