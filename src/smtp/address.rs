//! Mailbox addresses as they stand in an envelope (RFC 5321 §4.1.2), with the leniency that Postfix has.
//!
//! Lenient means: no `<>`, backslash escapes and several `@` in the local part, dots anywhere in it, a trailing dot
//! behind the domain, no domain at all, UTF-8. Refused is what could mean two things or nothing: lists, comments,
//! blanks outside quotes, control characters, domains that are no host names.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::line::is_plain;
use super::{host, words};

/// A mailbox: the local part without quotes, the domain as written (no domain: `postmaster`, or a lenient client).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole, in external form.
    external: String,
    /// Where its local part ends; a domain stands behind the `@` there.
    at: usize,
    /// The local part, where it is quoted in the external form.
    unquoted: Option<Box<str>>,
}

/// Why an address was refused: it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a mail address: write local-part@domain, with special characters of the local part in \"quotes\""
)]
pub struct Malformed;

/// How strictly paths are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathSyntax {
    /// `<>` may be missing (`strict_rfc821_envelopes = no`, the default).
    #[default]
    Lenient,
    /// `<>` must be there (`strict_rfc821_envelopes = yes`).
    Strict,
}

impl Address {
    /// Reads a forward-path: `<[@route:]mailbox>`. The source route is dropped (RFC 5321 appendix C).
    pub fn parse_path(text: &str, syntax: PathSyntax) -> Result<Self, Malformed> {
        mailbox_of(text, syntax)?.parse()
    }

    /// The local part, dequoted, case kept.
    pub fn local(&self) -> &str {
        self.unquoted.as_deref().unwrap_or_else(|| self.external.get(..self.at).unwrap_or_default())
    }

    /// The domain as written, case kept; an address literal keeps its brackets.
    pub fn domain(&self) -> Option<&str> {
        self.external.get(self.at + 1..)
    }

    /// The address in external (quoted) form, source route removed: what logs show inside `<>`, and what is replayed.
    pub fn as_str(&self) -> &str {
        &self.external
    }

    /// The address without quotes, as Postfix's replies name it: `a b@example.com` for `"a b"@example.com`.
    pub fn unquoted(&self) -> String {
        [self.local(), self.external.get(self.at..).unwrap_or_default()].concat()
    }

    /// Whether the domain is written in other than ASCII letters, which only a message declared SMTPUTF8 may do.
    pub fn needs_smtputf8(&self) -> bool {
        self.domain().is_some_and(|domain| !domain.is_ascii())
    }

    /// Whether this is `postmaster` without a domain, which every server must accept (RFC 5321 §4.5.1).
    pub fn is_bare_postmaster(&self) -> bool {
        self.domain().is_none() && self.local().eq_ignore_ascii_case("postmaster")
    }
}

/// Reads a mailbox, without `<>` and source route.
impl FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (written, domain) = split_at_domain(text)?;
        if domain.is_some_and(|domain| !is_valid_domain(domain)) {
            return Err(Malformed);
        }
        // Dots in odd places stay as the client wrote them; any other freedom is put into one clear form.
        let (shown, unquoted) = if is_dotted_atoms(written) {
            (Cow::Borrowed(written), None)
        } else {
            let local = dequote(written)?;
            let shown = quote(&local);
            let is_quoted = shown != local;
            (Cow::Owned(shown), is_quoted.then(|| local.into()))
        };
        let behind = text.get(written.len()..).unwrap_or_default();
        Ok(Self { external: [&shown, behind].concat(), at: shown.len(), unquoted })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.external)
    }
}

/// What MAIL FROM names: a mailbox, or nobody (`<>`, a bounce).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`
    #[default]
    Null,
    /// A mailbox.
    Mailbox(Address),
}

impl ReversePath {
    /// Reads a reverse-path: `<>` or a path as [`Address::parse_path`] reads it.
    pub fn parse_path(text: &str, syntax: PathSyntax) -> Result<Self, Malformed> {
        match mailbox_of(text, syntax)? {
            "" => Ok(Self::Null),
            mailbox => mailbox.parse().map(Self::Mailbox),
        }
    }

    /// The mailbox, unless it is the null sender.
    pub fn mailbox(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Mailbox(address) => Some(address),
        }
    }

    /// The text inside `<>`; empty for the null sender.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Address::as_str)
    }
}

/// Reads a reverse-path with or without `<>`; nothing at all is the null sender.
impl FromStr for ReversePath {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse_path(text, PathSyntax::Lenient)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

/// The mailbox inside a path: brackets and source route taken off.
fn mailbox_of(path: &str, syntax: PathSyntax) -> Result<&str, Malformed> {
    let inner = match (path.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')), syntax) {
        (Some(inner), _) => inner,
        (None, PathSyntax::Strict) => return Err(Malformed),
        (None, PathSyntax::Lenient) => path,
    };
    let inner = inner.trim_matches(words::BLANK);
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (_route, mailbox) = inner.split_once(':').ok_or(Malformed)?;
    if mailbox.is_empty() { Err(Malformed) } else { Ok(mailbox) }
}

/// Splits at the last `@` that no quotes hide; the local part stays as written.
fn split_at_domain(text: &str) -> Result<(&str, Option<&str>), Malformed> {
    let mut last = None;
    let mut quoting = Quoting::Outside;
    // Octets will do: what has a meaning here is ASCII, which is no part of any other character.
    for (at, character) in text.bytes().map(char::from).enumerate() {
        if quoting.hides(character) {
            continue;
        }
        match character {
            '@' => last = Some(at),
            // Lists, groups, comments, routes in odd places, blanks.
            ' ' | ',' | ';' | ':' | '(' | ')' | '<' | '>' if !in_literal(text, last) => {
                return Err(Malformed);
            }
            _ => {}
        }
    }
    if quoting != Quoting::Outside || (!is_plain(text.as_bytes()) && text.contains(char::is_control)) {
        return Err(Malformed);
    }
    match last {
        Some(at) => Ok((text.get(..at).unwrap_or_default(), text.get(at + 1..))),
        None => Ok((text, None)),
    }
}

/// Whether what follows the last `@` is an address literal, where `:` is at home.
fn in_literal(text: &str, last_at: Option<usize>) -> bool {
    last_at.and_then(|at| text.get(at + 1..)).is_some_and(|domain| domain.starts_with('['))
}

/// Where a scan of a local part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Outside,
    EscapedOutside,
    Inside,
    EscapedInside,
}

impl Quoting {
    /// Steps over `character`; whether quoting takes its meaning away (or it is quoting itself).
    fn hides(&mut self, character: char) -> bool {
        let (next, hidden) = match (*self, character) {
            (Self::Outside, '"') => (Self::Inside, true),
            (Self::Outside, '\\') => (Self::EscapedOutside, true),
            (Self::Outside, _) => (Self::Outside, false),
            (Self::EscapedOutside, _) => (Self::Outside, true),
            (Self::Inside, '"') => (Self::Outside, true),
            (Self::Inside, '\\') => (Self::EscapedInside, true),
            (Self::Inside | Self::EscapedInside, _) => (Self::Inside, true),
        };
        *self = next;
        hidden
    }
}

fn is_valid_domain(domain: &str) -> bool {
    if domain.starts_with('[') {
        return host::address_literal(domain).is_some();
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    host::to_ascii(domain).is_some_and(|ascii| host::is_valid_hostname(&ascii))
}

/// The local part without quotes and escapes, of which something must be left.
fn dequote(written: &str) -> Result<String, Malformed> {
    let mut local = String::with_capacity(written.len());
    let mut quoting = Quoting::Outside;
    for character in written.chars() {
        let before = quoting;
        quoting.hides(character);
        let is_quoting = quoting != before && matches!(character, '"' | '\\');
        let is_escaped = matches!(before, Quoting::EscapedInside | Quoting::EscapedOutside);
        if is_escaped || !is_quoting {
            local.push(character);
        }
    }
    if quoting == Quoting::Outside && !local.is_empty() { Ok(local) } else { Err(Malformed) }
}

fn is_atext(character: char) -> bool {
    character.is_ascii_alphanumeric() || !character.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(character)
}

fn is_dotted_atoms(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| is_atext(character) || character == '.')
}

/// The local part as RFC 5321 §4.1.2 writes it: a dot-string where it is one, else a quoted string.
fn quote(local: &str) -> String {
    if local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)) {
        return local.to_owned();
    }
    let mut quoted = String::with_capacity(local.len() + 2);
    quoted.push('"');
    for character in local.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Result<Address, Malformed> {
        Address::parse_path(text, PathSyntax::Lenient)
    }

    /// Input, local part, domain, external form.
    const ACCEPTED: &[(&str, &str, Option<&str>, &str)] = &[
        ("<a@b.c>", "a", Some("b.c"), "a@b.c"),
        ("a@b.c", "a", Some("b.c"), "a@b.c"),
        ("<A.B+x@Example.COM>", "A.B+x", Some("Example.COM"), "A.B+x@Example.COM"),
        ("< a@b.c >", "a", Some("b.c"), "a@b.c"),
        ("<a@b.>", "a", Some("b."), "a@b."),
        ("<a@b_c.d>", "a", Some("b_c.d"), "a@b_c.d"),
        ("<.a@b>", ".a", Some("b"), ".a@b"),
        ("<a..b@c>", "a..b", Some("c"), "a..b@c"),
        ("<a@b@c.d>", "a@b", Some("c.d"), "\"a@b\"@c.d"),
        ("<@r1,@r2:a@b>", "a", Some("b"), "a@b"),
        ("<@r1:a>", "a", None, "a"),
        ("<büro@b.c>", "büro", Some("b.c"), "büro@b.c"),
        ("<a@bücher.example>", "a", Some("bücher.example"), "a@bücher.example"),
        ("<\"a b\"@c>", "a b", Some("c"), "\"a b\"@c"),
        ("\"a b\"@c", "a b", Some("c"), "\"a b\"@c"),
        ("<\"a\"@c>", "a", Some("c"), "a@c"),
        ("<\"a\".b@c>", "a.b", Some("c"), "a.b@c"),
        ("<\".a\"@c>", ".a", Some("c"), "\".a\"@c"),
        ("<\"a\\\"b\\\\\"@c>", "a\"b\\", Some("c"), "\"a\\\"b\\\\\"@c"),
        ("<Joe\\,Smith@c>", "Joe,Smith", Some("c"), "\"Joe,Smith\"@c"),
        ("<\"x@ext\"@local>", "x@ext", Some("local"), "\"x@ext\"@local"),
        ("<x%ext@local>", "x%ext", Some("local"), "x%ext@local"),
        ("<ext!x@local>", "ext!x", Some("local"), "ext!x@local"),
        ("<a@[192.0.2.1]>", "a", Some("[192.0.2.1]"), "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a", Some("[IPv6:2001:db8::1]"), "a@[IPv6:2001:db8::1]"),
        ("<Postmaster>", "Postmaster", None, "Postmaster"),
        ("user", "user", None, "user"),
    ];

    const REFUSED: &[&str] = &[
        "",
        "<",
        ">",
        "<a@b",
        "a@b>",
        "<<a@b>>",
        "<a@b><c@d>",
        "<@>",
        "<@b.c>",
        "<a@>",
        "<@r:>",
        "<a@b..c>",
        "<a@-b.c>",
        "<a@[1.2.3]>",
        "<a@1.2.3.4>",
        "<a@[::1]>",
        "<a,b@c>",
        "<a b@c>",
        "<a@b c>",
        "<a(x)@b>",
        "<\"a@b>",
        "<a\"@b>",
        "<a@b\\>",
        "<\"\"@b>",
        "<a;b@c>",
        "<g:a@b;>",
        "<a\r@b>",
        "<a\n@b>",
        "<\"a\nb\"@c>",
        "<a\0@b>",
        "<a\u{85}@b>",
        "<a\t@b>",
        "<a\\\n@b>",
        "<a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b>",
    ];

    #[test]
    fn what_is_accepted_and_what_it_means() {
        for (text, local, domain, external) in ACCEPTED {
            let address = path(text).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(
                (address.local(), address.domain(), address.as_str()),
                (*local, *domain, *external),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_refused() {
        for text in REFUSED {
            assert_eq!(path(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn strict_paths_need_brackets() {
        assert_eq!(Address::parse_path("a@b.c", PathSyntax::Strict), Err(Malformed));
        assert!(Address::parse_path("<a@b.c>", PathSyntax::Strict).is_ok());
    }

    #[test]
    fn only_a_sender_may_be_nobody() {
        assert_eq!(ReversePath::parse_path("<>", PathSyntax::Lenient), Ok(ReversePath::Null));
        assert_eq!(path("<>"), Err(Malformed));
        assert_eq!(ReversePath::Null.as_str(), "");
    }

    #[test]
    fn replies_name_the_address_without_quotes() {
        assert_eq!(path("<\"a b\"@c>").unwrap().unquoted(), "a b@c");
        assert!(path("<POSTMASTER>").unwrap().is_bare_postmaster());
        assert!(!path("<postmaster@b>").unwrap().is_bare_postmaster());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back_the_same(
            local in "[ -~é]{1,12}",
            domain in prop::option::of("[a-z0-9_]{1,5}\\.[a-z]{2,4}"),
        ) {
            let text = match &domain {
                Some(domain) => format!("{}@{domain}", quote(&local)),
                None => quote(&local),
            };
            let address: Address = text.parse().unwrap();
            prop_assert_eq!(address.local(), &local);
            prop_assert_eq!(address.domain(), domain.as_deref());
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address.clone()));
            prop_assert_eq!(path(&format!("<{address}>")), Ok(address));
        }

        #[test]
        fn whatever_is_read_can_be_said_again(text in "[a-c@.\"\\\\<>:,%! \\[\\]]{0,14}") {
            if let Ok(address) = path(&text) {
                prop_assert_eq!(path(&format!("<{address}>")), Ok(address));
            }
        }
    }
}
