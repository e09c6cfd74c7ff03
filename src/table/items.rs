//! Reads the items of a match list, from the list itself and from the files that it names.

use std::mem;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::error::{LoadError, Warning};
use super::keys::ParentDomains;
use super::list::{Item, Literals, MatchList, Matcher, Sign};
use super::network::network;
use super::source::File;
use super::strings::fold;
use super::words::words;
use super::{Sources, Table};

/// How deep `/file` may name further files; one that names itself ends here.
const DEPTH: usize = 10;

pub(super) struct Reader<'a> {
    base: &'a Path,
    list: MatchList,
    /// Literals that are not yet in the list, since more of the same sign may follow.
    literals: Literals,
    sign: Sign,
    errors: Vec<LoadError>,
}

/// What an item is, by its look.
enum Kind<'a> {
    Network(IpNet),
    Name(&'a str),
    File(&'a Path),
    Table(&'a str),
}

/// Where an item stands.
struct Place<'a> {
    file: Option<(&'a Path, usize)>,
    /// The sign of the `/file` item that led here.
    sign: Sign,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(base: &'a Path, parents: ParentDomains) -> Self {
        let list = MatchList { parents, ..MatchList::default() };
        Self { base, list, literals: Literals::default(), sign: Sign::Match, errors: Vec::new() }
    }

    pub(super) fn read(mut self, text: &str) -> Result<MatchList, Vec<LoadError>> {
        self.items(text, &Place { file: None, sign: Sign::Match, depth: 0 });
        self.flush();
        if self.errors.is_empty() { Ok(self.list) } else { Err(self.errors) }
    }

    fn items(&mut self, text: &str, place: &Place<'_>) {
        for item in words(text) {
            let bare = item.trim_start_matches('!');
            let negated = (item.len() - bare.len()) % 2 == 1;
            let sign = if negated { place.sign.opposite() } else { place.sign };
            let taken = match kind(bare) {
                Ok(Kind::File(path)) => self.file(path, sign, place.depth),
                Ok(Kind::Table(spec)) => {
                    self.table(spec, sign);
                    Ok(())
                }
                Ok(Kind::Network(net)) => {
                    self.literals(sign).nets.insert(net);
                    // In `mydestination` an address literal is the domain of a mail address too.
                    if self.list.parents == ParentDomains::Exact && bare.starts_with('[') {
                        self.literals(sign).names.insert(fold(bare).into());
                    }
                    Ok(())
                }
                Ok(Kind::Name(name)) => {
                    self.literals(sign).names.insert(fold(name).into());
                    self.warn_of_dot(name, place);
                    Ok(())
                }
                Err(what) => Err(what),
            };
            if let Err(what) = taken {
                self.errors.push(place.error(item, what));
            }
        }
    }

    /// Where literals of `sign` belong that come next.
    fn literals(&mut self, sign: Sign) -> &mut Literals {
        if sign != self.sign {
            self.flush();
            self.sign = sign;
        }
        &mut self.literals
    }

    fn table(&mut self, spec: &str, sign: Sign) {
        match Table::load(spec, self.base) {
            Ok(table) => {
                self.flush();
                self.list.files.extend(table.files());
                self.list.warnings.extend(table.warnings().iter().cloned());
                self.list.items.push(Item { sign, matcher: Matcher::Table(Arc::new(table)) });
            }
            Err(errors) => self.errors.extend(errors),
        }
    }

    /// Postfix takes a line for a comment only if `#` is its very first character.
    fn file(&mut self, path: &Path, sign: Sign, depth: usize) -> Result<(), String> {
        if depth == DEPTH {
            return Err(format!("files name further files more than {DEPTH} deep: does one name itself?"));
        }
        let (file, octets) =
            File::read(path.to_owned()).map_err(|error| format!("cannot read it: {error}"))?;
        let text = String::from_utf8(octets).map_err(|_| "not UTF-8: save the file as UTF-8".to_owned())?;
        self.list.files.push(file);
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            self.items(line, &Place { file: Some((path, index + 1)), sign, depth: depth + 1 });
        }
        Ok(())
    }

    fn warn_of_dot(&mut self, name: &str, place: &Place<'_>) {
        let Some(domain) = name.strip_prefix('.') else { return };
        if self.list.parents == ParentDomains::DotOnly {
            return;
        }
        let what = match self.list.parents {
            ParentDomains::Exact => {
                format!("`{name}` matches nothing: here domains match exactly, without parents")
            }
            _ => format!("`{name}` matches nothing: here `{domain}` matches its subdomains too"),
        };
        let (file, line) =
            place.file.map_or((name.to_owned(), 1), |(path, line)| (path.display().to_string(), line));
        self.list.warnings.push(Warning { file, line, what });
    }

    /// Moves the literals that were collected to the list.
    fn flush(&mut self) {
        let literals = mem::take(&mut self.literals);
        if !literals.names.is_empty() || !literals.nets.is_empty() {
            self.list.items.push(Item { sign: self.sign, matcher: Matcher::Literals(literals) });
        }
    }
}

impl Place<'_> {
    fn error(&self, item: &str, what: String) -> LoadError {
        match self.file {
            Some((path, line)) => {
                LoadError::Line { file: path.display().to_string(), line, what: format!("`{item}`: {what}") }
            }
            None => LoadError::spec(item, what),
        }
    }
}

impl Sign {
    fn opposite(self) -> Self {
        match self {
            Self::Match => Self::NoMatch,
            Self::NoMatch => Self::Match,
        }
    }
}

fn kind(item: &str) -> Result<Kind<'_>, String> {
    if item.starts_with('/') {
        return Ok(Kind::File(Path::new(item)));
    }
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | '/');
    // IPv6 stands in brackets in Postfix, where a colon means a table; an address is no table's type, so both work.
    if item.starts_with('[') || item.chars().all(numeric) && !item.is_empty() {
        return network(item).map(Kind::Network);
    }
    if item.contains(':') {
        let in_address = |c: char| c.is_ascii_hexdigit() || c == ':';
        let looks_like_ipv6 = item.starts_with(|c: char| c.is_ascii_digit())
            || item.split_once("::").is_some_and(|(front, _)| front.chars().all(in_address));
        return match network(item) {
            Err(_) if !looks_like_ipv6 => Ok(Kind::Table(item)),
            parsed => parsed.map(Kind::Network),
        };
    }
    let in_name = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if item.is_empty() || !item.chars().all(in_name) {
        return Err("neither name, network, /file nor type:table".to_owned());
    }
    Ok(Kind::Name(item))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;

    use super::*;

    fn list(text: &str) -> MatchList {
        MatchList::load(text, Path::new("/"), ParentDomains::Match).unwrap()
    }

    fn errors(text: &str) -> Vec<String> {
        let errors = MatchList::load(text, Path::new("/"), ParentDomains::Match).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    }

    fn has(list: &MatchList, address: &str) -> bool {
        list.matches_address(address.parse::<IpAddr>().unwrap()).unwrap()
    }

    #[test]
    fn a_list_knows_whether_names_matter() {
        for text in ["192.0.2.0/24, !10.0.0.1 [2001:db8::]/32", "cidr:{ {192.0.2.0/24 x} }", ""] {
            assert!(!list(text).has_names(), "{text}");
        }
        for text in ["192.0.2.1, example.com", "inline:{ x=y }", "static:x"] {
            assert!(list(text).has_names(), "{text}");
        }
    }

    #[test]
    fn the_first_item_that_matches_decides() {
        let mynetworks = list("!10.1.0.0/16, 10.0.0.0/8 192.0.2.1\n[2001:db8::]/32 2001:db9::/32 ::1");
        for (address, wanted) in [
            ("10.2.3.4", true),
            ("10.1.2.3", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::1", true),
            ("2001:db9::1", true),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(has(&mynetworks, address), wanted, "{address}");
        }
        assert!(has(&list("10.0.0.0/8 !10.1.0.0/16"), "10.1.2.3"));
        assert!(has(&list("!!10.0.0.0/8"), "10.1.2.3"));
        assert!(!has(&list(""), "10.1.2.3"));
    }

    #[test]
    fn names_match_with_their_parents_as_the_parameter_says() {
        let load = |text, parents| MatchList::load(text, Path::new("/"), parents).unwrap();
        let relay_domains = load("Example.com !bad.example.org example.org", ParentDomains::Match);
        for (name, wanted) in [
            ("example.com", true),
            ("MAIL.example.COM", true),
            ("myexample.com", false),
            ("bad.example.org", false),
            ("x.bad.example.org", false),
            ("good.example.org", true),
        ] {
            assert_eq!(relay_domains.matches_name(name).unwrap(), wanted, "{name}");
        }
        let dotted = load("example.com .example.org", ParentDomains::DotOnly);
        assert!(!dotted.matches_name("mail.example.com").unwrap());
        assert!(dotted.matches_name("mail.example.org").unwrap());
        assert!(!dotted.matches_name("example.org").unwrap());
        let mydestination = load("example.com, [192.0.2.1]", ParentDomains::Exact);
        assert!(!mydestination.matches_name("mail.example.com").unwrap());
        assert!(mydestination.matches_name("[192.0.2.1]").unwrap());
    }

    #[test]
    fn a_client_matches_by_name_or_address_item_by_item() {
        let exceptions = list("!192.0.2.1, example.com");
        let client = |name, address: &str| exceptions.matches_client(name, address.parse().unwrap()).unwrap();
        assert!(client(Some("a.example.com"), "192.0.2.2"));
        assert!(!client(Some("a.example.com"), "192.0.2.1"));
        assert!(!client(None, "192.0.2.2"));
    }

    #[test]
    fn a_table_matches_when_it_has_the_key_whatever_the_value() {
        let mynetworks = list("cidr:{ {10.0.0.0/8 no} }, inline:{ example.com=x } static:all");
        assert!(has(&mynetworks, "10.1.2.3"));
        assert!(has(&mynetworks, "192.0.2.1"));
        let by_ipv6 = list("!cidr:{ {2001:db8:1::/48 x} } cidr:{ {2001:db8::/32 OK}, {::1 OK} }");
        assert!(has(&by_ipv6, "2001:db8::1") && has(&by_ipv6, "::1") && !has(&by_ipv6, "2001:db8:1::1"));
        let by_name = list("inline:{ example.com=x } !inline:{ bad.example.org=x } static:all");
        assert!(by_name.matches_name("mail.example.com").unwrap());
        assert!(!by_name.matches_name("bad.example.org").unwrap());
        assert!(list("fail:x").matches_name("a").is_err());
        assert!(list("10.0.0.0/8 fail:x").matches_address("10.0.0.1".parse().unwrap()).unwrap());
    }

    #[test]
    fn a_file_is_read_in_place_with_the_sign_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nets");
        fs::write(&path, "# our nets\n10.0.0.0/8\n!192.0.2.0/24, 172.16.0.0/12\n").unwrap();
        let plain = list(&format!("{}", path.display()));
        assert!(has(&plain, "10.1.1.1") && has(&plain, "172.16.0.1") && !has(&plain, "192.0.2.1"));
        assert_eq!(plain.files().len(), 1);
        let negated = list(&format!("!{} 0.0.0.0/0", path.display()));
        assert!(!has(&negated, "10.1.1.1") && has(&negated, "192.0.2.1") && has(&negated, "8.8.8.8"));

        fs::write(&path, "ok.example\n10/8\n").unwrap();
        let shown = path.display().to_string();
        assert_eq!(errors(&shown)[0].find(":2: `10/8`"), Some(shown.len()));
        fs::write(&path, &shown).unwrap();
        assert!(errors(&shown)[0].contains("does one name itself"));
    }

    #[test]
    fn all_errors_are_told_with_what_would_be_right() {
        let errors = errors("10.1.2.3/8 !, /no/such/file 10/8 nosuch:x a@b fe80::1/64 fe80::1%eth0");
        let wanted = [
            "10.1.2.3/8: `10.1.2.3/8` has address bits behind its /8: write 10.0.0.0/8, or 10.1.2.3 alone",
            "!: neither",
            "/no/such/file: cannot read",
            "10/8: `10` is no address: write all four octets",
            "nosuch:x: ",
            "a@b: neither",
            "fe80::1/64: `fe80::1/64` has address bits behind its /64: write fe80::/64",
            "fe80::1%eth0: `fe80::1%eth0` is no address",
        ];
        assert_eq!(errors.len(), wanted.len(), "{errors:#?}");
        for (error, wanted) in errors.iter().zip(wanted) {
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn a_dotted_domain_that_can_never_match_is_warned_of() {
        assert!(
            list("example.com .example.com").warnings()[0]
                .what
                .contains("`example.com` matches its subdomains")
        );
        let dotted = MatchList::load(".example.com", Path::new("/"), ParentDomains::DotOnly).unwrap();
        assert!(dotted.warnings().is_empty());
    }
}
