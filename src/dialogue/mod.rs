//! SMTP with the client until the hand-off.

use crate::smtp::envelope::{Helo, Mail, Rcpt};

/// Proof that every restriction list permits this recipient; only [`dialogue`](self) makes it.
#[derive(Debug)]
pub struct Checked {
    transaction: u64,
    helo: Option<Helo>,
    mail: Mail,
    rcpt: Rcpt,
}

impl Checked {
    /// The mail transaction, counted over the session. Another MAIL, even with the same text, is another one.
    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// HELO or EHLO, if said.
    pub fn helo(&self) -> Option<&Helo> {
        self.helo.as_ref()
    }

    /// The MAIL that opened the transaction.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// The recipient that was permitted.
    pub fn rcpt(&self) -> &Rcpt {
        &self.rcpt
    }
}
