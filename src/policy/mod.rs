//! Restriction lists: Postfix's language, evaluated with Postfix's semantics.
//!
//! An administrator writes lists of restrictions (`permit_mynetworks, reject_unauth_destination`). [`Policy::new`]
//! reads them once and refuses what could not work; [`Policy::judge`] then says at each command what the lists say
//! of the client, its HELO, the sender and the recipient. Verdict, code and text are Postfix's.
//!
//! It refuses to send, to log or to count: a [`Judgement`] carries the decision, what the mail shall be given on its
//! way (a header line, a further recipient) and what an administrator wants to read of it. It caches no verdict,
//! since a list judges the envelope and not the client.

mod facts;
mod judgement;
mod trace;

pub use facts::{ClientNames, Facts, NameStatus, Names, Stage, TlsFacts};
pub use judgement::{Carry, Cause, Decision, Effects, Judgement, List, Note, NoteKind};
pub use trace::{Said, Step, Trace};

use std::path::Path;

use crate::dns::Resolver;

/// What `[restrictions]` and the parameters that bear on it hold.
#[derive(Clone, Debug, Default)]
pub struct Settings {}

/// Something in the settings that cannot work: which key, and a sentence with what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Problem {
    /// The key inside its section: `recipient`, `mynetworks`, `classes.greylist`.
    pub key: String,
    /// What is wrong, naming the word, and what would be right.
    pub what: String,
}

/// The lists, read and ready. One stands behind an `Arc` for as long as a configuration lives.
pub struct Policy {}

impl Policy {
    /// Reads every list and loads every table it names; relative file names are taken from `base`.
    ///
    /// All problems are told at once; a `Policy` that exists can judge.
    pub fn new(_settings: Settings, _resolver: Resolver, _base: &Path) -> Result<Self, Vec<Problem>> {
        Ok(Self {})
    }

    /// What the lists that belong to `stage` say of `facts`.
    ///
    /// With `delay_reject = yes` (the default) Connect, Helo and Mail permit, and Rcpt judges all lists afresh for
    /// each recipient. With `no` each list is judged at its own command, and `carry` takes to the next stage what
    /// an earlier one has put off. Never an error: trouble is part of the decision.
    pub async fn judge(
        &self,
        _stage: Stage,
        _facts: &Facts<'_>,
        _carry: &mut Carry,
        _trace: &mut Trace,
    ) -> Judgement {
        Judgement::default()
    }
}
