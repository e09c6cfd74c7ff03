//! From the answers of DNS lists to a score, a verdict, and how long it holds. Pure: what was heard is an argument.
//!
//! The result depends on what was heard alone, never on the order in which it came.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::lists::Lists;

/// What a list said of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is listed, as these addresses. Error codes are none of them.
    Listed {
        /// At least one, all inside 127.0.0.0/8.
        answers: Vec<Ipv4Addr>,
        /// How long that may be remembered.
        ttl: Duration,
    },
    /// It is not listed.
    NotListed {
        /// How long that may be remembered, where the list said so.
        ttl: Option<Duration>,
    },
    /// Nothing was learnt: DNS trouble, an error of the list, or no answer in time. Counts as not listed, for now.
    Nothing,
    /// The list is suspended: it was not asked, weighs nothing, and may have known better.
    Suspended,
}

/// Where the limits lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A score of at least this fails the client.
    pub threshold: i64,
    /// A score of at most this lets the client skip all tests; `None` = no score does.
    pub allowlist_threshold: Option<i64>,
    /// The shortest time that a pass is remembered.
    pub min_ttl: Duration,
    /// The longest.
    pub max_ttl: Duration,
}

/// What lists have said so far of one client.
#[derive(Clone, Debug)]
pub struct Tally<'a> {
    lists: &'a Lists,
    heard: Vec<Heard>,
}

impl<'a> Tally<'a> {
    /// Nothing heard yet.
    pub fn new(lists: &'a Lists) -> Self {
        Self { lists, heard: vec![Heard::Nothing; lists.iter().len()] }
    }

    /// Notes what the list at `index` said; there is nothing to note of a list that does not exist.
    pub fn hear(&mut self, index: usize, heard: Heard) {
        if let Some(slot) = self.heard.get_mut(index) {
            *slot = heard;
        }
    }

    /// The score of what was heard; what was not heard counts as [`Heard::Nothing`]. Silence counts in the client's
    /// favour: with an allowlist silent or suspended that could outweigh the listings, it is not listed. So a verdict
    /// of "listed" stands, whatever else arrives.
    pub fn score(&self, limits: &Limits) -> Score {
        let (mut total, mut in_favour, mut answered) = (0, 0, false);
        let (mut hits, mut unanswered, mut ttls) = (Vec::new(), Vec::new(), Vec::new());
        let mut blame: Option<(i64, &Arc<str>)> = None;
        for (index, (list, heard)) in self.lists.iter().zip(&self.heard).enumerate() {
            answered |= matches!(heard, Heard::Listed { .. } | Heard::NotListed { .. });
            match heard {
                Heard::Suspended => {
                    in_favour += list.lowest();
                    // The list may be back, and list the client, before any answer of the others has expired.
                    if list.blames() {
                        ttls.push(limits.min_ttl);
                    }
                }
                Heard::Nothing => {
                    unanswered.push(Arc::clone(list.name()));
                    in_favour += list.lowest();
                }
                // The client may be listed when that has expired.
                Heard::NotListed { ttl } if list.blames() => ttls.push(ttl.unwrap_or(limits.min_ttl)),
                Heard::NotListed { .. } => {}
                Heard::Listed { answers, ttl } => {
                    let Some(weight) = list.weigh(answers) else { continue };
                    total += weight.total;
                    hits.push(Hit {
                        index,
                        list: Arc::clone(list.name()),
                        answers: answers.clone(),
                        weight: weight.total,
                    });
                    // The client may lose this support when that has expired.
                    if weight.smallest < 0 {
                        ttls.push(*ttl);
                    }
                    if weight.largest > 0 && blame.is_none_or(|(most, _)| weight.largest > most) {
                        blame = Some((weight.largest, list.name()));
                    }
                }
            }
        }
        let opinion = match blame {
            Some((_, name)) if total + in_favour >= limits.threshold => {
                Opinion::Listed { by: Arc::clone(name) }
            }
            _ if !unanswered.is_empty() || !answered || total >= limits.threshold => Opinion::Unknown,
            _ if limits.allowlist_threshold.is_some_and(|limit| total <= limit) => Opinion::Trusted,
            _ => Opinion::Clear,
        };
        let is_pass = matches!(opinion, Opinion::Clear | Opinion::Trusted);
        let ttl = is_pass.then(|| limits.clamp(ttls.into_iter().min()));
        Score { total, hits, unanswered, opinion, ttl }
    }
}

impl Limits {
    /// Not `Ord::clamp`, which panics where a configuration has the two the wrong way round.
    fn clamp(&self, ttl: Option<Duration>) -> Duration {
        ttl.unwrap_or(self.min_ttl).max(self.min_ttl).min(self.max_ttl)
    }
}

/// What the lists make of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The sum of the weights that count.
    pub total: i64,
    /// Lists whose answers count, in the order of configuration.
    pub hits: Vec<Hit>,
    /// Names of the lists that said nothing.
    pub unanswered: Vec<Arc<str>>,
    /// What follows.
    pub opinion: Opinion,
    /// How long a pass may be remembered; `None` if there is none to remember.
    pub ttl: Option<Duration>,
}

impl Score {
    /// Whether the client fails the test.
    pub fn is_listed(&self) -> bool {
        matches!(self.opinion, Opinion::Listed { .. })
    }
}

/// A list that counts for or against a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub(super) index: usize,
    /// The list's name, as clients may see it.
    pub list: Arc<str>,
    /// What it answered.
    pub answers: Vec<Ipv4Addr>,
    /// What that adds to the score.
    pub weight: i64,
}

/// What follows from a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It reaches the threshold. `by` is the list to name: the one with the largest weight, the first of several.
    Listed {
        /// The list's name, as clients may see it.
        by: Arc<str>,
    },
    /// It stays below, and every list in use has answered: the test is passed.
    Clear,
    /// It is low enough to skip the other tests, and every list in use has answered.
    Trusted,
    /// Not every list has answered, or none is in use, and what was heard does not suffice: the client goes on, and
    /// is asked about again next time.
    Unknown,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;
    use crate::screen::Site;

    fn lists(sites: &str) -> Lists {
        let sites: Vec<Site> = sites.split_whitespace().map(|site| site.parse().unwrap()).collect();
        Lists::new(&sites, |domain| domain.starts_with("key.").then(|| "bl.example".to_owned()))
    }

    fn limits(threshold: i64) -> Limits {
        Limits {
            threshold,
            allowlist_threshold: Some(-1),
            min_ttl: Duration::from_secs(60),
            max_ttl: Duration::from_secs(3600),
        }
    }

    /// `2,4@300` is listed as 127.0.0.2 and 127.0.0.4 for 300 s, `-@90` not listed, `?` nothing, `x` suspended.
    fn heard(text: &str) -> Heard {
        let (what, ttl) = text.split_once('@').unwrap_or((text, ""));
        let ttl = ttl.parse().ok().map(Duration::from_secs);
        match what {
            "?" => Heard::Nothing,
            "x" => Heard::Suspended,
            "-" => Heard::NotListed { ttl },
            codes => Heard::Listed {
                answers: codes
                    .split(',')
                    .map(|last| Ipv4Addr::new(127, 0, 0, last.parse().unwrap()))
                    .collect(),
                ttl: ttl.unwrap_or_default(),
            },
        }
    }

    fn score(sites: &str, threshold: i64, answers: &str) -> Score {
        let lists = lists(sites);
        let mut tally = Tally::new(&lists);
        for (index, answer) in answers.split_whitespace().enumerate() {
            tally.hear(index, heard(answer));
        }
        tally.score(&limits(threshold))
    }

    #[test]
    fn scores() {
        let listed = |by: &str| Opinion::Listed { by: by.into() };
        let zen = "a.test=127.0.0.[2..3]*3 a.test=127.0.0.[4..7]*2 a.test=127.0.0.[10..11]";
        for (sites, threshold, answers, total, opinion) in [
            ("a.test", 1, "2@1", 1, listed("a.test")),
            ("a.test", 1, "-", 0, Opinion::Clear),
            ("a.test", 2, "2@1", 1, Opinion::Clear),
            ("a.test*2", 2, "2@1", 2, listed("a.test")),
            // A pattern counts once, whatever the number of answers that it matches.
            ("a.test*2", 5, "2,3,4@1", 2, Opinion::Clear),
            (zen, 3, "4,5@1", 2, Opinion::Clear),
            (zen, 3, "2,4,10@1", 6, listed("a.test")),
            // The same pattern twice counts twice, as in Postfix.
            ("a.test a.test", 2, "2@1", 2, listed("a.test")),
            ("a.test=127.0.0.9", 1, "2@1", 0, Opinion::Clear),
            // The largest weight is named, the first of equals.
            ("a.test b.test*2 c.test*2", 3, "2@1 2@1 2@1", 5, listed("b.test")),
            ("key.a.test*2 b.test", 3, "2@1 2@1", 3, listed("bl.example")),
            ("a.test*3 w.test*-2", 1, "2@1 2@1", 1, listed("a.test")),
            ("a.test*3 w.test*-2", 2, "2@1 2@1", 1, Opinion::Clear),
            ("a.test w.test*-1", 1, "- 2@1", -1, Opinion::Trusted),
            ("a.test w.test*-1", 1, "- -", 0, Opinion::Clear),
            // Silence is not a listing, nor is it a pass.
            ("a.test b.test", 1, "- ?", 0, Opinion::Unknown),
            ("a.test b.test", 1, "2@1 ?", 1, listed("a.test")),
            ("a.test w.test*-1", 1, "? 2@1", -1, Opinion::Unknown),
            ("a.test*3 w.test*-2", 1, "2@1 ?", 3, listed("a.test")),
            ("a.test*3 w.test*-2", 2, "2@1 ?", 3, Opinion::Unknown),
            ("a.test b.test", 1, "", 0, Opinion::Unknown),
            // A suspended list weighs nothing, but nobody is listed whom it might have outweighed. With all of them out,
            // nothing was learnt.
            ("a.test b.test", 1, "- x", 0, Opinion::Clear),
            ("a.test*3 w.test*-2", 3, "2@1 x", 3, Opinion::Unknown),
            ("a.test*3 w.test*-2", 1, "2@1 x", 3, listed("a.test")),
            ("a.test w.test*-1", 1, "- x", 0, Opinion::Clear),
            ("a.test b.test", 1, "x x", 0, Opinion::Unknown),
            ("a.test*0", 1, "2@1", 0, Opinion::Clear),
        ] {
            let score = score(sites, threshold, answers);
            assert_eq!((score.total, score.opinion), (total, opinion), "{sites} >= {threshold}: {answers}");
        }
    }

    #[test]
    fn a_pass_lasts_as_long_as_what_it_rests_on() {
        for (sites, answers, ttl) in [
            ("a.test", "-@90", 90),
            ("a.test", "-@10", 60),
            ("a.test", "-@99999", 3600),
            ("a.test", "-", 60),
            ("a.test b.test", "-@600 -@300", 300),
            ("a.test b.test", "-@600 -", 60),
            // What does not count has no say: neither a filter that does not match, nor a listing below the threshold.
            ("a.test b.test=127.0.0.9", "-@600 2@90", 600),
            ("a.test b.test=127.0.0.9 b.test=127.0.0.10*-1", "-@600 2@90", 600),
            ("a.test b.test", "-@600 2@90", 600),
            // Not being on an allowlist can only get better; being on it can end.
            ("a.test w.test*-1", "-@600 -@90", 600),
            ("a.test w.test*-1", "-@600 2@90", 90),
            ("w.test*-1", "-@900", 60),
            // A suspended list may be back at any time; what it would have said in favour is not missed.
            ("a.test b.test", "-@600 x", 60),
            ("a.test w.test*-1", "-@600 x", 600),
        ] {
            let score = score(sites, 2, answers);
            assert_eq!(score.ttl, Some(Duration::from_secs(ttl)), "{sites}: {answers}");
        }
    }

    #[test]
    fn nothing_is_remembered_of_a_client_that_is_listed_or_unknown() {
        assert_eq!(score("a.test", 1, "2@90").ttl, None);
        assert_eq!(score("a.test b.test", 1, "-@90 ?").ttl, None);
    }

    fn any_heard() -> impl Strategy<Value = Heard> {
        let answers =
            subsequence((0..6).map(|last| Ipv4Addr::new(127, 0, 0, last + 2)).collect::<Vec<_>>(), 1..4);
        prop_oneof![
            (answers, 0..5000u64)
                .prop_map(|(answers, ttl)| Heard::Listed { answers, ttl: Duration::from_secs(ttl) }),
            prop::option::of(0..5000u64)
                .prop_map(|ttl| Heard::NotListed { ttl: ttl.map(Duration::from_secs) }),
            Just(Heard::Nothing),
            Just(Heard::Suspended),
        ]
    }

    const SITES: &str =
        "a.test=127.0.0.[2..3]*3 a.test=127.0.0.4*-2 b.test*2 c.test w.test*-2 w.test=127.0.0.2*-1";

    proptest! {
        #[test]
        fn the_order_of_arrival_changes_nothing(
            (said, order) in prop::collection::vec(any_heard(), 4)
                .prop_flat_map(|said| (Just(said), Just(vec![0, 1, 2, 3]).prop_shuffle())),
            threshold in 1..6i64,
        ) {
            let lists = lists(SITES);
            let limits = limits(threshold);
            let mut in_order = Tally::new(&lists);
            for (index, said) in said.iter().enumerate() {
                in_order.hear(index, said.clone());
            }
            let verdict = in_order.score(&limits);
            let mut shuffled = Tally::new(&lists);
            for index in order {
                shuffled.hear(index, said[index].clone());
                // A client that is listed while answers are missing is listed in the end.
                prop_assert!(!shuffled.score(&limits).is_listed() || verdict.is_listed());
            }
            prop_assert_eq!(shuffled.score(&limits), verdict);
        }

        #[test]
        fn no_fault_of_a_list_lists_a_client_and_silence_earns_no_pass(
            said in prop::collection::vec(any_heard(), 4), silent in 0..4usize, threshold in 1..6i64,
        ) {
            let lists = lists(SITES);
            let limits = limits(threshold);
            let mut tally = Tally::new(&lists);
            for (index, said) in said.into_iter().enumerate() {
                tally.hear(index, said);
            }
            let before = tally.score(&limits);
            tally.hear(silent, Heard::Suspended);
            prop_assert!(!tally.score(&limits).is_listed() || before.is_listed());
            tally.hear(silent, Heard::Nothing);
            let after = tally.score(&limits);
            prop_assert!(!after.is_listed() || before.is_listed());
            prop_assert_eq!(after.ttl, None);
        }
    }
}
