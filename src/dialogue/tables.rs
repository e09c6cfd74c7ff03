//! What the dialogue looks up: words that no mail client says, footers, keywords that some clients are not shown.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::policy::template::Template;
use crate::smtp::reply::Reply;
use crate::table::{Keys, Live, LoadError, MatchList, ParentDomains, Refresh, Table, words};

use super::settings::Settings;

/// Postfix's default: other protocols' first words, and whatever does not begin with a letter.
pub(super) const FORBIDDEN_COMMANDS: &str = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";

/// The tables that [`Settings`] name, loaded. The default ones belong to the default settings.
#[derive(Clone)]
pub struct Tables {
    forbidden_commands: Arc<Live<MatchList>>,
    reject_footers: Vec<Arc<Live<Table>>>,
    discarded_keywords: Vec<Arc<Live<Table>>>,
}

impl Tables {
    /// Loads what `settings` name; relative file names are taken from `base`. Tells all errors, each with the key
    /// that it belongs to.
    ///
    /// Waits for the disk: call it off the network path.
    pub fn load(settings: &Settings, base: &Path) -> Result<Self, Vec<(&'static str, LoadError)>> {
        let (text, folder) = (settings.forbidden_commands.clone(), base.to_owned());
        let forbidden = Live::new(move || MatchList::load(&text, &folder, ParentDomains::Exact));
        let footers = tables(&settings.reject_footer_maps, base, templates);
        let discarded = tables(&settings.discard_ehlo_keyword_address_maps, base, |_| Vec::new());
        match (forbidden, footers, discarded) {
            (Ok(forbidden), Ok(reject_footers), Ok(discarded_keywords)) => {
                Ok(Self { forbidden_commands: Arc::new(forbidden), reject_footers, discarded_keywords })
            }
            (forbidden, footers, discarded) => {
                let errors = [
                    ("smtp.forbidden_commands", forbidden.err()),
                    ("smtp.reject_footer_maps", footers.err()),
                    ("smtp.discard_ehlo_keyword_address_maps", discarded.err()),
                ];
                let of_key = |(key, errors): (_, Option<Vec<_>>)| {
                    errors.into_iter().flatten().map(move |error| (key, error))
                };
                Err(errors.into_iter().flat_map(of_key).collect())
            }
        }
    }

    /// What follows its files, once somebody refreshes it.
    pub fn files(&self) -> Vec<Arc<dyn Refresh>> {
        let tables = self.reject_footers.iter().chain(&self.discarded_keywords);
        let tables = tables.map(|table| Arc::clone(table) as Arc<dyn Refresh>);
        std::iter::once(Arc::clone(&self.forbidden_commands) as Arc<dyn Refresh>).chain(tables).collect()
    }

    /// Whether `word` is none that a mail client would begin a line with. A table that does not answer forbids
    /// nothing.
    pub(super) fn forbids(&self, word: &str) -> bool {
        self.forbidden_commands.current().matches_name(word).unwrap_or(false)
    }

    /// The footer that the tables have for a reply, by its code and text.
    pub(super) fn footer(&self, reply: &Reply) -> Option<Template> {
        if self.reject_footers.is_empty() {
            return None;
        }
        let key = reply.to_string();
        self.reject_footers
            .iter()
            .find_map(|table| table.current().lookup(&key).ok().flatten().map(|found| found.parse().ok()))?
    }

    /// Whether there are tables of footers, whose words nobody knows beforehand.
    pub(super) fn have_footers(&self) -> bool {
        !self.reject_footers.is_empty()
    }

    /// The keywords that a client is not shown, if the tables know the client.
    pub(super) fn discarded(&self, client: IpAddr) -> Option<Vec<String>> {
        let client = client.to_canonical();
        self.discarded_keywords.iter().find_map(|table| {
            let table = table.current();
            let keywords = table.lookup_address(client).ok()??;
            Some(words(&keywords).map(str::to_owned).collect())
        })
    }
}

/// The tables that `text` names, each checked whenever it is read.
fn tables(
    text: &str,
    base: &Path,
    check: fn(&Table) -> Vec<LoadError>,
) -> Result<Vec<Arc<Live<Table>>>, Vec<LoadError>> {
    let (mut tables, mut errors) = (Vec::new(), Vec::new());
    for spec in words(text) {
        let (spec, base) = (spec.to_owned(), base.to_owned());
        let load = move || {
            let table = Table::load(&spec, &base)?;
            let errors = check(&table);
            if errors.is_empty() { Ok(table) } else { Err(errors) }
        };
        match Live::new(load) {
            Ok(table) => tables.push(Arc::new(table)),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(tables) } else { Err(errors) }
}

/// What is wrong with the templates in `table`. A pattern's `$1` and `$$` are no template yet.
fn templates(table: &Table) -> Vec<LoadError> {
    let is_dynamic = |value: &str| table.keys() == Keys::Pattern && value.contains('$');
    let values = table.values().into_iter().filter(|value| !is_dynamic(value.text));
    values
        .filter_map(|value| {
            let what = value.text.parse::<Template>().err()?;
            Some(LoadError::Line { file: table.name().to_owned(), line: value.line, what })
        })
        .collect()
}

impl Default for Tables {
    fn default() -> Self {
        let forbidden = MatchList::load(FORBIDDEN_COMMANDS, Path::new("/"), ParentDomains::Exact);
        Self {
            forbidden_commands: Arc::new(Live::fixed(forbidden.unwrap_or_default())),
            reject_footers: Vec::new(),
            discarded_keywords: Vec::new(),
        }
    }
}

/// The settings name them; their contents are not for reading.
impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &Settings) -> Result<Tables, Vec<String>> {
        Tables::load(settings, Path::new("/"))
            .map_err(|errors| errors.iter().map(|(key, error)| format!("{key}: {error}")).collect())
    }

    fn forbidding(text: &str) -> Tables {
        load(&Settings { forbidden_commands: text.to_owned(), ..Settings::default() }).unwrap()
    }

    #[test]
    fn letters_are_not_forbidden_whatever_their_case() {
        for tables in [Tables::default(), forbidding(FORBIDDEN_COMMANDS)] {
            assert!(tables.forbids("get") && tables.forbids("POST") && tables.forbids("123"));
            assert!(!tables.forbids("foo") && !tables.forbids(""));
        }
    }

    #[test]
    fn forbidden_commands_are_words_exceptions_and_tables() {
        let tables = forbidding("!GETMAIL, pcre:{{/^GET/ x}} SSH inline:{ HELP=x }");
        assert!(tables.forbids("gets") && tables.forbids("ssh") && tables.forbids("Help"));
        assert!(!tables.forbids("getmail") && !tables.forbids("POST"));
        assert!(!forbidding("fail:x").forbids("GET"), "our trouble forbids nothing");
        assert!(!forbidding("").forbids("GET"));
    }

    #[test]
    fn the_first_table_that_knows_a_reply_has_its_footer() {
        let settings = Settings {
            reject_footer_maps: "inline:{ {550 5.1.1 No = one} } regexp:{{/^4(..)/ \\c $1 $$client_address}}"
                .into(),
            ..Settings::default()
        };
        let tables = load(&settings).unwrap();
        let footer = |code, text: &str| {
            tables.footer(&Reply::new(code, text.to_owned())).map(|footer| footer.to_string())
        };
        assert_eq!(footer(550, "5.1.1 No").as_deref(), Some("one"));
        assert_eq!(footer(450, "4.1.1 No").as_deref(), Some("\\c 50 $client_address"));
        assert_eq!(footer(554, "5.7.1 No"), None);
    }

    #[test]
    fn a_client_has_keywords_of_its_own() {
        let settings = Settings {
            discard_ehlo_keyword_address_maps:
                "cidr:{ {192.0.2.0/24 dsn, chunking}, {0.0.0.0/0 silent-discard} }".into(),
            ..Settings::default()
        };
        let tables = load(&settings).unwrap();
        assert_eq!(tables.discarded("192.0.2.1".parse().unwrap()).unwrap(), ["dsn", "chunking"]);
        assert_eq!(tables.discarded("::ffff:198.51.100.1".parse().unwrap()).unwrap(), ["silent-discard"]);
        assert_eq!(tables.discarded("2001:db8::1".parse().unwrap()), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let settings = Settings {
            forbidden_commands: "GET regexp:/nonexistent".into(),
            reject_footer_maps: "inline:{ x=$nothing }".into(),
            discard_ehlo_keyword_address_maps: "cidr".into(),
            ..Settings::default()
        };
        let errors = load(&settings).unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[0].starts_with("smtp.forbidden_commands: regexp:/nonexistent: "), "{}", errors[0]);
        assert!(errors[1].contains("`$nothing` is not known here"), "{}", errors[1]);
        assert!(errors[2].starts_with("smtp.discard_ehlo_keyword_address_maps: cidr: "), "{}", errors[2]);
    }
}
