//! How a decision came about, restriction by restriction: what `explain` prints. Costs nothing while off.

use super::judgement::List;

/// A record of everything that was considered, or nothing at all.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Vec<Step>>);

/// One restriction that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The list in which it stands.
    pub list: List,
    /// 0 in the list itself, one more inside each class or table result.
    pub depth: usize,
    /// The restriction as configured.
    pub restriction: String,
    /// What was looked up, with what came back: `2.0.0.127.zen.example A: 127.0.0.2`.
    pub lookups: Vec<String>,
    /// What it said.
    pub said: Said,
    /// Why, in one sentence; for a refusal the reply.
    pub why: String,
}

/// What a restriction said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// Nothing: the next restriction is asked.
    Dunno,
    /// Permits: this list ends.
    Ok,
    /// Refuses.
    Reject,
    /// Would refuse, but stands behind `warn_if_reject`.
    Warning,
    /// Permission becomes a deferral from here on.
    DeferIfPermit,
    /// Rejection becomes a deferral from here on.
    DeferIfReject,
}

impl Trace {
    /// Records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Records every step.
    pub fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// What was recorded, in order; empty when off.
    pub fn steps(&self) -> &[Step] {
        self.0.as_deref().unwrap_or_default()
    }
}
