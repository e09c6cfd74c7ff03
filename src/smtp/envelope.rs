//! What a client has said of itself and of its mail: HELO, MAIL and RCPT as parsed values that can be replayed.

use super::address::{Address, ReversePath};

/// HELO or EHLO: the first fixes the protocol at SMTP, the second at ESMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HELO was said, or nothing yet.
    Smtp,
    /// EHLO was said.
    Esmtp,
}

impl Protocol {
    /// `SMTP` or `ESMTP`, as logs and policy servers know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
        }
    }
}

/// A client's HELO or EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helo {
    /// Which of the two verbs.
    pub protocol: Protocol,
    /// The argument with what could confuse a reader (space, `<>()\";@`, non-printables) turned into `?`,
    /// as Postfix stores it; restrictions and logs see this.
    pub name: String,
}

/// A parameter behind a path: `SIZE=1000`, `SMTPUTF8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The keyword as written.
    pub keyword: String,
    /// What stands behind `=`.
    pub value: Option<String>,
}

/// A MAIL command that parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who sends.
    pub sender: ReversePath,
    /// ESMTP parameters, in order.
    pub parameters: Vec<Parameter>,
    /// What stands behind `MAIL `, as it is replayed to the backend.
    pub argument: String,
}

/// A RCPT command that parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// Who shall receive.
    pub recipient: Address,
    /// ESMTP parameters, in order.
    pub parameters: Vec<Parameter>,
    /// What stands behind `RCPT `, as it is replayed to the backend.
    pub argument: String,
}

impl Mail {
    /// The value of `SIZE=`, where one was given and is a number (RFC 1870 §6.1).
    pub fn size(&self) -> Option<u64> {
        self.parameters
            .iter()
            .find(|p| p.keyword.eq_ignore_ascii_case("SIZE"))?
            .value
            .as_deref()?
            .parse()
            .ok()
    }
}
