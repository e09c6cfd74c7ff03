//! What a session asks for next, and the proofs that it hands out.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::{Effects, Facts, Stage};
use crate::smtp::command::Verb;
use crate::smtp::envelope::{Helo, Mail, Rcpt};
use crate::smtp::reply::Reply;

use super::Session;

/// What waits in the read buffer behind the line at hand: a client that speaks before it was answered may be
/// speaking out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting<'a> {
    /// Nothing.
    Nothing,
    /// At least this.
    Bytes(&'a [u8]),
}

impl<'a> Waiting<'a> {
    /// What the buffer holds.
    pub fn of(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Self::Nothing } else { Self::Bytes(bytes) }
    }
}

/// What to do next with the client.
#[derive(Debug)]
pub enum Step {
    /// Say this, after `delay`, and read the next line.
    Reply {
        /// The reply.
        reply: Reply,
        /// `error_sleep_time`, once there were too many errors.
        delay: Option<Duration>,
    },
    /// Say these, after `delay`, and close; with no reply at all: hang up without a word.
    Close {
        /// The replies, in order.
        replies: Vec<Reply>,
        /// `error_sleep_time`, once there were too many errors.
        delay: Option<Duration>,
    },
    /// Ask the restriction lists, and tell the session with [`Session::decided`].
    Judge(Pending),
    /// Ask the backend for this recipient, and tell the session with [`Session::answered`] or
    /// [`Session::unavailable`].
    Forward(Checked),
    /// Send this DATA or BDAT line to the backend and relay from here on.
    Relay(Released),
    /// Say this and begin the TLS handshake; then tell the session with [`Session::secured`].
    StartTls(Reply),
    /// Replay HELO and this command to the backend and relay from here on; the backend judges the envelope.
    Passthrough(Passthrough),
}

/// A command that waits for the judgement of the restriction lists. [`Session::decided`] eats it, so no command is
/// judged twice and none goes unjudged.
#[derive(Debug)]
pub struct Pending {
    pub(super) command: Awaited,
}

/// The commands that are judged, with what takes effect if they are permitted.
#[derive(Debug)]
pub(super) enum Awaited {
    Connect,
    Helo(Arc<Helo>),
    Ehlo(Arc<Helo>),
    Mail(Arc<Mail>),
    Rcpt(Arc<Rcpt>),
    Data(ContentCommand),
    Vrfy { rcpt: Arc<Rcpt>, argument: String },
    Etrn(String),
    HandOver(HandOver),
}

/// A command at which the session becomes the backend's.
#[derive(Debug)]
pub(super) enum HandOver {
    StartTls,
    /// With its argument.
    Auth(String),
}

impl HandOver {
    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::StartTls => Verb::StartTls,
            Self::Auth(_) => Verb::Auth,
        }
    }
}

impl Pending {
    /// Which lists are to be judged.
    pub fn stage(&self) -> Stage {
        match &self.command {
            Awaited::Connect => Stage::Connect,
            Awaited::Helo(_) | Awaited::Ehlo(_) => Stage::Helo,
            Awaited::Mail(_) => Stage::Mail,
            Awaited::Rcpt(_) => Stage::Rcpt,
            Awaited::Data(_) => Stage::Data,
            Awaited::Vrfy { .. } => Stage::Vrfy,
            Awaited::Etrn(_) => Stage::Etrn,
            Awaited::HandOver(HandOver::StartTls) => Stage::StartTls,
            Awaited::HandOver(HandOver::Auth(_)) => Stage::Auth,
        }
    }

    /// What is known: the session's state as if this command had taken effect.
    pub fn facts<'a>(&'a self, session: &'a Session) -> Facts<'a> {
        let mut facts = session.facts();
        match &self.command {
            Awaited::Connect | Awaited::Data(_) | Awaited::HandOver(_) => {}
            Awaited::Helo(helo) | Awaited::Ehlo(helo) => {
                facts.helo = Some(helo);
                facts.mail = None;
                facts.accepted = 0;
            }
            Awaited::Mail(mail) => facts.mail = Some(mail),
            Awaited::Rcpt(rcpt) | Awaited::Vrfy { rcpt, .. } => facts.rcpt = Some(rcpt),
            Awaited::Etrn(domain) => facts.etrn = Some(domain),
        }
        facts
    }
}

/// Proof that every restriction list permits this recipient; only [`dialogue`](super) makes it.
#[derive(Debug)]
pub struct Checked {
    pub(super) transaction: u64,
    pub(super) helo: Option<Arc<Helo>>,
    pub(super) mail: Arc<Mail>,
    pub(super) rcpt: Arc<Rcpt>,
    pub(super) effects: Effects,
}

impl Checked {
    /// The mail transaction, counted over the session. Another MAIL, even with the same text, is another one.
    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// HELO or EHLO, if said.
    pub fn helo(&self) -> Option<&Helo> {
        self.helo.as_deref()
    }

    /// The MAIL that opened the transaction.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// The recipient that was permitted.
    pub fn rcpt(&self) -> &Rcpt {
        &self.rcpt
    }

    /// What the lists give the mail on its way when this recipient is accepted.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }
}

/// DATA or BDAT, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCommand {
    /// DATA: content ends at a line with a dot alone.
    Data,
    /// BDAT: this many bytes follow the line at once (RFC 3030 §2).
    Bdat {
        /// Bytes.
        size: u64,
        /// Whether the message ends with them.
        last: bool,
    },
}

impl ContentCommand {
    /// DATA or BDAT.
    pub fn verb(self) -> Verb {
        match self {
            Self::Data => Verb::Data,
            Self::Bdat { .. } => Verb::Bdat,
        }
    }

    /// Whether the message ends with what follows the command.
    pub fn is_last(self) -> bool {
        !matches!(self, Self::Bdat { last: false, .. })
    }

    /// The command as it is sent to the backend, without line ending.
    pub fn line(self) -> String {
        match self {
            Self::Data => "DATA".to_owned(),
            Self::Bdat { size, last: false } => format!("BDAT {size}"),
            Self::Bdat { size, last: true } => format!("BDAT {size} LAST"),
        }
    }
}

/// Proof that the backend has accepted a recipient and that the lists permit the message to be sent to it.
#[derive(Debug)]
pub struct Released {
    pub(super) command: ContentCommand,
    pub(super) transaction: u64,
    pub(super) effects: Effects,
}

impl Released {
    /// What to send to the backend.
    pub fn command(&self) -> ContentCommand {
        self.command
    }

    /// The mail transaction, as [`Checked::transaction`] counted it.
    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// What the lists give the message on its way: of every judgement of the transaction, each line once.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }
}

/// Proof that the client stands under no refusal, that the client and HELO lists permit it, and that its session may
/// become the backend's; only [`dialogue`](super) makes it.
#[derive(Debug)]
pub struct Passthrough {
    pub(super) helo: Option<Arc<Helo>>,
    pub(super) command: HandOver,
}

impl Passthrough {
    /// HELO or EHLO, if said.
    pub fn helo(&self) -> Option<&Helo> {
        self.helo.as_deref()
    }

    /// STARTTLS or AUTH.
    pub fn verb(&self) -> Verb {
        self.command.verb()
    }

    /// The command as it is sent to the backend, without line ending.
    pub fn line(&self) -> String {
        match &self.command {
            HandOver::StartTls => Verb::StartTls.as_str().to_owned(),
            HandOver::Auth(argument) => format!("{} {argument}", Verb::Auth.as_str()),
        }
    }
}
