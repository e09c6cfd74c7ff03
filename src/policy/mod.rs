//! Restriction lists: Postfix's language, evaluated with Postfix's semantics.

use std::net::SocketAddr;

use crate::smtp::envelope::{Helo, Mail, Rcpt};
use crate::smtp::reply::Reply;

/// The command at which lists are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before the greeting, with `delay_reject = no`.
    Connect,
    /// HELO or EHLO, with `delay_reject = no`.
    Helo,
    /// MAIL, with `delay_reject = no`; also the size check.
    Mail,
    /// RCPT: client, helo, sender, relay and recipient lists.
    Rcpt,
    /// DATA or BDAT.
    Data,
    /// VRFY: like RCPT.
    Vrfy,
    /// ETRN: client, helo and etrn lists.
    Etrn,
}

/// What is known when lists are judged. Borrowed from the session for one judgement.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client's address and port, the server address that it connected to.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub server: SocketAddr,
    /// HELO or EHLO, if said.
    pub helo: Option<&'a Helo>,
    /// MAIL of this transaction.
    pub mail: Option<&'a Mail>,
    /// The recipient in question (RCPT), or the only one accepted (DATA).
    pub rcpt: Option<&'a Rcpt>,
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

/// What the lists said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every list permits.
    Permit,
    /// A list refuses.
    Refuse {
        /// The answer.
        reply: Reply,
        /// The list that refused: `client`, `helo`, `sender`, `relay`, `recipient`, `data`.
        list: &'static str,
        /// The restriction that refused, as configured.
        restriction: String,
    },
    /// access(5) HANGUP: close without a word.
    HangUp,
}
