//! Reply texts with `$names` in them: `default_rbl_reply`, `rbl_reply_maps`, reject footers.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A text with places for what is known of the session: `$name`, `${name}`, `${name?if it is not empty}`,
/// `${name:if it is}`, `${name?{one}:{other}}`; `$$` is a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Attribute),
    Choice { of: Attribute, filled: Vec<Self>, empty: Vec<Self> },
}

/// Declares [`Attribute`] with the names that templates use.
macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What a template can ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Attribute {
            $($(#[$doc])* $variant,)*
        }

        impl Attribute {
            const ALL: &[(&str, Self)] = &[$(($name, Self::$variant)),*];
        }
    };
}

attributes! {
    /// `name[address]`
    Client = "client",
    /// The client's address.
    ClientAddress = "client_address",
    /// The client's confirmed name, or `unknown`.
    ClientName = "client_name",
    /// The client's port.
    ClientPort = "client_port",
    /// The name that the client's address claims, or `unknown`.
    ReverseClientName = "reverse_client_name",
    /// The HELO argument.
    HeloName = "helo_name",
    /// The sender, or `<>`.
    Sender = "sender",
    /// The sender's local part, or `<>`.
    SenderName = "sender_name",
    /// The sender's domain.
    SenderDomain = "sender_domain",
    /// The recipient.
    Recipient = "recipient",
    /// The recipient's local part.
    RecipientName = "recipient_name",
    /// The recipient's domain.
    RecipientDomain = "recipient_domain",
    /// Our host name.
    ServerName = "server_name",
    /// `Nov 22 03:00:18`, in UTC.
    Localtime = "localtime",
    /// The connection, as the log knows it.
    Id = "id",
    /// `maps_rbl_reject_code`
    RblCode = "rbl_code",
    /// The DNS list, without its filter.
    RblDomain = "rbl_domain",
    /// What the DNS list's TXT records say.
    RblReason = "rbl_reason",
    /// The same, by its older name.
    RblTxt = "rbl_txt",
    /// What is listed: an address, a name, a mail address.
    RblWhat = "rbl_what",
    /// What kind of thing that is: `Client host`.
    RblClass = "rbl_class",
}

impl Attribute {
    /// Whether it is a client's name, which may have to be looked up first.
    pub fn is_client_name(self) -> bool {
        matches!(self, Self::Client | Self::ClientName | Self::ReverseClientName)
    }
}

impl Template {
    /// The text, with `value` for every attribute that it names. What is not printable ASCII in a value becomes `_`,
    /// so that no client writes our replies.
    pub fn expand<'v>(&self, value: impl Fn(Attribute) -> Cow<'v, str>) -> String {
        let mut text = String::with_capacity(self.source.len() * 2);
        write(&mut text, &self.parts, &value);
        text
    }

    /// Whether `wanted` holds for any attribute in it.
    pub fn mentions(&self, wanted: impl Fn(Attribute) -> bool) -> bool {
        any(&self.parts, &wanted)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn write<'v>(text: &mut String, parts: &[Part], value: &impl Fn(Attribute) -> Cow<'v, str>) {
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Value(attribute) => text.extend(value(*attribute).bytes().map(shown)),
            Part::Choice { of, filled, empty } => {
                write(text, if value(*of).is_empty() { empty } else { filled }, value);
            }
        }
    }
}

fn shown(byte: u8) -> char {
    if matches!(byte, b'\t' | b' ') || byte.is_ascii_graphic() { byte.into() } else { '_' }
}

fn any(parts: &[Part], wanted: &impl Fn(Attribute) -> bool) -> bool {
    parts.iter().any(|part| match part {
        Part::Text(_) => false,
        Part::Value(attribute) => wanted(*attribute),
        Part::Choice { of, filled, empty } => wanted(*of) || any(filled, wanted) || any(empty, wanted),
    })
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self { source: text.to_owned(), parts: parts(text)? })
    }
}

fn parts(mut text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some((before, behind)) = text.split_once('$') {
        push_text(&mut parts, before);
        text = if let Some(rest) = behind.strip_prefix('$') {
            push_text(&mut parts, "$");
            rest
        } else if behind.starts_with(['{', '(']) {
            let (inner, rest) = group(behind)?;
            parts.push(braced(inner)?);
            rest
        } else {
            let (name, rest) = name(behind);
            parts.push(Part::Value(attribute(name)?));
            rest
        };
    }
    push_text(&mut parts, text);
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// What stands inside `${ … }`.
fn braced(inner: &str) -> Result<Part, String> {
    let (name, rest) = name(inner.trim_start());
    let of = attribute(name)?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok(Part::Value(of));
    }
    if let Some(text) = rest.strip_prefix(':') {
        let empty = parts(unbraced(text))?;
        return Ok(Part::Choice { of, filled: Vec::new(), empty });
    }
    let Some(text) = rest.strip_prefix('?') else {
        return Err(format!(
            "`${{{inner}}}` is not understood: write ${{name}}, ${{name?text}} or ${{name:text}}"
        ));
    };
    let (filled, empty) = match text.trim_start() {
        braced if braced.starts_with('{') => {
            let (filled, rest) = group(braced)?;
            (filled, rest.trim_start().strip_prefix(':').map_or("", unbraced))
        }
        plain => (plain, ""),
    };
    Ok(Part::Choice { of, filled: parts(filled)?, empty: parts(empty)? })
}

/// The text of a choice; its braces are optional.
fn unbraced(text: &str) -> &str {
    match group(text.trim()) {
        Ok((inner, "")) if text.trim().starts_with('{') => inner,
        _ => text,
    }
}

/// Splits off the group that `text` starts with.
fn group(text: &str) -> Result<(&str, &str), String> {
    let (open, close) = if text.starts_with('(') { ('(', ')') } else { ('{', '}') };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Ok((&text[1..at], &text[at + 1..]));
            }
        }
    }
    Err(format!("`{text}` is never closed: add a `{close}`"))
}

fn name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()))
}

fn attribute(name: &str) -> Result<Attribute, String> {
    match Attribute::ALL.iter().find(|(known, _)| *known == name) {
        Some((_, attribute)) => Ok(*attribute),
        None if name.is_empty() => Err("a `$` without a name: write $$ for a dollar sign".to_owned()),
        None => {
            let known: Vec<_> = Attribute::ALL.iter().map(|(name, _)| *name).collect();
            Err(format!("`${name}` is not known here: write one of {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str) -> String {
        template.parse::<Template>().unwrap().expand(|attribute| match attribute {
            Attribute::RblReason => Cow::Borrowed(""),
            Attribute::Sender => Cow::Borrowed("a\r\nü@b"),
            _ => Cow::Borrowed("x"),
        })
    }

    #[test]
    fn values_stand_where_names_stood() {
        assert_eq!(expand("$rbl_what, ${helo_name}. $(client)$$1"), "x, x. x$1");
    }

    #[test]
    fn choices_depend_on_whether_there_is_a_value() {
        assert_eq!(expand("a${rbl_code?; $rbl_code}"), "a; x");
        assert_eq!(expand("a${rbl_reason?; $rbl_reason}"), "a");
        assert_eq!(expand("a${rbl_reason:none}"), "anone");
        assert_eq!(expand("a${rbl_code:none}"), "a");
        assert_eq!(expand("a${rbl_reason?{yes}:{no, {really}}}"), "ano, {really}");
        assert_eq!(expand("a${rbl_code ? {yes $client} : {no}}"), "ayes x");
    }

    #[test]
    fn values_cannot_write_the_reply() {
        assert_eq!(expand("$sender"), "a____@b");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| text.parse::<Template>().unwrap_err();
        assert!(wrong("$myhostname").starts_with("`$myhostname` is not known here: write one of client, "));
        assert!(wrong("a $ b").contains("$$"));
        assert!(wrong("${client").contains("never closed"));
        assert!(wrong("${client!}").contains("is not understood"));
    }

    #[test]
    fn it_is_known_what_a_template_asks_for() {
        let asks = |text: &str| text.parse::<Template>().unwrap().mentions(Attribute::is_client_name);
        assert!(asks("${rbl_code?{$client_name}:{}}"));
        assert!(!asks("$rbl_code $client_address"));
    }
}
