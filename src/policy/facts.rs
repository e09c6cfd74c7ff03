//! What is known when lists are judged: the client, and what it has said so far.

use std::net::SocketAddr;

use crate::id::Id;
use crate::smtp::address::Address;
use crate::smtp::envelope::{Helo, Mail, Rcpt};

use super::names::ClientNames;

/// The command at which lists are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before the greeting: the client list, with `delay_reject = no`.
    Connect,
    /// HELO or EHLO: the helo list, with `delay_reject = no`.
    Helo,
    /// MAIL: the sender list, with `delay_reject = no`.
    Mail,
    /// RCPT: client, helo, sender, relay and recipient lists.
    Rcpt,
    /// DATA or BDAT: the data list.
    Data,
    /// VRFY: like RCPT.
    Vrfy,
    /// ETRN: client, helo and etrn lists.
    Etrn,
    /// STARTTLS that hands the session to the backend: client and helo lists.
    StartTls,
    /// AUTH, which does so too: client and helo lists.
    Auth,
}

/// What is known when lists are judged. Borrowed from the session for one judgement.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The address and port that the client connected to.
    pub server: SocketAddr,
    /// The client's names, looked up when a restriction first asks for them and then kept for the session.
    pub names: &'a ClientNames,
    /// HELO or EHLO, if said.
    pub helo: Option<&'a Helo>,
    /// MAIL of this transaction.
    pub mail: Option<&'a Mail>,
    /// The recipient in question (RCPT, VRFY), or the only one accepted (DATA).
    pub rcpt: Option<&'a Rcpt>,
    /// The argument of ETRN.
    pub etrn: Option<&'a str>,
    /// Recipients accepted so far in this transaction.
    pub accepted: usize,
    /// What TLS the session runs in.
    pub tls: Option<&'a TlsFacts>,
    /// Unauthorised pipelining was seen in this session.
    pub pipelined: bool,
    /// The connection's name.
    pub id: Id,
    /// Which transaction of the connection it is, from 1; 0 before the first.
    pub transaction: u64,
}

/// What TLS a session runs in, as policy servers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`
    pub protocol: String,
    /// `TLS_AES_256_GCM_SHA384`
    pub cipher: String,
    /// 256
    pub bits: u16,
}

impl<'a> Facts<'a> {
    /// Who sends; `None` for the null sender, and before MAIL.
    pub(super) fn sender(&self) -> Option<&'a Address> {
        self.mail?.sender.mailbox()
    }

    /// Whether MAIL named nobody.
    pub(super) fn has_null_sender(&self) -> bool {
        self.mail.is_some_and(|mail| mail.sender.mailbox().is_none())
    }

    /// The recipient that restrictions see: at DATA the only one, or none, because what concerns all of them should
    /// not be put down to one.
    pub(super) fn recipient(&self, stage: Stage) -> Option<&'a Address> {
        let is_one_of_many = stage == Stage::Data && self.accepted > 1;
        if is_one_of_many { None } else { self.rcpt.map(|rcpt| &rcpt.recipient) }
    }
}
