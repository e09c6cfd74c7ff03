//! What a failed test leads to: the one place where an [`Action`] becomes a reply or a closed connection.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::allowlist::Test;
use crate::smtp::reply::Reply;
use crate::spelling::spelled;

/// What a failed test leads to, as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Count it, log it, go on.
    #[default]
    Ignore,
    /// Go on, and refuse every recipient.
    Enforce,
    /// Refuse now and close.
    Drop,
}

/// Whether anything comes of what is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is acted upon.
    #[default]
    Enforce,
    /// It is judged, logged and counted, and no client is refused for it.
    Observe,
}

spelled!(Mode { Enforce = "enforce", Observe = "observe" });

/// What a client did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The permanent access list rejects it.
    Denylisted,
    /// DNS lists weigh too much against it.
    Listed {
        /// The client.
        client: IpAddr,
        /// The list to name, by the name that clients may see.
        by: Arc<str>,
    },
    /// It spoke before it was greeted.
    Pregreet,
    /// It did not wait for a reply.
    Pipelining,
    /// It spoke something else than SMTP.
    NonSmtpCommand,
    /// It ended a line with LF alone.
    BareNewline,
}

/// What becomes of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    GoOn,
    /// Every recipient is refused with this reply.
    Stand(Reply),
    /// This is said, and the connection closed.
    Refuse(Reply),
}

impl Action {
    /// What becomes of a connection whose client did `failure`.
    pub fn consequence(self, failure: &Failure) -> Consequence {
        match self {
            Self::Ignore => Consequence::GoOn,
            Self::Enforce => Consequence::Stand(Reply::new(550, failure.text(self))),
            Self::Drop => Consequence::Refuse(Reply::new(521, failure.text(self))),
        }
    }

    /// What is left of the action under `mode`.
    #[must_use]
    pub fn under(self, mode: Mode) -> Self {
        match mode {
            Mode::Enforce => self,
            Mode::Observe => Self::Ignore,
        }
    }

    /// The word that configuration has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Enforce => "enforce",
            Self::Drop => "drop",
        }
    }
}

impl Failure {
    /// The test that was failed; none for the permanent access list.
    pub fn test(&self) -> Option<Test> {
        match self {
            Self::Denylisted => None,
            Self::Listed { .. } => Some(Test::Dnsbl),
            Self::Pregreet => Some(Test::Pregreet),
            Self::Pipelining => Some(Test::Pipelining),
            Self::NonSmtpCommand => Some(Test::NonSmtpCommand),
            Self::BareNewline => Some(Test::BareNewline),
        }
    }

    /// Postfix's words, which log readers know.
    fn text(&self, action: Action) -> String {
        match (self, action) {
            (Self::Denylisted, _) => "5.3.2 Service currently unavailable".to_owned(),
            (Self::Listed { client, by }, _) => {
                format!("5.7.1 Service unavailable; client [{client}] blocked using {by}")
            }
            (Self::NonSmtpCommand, Action::Drop) => {
                "5.7.0 Error: I can break rules, too. Goodbye.".to_owned()
            }
            (Self::Pregreet | Self::Pipelining | Self::NonSmtpCommand | Self::BareNewline, _) => {
                "5.5.1 Protocol error".to_owned()
            }
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            // Postfix takes both.
            "ignore" | "continue" => Ok(Self::Ignore),
            "enforce" => Ok(Self::Enforce),
            "drop" => Ok(Self::Drop),
            _ => Err(format!("`{text}` is no action; write ignore, enforce or drop")),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_postscreens() {
        let listed = Failure::Listed { client: "192.0.2.7".parse().unwrap(), by: "bl.test".into() };
        let by = "5.7.1 Service unavailable; client [192.0.2.7] blocked using bl.test";
        for (failure, enforced, dropped) in [
            (
                Failure::Denylisted,
                "5.3.2 Service currently unavailable",
                "5.3.2 Service currently unavailable",
            ),
            (listed, by, by),
            (Failure::Pregreet, "5.5.1 Protocol error", "5.5.1 Protocol error"),
            (Failure::Pipelining, "5.5.1 Protocol error", "5.5.1 Protocol error"),
            (Failure::BareNewline, "5.5.1 Protocol error", "5.5.1 Protocol error"),
            (
                Failure::NonSmtpCommand,
                "5.5.1 Protocol error",
                "5.7.0 Error: I can break rules, too. Goodbye.",
            ),
        ] {
            assert_eq!(Action::Ignore.consequence(&failure), Consequence::GoOn);
            let stands = Consequence::Stand(Reply::new(550, enforced));
            assert_eq!(Action::Enforce.consequence(&failure), stands);
            assert_eq!(Action::Drop.consequence(&failure), Consequence::Refuse(Reply::new(521, dropped)));
        }
    }

    #[test]
    fn whoever_is_observed_only_is_not_refused() {
        for action in [Action::Ignore, Action::Enforce, Action::Drop] {
            assert_eq!(action.under(Mode::Enforce), action);
            assert_eq!(action.under(Mode::Observe).consequence(&Failure::Pregreet), Consequence::GoOn);
        }
    }

    #[test]
    fn actions_have_names() {
        for action in [Action::Ignore, Action::Enforce, Action::Drop] {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
        assert_eq!("Continue".parse(), Ok(Action::Ignore));
        assert!("reject".parse::<Action>().unwrap_err().contains("ignore, enforce or drop"));
    }
}
