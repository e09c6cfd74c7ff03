//! What a session found out about its client: facts for the report, in the order in which they came about.

use std::sync::Arc;

use crate::allowlist::Test;
use crate::policy::{Cause, Note};
use crate::screen::Action;
use crate::smtp::envelope::Protocol;
use crate::smtp::reply::Reply;

/// Something worth telling. Texts of the client are [excerpts](crate::smtp::excerpt) and raw but for their passwords:
/// whoever shows them escapes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// `NON-SMTP COMMAND`
    NonSmtpCommand {
        /// The command before it.
        after: After,
        /// Its first word.
        word: Vec<u8>,
        /// What stands behind the word.
        rest: Vec<u8>,
    },
    /// `COMMAND PIPELINING`
    Pipelining {
        /// The verb behind which the client did not wait, as sent.
        verb: Vec<u8>,
        /// What it sent too early.
        waiting: Vec<u8>,
    },
    /// `BARE NEWLINE`
    BareNewline {
        /// The line that ended in one.
        line: Vec<u8>,
    },
    /// Bytes behind STARTTLS that would have been taken for commands inside TLS.
    InjectedBehindStartTls {
        /// What it sent too early.
        waiting: Vec<u8>,
    },
    /// `COMMAND TIME LIMIT`
    TimeLimit {
        /// The command before it.
        after: After,
    },
    /// `COMMAND COUNT LIMIT`
    CountLimit {
        /// The command before it.
        after: After,
    },
    /// `COMMAND LENGTH LIMIT`
    LengthLimit {
        /// The command before it.
        after: After,
    },
    /// `too many errors`
    TooManyErrors {
        /// The command that was one too many.
        after: After,
    },
    /// `NOQUEUE: reject: RCPT`: a refusal of ours, for good or for now.
    Reject {
        /// At which command, and with what envelope.
        envelope: Arc<Envelope>,
        /// The reply.
        reply: Reply,
        /// Who refused.
        by: RefusedBy,
    },
    /// What would have been refused, had this not merely been observed.
    WouldReject {
        /// At which command, and with what envelope.
        envelope: Arc<Envelope>,
        /// The reply that it would have had.
        reply: Reply,
        /// Who would have refused.
        by: RefusedBy,
    },
    /// The session would have been ended for its errors, had this not merely been observed. Told once.
    WouldEnd {
        /// The command that was one too many.
        after: After,
    },
    /// The backend's refusal of a recipient or sender.
    BackendReject {
        /// With what envelope.
        envelope: Arc<Envelope>,
        /// The backend's reply.
        reply: Reply,
    },
    /// A restriction hung up without a word.
    HungUpOn {
        /// At which command, and with what envelope.
        envelope: Arc<Envelope>,
        /// Which restriction.
        cause: Cause,
    },
    /// No backend could be asked for a recipient.
    Unavailable {
        /// With what envelope.
        envelope: Arc<Envelope>,
    },
    /// Something that a restriction wants to be told.
    Note {
        /// At which command, and with what envelope.
        envelope: Arc<Envelope>,
        /// What it is.
        note: Note,
    },
    /// `DATA without valid RCPT`, `BDAT without valid RCPT`
    WithoutRecipient {
        /// DATA or BDAT.
        command: &'static str,
    },
    /// A command that is none, or came in the wrong order; the reply says how.
    ProtocolError {
        /// The command before it.
        after: After,
        /// The reply.
        reply: Reply,
    },
    /// Deep tests that the client has passed: told at the first RCPT in sequence.
    Passed(Vec<Test>),
    /// A deep test was failed: told behind the finding that shows how.
    Failed {
        /// Which.
        test: Test,
        /// What that leads to.
        action: Action,
    },
}

/// Who refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// A test that the client failed, under `enforce`.
    Test,
    /// A restriction.
    Restriction(Cause),
    /// A limit: message size, recipients.
    Limit,
}

/// The command that a finding came behind, as postscreen names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum After {
    /// `CONNECT`: there was none.
    #[default]
    Connect,
    /// A verb.
    Verb(crate::smtp::command::Verb),
    /// `UNIMPLEMENTED`: a word that is no verb.
    Unimplemented,
}

impl After {
    /// `CONNECT`, `UNIMPLEMENTED` or the verb.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Verb(verb) => verb.as_str(),
            Self::Unimplemented => "UNIMPLEMENTED",
        }
    }
}

/// What a log line says of the envelope. A finding shares it with the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// CONNECT, HELO, EHLO, MAIL, RCPT, DATA, BDAT, VRFY or ETRN.
    pub command: &'static str,
    /// The sender in external form, empty for the null sender; `None` outside a transaction.
    pub sender: Option<String>,
    /// The recipient in external form.
    pub recipient: Option<String>,
    /// SMTP or ESMTP.
    pub protocol: Protocol,
    /// What HELO or EHLO said.
    pub helo: Option<String>,
}
