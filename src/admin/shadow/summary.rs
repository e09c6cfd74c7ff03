//! What is told of a comparison, as it stands on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// In which way two policies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Permitted now, and refused by the other.
    NewlyRefused,
    /// Refused now, and permitted by the other.
    NewlyPermitted,
    /// Refused by both, but not alike: for good and for now.
    RefusedOtherwise,
    /// The other cannot be known.
    Undecided,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::NewlyRefused, Self::NewlyPermitted, Self::RefusedOtherwise, Self::Undecided];

    /// `newly refused`, `newly permitted`, `refused otherwise`, `undecided`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewlyRefused => "newly refused",
            Self::NewlyPermitted => "newly permitted",
            Self::RefusedOtherwise => "refused otherwise",
            Self::Undecided => "undecided",
        }
    }
}

/// Something that two policies decide differently, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In which way.
    pub kind: Kind,
    /// How often; where there were very many differences, at most so often.
    pub count: u64,
    /// The client's address.
    pub client: String,
    /// The sender; empty for a bounce, none if it did not come to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The recipient, if it came to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What refuses: a test, or a list and its restriction, of the policy that does. Of what is undecided: why.
    pub rule: String,
    /// What the client is told by the policy that refuses.
    pub reply: String,
    /// The last connection with it.
    pub id: String,
}

/// What is told while a comparison goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It has begun; this will not be seen.
    Began(Vec<String>),
    /// A difference that has not been told of yet.
    Differs(Difference),
    /// Nothing new: so many decisions have been compared.
    Compared(u64),
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The other configuration.
    pub config: String,
    /// How long it was compared.
    pub seconds: u64,
    /// Connections that began and ended meanwhile.
    pub connections: u64,
    /// Those of them in which nothing was decided: nobody was refused, and no recipient named.
    pub idle: u64,
    /// Decisions compared: one for each recipient, or for the refusal that came before one.
    pub compared: u64,
    /// Those in which both permit, or both refuse in the same way.
    pub agreed: u64,
    /// Permitted now, and refused by the other.
    pub newly_refused: u64,
    /// Refused now, and permitted by the other.
    pub newly_permitted: u64,
    /// Refused by both, one for good and one for now.
    pub refused_otherwise: u64,
    /// The other cannot be known.
    pub undecided: u64,
    /// Decisions that were not compared, for want of time or room.
    pub dropped: u64,
    /// What cannot be seen: sentences.
    pub blind: Vec<String>,
    /// What newly refuses, and how often.
    pub refused_by: BTreeMap<String, u64>,
    /// What does no longer refuse.
    pub no_longer_refused_by: BTreeMap<String, u64>,
    /// Why the other cannot be known.
    pub undecided_because: BTreeMap<String, u64>,
    /// The most frequent differences of each kind.
    pub examples: Vec<Difference>,
}
