//! What the lists said: the decision, its cause, and what comes with it.

use crate::smtp::reply::Reply;

/// A restriction list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// `restrictions.client`
    Client,
    /// `restrictions.helo`
    Helo,
    /// `restrictions.sender`
    Sender,
    /// `restrictions.relay`
    Relay,
    /// `restrictions.recipient`
    Recipient,
    /// `restrictions.data`
    Data,
    /// `restrictions.etrn`
    Etrn,
}

impl List {
    /// All of them, in the order in which they are judged.
    pub const ALL: [Self; 7] =
        [Self::Client, Self::Helo, Self::Sender, Self::Relay, Self::Recipient, Self::Data, Self::Etrn];

    /// The key of the list: `client`, `helo`, `sender`, `relay`, `recipient`, `data`, `etrn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Helo => "helo",
            Self::Sender => "sender",
            Self::Relay => "relay",
            Self::Recipient => "recipient",
            Self::Data => "data",
            Self::Etrn => "etrn",
        }
    }
}

/// What one judgement brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What to do with the command.
    pub decision: Decision,
    /// What the mail is given on its way, if it is permitted.
    pub effects: Effects,
    /// What the administrator asked to be told, and trouble met on the way; in order.
    pub notes: Vec<Note>,
    /// The restrictions, as configured, whose answer is somebody else's: a policy server's, or a backend's that was
    /// asked about an address. What they say can differ from one time to the next.
    pub consulted: Vec<Box<str>>,
}

/// What to do with a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// Every list permits.
    #[default]
    Permit,
    /// A list refuses, for good or for now.
    Refuse {
        /// The answer, as it stands on the wire but for `soft_bounce` and the reject footer.
        reply: Reply,
        /// What refused.
        cause: Cause,
    },
    /// access(5) HANGUP: close without a word.
    HangUp {
        /// What hung up.
        cause: Cause,
    },
}

/// Which restriction decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The list in which it stands.
    pub list: List,
    /// Its verb; one of a closed set, so it may label a metric.
    pub verb: &'static str,
    /// The restriction as configured: `reject_rbl_client zen.example=127.0.0.[2..4]`.
    pub restriction: String,
    /// The table that answered, where one did: `cidr:/etc/prescreen/clients`.
    pub table: Option<String>,
    /// The key that the table answered.
    pub key: Option<String>,
    /// Whether it refuses for want of an answer: a probe that brought none, or a table of networks, domains or
    /// recipients that cannot be read.
    pub unanswered: bool,
}

impl Cause {
    /// Whether a policy server decided, or the lack of one.
    pub fn is_policy_service(&self) -> bool {
        self.verb == "check_policy_service"
    }

    /// Whether it is the recipient that was looked for.
    pub fn is_unknown_recipient(&self) -> bool {
        matches!(self.verb, "reject_unlisted_recipient" | "reject_unverified_recipient")
    }
}

/// What a permitted mail is given on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// access(5) PREPEND: header lines to stand in front of the message, in order.
    pub prepend: Vec<String>,
    /// access(5) BCC: addresses to be told to the backend as further recipients.
    pub bcc: Vec<String>,
}

/// Something that an administrator wants to read of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// Where it came from.
    pub cause: Cause,
    /// The text: for a reject warning the whole reply.
    pub text: String,
}

/// What a note is; [`as_str`](Self::as_str) is the word that Postfix logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// A refusal under `warn_if_reject`.
    RejectWarning,
    /// access(5) INFO.
    Info,
    /// access(5) WARN.
    Warn,
    /// access(5) HANGUP.
    HangUp,
    /// Trouble of ours or of DNS: a list that does not answer, a table that cannot be read.
    Trouble,
}

impl NoteKind {
    /// `reject_warning`, `info`, `warn`, `hangup`, `trouble`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RejectWarning => "reject_warning",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::HangUp => "hangup",
            Self::Trouble => "trouble",
        }
    }
}

/// What one stage leaves for the next under `delay_reject = no`; a session keeps one from connect to close.
#[derive(Clone, Debug, Default)]
pub struct Carry {
    pub(super) after_client: Option<Refusal>,
    pub(super) after_helo: Option<Refusal>,
    pub(super) after_mail: Option<Refusal>,
}

impl Carry {
    /// What was said in clear is forgotten when TLS begins (RFC 3207 §4.2); who the client is, is not.
    pub fn secured(&mut self) {
        self.after_helo = None;
        self.after_mail = None;
    }

    /// What was put off before MAIL. A client may come without a HELO.
    pub(super) fn before_mail(&self) -> &Option<Refusal> {
        self.after_helo.as_ref().map_or(&self.after_client, |_| &self.after_helo)
    }
}

/// A refusal; it may have to wait for what the lists will say.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) reply: Reply,
    pub(super) cause: Cause,
}
