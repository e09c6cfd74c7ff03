//! What EHLO offers, and which parameters of MAIL and RCPT follow from it.
//!
//! The list is the backend's, less what prescreen could not keep: commands that it does not carry (ETRN, EXPN, XCLIENT
//! …), AUTH and STARTTLS unless they are to be had here, and PIPELINING for a client that has yet to show that it
//! waits for replies.

use crate::smtp::capability::{self, Capabilities};
use crate::smtp::envelope::Parameter;
use crate::tls::Starttls;

use super::settings::{Auth, Settings};
use super::{Offer, Session};

/// An extension that is carried by replay alone: it adds parameters to MAIL and RCPT and nothing else.
struct Extension {
    keyword: &'static str,
    parameters: &'static [&'static str],
    use_unoffered: UseUnoffered,
}

/// What happens to the parameters of an extension that the backend was not seen to offer.
#[derive(PartialEq, Eq)]
enum UseUnoffered {
    /// They are the backend's to judge: Postfix knows them whatever it offers, so clients use them unasked.
    Forward,
    /// They are refused.
    Refuse,
}

const EXTENSIONS: &[Extension] = &[
    Extension { keyword: "SIZE", parameters: &["SIZE"], use_unoffered: UseUnoffered::Forward },
    Extension { keyword: "8BITMIME", parameters: &["BODY"], use_unoffered: UseUnoffered::Forward },
    Extension { keyword: "SMTPUTF8", parameters: &["SMTPUTF8"], use_unoffered: UseUnoffered::Forward },
    Extension {
        keyword: "DSN",
        parameters: &["RET", "ENVID", "NOTIFY", "ORCPT"],
        use_unoffered: UseUnoffered::Forward,
    },
    Extension { keyword: "CHUNKING", parameters: &[], use_unoffered: UseUnoffered::Refuse },
    Extension { keyword: "BINARYMIME", parameters: &[], use_unoffered: UseUnoffered::Refuse },
    Extension { keyword: "ENHANCEDSTATUSCODES", parameters: &[], use_unoffered: UseUnoffered::Refuse },
    Extension { keyword: "HELP", parameters: &[], use_unoffered: UseUnoffered::Refuse },
    Extension { keyword: "LIMITS", parameters: &[], use_unoffered: UseUnoffered::Refuse },
    Extension { keyword: "DELIVERBY", parameters: &["BY"], use_unoffered: UseUnoffered::Refuse },
    Extension { keyword: "MT-PRIORITY", parameters: &["MT-PRIORITY"], use_unoffered: UseUnoffered::Refuse },
    Extension {
        keyword: "FUTURERELEASE",
        parameters: &["HOLDFOR", "HOLDUNTIL"],
        use_unoffered: UseUnoffered::Refuse,
    },
    Extension { keyword: "RRVS", parameters: &["RRVS"], use_unoffered: UseUnoffered::Refuse },
];

/// Whether the client may be told of PIPELINING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipelining {
    /// It has shown that it waits for replies, or is not asked to.
    Allowed,
    /// It is being watched.
    UnderTest,
}

/// Whether the session runs inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Plain,
    Tls,
}

/// The lines of an EHLO reply, the host name first.
pub(super) fn lines(
    settings: &Settings,
    offer: &Offer,
    pipelining: Pipelining,
    channel: Channel,
) -> Vec<String> {
    let mut lines = vec![settings.hostname.clone()];
    let shown = |offered: &&capability::Offer| !is_discarded(settings, &offered.keyword);
    lines.extend(offer.capabilities.iter().filter(shown).filter_map(|offered| {
        let carried = || EXTENSIONS.iter().any(|extension| extension.keyword == offered.keyword);
        match offered.keyword.as_str() {
            "SIZE" => Some(size_line(settings, &offered.parameters)),
            "PIPELINING" if pipelining == Pipelining::UnderTest => None,
            "PIPELINING" => Some(offered.keyword.clone()),
            "VRFY" if settings.disable_vrfy_command => None,
            "VRFY" => Some(offered.keyword.clone()),
            "AUTH" if offer.auth == Auth::Handoff => Some(line(offered)),
            _ if carried() => Some(line(offered)),
            _ => None,
        }
    }));
    if channel == Channel::Plain && offers_starttls(settings, offer) {
        lines.push("STARTTLS".to_owned());
    }
    lines
}

/// Whether STARTTLS is to be had: with a certificate of our own, or because the backend has it.
fn offers_starttls(settings: &Settings, offer: &Offer) -> bool {
    let has = match offer.starttls {
        Starttls::Off => false,
        Starttls::Terminate => true,
        Starttls::Passthrough => offer.capabilities.offers("STARTTLS"),
    };
    has && !is_discarded(settings, "STARTTLS")
}

/// Why a parameter cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Nobody offers what it belongs to.
    Unsupported,
    /// It belongs to DSN, which the administrator hides.
    DsnDisabled,
}

/// Whether a parameter of MAIL or RCPT may be replayed.
pub(super) fn check(
    parameter: &Parameter,
    settings: &Settings,
    capabilities: &Capabilities,
) -> Result<(), Unusable> {
    let belongs = |extension: &&Extension| extension.parameters.iter().any(|name| parameter.is(name));
    let extension = EXTENSIONS.iter().find(belongs).ok_or(Unusable::Unsupported)?;
    if extension.keyword == "DSN" && is_discarded(settings, "DSN") {
        return Err(Unusable::DsnDisabled);
    }
    // Hiding SIZE or 8BITMIME forbids nobody to use them, as in Postfix.
    let hidden = extension.keyword == "SMTPUTF8" && is_discarded(settings, "SMTPUTF8");
    let offered = capabilities.offers(extension.keyword) && !is_discarded(settings, extension.keyword);
    let binary = parameter.is("BODY")
        && parameter.value.as_deref().is_some_and(|body| body.eq_ignore_ascii_case("BINARYMIME"));
    if hidden
        || (binary && !capabilities.offers("BINARYMIME"))
        || (!offered && extension.use_unoffered == UseUnoffered::Refuse)
    {
        return Err(Unusable::Unsupported);
    }
    Ok(())
}

impl Session {
    /// Whether BDAT was offered.
    pub(super) fn offers_chunking(&self) -> bool {
        self.offer.capabilities.offers("CHUNKING") && !is_discarded(&self.settings, "CHUNKING")
    }

    /// Whether AUTH was offered.
    pub(super) fn offers_auth(&self) -> bool {
        self.offer.auth == Auth::Handoff
            && self.offer.capabilities.offers("AUTH")
            && !is_discarded(&self.settings, "AUTH")
    }

    /// What STARTTLS does for this client.
    pub(super) fn starttls(&self) -> Starttls {
        if offers_starttls(&self.settings, &self.offer) { self.offer.starttls } else { Starttls::Off }
    }
}

fn is_discarded(settings: &Settings, keyword: &str) -> bool {
    settings.discard_ehlo_keywords.iter().any(|discarded| discarded.eq_ignore_ascii_case(keyword))
}

/// SIZE with the smaller of the backend's limit and ours; 0 or none is no limit (RFC 1870 §4).
fn size_line(settings: &Settings, backend: &str) -> String {
    let limits = [backend.parse().unwrap_or(0), settings.message_size_limit];
    match limits.into_iter().filter(|limit| *limit > 0).min() {
        Some(limit) => format!("SIZE {limit}"),
        None => "SIZE".to_owned(),
    }
}

fn line(offered: &capability::Offer) -> String {
    if offered.parameters.is_empty() {
        offered.keyword.clone()
    } else {
        format!("{} {}", offered.keyword, offered.parameters)
    }
}
