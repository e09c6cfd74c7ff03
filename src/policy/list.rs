//! From the text of a list to its restrictions.
//!
//! Postfix defers all mail when it meets a word that it does not know, at the moment when it meets it. Here a list
//! that could not work is refused when it is read, with the word and what would be right.

use std::sync::Arc;
use std::time::Duration;

use crate::spelling::nearest;
use crate::table::{Live, Table, Words, words};

use super::dnsbl::{DnsList, without_key};
use super::restriction::{Entry, Restriction};
use super::service::Service;
use super::verbs::{Argument, CLASS, Makes, VERBS, Verb};

/// What is wrong with a word of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListError {
    #[error("`{word}` is no restriction and no restriction class{}", did_you_mean(.nearest))]
    Unknown { word: String, nearest: Option<String> },
    #[error("`{word}` {why}")]
    Unmet { word: String, why: String },
    #[error("`{word}`: {advice}")]
    Refused { word: String, advice: &'static str },
    #[error("`{verb}` needs {argument} behind it{}", instead_of(.found))]
    Argument { verb: &'static str, argument: Argument, found: Option<String> },
    #[error("`{verb}`: {what}")]
    Malformed { verb: &'static str, what: String },
    #[error(
        "`{0}`: this list has no verb for a bare table: write `check_client_access {0}` or one of its sisters"
    )]
    BareTable(String),
    #[error("`{0}`: the braces do not pair")]
    Braces(String),
    #[error("`warn_if_reject` stands last: the restriction that shall only warn belongs behind it")]
    NothingToWarnOf,
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |word| format!("; did you mean `{word}`?"))
}

fn instead_of(found: &Option<String>) -> String {
    found.as_ref().map_or(String::new(), |word| format!(", not `{word}`"))
}

/// All that is wrong, in one line.
pub(super) fn told(errors: &[ListError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What the words of a list refer to.
pub(super) trait Surroundings {
    /// The index of a restriction class.
    fn class(&self, name: &str) -> Option<usize>;

    /// Why a restriction or a class could not work here, unless that is seen later.
    fn unmet(&self, _word: &str) -> Option<String> {
        None
    }

    /// The names of all classes.
    fn classes(&self) -> Vec<&str>;

    /// An access table, loaded and found fit.
    fn table(&mut self, spec: &str) -> Result<Arc<Live<Table>>, Vec<String>>;

    /// A policy service.
    fn service(&mut self, text: &str) -> Result<Arc<Service>, String>;
}

/// Reads a list in which a bare table stands for `bare`, and tells everything that is wrong with it.
pub(super) fn parse(
    text: &str,
    bare: Option<&'static Verb>,
    around: &mut impl Surroundings,
) -> Result<Vec<Entry>, Vec<ListError>> {
    if let Some(word) = words(text).find(|word| word.matches('{').count() != word.matches('}').count()) {
        return Err(vec![ListError::Braces(word.to_owned())]);
    }
    let mut reader = Reader { words: words(text).peekable(), bare, around, errors: Vec::new() };
    let mut entries = Vec::new();
    while let Some(word) = reader.words.next() {
        entries.extend(reader.entry(word));
    }
    if entries.last().is_some_and(|entry: &Entry| matches!(entry.restriction, Restriction::WarnIfReject)) {
        reader.errors.push(ListError::NothingToWarnOf);
    }
    if reader.errors.is_empty() { Ok(entries) } else { Err(reader.errors) }
}

struct Reader<'a, S> {
    words: std::iter::Peekable<Words<'a>>,
    bare: Option<&'static Verb>,
    around: &'a mut S,
    errors: Vec<ListError>,
}

impl<S: Surroundings> Reader<'_, S> {
    /// The restriction that `word` begins, or nothing and one error more.
    fn entry(&mut self, word: &str) -> Option<Entry> {
        match self.read(word) {
            Ok((verb, text, restriction)) => Some(Entry { verb, text: text.into(), restriction }),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    fn read(&mut self, word: &str) -> Result<(&'static Verb, String, Restriction), Vec<ListError>> {
        if word.contains(':') {
            let verb = self.bare.ok_or_else(|| vec![ListError::BareTable(word.to_owned())])?;
            return Ok((verb, word.to_owned(), self.make(verb, word)?));
        }
        if let Some(why) = self.around.unmet(word) {
            return Err(vec![ListError::Unmet { word: word.to_owned(), why }]);
        }
        let Some(verb) = Verb::find(word) else {
            let class = self.around.class(word).ok_or_else(|| vec![self.unknown(word)])?;
            return Ok((&CLASS, word.to_owned(), Restriction::Class(class)));
        };
        if let Some(advice) = verb.advice() {
            // What belongs to it would only cause more words about the same mistake.
            self.words.next_if(|next| next.contains([':', '.', '{']));
            return Err(vec![ListError::Refused { word: word.to_owned(), advice }]);
        }
        if verb.argument() == Argument::None {
            return Ok((verb, word.to_owned(), self.make(verb, "")?));
        }
        let argument = self.argument(verb)?;
        let shown = match verb.argument() {
            Argument::DnsList => without_key(&argument),
            _ => (&*argument).into(),
        };
        Ok((verb, format!("{word} {shown}"), self.make(verb, &argument)?))
    }

    /// The word behind `verb`, if it can be its argument; else it is left for the next restriction.
    fn argument(&mut self, verb: &'static Verb) -> Result<String, Vec<ListError>> {
        let fits = |word: &str| match verb.argument() {
            Argument::None => false,
            Argument::Table | Argument::Service => word.contains(':'),
            Argument::DnsList => !word.contains(':') && Verb::find(word).is_none(),
            Argument::Seconds => word.bytes().all(|byte| byte.is_ascii_digit()),
        };
        match self.words.next_if(|word| fits(word)) {
            Some(word) => Ok(word.to_owned()),
            None => Err(vec![ListError::Argument {
                verb: verb.name(),
                argument: verb.argument(),
                found: self.words.peek().map(|word| (*word).to_owned()),
            }]),
        }
    }

    fn make(&mut self, verb: &'static Verb, argument: &str) -> Result<Restriction, Vec<ListError>> {
        let malformed = |what| ListError::Malformed { verb: verb.name(), what };
        match verb.makes() {
            Makes::Plain(make) => Ok(make()),
            Makes::Nothing(advice) => Err(vec![ListError::Refused { word: verb.name().to_owned(), advice }]),
            Makes::OfDnsList(make) => {
                argument.parse::<DnsList>().map(make).map_err(|what| vec![malformed(what)])
            }
            Makes::OfService(make) => {
                self.around.service(argument).map(make).map_err(|what| vec![malformed(what)])
            }
            Makes::OfTable(make) => {
                let errors = |errors: Vec<String>| errors.into_iter().map(malformed).collect();
                self.around.table(argument).map(make).map_err(errors)
            }
            Makes::OfSeconds(make) => match argument.parse() {
                Ok(seconds) => Ok(make(Duration::from_secs(seconds))),
                Err(_) => Err(vec![malformed(format!("`{argument}` seconds are too many"))]),
            },
        }
    }

    fn unknown(&self, word: &str) -> ListError {
        let verbs = VERBS.iter().filter(|verb| verb.advice().is_none()).flat_map(Verb::names);
        let meant =
            nearest(&word.to_ascii_lowercase(), verbs).or_else(|| nearest(word, self.around.classes()));
        ListError::Unknown { word: word.to_owned(), nearest: meant.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::judgement::List;

    /// Tables in place, a class `greylist`, no service.
    struct Around;

    impl Surroundings for Around {
        fn class(&self, name: &str) -> Option<usize> {
            (name == "greylist").then_some(7)
        }

        fn classes(&self) -> Vec<&str> {
            vec!["greylist"]
        }

        fn table(&mut self, spec: &str) -> Result<Arc<Live<Table>>, Vec<String>> {
            let told =
                |errors: Vec<crate::table::LoadError>| errors.iter().map(ToString::to_string).collect();
            Live::table(spec, std::path::Path::new("/")).map(Arc::new).map_err(told)
        }

        fn service(&mut self, text: &str) -> Result<Arc<Service>, String> {
            Service::parse(text, &Default::default(), std::path::Path::new("/")).map(Arc::new)
        }
    }

    fn texts(list: List, text: &str) -> Vec<(&'static str, String)> {
        let entries = parse(text, list.default_verb(), &mut Around).unwrap();
        entries.into_iter().map(|entry| (entry.verb.name(), entry.text.into())).collect()
    }

    fn errors(text: &str) -> Vec<String> {
        parse(text, None, &mut Around).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_become_restrictions() {
        let found = texts(
            List::Client,
            "Permit_mynetworks,reject_unknown_client\n  inline:{ a=OK, { b = DUNNO } } warn_if_reject
             check_helo_access static:OK reject_rbl_client bl.example=127.0.0.[2..4],sleep 3, greylist
             check_policy_service { inet:127.0.0.1:10023, timeout = 10s } permit",
        );
        let wanted = [
            ("permit_mynetworks", "Permit_mynetworks"),
            ("reject_unknown_client_hostname", "reject_unknown_client"),
            ("check_client_access", "inline:{ a=OK, { b = DUNNO } }"),
            ("warn_if_reject", "warn_if_reject"),
            ("check_helo_access", "check_helo_access static:OK"),
            ("reject_rbl_client", "reject_rbl_client bl.example=127.0.0.[2..4]"),
            ("sleep", "sleep 3"),
            ("class", "greylist"),
            ("check_policy_service", "check_policy_service { inet:127.0.0.1:10023, timeout = 10s }"),
            ("permit", "permit"),
        ];
        assert_eq!(found, wanted.map(|(verb, text)| (verb, text.to_owned())));
        assert!(parse(" ,\n", None, &mut Around).unwrap().is_empty());
    }

    #[test]
    fn a_bare_table_means_what_its_list_is_about() {
        for (list, verb) in [
            (List::Helo, "check_helo_access"),
            (List::Sender, "check_sender_access"),
            (List::Relay, "check_recipient_access"),
            (List::Recipient, "check_recipient_access"),
            (List::Etrn, "check_etrn_access"),
        ] {
            assert_eq!(texts(list, "static:OK"), [(verb, "static:OK".to_owned())]);
        }
        assert!(errors("static:OK")[0].starts_with("`static:OK`: this list has no verb for a bare table"));
    }

    #[test]
    fn every_wrong_word_is_named_with_its_remedy() {
        assert_eq!(
            errors("rejct, greylst, xyzzy"),
            [
                "`rejct` is no restriction and no restriction class; did you mean `reject`?",
                "`greylst` is no restriction and no restriction class; did you mean `greylist`?",
                "`xyzzy` is no restriction and no restriction class",
            ]
        );
        assert_eq!(
            errors("reject_maps_rbl check_relay_domains"),
            [
                "`reject_maps_rbl`: it is gone since Postfix 3.9: write `reject_rbl_client` with each domain of \
             maps_rbl_domains",
                "`check_relay_domains`: it is gone since Postfix 3.9: write `reject_unauth_destination`",
            ]
        );
        assert_eq!(
            errors("check_client_access reject, sleep x, reject_rbl_client"),
            [
                "`check_client_access` needs type:table behind it, not `reject`",
                "`sleep` needs seconds behind it, not `x`",
                "`x` is no restriction and no restriction class",
                "`reject_rbl_client` needs domain[=filter] behind it",
            ]
        );
        assert_eq!(
            errors("check_sasl_access hash:/x, permit")[0],
            format!("`check_sasl_access`: {}", Verb::find("check_sasl_access").unwrap().advice().unwrap())
        );
        assert!(errors("check_client_access inline:{ a = OK")[0].contains("do not pair"));
        assert!(errors("check_client_access nosuch:x")[0].contains("`nosuch:` is no table type"));
        assert!(errors("reject_rbl_client bl.example=127.0.0")[0].starts_with("`reject_rbl_client`: "));
        assert!(errors("permit warn_if_reject")[0].contains("stands last"));
    }
}
