//! Reply codes as an administrator sets them, and what trouble leads to.

use std::fmt;
use std::str::FromStr;

use crate::spelling::spelled;

/// A reply code that refuses: 400 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectCode(u16);

/// What an address that did not verify is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeCode {
    /// 2xx: let it pass.
    Accept,
    /// Refuse with this code.
    Refuse(RejectCode),
}

/// What trouble in a lookup that could have refused leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempfailAction {
    /// `defer`: 450 at once.
    Defer,
    /// `defer_if_permit`: 450, unless a later restriction refuses for good.
    DeferIfPermit,
}

spelled!(TempfailAction { Defer = "defer", DeferIfPermit = "defer_if_permit" });

impl RejectCode {
    /// "Try again later", as trouble of DNS or our own is answered.
    pub(super) const TRY_AGAIN: Self = Self(450);
    /// "Local error", as a mistake in the configuration is answered.
    pub(super) const LOCAL_ERROR: Self = Self(451);
    /// "Bad sequence of commands".
    pub(super) const BAD_SEQUENCE: Self = Self(503);
    /// "Mailbox unavailable".
    pub(super) const UNAVAILABLE: Self = Self(550);
    /// "Domain does not accept mail" (RFC 7504 §4).
    pub(super) const NO_MAIL: Self = Self(556);

    /// A code of this program's own, known to refuse.
    pub(super) const fn of(code: u16) -> Self {
        Self(code)
    }

    /// A code, if it refuses.
    pub fn new(code: u16) -> Option<Self> {
        (400..=599).contains(&code).then_some(Self(code))
    }

    /// The code as a number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The same refusal for now instead of for good: 554 becomes 454.
    #[must_use]
    pub(super) fn deferred(self) -> Self {
        if self.0 >= 500 { Self(self.0 - 100) } else { self }
    }
}

impl FromStr for RejectCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().ok().and_then(Self::new).ok_or_else(|| {
            format!("`{text}` refuses nothing: write a code from 400 to 599, such as 450 or 554")
        })
    }
}

impl FromStr for ProbeCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(200..=299) => Ok(Self::Accept),
            _ => text
                .parse()
                .map(Self::Refuse)
                .map_err(|wrong: String| format!("{wrong}, or 250 to let it pass")),
        }
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ProbeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("250"),
            Self::Refuse(code) => code.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_must_refuse() {
        assert_eq!("450".parse(), Ok(RejectCode(450)));
        for wrong in ["250", "399", "600", "x", ""] {
            assert!(wrong.parse::<RejectCode>().unwrap_err().contains("400 to 599"), "{wrong}");
        }
        assert_eq!("250".parse(), Ok(ProbeCode::Accept));
        assert!("300".parse::<ProbeCode>().unwrap_err().ends_with("or 250 to let it pass"));
    }

    #[test]
    fn deferring_takes_100_off_a_rejection_only() {
        assert_eq!(RejectCode(554).deferred(), RejectCode(454));
        assert_eq!(RejectCode(450).deferred(), RejectCode(450));
    }
}
