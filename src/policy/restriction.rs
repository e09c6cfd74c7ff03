//! One restriction of a list, ready to be judged.

use std::sync::Arc;
use std::time::Duration;

use crate::table::{Live, Table};

use super::dnsbl::DnsList;
use super::reply::Subject;
use super::service::Service;
use super::verbs::Verb;

/// A restriction as it stands in a list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The verb, by its modern name.
    pub(super) verb: &'static Verb,
    /// The words as configured, but for the key of a DNS list.
    pub(super) text: Box<str>,
    /// What they mean.
    pub(super) restriction: Restriction,
}

/// What a restriction does. [`VERBS`](super::verbs::VERBS) gives each its name.
#[derive(Clone, Debug)]
pub(super) enum Restriction {
    Permit,
    Reject,
    Defer,
    DeferIfPermit,
    DeferIfReject,
    /// The next restriction only warns.
    WarnIfReject,
    Sleep(Duration),
    /// Permits whom only the backend can know: nobody, here.
    PermitLoggedIn,
    CheckPolicyService(Arc<Service>),
    /// A class, by its index in the policy.
    Class(usize),
    RejectUnauthPipelining,
    RejectPlaintextSession,
    RejectMultiRecipientBounce,
    PermitInetInterfaces,
    PermitMynetworks,
    RejectUnknownClientHostname,
    RejectUnknownReverseClientHostname,
    RejectInvalidHelo,
    RejectNonFqdnHelo,
    RejectUnknownHelo,
    RejectNonFqdn(Party),
    RejectUnknownDomain(Party),
    RejectUnlisted(Party),
    RejectUnverified(Party),
    PermitAuthDestination,
    RejectUnauthDestination,
    DeferUnauthDestination,
    /// The client's address on a DNS list.
    RejectListedAddress(DnsList),
    PermitListedAddress(DnsList),
    /// A name or a mail address's domain on a DNS list.
    RejectListedName(Subject, DnsList),
    PermitListedName(DnsList),
    CheckAccess(Subject, Arc<Live<Table>>),
    /// An access table, asked for the hosts behind a name.
    CheckServers(Subject, Servers, Arc<Live<Table>>),
}

impl Restriction {
    /// Whether what it says is somebody else's answer, which may differ from one time to the next.
    pub(super) fn consults(&self) -> bool {
        matches!(self, Self::CheckPolicyService(_) | Self::RejectUnverified(_))
    }

    /// Whether asking is felt elsewhere: a policy server counts what it is asked, a backend sees a probe, and a client
    /// is kept waiting. DNS is not, beyond a query.
    pub(super) fn is_felt_elsewhere(&self) -> bool {
        self.consults() || matches!(self, Self::Sleep(_))
    }
}

/// One of the two mail addresses of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Sender,
    Recipient,
}

impl From<Party> for Subject {
    fn from(party: Party) -> Self {
        match party {
            Party::Sender => Self::Sender,
            Party::Recipient => Self::Recipient,
        }
    }
}

/// Which hosts behind a name a table is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    /// The name's own addresses.
    Own,
    /// Its mail exchangers and their addresses.
    Mx,
    /// Its name servers and their addresses.
    Ns,
}
