//! What an administrator can set about the dialogue.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::template::Template;
use crate::screen::Mode;
use crate::smtp::address::PathSyntax;
use crate::smtp::capability::Capabilities;
use crate::spelling::spelled;
use crate::tls::Starttls;

use super::tables::{FORBIDDEN_COMMANDS, Tables};

/// How the session talks: names, limits, leniency. Keys carry Postfix's names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether refusals are told to clients, or only to whoever runs this. Default `enforce`.
    pub mode: Mode,
    /// The name in the greeting, in EHLO and in 421 replies (`myhostname`). Default: `localhost`.
    pub hostname: String,
    /// The text of the 220 greeting. Default: `localhost ESMTP`; RFC 5321 §4.3.1 wants the host name first.
    pub banner: String,
    /// Whether MAIL and ETRN need HELO or EHLO first. Default: no.
    pub helo_required: bool,
    /// Whether VRFY is refused. Default: no, it is answered 252.
    pub disable_vrfy_command: bool,
    /// How strictly paths are read. Default: lenient (`strict_rfc821_envelopes = no`).
    pub strict_rfc821_envelopes: PathSyntax,
    /// First words that no mail client says: words and tables of them. Default: Postfix's, `CONNECT GET POST
    /// regexp:{{/^[^A-Z]/ Bogus}}`.
    pub forbidden_commands: String,
    /// Keywords that EHLO does not show although the backend offers them; upper case. Default: none.
    pub discard_ehlo_keywords: Vec<String>,
    /// Tables that have such keywords for a client's address, to stand in for the others. Default: none.
    pub discard_ehlo_keyword_address_maps: String,
    /// The largest message in bytes, as `SIZE` and MAIL know it; 0 leaves it to the backend. Default: 0.
    pub message_size_limit: u64,
    /// Recipients accepted or put off for one message; more are told 452. Default: 1000.
    pub recipient_limit: usize,
    /// Recipients beyond the limit that are not yet an error. Default: 1000.
    pub recipient_overshoot_limit: usize,
    /// Commands that a client may send before one of its recipients is accepted or put off; recipients that count
    /// against another limit do not count here. Default: 20.
    pub command_count_limit: u32,
    /// The longest line in bytes, its ending included. Default: 2048.
    pub line_length_limit: usize,
    /// Which errors end a session, and which slow it down.
    pub errors: ErrorSettings,
    /// Whether our own 5xx replies become 4xx. Default: no.
    pub soft_bounce: bool,
    /// Text behind every refusal of ours, as `smtpd_reject_footer`; beside what Postfix fills in, `$id` (which
    /// `prescreen why` takes) is. Default: `\c; id $id`.
    pub reject_footer: Option<Template>,
    /// Tables that have such a text for a reply, code and all. Default: none.
    pub reject_footer_maps: String,
    /// What is named above, loaded.
    pub tables: Tables,
}

/// `[errors]`: how many errors of which class a session may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorSettings {
    /// Errors of the client's own making that end the session. Default: 1; Postfix has 20.
    pub hard_error_limit: u32,
    /// Errors of any class from which on every reply waits for `error_sleep_time`. Default: 10.
    pub soft_error_limit: u32,
    /// How long it waits. Default: 1 s.
    pub error_sleep_time: Duration,
    /// HELO, EHLO, RSET, NOOP, VRFY and ETRN that are free; each one more is an error. Default: 100.
    pub junk_command_limit: u32,
    /// Recipients that the backend refuses for good, or that do not exist, senders and messages that it refuses; so many
    /// end the session, as do recipients put off beyond `recipient_limit` with none accepted. Default: 20.
    pub recipient_error_limit: u32,
}

/// A refused sender can quote it, and `prescreen why` knows it.
const REJECT_FOOTER: &str = r"\c; id $id";

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            hostname: "localhost".into(),
            banner: "localhost ESMTP".into(),
            helo_required: false,
            disable_vrfy_command: false,
            strict_rfc821_envelopes: PathSyntax::Lenient,
            forbidden_commands: FORBIDDEN_COMMANDS.to_owned(),
            discard_ehlo_keywords: Vec::new(),
            discard_ehlo_keyword_address_maps: String::new(),
            message_size_limit: 0,
            recipient_limit: 1000,
            recipient_overshoot_limit: 1000,
            command_count_limit: 20,
            line_length_limit: 2048,
            errors: ErrorSettings::default(),
            soft_bounce: false,
            reject_footer: REJECT_FOOTER.parse().ok(),
            reject_footer_maps: String::new(),
            tables: Tables::default(),
        }
    }
}

impl Default for ErrorSettings {
    fn default() -> Self {
        Self {
            hard_error_limit: 1,
            soft_error_limit: 10,
            error_sleep_time: Duration::from_secs(1),
            junk_command_limit: 100,
            recipient_error_limit: 20,
        }
    }
}

/// What there is to offer at the time when a session begins.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What every backend offers.
    pub capabilities: Arc<Capabilities>,
    /// What STARTTLS does.
    pub starttls: Starttls,
    /// What AUTH does.
    pub auth: Auth,
    /// Whether this client must use STARTTLS first.
    pub encryption: Encryption,
}

/// Whether a client may speak in clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As it likes.
    #[default]
    Optional,
    /// Only to come to STARTTLS.
    Required,
}

/// What becomes of AUTH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not offered, even if the backend does.
    #[default]
    Hide,
    /// Offered if the backend does; the session is then the backend's.
    Handoff,
}

spelled!(Auth { Hide = "hide", Handoff = "handoff" });
