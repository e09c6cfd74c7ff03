//! The highest counts since the last look, as anvil(8) logs them.

use std::time::{Duration, Instant};

use crate::allowlist::Key;

use super::exceeded::Limit;

/// The highest count of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// How many.
    pub count: u32,
    /// Whose.
    pub client: Key,
    /// When it was reached first.
    pub at: Instant,
}

/// The highest count of each kind, and how many clients are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    peaks: [Option<Peak>; 4],
    /// Clients with a window, ended ones included.
    pub clients: usize,
}

impl Statistics {
    /// The highest count of what `limit` limits, whether or not it does.
    pub fn peak(&self, limit: Limit) -> Option<Peak> {
        self.peaks[limit as usize]
    }

    /// anvil's lines without their time of day: `statistics: max connection rate 3/60s for (smtp:192.0.2.1)`.
    pub fn lines(&self, service: &str, unit: Duration) -> Vec<String> {
        let unit = unit.as_secs();
        let line = |limit| {
            let Peak { count, client, .. } = self.peak(limit)?;
            let what = match limit {
                Limit::ConnectionCount => format!("connection count {count}"),
                Limit::ConnectionRate => format!("connection rate {count}/{unit}s"),
                Limit::MessageRate => format!("message rate {count}/{unit}s"),
                Limit::RecipientRate => format!("recipient rate {count}/{unit}s"),
            };
            Some(format!("statistics: max {what} for ({service}:{client})"))
        };
        let order = [Limit::ConnectionRate, Limit::ConnectionCount, Limit::MessageRate, Limit::RecipientRate];
        let size = format!("statistics: max cache size {}", self.clients);
        order.into_iter().filter_map(line).chain(std::iter::once(size)).collect()
    }

    /// Notes a count; of equal ones the first stands.
    pub(super) fn note(&mut self, limit: Limit, count: u32, client: Key, at: Instant) {
        let peak = &mut self.peaks[limit as usize];
        if peak.is_none_or(|peak| count > peak.count) {
            *peak = Some(Peak { count, client, at });
        }
    }

    /// What was noted since the last call, with the number of clients.
    pub(super) fn take(&mut self, clients: usize) -> Self {
        Self { peaks: std::mem::take(&mut self.peaks), clients }
    }

    /// Takes what another part of the clients has reached.
    pub(super) fn merge(&mut self, other: &Self) {
        for limit in Limit::ALL {
            if let Some(Peak { count, client, at }) = other.peak(limit) {
                self.note(limit, count, client, at);
            }
        }
        self.clients += other.clients;
    }
}
