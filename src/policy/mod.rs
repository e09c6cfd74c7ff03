//! Restriction lists: Postfix's language, evaluated with Postfix's semantics.
//!
//! An administrator writes lists of restrictions (`permit_mynetworks, reject_unauth_destination`). [`Policy::new`]
//! reads them once and refuses what could not work; [`Policy::judge`] then says at each command what the lists say
//! of the client, its HELO, the sender and the recipient. Verdict, code and text are Postfix's.
//!
//! Read [`judge`] for which lists are judged when, `judging` for what becomes of what restrictions say, and
//! [`VERBS`] for what there is to say.
//!
//! It refuses to send, to log or to count: a [`Judgement`] carries the decision, what the mail shall be given on its
//! way (a header line, a further recipient) and what an administrator wants to read of it. It caches no verdict,
//! since a list judges the envelope and not the client.
//!
//! [`judge`]: Policy::judge

mod access;
mod action;
mod address;
mod answered;
mod ask;
mod attributes;
mod client;
mod codes;
mod destination;
mod dnsbl;
mod facts;
mod fitness;
mod helo;
mod judge;
mod judgement;
mod judging;
mod list;
mod load;
mod lookups;
mod names;
mod probes;
mod reply;
mod restriction;
pub mod service;
mod settings;
pub mod template;
mod trace;
mod unlisted;
mod verbs;
mod verify;

pub use codes::{ProbeCode, RejectCode, TempfailAction};
pub use facts::{Facts, Stage, TlsFacts};
pub use judgement::{Carry, Cause, Decision, Effects, Judgement, List, Note, NoteKind};
pub use names::{ClientNames, NameStatus, Names};
pub use settings::{Codes, Domains, Recipients, Settings, Verification};
pub use trace::{Said, Step, Trace};
pub use verbs::{Argument, Needs, VERBS, Verb};
pub use verify::{Probed, Verifier};

pub(crate) use dnsbl::without_key;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dns::Resolver;
use crate::table::{Live, MatchList, ParentDomains, Refresh};

use answered::Vocabulary;
use destination::Class;
use probes::Probes;
use restriction::{Entry, Party, Restriction};
use template::Template;
use unlisted::{RecipientTables, Tables};
use verbs::Times;

/// The lists, read and ready. One stands behind an `Arc` for as long as a configuration lives.
pub struct Policy {
    settings: Settings,
    times: Times,
    lists: [Vec<Entry>; 7],
    classes: Vec<Vec<Entry>>,
    vocabulary: Vocabulary,
    mynetworks: Arc<Live<MatchList>>,
    domains: OurDomains,
    recipients: RecipientTables,
    parents_in_tables: ParentDomains,
    rbl_reply_maps: Tables,
    default_rbl_reply: Template,
    implied: Implied,
    probes: Probes,
    reach: Reach,
    resolver: Resolver,
    files: Vec<Arc<dyn Refresh>>,
    warnings: Vec<String>,
}

/// Who may notice that something is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reach {
    /// Policy servers and backends are asked, and clients wait for `sleep`.
    #[default]
    Everybody,
    /// None of them: what they would say is left out, and named in [`Judgement::consulted`].
    NobodyElse,
}

/// Our domains by class, in the order in which a domain is sought in them.
#[derive(Debug)]
struct OurDomains {
    /// Whether any is given; if not, relay control is the backend's.
    any: bool,
    classes: Vec<(Class, Arc<Live<MatchList>>)>,
}

/// Restrictions that stand in no list and are judged all the same.
#[derive(Debug)]
struct Implied {
    unlisted_sender: Entry,
    unlisted_recipient: Entry,
}

/// Something in the settings that cannot work: which key, and a sentence with what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Problem {
    /// The key: `recipient`, `mynetworks`, `classes.greylist`, `domains.relay`.
    pub key: String,
    /// What is wrong, naming the word, and what would be right.
    pub what: String,
}

impl Policy {
    /// The same policy with somebody to ask for `reject_unverified_recipient` and `reject_unverified_sender`.
    /// Without, what they say is that nobody could be asked.
    #[must_use]
    pub fn with_verifier(mut self, verifier: Arc<dyn Verifier>) -> Self {
        self.probes.ask(verifier);
        self
    }

    /// The same policy for a judgement that nothing comes of: restrictions that ask a policy server or probe an address
    /// say nothing, and are named in [`Judgement::consulted`]; `sleep` does not.
    #[must_use]
    pub fn unfelt(mut self) -> Self {
        self.reach = Reach::NobodyElse;
        self
    }

    /// The same policy with what `before` has learnt of addresses.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        self.probes.succeed(&before.probes);
        self
    }

    /// The names of `client`, asked of DNS at most once for each `names`, and never with `peername_lookup = no`.
    pub fn names<'n>(
        &self,
        names: &'n ClientNames,
        client: IpAddr,
    ) -> impl Future<Output = &'n Names> + Send {
        names.of(client, self.settings.peername_lookup.then_some(&self.resolver))
    }

    /// Tables and lists that follow their files, to be refreshed off the network path.
    pub fn files(&self) -> &[Arc<dyn Refresh>] {
        &self.files
    }

    /// What works, but hardly as meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn list(&self, list: List) -> &[Entry] {
        self.lists.get(list as usize).map_or(&[], Vec::as_slice)
    }

    fn class(&self, class: usize) -> &[Entry] {
        self.classes.get(class).map_or(&[], Vec::as_slice)
    }
}

impl Implied {
    fn of(&self, party: Party) -> &Entry {
        match party {
            Party::Sender => &self.unlisted_sender,
            Party::Recipient => &self.unlisted_recipient,
        }
    }
}

impl Default for Implied {
    fn default() -> Self {
        let entry = |party| {
            let verb = Verb::unlisted(party);
            Entry { verb, text: verb.name().into(), restriction: Restriction::RejectUnlisted(party) }
        };
        Self { unlisted_sender: entry(Party::Sender), unlisted_recipient: entry(Party::Recipient) }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("lists", &self.lists)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}
