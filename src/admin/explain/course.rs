//! How a case goes: what was said, what was answered, and who is to blame.

use crate::allowlist::Test;
use crate::policy::{Cause, Effects, Note, Step};
use crate::smtp::reply::Reply;

use super::Case;

/// How a case goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// The permanent access list permits the client: nothing is judged here.
    Forwarded,
    /// The client talks with us; again, where the end of a session left recipients behind.
    Talked(Vec<Conversation>),
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Up to MAIL. Where the last of it was refused, nothing follows.
    pub opening: Vec<Exchange>,
    /// A RCPT for each recipient that was reached.
    pub recipients: Vec<Exchange>,
}

/// A command, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The command line; empty for the connection itself.
    pub line: String,
    /// Every restriction that was considered, where that was asked for.
    pub steps: Vec<Step>,
    /// What the administrator asked to be told, and trouble met on the way.
    pub notes: Vec<Note>,
    /// What the mail is given on its way.
    pub effects: Effects,
    /// Restrictions whose answer is somebody else's, as configured.
    pub consulted: Vec<Box<str>>,
    /// The replies, in order; none where the client is hung up on. More than one end the session.
    pub replies: Vec<Reply>,
    /// Who refused, if it was.
    pub refusal: Option<Refusal>,
    /// Whether the session is over.
    pub closed: bool,
}

/// Who refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A test that the client failed; none: the permanent access list.
    Test(Option<Test>),
    /// A restriction.
    Restriction(Cause),
    /// A limit: message size, length of a line, number of recipients.
    Limit,
    /// The rules of SMTP.
    Protocol,
}

/// What becomes of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Handed to the backend.
    Permit,
    /// Refused for good.
    Reject,
    /// Refused for now.
    Defer,
    /// The connection is closed without a word.
    HangUp,
}

impl Verdict {
    /// `permit`, `reject`, `defer`, `hangup`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::HangUp => "hangup",
        }
    }
}

/// What becomes of one recipient, and where that was decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ruling<'a> {
    /// The recipient; none if the case has none.
    pub to: Option<&'a str>,
    opening: &'a [Exchange],
    own: Option<&'a Exchange>,
}

impl Course {
    /// What becomes of each recipient of `case`, or of the client if there is none.
    pub fn rulings<'a>(&'a self, case: &'a Case) -> Vec<Ruling<'a>> {
        let mut recipients = case.to.iter().map(String::as_str);
        let mut rulings = Vec::with_capacity(case.to.len().max(1));
        let conversations = match self {
            Self::Forwarded => &[],
            Self::Talked(conversations) => conversations.as_slice(),
        };
        for conversation in conversations {
            let opening = conversation.opening.as_slice();
            rulings.extend(
                (conversation.recipients.iter().zip(recipients.by_ref())).map(|(own, to)| Ruling {
                    to: Some(to),
                    opening,
                    own: Some(own),
                }),
            );
        }
        // Whoever was not reached shares what became of the opening.
        let opening = conversations.last().map_or(&[][..], |last| &last.opening);
        rulings.extend(recipients.map(|to| Ruling { to: Some(to), opening, own: None }));
        if rulings.is_empty() {
            rulings.push(Ruling { to: None, opening, own: None });
        }
        rulings
    }
}

impl Conversation {
    /// Over before the greeting.
    pub(super) fn over(replies: Vec<Reply>, refusal: Option<Refusal>) -> Self {
        let exchange = Exchange { replies, refusal, closed: true, ..Exchange::default() };
        Self { opening: vec![exchange], recipients: Vec::new() }
    }
}

impl<'a> Ruling<'a> {
    /// Where it was decided; none for a client that is forwarded.
    pub fn decisive(&self) -> Option<&'a Exchange> {
        self.own.or(self.opening.last())
    }

    /// What becomes of it.
    pub fn verdict(&self) -> Verdict {
        let Some(decisive) = self.decisive() else { return Verdict::Permit };
        match decisive.replies.first().map(Reply::code) {
            None => Verdict::HangUp,
            Some(..400) => Verdict::Permit,
            Some(400..500) => Verdict::Defer,
            Some(_) => Verdict::Reject,
        }
    }

    /// The restriction that refused it, if one did.
    pub fn cause(&self) -> Option<&'a Cause> {
        match self.decisive()?.refusal.as_ref()? {
            Refusal::Restriction(cause) => Some(cause),
            Refusal::Test(_) | Refusal::Limit | Refusal::Protocol => None,
        }
    }

    /// The test that it failed, or `access_list`.
    pub fn test(&self) -> Option<&'static str> {
        match self.decisive()?.refusal.as_ref()? {
            Refusal::Test(test) => Some(test.map_or("access_list", Test::as_str)),
            Refusal::Restriction(_) | Refusal::Limit | Refusal::Protocol => None,
        }
    }

    /// The commands that concern it, in order.
    pub fn exchanges(&self) -> impl Iterator<Item = &'a Exchange> + Clone {
        self.opening.iter().chain(self.own)
    }
}
