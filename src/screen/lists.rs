//! The lists to ask, and what their answers weigh: several sites may look at the answers of one list.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::site::{Pattern, Site};

/// The lists to ask: each once, however many patterns look at its answers.
#[derive(Clone, Debug, Default)]
pub struct Lists(Vec<List>);

/// One list.
#[derive(Clone)]
pub struct List {
    domain: String,
    name: Arc<str>,
    patterns: Vec<Pattern>,
}

impl Lists {
    /// Groups sites by their domain, in the order of first mention. `name` is the name that clients, logs and metrics
    /// see in place of a domain (`dnsbl.reply_map`); the domain itself where it gives none.
    pub fn new(sites: &[Site], mut name: impl FnMut(&str) -> Option<String>) -> Self {
        let mut lists: Vec<List> = Vec::new();
        for site in sites {
            match lists.iter_mut().find(|list| list.domain == site.domain) {
                Some(list) => list.patterns.push(site.pattern.clone()),
                None => lists.push(List {
                    domain: site.domain.clone(),
                    name: name(&site.domain).unwrap_or_else(|| site.domain.clone()).into(),
                    patterns: vec![site.pattern.clone()],
                }),
            }
        }
        Self(lists)
    }

    /// The lists, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &List> {
        self.0.iter()
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl List {
    /// The name to show. It may differ from the domain, which may hold a customer's key and is for queries alone.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// The sum of the patterns that count, each once, and the largest of them.
    pub(super) fn weigh(&self, answers: &[Ipv4Addr]) -> Option<Weight> {
        let counting = self.patterns.iter().filter(|pattern| pattern.matches(answers));
        counting.map(|pattern| i64::from(pattern.weight)).fold(None, |sum, weight| {
            let sum = sum.unwrap_or(Weight { total: 0, largest: weight, smallest: weight });
            Some(Weight {
                total: sum.total + weight,
                largest: sum.largest.max(weight),
                smallest: sum.smallest.min(weight),
            })
        })
    }

    /// How far an answer could still pull the score down.
    pub(super) fn lowest(&self) -> i64 {
        self.patterns.iter().map(|pattern| i64::from(pattern.weight).min(0)).sum()
    }

    /// Whether being listed there can count against a client.
    pub(super) fn blames(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.weight > 0)
    }
}

/// Without the domain, for the reason that [`name`](List::name) gives.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("name", &self.name)
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

/// What a list's answers weigh.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    pub(super) total: i64,
    pub(super) largest: i64,
    pub(super) smallest: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_with_a_key_stays_inside() {
        let site: Site = "key.a.test".parse().unwrap();
        let lists = Lists::new(&[site], |_| Some("bl.example".to_owned()));
        assert!(!format!("{lists:?}").contains("key"));
        let list = lists.iter().next().unwrap();
        assert_eq!((&**list.name(), list.domain()), ("bl.example", "key.a.test"));
    }
}
