//! What a table is asked for: an address, a host or a network as a whole, then its parts from the longest on.
//!
//! access(5) has the orders. A [`Key::full`] goes to every table; a part goes to fixed keys alone, because a
//! pattern that matches a part matches more than its author saw.

use std::borrow::Cow;
use std::net::IpAddr;

/// One key, and whether it is the whole of what is sought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    text: Cow<'a, str>,
    extent: Extent,
}

/// Whether a key is the whole of what is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it: for every table.
    Full,
    /// A part of it: for tables with fixed keys.
    Partial,
}

/// How the domains above a domain are sought (`parent_domain_matches_subdomains`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParentDomains {
    /// `example.com` speaks for `mail.example.com` too. Postfix's default for access tables, `mynetworks` and
    /// `relay_domains`.
    #[default]
    Match,
    /// Only `.example.com` does.
    DotOnly,
    /// Nothing does: `mydestination` and the virtual domains.
    Exact,
}

impl<'a> Key<'a> {
    /// A key that is the whole of what is sought.
    pub fn full(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), extent: Extent::Full }
    }

    /// A key that is a part of what is sought.
    pub fn partial(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), extent: Extent::Partial }
    }

    /// The text to look up.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whole or part.
    pub fn extent(&self) -> Extent {
        self.extent
    }
}

/// The keys of a host name: `a.b.c`, `b.c`, `c`. An address in text form has no parents. The case is kept.
pub fn host_keys(name: &str, parents: ParentDomains) -> impl Iterator<Item = Key<'_>> + Clone {
    let parents = if name.parse::<IpAddr>().is_ok() { ParentDomains::Exact } else { parents };
    let whole = (!name.is_empty()).then_some(name);
    let mut extent = Extent::Full;
    std::iter::successors(whole, move |child| parent(child, parents))
        .map(move |text| Key { text: text.into(), extent: std::mem::replace(&mut extent, Extent::Partial) })
}

/// The next domain above `child`, in the form in which it is sought.
fn parent(child: &str, parents: ParentDomains) -> Option<&str> {
    // The first character is passed over: it may be the dot that led here.
    let start = child.chars().next()?.len_utf8();
    let dot = start + child[start..].find('.')?;
    let above = match parents {
        ParentDomains::Match => &child[dot + 1..],
        ParentDomains::DotOnly => &child[dot..],
        ParentDomains::Exact => return None,
    };
    (!above.is_empty()).then_some(above)
}

/// The keys of an address as [`IpAddr`] prints it: IPv4 loses octets from its end, IPv6 what follows its last
/// colon. `2001:db8:1::5` goes on with `2001:db8:1:`, `2001:db8:1`, `2001:db8`, `2001`.
pub fn ip_keys(address: &str) -> impl Iterator<Item = Key<'_>> + Clone {
    let delimiter = if address.contains(':') { ':' } else { '.' };
    let nets = std::iter::successors(shorter(address, delimiter), move |net| shorter(net, delimiter));
    std::iter::once(Key::full(address)).chain(nets.map(Key::partial))
}

fn shorter(net: &str, delimiter: char) -> Option<&str> {
    net.rsplit_once(delimiter).map(|(shorter, _)| shorter).filter(|shorter| !shorter.is_empty())
}

/// The keys of a mail address, folded to lower case: `user+ext@domain`, `user@domain`, the domain and its parents,
/// `user+ext@`, `user@`. Wherever `local` needs quotes, its quoted form is sought before the raw one.
///
/// `local` is dequoted; a domain that is missing should have been completed (`myorigin`) before.
/// `recipient_delimiter` is a set of characters, as in Postfix; empty means that no address has an extension.
pub fn address_keys(
    local: &str,
    domain: Option<&str>,
    recipient_delimiter: &str,
    parents: ParentDomains,
) -> Vec<Key<'static>> {
    let local = local.to_lowercase();
    let Some(domain) = domain else {
        return forms(&local).into_iter().map(Key::full).collect();
    };
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
    let bare = without_extension(&local, recipient_delimiter).map(forms).unwrap_or_default();
    let whole = forms(&local);

    let mut keys: Vec<_> = whole.iter().map(|local| Key::full(format!("{local}@{domain}"))).collect();
    keys.extend(bare.iter().map(|local| Key::partial(format!("{local}@{domain}"))));
    keys.extend(host_keys(&domain, parents).map(|key| Key::partial(key.text.into_owned())));
    keys.extend(whole.iter().chain(&bare).map(|local| Key::partial(format!("{local}@"))));
    keys
}

/// The keys of a recipient in a table of those that exist, folded to lower case: `user+ext@domain`, `user@domain`,
/// for a local domain `user+ext` and `user`, and `@domain`. Quotes as in [`address_keys`].
pub fn recipient_keys(
    local: &str,
    domain: &str,
    recipient_delimiter: &str,
    locality: Locality,
) -> Vec<Key<'static>> {
    let local = local.to_lowercase();
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
    let bare = without_extension(&local, recipient_delimiter).map(forms).unwrap_or_default();
    let whole = forms(&local);

    let mut keys: Vec<_> = whole.iter().map(|local| Key::full(format!("{local}@{domain}"))).collect();
    keys.extend(bare.iter().map(|local| Key::partial(format!("{local}@{domain}"))));
    if locality == Locality::Local {
        keys.extend(whole.into_iter().chain(bare).map(Key::partial));
    }
    keys.push(Key::partial(format!("@{domain}")));
    keys
}

/// Whether a domain is delivered on this site, so that a user name alone says enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// It is.
    Local,
    /// It is not.
    Elsewhere,
}

/// A local part as it stands in a table: quoted if it must be, and then raw too.
fn forms(local: &str) -> Vec<String> {
    let quoted = quote(local);
    if quoted == local { vec![quoted] } else { vec![quoted, local.to_owned()] }
}

/// The local part without its extension, if it has one.
///
/// The mail system's own names are never split, nor those of mailing lists where `-` is a delimiter.
fn without_extension<'a>(local: &'a str, delimiters: &str) -> Option<&'a str> {
    if matches!(local, "postmaster" | "mailer-daemon" | "double-bounce") {
        return None;
    }
    let is_list =
        local.starts_with("owner-") || local.strip_suffix("-request").is_some_and(|list| !list.is_empty());
    if delimiters.contains('-') && is_list {
        return None;
    }
    let at = local.find(|c| delimiters.contains(c))?;
    (at > 0).then(|| &local[..at])
}

/// RFC 5322 §3.4.1: a local part that is no dot-atom stands in quotes.
fn quote(local: &str) -> String {
    if local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)) {
        return local.to_owned();
    }
    let mut quoted = String::from('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\' | '\r') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// RFC 5322 §3.2.3, with RFC 6532 §3.2.
fn is_atext(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'a>(keys: impl IntoIterator<Item = Key<'a>>) -> Vec<String> {
        let mark = |key: Key<'_>| match key.extent() {
            Extent::Full => format!("{}!", key.as_str()),
            Extent::Partial => key.as_str().to_owned(),
        };
        keys.into_iter().map(mark).collect()
    }

    #[test]
    fn a_host_is_followed_by_its_parents() {
        assert_eq!(shown(host_keys("a.b.c", ParentDomains::Match)), ["a.b.c!", "b.c", "c"]);
        assert_eq!(shown(host_keys("a.b.c", ParentDomains::DotOnly)), ["a.b.c!", ".b.c", ".c"]);
        assert_eq!(shown(host_keys("a.b.c", ParentDomains::Exact)), ["a.b.c!"]);
        assert_eq!(shown(host_keys("unknown", ParentDomains::Match)), ["unknown!"]);
    }

    #[test]
    fn a_final_dot_of_a_helo_name_stays() {
        assert_eq!(shown(host_keys("a.b.", ParentDomains::Match)), ["a.b.!", "b."]);
        assert_eq!(shown(host_keys("a.b.", ParentDomains::DotOnly)), ["a.b.!", ".b.", "."]);
        assert_eq!(shown(host_keys("", ParentDomains::Match)), [""; 0]);
    }

    #[test]
    fn an_address_as_a_host_name_has_no_parents() {
        assert_eq!(shown(host_keys("192.0.2.1", ParentDomains::Match)), ["192.0.2.1!"]);
        assert_eq!(shown(host_keys("2001:db8::1", ParentDomains::Match)), ["2001:db8::1!"]);
        assert_eq!(shown(host_keys("1.2.3", ParentDomains::Match)), ["1.2.3!", "2.3", "3"]);
    }

    #[test]
    fn an_address_is_followed_by_its_nets() {
        assert_eq!(shown(ip_keys("1.2.3.4")), ["1.2.3.4!", "1.2.3", "1.2", "1"]);
        let v6 = ["2001:db8:1::5!", "2001:db8:1:", "2001:db8:1", "2001:db8", "2001"];
        assert_eq!(shown(ip_keys("2001:db8:1::5")), v6);
        assert_eq!(shown(ip_keys("::1")), ["::1!", ":"]);
    }

    #[test]
    fn a_mail_address_goes_from_the_whole_to_its_parts() {
        let keys = address_keys("User+Ext", Some("A.Example."), "+-", ParentDomains::Match);
        let wanted = ["user+ext@a.example!", "user@a.example", "a.example", "example", "user+ext@", "user@"];
        assert_eq!(shown(keys), wanted);
        let keys = address_keys("user", Some("a.example"), "", ParentDomains::DotOnly);
        assert_eq!(shown(keys), ["user@a.example!", "a.example", ".example", "user@"]);
    }

    #[test]
    fn a_recipient_is_sought_by_user_name_where_its_domain_is_local() {
        let keys = |locality| shown(recipient_keys("User+Ext", "A.Example.", "+", locality));
        assert_eq!(
            keys(Locality::Local),
            ["user+ext@a.example!", "user@a.example", "user+ext", "user", "@a.example"]
        );
        assert_eq!(keys(Locality::Elsewhere), ["user+ext@a.example!", "user@a.example", "@a.example"]);
    }

    #[test]
    fn a_local_part_that_needs_quotes_is_sought_quoted_first() {
        let keys = address_keys("a b+c", Some("d"), "+", ParentDomains::Match);
        let wanted = [
            "\"a b+c\"@d!",
            "a b+c@d!",
            "\"a b\"@d",
            "a b@d",
            "d",
            "\"a b+c\"@",
            "a b+c@",
            "\"a b\"@",
            "a b@",
        ];
        assert_eq!(shown(keys), wanted);
        assert_eq!(quote("a\"b"), "\"a\\\"b\"");
        assert_eq!(quote("a..b"), "\"a..b\"");
        assert_eq!(quote(""), "\"\"");
    }

    #[test]
    fn names_of_the_mail_system_have_no_extension() {
        assert_eq!(without_extension("mailer-daemon", "-"), None);
        assert_eq!(without_extension("double-bounce", "-"), None);
        assert_eq!(without_extension("owner-list", "-+"), None);
        assert_eq!(without_extension("list-request", "-"), None);
        assert_eq!(without_extension("-request", "-"), None);
        assert_eq!(without_extension("list-request+x", "+"), Some("list-request"));
        assert_eq!(without_extension("+x", "+"), None);
        assert_eq!(without_extension("a-b+c", "+-"), Some("a"));
    }

    #[test]
    fn an_address_without_domain_is_one_key() {
        assert_eq!(shown(address_keys("Root", None, "+", ParentDomains::Match)), ["root!"]);
    }
}
