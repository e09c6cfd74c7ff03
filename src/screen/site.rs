//! `domain[=filter][*weight]`: one entry of `dnsbl.sites`, as Postfix writes it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::list::ListFilter;
use crate::smtp::host::is_valid_hostname;

/// The longest domain that leaves room for the 64 characters of a reversed IPv6 address (RFC 1035 §2.3.4).
const MAX_DOMAIN: usize = 189;

/// A list to ask, which of its answers count, and how much.
#[derive(Clone, PartialEq, Eq)]
pub struct Site {
    pub(super) domain: String,
    pub(super) pattern: Pattern,
}

/// Which answers count, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) filter: Option<ListFilter>,
    pub(super) weight: i32,
}

impl Pattern {
    /// Whether one of the answers counts.
    pub(super) fn matches(&self, answers: &[Ipv4Addr]) -> bool {
        match &self.filter {
            None => !answers.is_empty(),
            Some(filter) => answers.iter().any(|answer| filter.matches(*answer)),
        }
    }
}

impl FromStr for Site {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, weight) = match text.split_once('*') {
            Some((rest, weight)) => (rest, weight.parse().map_err(|_| bad_weight(weight))?),
            None => (text, 1),
        };
        let (domain, filter) = match rest.split_once('=') {
            Some((domain, filter)) => (domain, Some(filter.parse()?)),
            None => (rest, None),
        };
        if !is_valid_hostname(domain) || domain.len() > MAX_DOMAIN {
            return Err(format!(
                "`{domain}` is no domain name; write domain[=filter][*weight], such as bl.example=127.0.0.[2..11]*2"
            ));
        }
        Ok(Self { domain: domain.to_ascii_lowercase(), pattern: Pattern { filter, weight } })
    }
}

fn bad_weight(weight: &str) -> String {
    match weight.split_once('=') {
        Some((weight, filter)) => format!("the filter stands before the weight: ={filter}*{weight}"),
        None => format!("weight `{weight}` is no whole number; write such as *2, or *-1 for an allowlist"),
    }
}

/// Prints what can be parsed again.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.domain)?;
        if let Some(filter) = &self.pattern.filter {
            write!(f, "={filter}")?;
        }
        if self.pattern.weight != 1 {
            write!(f, "*{}", self.pattern.weight)?;
        }
        Ok(())
    }
}

/// Without the domain: some lists put the customer's key into it.
impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(text: &str) -> Site {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn domain_filter_and_weight() {
        for (text, domain, weight, has_filter) in [
            ("bl.test", "bl.test", 1, false),
            ("BL.test*2", "bl.test", 2, false),
            ("bl.test*+2", "bl.test", 2, false),
            ("wl.test*-3", "wl.test", -3, false),
            ("bl.test*0", "bl.test", 0, false),
            ("key_1.bl.test=127.0.0.[2..11]*-5", "key_1.bl.test", -5, true),
            ("bl.test=127.0.0.2", "bl.test", 1, true),
        ] {
            let site = site(text);
            let shape = (site.domain.as_str(), site.pattern.weight, site.pattern.filter.is_some());
            assert_eq!(shape, (domain, weight, has_filter));
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, part) in [
            ("", "no domain name"),
            ("bl.test.", "no domain name"),
            ("1.2.3.4", "no domain name"),
            ("bl test", "no domain name"),
            ("*2", "no domain name"),
            (&format!("{}.test", "a.".repeat(100)), "no domain name"),
            ("bl.test*x", "no whole number"),
            ("bl.test*1.5", "no whole number"),
            ("bl.test*", "no whole number"),
            ("bl.test*2*3", "no whole number"),
            ("bl*2=127.0.0.2", "the filter stands before the weight: =127.0.0.2*2"),
            ("bl.test=", "no filter"),
            ("bl.test=127.0.0.[2,4]", "no filter"),
        ] {
            let error = text.parse::<Site>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_in_the_domain_is_not_printed_by_accident() {
        assert!(!format!("{:?}", site("secretkey.bl.test=127.0.0.2*2")).contains("secretkey"));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(
            filter in prop::option::of("127\\.0\\.(0|\\[0;2\\.\\.9\\])\\.[0-9]{1,2}"),
            weight: i32,
        ) {
            let filter = filter.map(|text| text.parse().unwrap());
            let before = Site { domain: "bl.test".into(), pattern: Pattern { filter, weight } };
            prop_assert_eq!(before.to_string().parse::<Site>(), Ok(before));
        }

        #[test]
        fn any_text_parses_or_is_refused(text in "[a-z0-9.=*\\[\\];-]{0,40}") {
            let _ = text.parse::<Site>();
        }
    }
}
