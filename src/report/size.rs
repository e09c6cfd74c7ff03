//! How much memory a report takes, for whoever keeps as many as go into so much.
//!
//! What reports share with the configuration, such as the names of lists, is nobody's. Where a type is taken to pieces,
//! all of them are named: a new one has to be thought of here.

use std::sync::Arc;

use super::{Finding, Joined, Report, Talk};
use crate::dialogue::{self, Envelope, RefusedBy};
use crate::dns::Answer;
use crate::policy::{Cause, Note, TlsFacts};
use crate::screen::{self, Hit, Score};
use crate::smtp::reply::Reply;

impl Report {
    /// Octets of memory that it takes, and an allocator for it.
    pub fn size(&self) -> usize {
        let Self {
            live,
            findings,
            untold: _,
            is_permitted: _,
            tests: _,
            is_scored: _,
            score,
            waited: _,
            offence: _,
            would: _,
            history: _,
            end,
            talk,
            joined,
            heard: _, // gone when the connection has ended
        } = self;
        let all = [chunk(size_of::<Self>()), counted(live.size()), elements(findings), boxed(end.as_deref())];
        let found: usize = findings.iter().map(|(_, finding)| finding.owned()).sum();
        all.iter().sum::<usize>() + found + score.owned() + talk.owned() + joined.owned()
    }
}

/// What an allocator takes for so many octets: a word more, in steps of two words.
fn chunk(octets: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    if octets == 0 { 0 } else { (octets + WORD).next_multiple_of(2 * WORD).max(4 * WORD) }
}

/// What stands in an `Arc`, behind the counts of those who share it.
fn counted(octets: usize) -> usize {
    chunk(2 * size_of::<usize>() + octets)
}

/// What elements take that own nothing.
fn elements<T>(of: &Vec<T>) -> usize {
    chunk(of.capacity() * size_of::<T>())
}

/// What stands in a box of its own, and owns nothing.
fn boxed<T>(of: Option<&T>) -> usize {
    of.map_or(0, |of| chunk(size_of_val(of)))
}

/// Something that owns memory.
trait Owner {
    /// Octets, beside its own.
    fn owned(&self) -> usize;
}

impl<T: Owner> Owner for Option<T> {
    fn owned(&self) -> usize {
        self.as_ref().map_or(0, T::owned)
    }
}

impl<T: Owner> Owner for Box<T> {
    fn owned(&self) -> usize {
        chunk(size_of::<T>()) + T::owned(self)
    }
}

impl<T: Owner> Owner for Vec<T> {
    fn owned(&self) -> usize {
        elements(self) + self.iter().map(T::owned).sum::<usize>()
    }
}

/// What several share is theirs in equal parts.
impl<T: Owner> Owner for Arc<T> {
    fn owned(&self) -> usize {
        (counted(size_of::<T>()) + T::owned(self)) / Self::strong_count(self)
    }
}

impl Owner for String {
    fn owned(&self) -> usize {
        chunk(self.capacity())
    }
}

impl Owner for Reply {
    fn owned(&self) -> usize {
        chunk(self.capacity())
    }
}

impl Owner for Talk {
    fn owned(&self) -> usize {
        let Self { name, verdicts, envelope, recipients, accepted: _, tls } = self;
        name.owned() + elements(verdicts) + envelope.owned() + recipients.owned() + tls.owned()
    }
}

impl Owner for TlsFacts {
    fn owned(&self) -> usize {
        let Self { protocol, cipher, bits: _ } = self;
        protocol.owned() + cipher.owned()
    }
}

impl Owner for Joined {
    fn owned(&self) -> usize {
        let Self { handoff: _, transfer } = self;
        boxed(transfer.as_deref())
    }
}

impl Owner for Finding {
    fn owned(&self) -> usize {
        match self {
            Self::Screen(finding) => finding.owned(),
            Self::Dialogue(finding) => finding.owned(),
            Self::Exceeded(_) => 0,
        }
    }
}

impl Owner for screen::Finding {
    fn owned(&self) -> usize {
        match self {
            Self::Pregreet { count: _, after: _, text } => elements(text),
            Self::Answered(reply) => reply.owned(),
            Self::Scored(score) => score.owned(),
            Self::Permitted
            | Self::Rejected
            | Self::Known
            | Self::HungUp { .. }
            | Self::Waited(_)
            | Self::Passed(_)
            | Self::Failed { .. } => 0,
        }
    }
}

impl Owner for screen::dnsbl::Reply {
    fn owned(&self) -> usize {
        let Self { list: _, answer, took: _ } = self;
        match answer {
            Answer::Found { records, ttl: _ } => elements(records),
            Answer::NotFound { .. } | Answer::Temporary(_) => 0,
        }
    }
}

impl Owner for Score {
    fn owned(&self) -> usize {
        let Self { total: _, hits, unanswered, opinion: _, ttl: _ } = self;
        hits.owned() + elements(unanswered)
    }
}

impl Owner for Hit {
    fn owned(&self) -> usize {
        elements(&self.answers)
    }
}

impl Owner for dialogue::Finding {
    fn owned(&self) -> usize {
        match self {
            Self::NonSmtpCommand { after: _, word, rest } => elements(word) + elements(rest),
            Self::Pipelining { verb, waiting } => elements(verb) + elements(waiting),
            Self::BareNewline { line } => elements(line),
            Self::InjectedBehindStartTls { waiting } => elements(waiting),
            Self::Reject { envelope, reply, by } | Self::WouldReject { envelope, reply, by } => {
                envelope.owned() + reply.owned() + by.owned()
            }
            Self::BackendReject { envelope, reply } => envelope.owned() + reply.owned(),
            Self::HungUpOn { envelope, cause } => envelope.owned() + cause.owned(),
            Self::Unavailable { envelope } => envelope.owned(),
            Self::Note { envelope, note } => envelope.owned() + note.owned(),
            Self::ProtocolError { after: _, reply } => reply.owned(),
            Self::Passed(tests) => elements(tests),
            Self::TimeLimit { .. }
            | Self::CountLimit { .. }
            | Self::LengthLimit { .. }
            | Self::TooManyErrors { .. }
            | Self::WouldEnd { .. }
            | Self::WithoutRecipient { .. }
            | Self::Failed { .. } => 0,
        }
    }
}

impl Owner for RefusedBy {
    fn owned(&self) -> usize {
        match self {
            Self::Restriction(cause) => cause.owned(),
            Self::Test | Self::Limit => 0,
        }
    }
}

impl Owner for Envelope {
    fn owned(&self) -> usize {
        let Self { command: _, sender, recipient, protocol: _, helo } = self;
        sender.owned() + recipient.owned() + helo.owned()
    }
}

impl Owner for Cause {
    fn owned(&self) -> usize {
        let Self { list: _, verb: _, restriction, table, key, unanswered: _ } = self;
        restriction.owned() + table.owned() + key.owned()
    }
}

impl Owner for Note {
    fn owned(&self) -> usize {
        let Self { kind: _, cause, text } = self;
        cause.owned() + text.owned()
    }
}
