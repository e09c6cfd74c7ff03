//! `[screen]`: which tests there are, what a failure does, how long a pass lasts.

use std::time::Duration;

use super::action::{Action, Mode};
use crate::allowlist::Test;

/// How strangers are tested.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether failures have consequences. Default `enforce`.
    pub mode: Mode,
    /// The permanent access list: `permit_mynetworks`, `permit`, `reject`, `dunno`, `type:table`. Default
    /// `permit_mynetworks`.
    pub access_list: String,
    /// What happens to a client that the access list rejects. Default `enforce`.
    pub denylist_action: Action,
    /// How long a new client waits for the greeting; also the longest time for which DNS lists are waited for. 0
    /// turns the pregreet test off. Default 6 s.
    pub greet_wait: Duration,
    /// The same under stress; 0 leaves DNS lists 2 s. Default 2 s.
    pub stress_greet_wait: Duration,
    /// What is said at once, as `220-TEXT`, to tempt those who do not wait. Empty: nothing, but the test goes on.
    /// Default `None`: `HOSTNAME ESMTP`.
    pub greet_banner: Option<String>,
    /// What happens to a client that speaks before it was greeted. Default `enforce`.
    pub greet_action: Action,
    /// How long having waited counts. Default 1 d.
    pub greet_ttl: Duration,
    /// Not waiting for a reply. Default on, `enforce`, 30 d.
    pub pipelining: DeepTest,
    /// Speaking something else than SMTP. Default on, `drop`, 30 d.
    pub non_smtp_command: DeepTest,
    /// Ending lines with LF alone. Default on, `enforce`, 30 d.
    pub bare_newline: DeepTest,
}

/// A test that is made in the dialogue, behind the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeepTest {
    /// Whether clients are held to it. One that has failed an earlier test is in any case.
    pub enable: bool,
    /// What a failure does.
    pub action: Action,
    /// How long a pass counts.
    pub ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        let deep = |action| DeepTest { enable: true, action, ttl: 30 * day };
        Self {
            mode: Mode::Enforce,
            access_list: "permit_mynetworks".to_owned(),
            denylist_action: Action::Enforce,
            greet_wait: Duration::from_secs(6),
            stress_greet_wait: Duration::from_secs(2),
            greet_banner: None,
            greet_action: Action::Enforce,
            greet_ttl: day,
            pipelining: deep(Action::Enforce),
            non_smtp_command: deep(Action::Drop),
            bare_newline: deep(Action::Enforce),
        }
    }
}

impl Settings {
    /// The deep tests, in the order of the allowlist's record.
    pub fn deep_tests(&self) -> [(Test, &DeepTest); 3] {
        [
            (Test::Pipelining, &self.pipelining),
            (Test::NonSmtpCommand, &self.non_smtp_command),
            (Test::BareNewline, &self.bare_newline),
        ]
    }
}
