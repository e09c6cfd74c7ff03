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
    /// Why, where there is more to say than what it said.
    pub why: String,
    /// The reply of a refusal, also of one that is only warned of or put off.
    pub reply: Option<String>,
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
    /// The connection ends without a reply.
    HangUp,
}

impl Said {
    /// `DUNNO`, `OK`, `REJECT`, `WARN`, `DEFER_IF_PERMIT`, `DEFER_IF_REJECT`, `HANGUP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dunno => "DUNNO",
            Self::Ok => "OK",
            Self::Reject => "REJECT",
            Self::Warning => "WARN",
            Self::DeferIfPermit => "DEFER_IF_PERMIT",
            Self::DeferIfReject => "DEFER_IF_REJECT",
            Self::HangUp => "HANGUP",
        }
    }
}

/// A step that has been opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepId(usize);

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

    /// A restriction is considered.
    pub(super) fn open(&mut self, list: List, depth: usize, restriction: &str) -> StepId {
        let Some(steps) = &mut self.0 else { return StepId(0) };
        steps.push(Step {
            list,
            depth,
            restriction: restriction.to_owned(),
            lookups: Vec::new(),
            said: Said::Dunno,
            why: String::new(),
            reply: None,
        });
        StepId(steps.len() - 1)
    }

    /// The restriction that is considered has looked something up.
    pub(super) fn lookup(&mut self, what: impl FnOnce() -> String) {
        if let Some(step) = self.last() {
            step.lookups.push(what());
        }
    }

    /// Why the restriction that is considered will say what it will say.
    pub(super) fn because(&mut self, why: impl FnOnce() -> String) {
        if let Some(step) = self.last() {
            step.why = why();
        }
    }

    /// What a restriction says, and the reply that it gives or would give.
    pub(super) fn say(&mut self, StepId(at): StepId, said: Said, reply: Option<&dyn ToString>) {
        if let Some(step) = self.0.as_mut().and_then(|steps| steps.get_mut(at)) {
            step.said = said;
            step.reply = reply.map(ToString::to_string).or(step.reply.take());
        }
    }

    fn last(&mut self) -> Option<&mut Step> {
        self.0.as_mut()?.last_mut()
    }
}
