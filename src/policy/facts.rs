//! What is known when lists are judged: the client, and what it has said so far.

use std::net::SocketAddr;

use tokio::sync::OnceCell;

use crate::smtp::envelope::{Helo, Mail, Rcpt};

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
    /// Unique for each transaction; constant over its judgements.
    pub instance: &'a str,
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

/// The names of one client, asked of DNS at most once in its session, and not before a restriction needs them.
#[derive(Debug, Default)]
pub struct ClientNames(OnceCell<Names>);

/// What DNS says that a client is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The name that its address claims and that leads back to the address; `None` prints as `unknown`.
    pub name: Option<String>,
    /// The name that its address claims, confirmed or not.
    pub reverse: Option<String>,
    /// How the confirmed name was found, or why there is none.
    pub status: NameStatus,
    /// How the claimed name was found, or why there is none; never [`NameStatus::Forged`].
    pub reverse_status: NameStatus,
}

/// How a client's name was found, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameStatus {
    /// Found.
    Ok,
    /// DNS gave no answer: says nothing about the client.
    Temporary,
    /// There is no such name.
    Permanent,
    /// The name exists, but does not lead back to the client's address.
    Forged,
}

impl ClientNames {
    /// Names that are known beforehand (`explain`, XCLIENT) and will not be looked up.
    pub fn known(names: Names) -> Self {
        Self(OnceCell::new_with(Some(names)))
    }

    /// The names, if a restriction has asked for them; never asks DNS.
    pub fn found(&self) -> Option<&Names> {
        self.0.get()
    }
}
