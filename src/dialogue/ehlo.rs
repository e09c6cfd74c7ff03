//! What EHLO offers, and which parameters of MAIL and RCPT follow from it.
//!
//! The list is the backend's, less what prescreen could not keep: commands that it does not carry (ETRN, EXPN, XCLIENT
//! …), AUTH and STARTTLS unless they are to be had here, and PIPELINING for a client that has yet to show that it
//! waits for replies.

use std::borrow::Cow;

use crate::smtp::capability::{self, Capabilities};
use crate::smtp::envelope::Parameter;
use crate::tls::Starttls;

use super::settings::{Auth, Settings};
use super::{Offer, Session};

/// An extension that is carried by replay alone: it adds parameters to MAIL and RCPT and nothing else.
///
/// A parameter is written as it begins: `SIZE=` has a value, `SMTPUTF8` has none.
struct Extension {
    keyword: &'static str,
    mail: &'static [&'static str],
    rcpt: &'static [&'static str],
    unoffered: Unoffered,
}

/// What happens to the parameters of an extension that the backend was not seen to offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unoffered {
    /// They are the backend's to judge: Postfix knows them whatever it offers, so clients use them unasked.
    Forward,
    /// They are refused.
    Refuse,
}

impl Extension {
    const fn new(
        keyword: &'static str,
        mail: &'static [&'static str],
        rcpt: &'static [&'static str],
        unoffered: Unoffered,
    ) -> Self {
        Self { keyword, mail, rcpt, unoffered }
    }
}

const EXTENSIONS: &[Extension] = &[
    Extension::new("SIZE", &["SIZE="], &[], Unoffered::Forward),
    Extension::new("8BITMIME", &["BODY="], &[], Unoffered::Forward),
    Extension::new("SMTPUTF8", &["SMTPUTF8"], &[], Unoffered::Forward),
    Extension::new("DSN", &["RET=", "ENVID="], &["NOTIFY=", "ORCPT="], Unoffered::Forward),
    Extension::new("AUTH", &["AUTH="], &[], Unoffered::Forward),
    Extension::new("CHUNKING", &[], &[], Unoffered::Refuse),
    Extension::new("BINARYMIME", &[], &[], Unoffered::Refuse),
    Extension::new("ENHANCEDSTATUSCODES", &[], &[], Unoffered::Refuse),
    Extension::new("HELP", &[], &[], Unoffered::Refuse),
    Extension::new("LIMITS", &[], &[], Unoffered::Refuse),
    Extension::new("DELIVERBY", &["BY="], &[], Unoffered::Refuse),
    Extension::new("MT-PRIORITY", &["MT-PRIORITY="], &[], Unoffered::Refuse),
    Extension::new("FUTURERELEASE", &["HOLDFOR=", "HOLDUNTIL="], &[], Unoffered::Refuse),
    Extension::new("RRVS", &[], &["RRVS="], Unoffered::Refuse),
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
pub(super) fn lines<'a>(
    settings: &'a Settings,
    discarded: &[String],
    offer: &'a Offer,
    pipelining: Pipelining,
    channel: Channel,
) -> Vec<Cow<'a, str>> {
    let mut lines = Vec::with_capacity(2 + offer.capabilities.iter().len());
    lines.push(settings.hostname.as_str().into());
    let shown = |offered: &&capability::Offer| !is_discarded(discarded, &offered.keyword);
    lines.extend(offer.capabilities.iter().filter(shown).filter_map(|offered| {
        let carried = || EXTENSIONS.iter().any(|extension| extension.keyword == offered.keyword);
        match offered.keyword.as_str() {
            "SIZE" => Some(size_line(settings, &offered.parameters)),
            "PIPELINING" if pipelining == Pipelining::UnderTest => None,
            "PIPELINING" => Some(line(offered)),
            "VRFY" if settings.disable_vrfy_command => None,
            "VRFY" => Some(line(offered)),
            "AUTH" if may_auth(offer, channel) => Some(line(offered)),
            "AUTH" => None,
            _ if carried() => Some(line(offered)),
            _ => None,
        }
    }));
    if channel == Channel::Plain && offers_starttls(discarded, offer) {
        lines.push("STARTTLS".into());
    }
    lines
}

/// Whether STARTTLS is to be had: with a certificate of our own, or because the backend has it.
fn offers_starttls(discarded: &[String], offer: &Offer) -> bool {
    let has = match offer.starttls {
        Starttls::Off => false,
        Starttls::Terminate => true,
        Starttls::Passthrough => offer.capabilities.offers("STARTTLS"),
    };
    has && !is_discarded(discarded, "STARTTLS")
}

/// Whether AUTH may be said. Nobody is asked for a password in clear where TLS is to be had here; in front of a backend
/// with TLS of its own, that is the backend's to say.
fn may_auth(offer: &Offer, channel: Channel) -> bool {
    let in_clear = channel == Channel::Plain && offer.starttls == Starttls::Terminate;
    offer.auth == Auth::Handoff && !in_clear
}

/// Why a parameter cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Nobody offers what it belongs to.
    Unsupported,
    /// It belongs to DSN, which the administrator hides.
    DsnDisabled,
}

/// The command that a parameter stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Mail,
    Rcpt,
}

/// Whether a parameter may be replayed.
pub(super) fn check(
    place: Place,
    parameter: &Parameter,
    discarded: &[String],
    capabilities: &Capabilities,
) -> Result<(), Unusable> {
    let keyword = |extension: &&Extension| match place {
        Place::Mail => extension.mail.iter().any(|name| begins(parameter, name)),
        Place::Rcpt => extension.rcpt.iter().any(|name| begins(parameter, name)),
    };
    let extension = EXTENSIONS.iter().find(keyword).ok_or(Unusable::Unsupported)?;
    let hidden = is_discarded(discarded, extension.keyword);
    let usable = match extension.keyword {
        "DSN" if hidden => return Err(Unusable::DsnDisabled),
        "SMTPUTF8" => !hidden,
        "8BITMIME" => is_body(parameter, capabilities),
        _ if extension.unoffered == Unoffered::Forward => true,
        keyword => capabilities.offers(keyword) && !hidden,
    };
    if usable { Ok(()) } else { Err(Unusable::Unsupported) }
}

/// Whether `parameter` is written as `name` begins it.
fn begins(parameter: &Parameter, name: &str) -> bool {
    match name.strip_suffix('=') {
        Some(name) => parameter.is(name) && parameter.value.is_some(),
        None => parameter.is(name) && parameter.value.is_none(),
    }
}

/// Whether BODY= has a value that is known; BINARYMIME belongs to an extension of its own (RFC 3030 §3).
fn is_body(parameter: &Parameter, capabilities: &Capabilities) -> bool {
    let body = parameter.value.as_deref().unwrap_or_default();
    body.eq_ignore_ascii_case("8BITMIME")
        || body.eq_ignore_ascii_case("7BIT")
        || (body.eq_ignore_ascii_case("BINARYMIME") && capabilities.offers("BINARYMIME"))
}

impl Session {
    /// Whether BDAT was offered.
    pub(super) fn offers_chunking(&self) -> bool {
        self.offer.capabilities.offers("CHUNKING") && !is_discarded(&self.discarded, "CHUNKING")
    }

    /// Whether AUTH was offered.
    pub(super) fn offers_auth(&self) -> bool {
        may_auth(&self.offer, self.channel())
            && self.offer.capabilities.offers("AUTH")
            && !is_discarded(&self.discarded, "AUTH")
    }

    pub(super) fn channel(&self) -> Channel {
        if self.tls.is_some() { Channel::Tls } else { Channel::Plain }
    }

    /// What STARTTLS does for this client.
    pub(super) fn starttls(&self) -> Starttls {
        if offers_starttls(&self.discarded, &self.offer) { self.offer.starttls } else { Starttls::Off }
    }
}

fn is_discarded(discarded: &[String], keyword: &str) -> bool {
    discarded.iter().any(|discarded| discarded.eq_ignore_ascii_case(keyword))
}

/// SIZE with the smaller of the backend's limit and ours; 0 or none is no limit (RFC 1870 §4).
fn size_line(settings: &Settings, backend: &str) -> Cow<'static, str> {
    let limits = [backend.parse().unwrap_or(0), settings.message_size_limit];
    match limits.into_iter().filter(|limit| *limit > 0).min() {
        Some(limit) => format!("SIZE {limit}").into(),
        None => "SIZE".into(),
    }
}

fn line(offered: &capability::Offer) -> Cow<'_, str> {
    if offered.parameters.is_empty() {
        offered.keyword.as_str().into()
    } else {
        format!("{} {}", offered.keyword, offered.parameters).into()
    }
}
