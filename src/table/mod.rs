//! Lookup tables in Postfix's formats, and the match lists (`mynetworks`, `relay_domains`) that are made of them.
//!
//! | type | keys |
//! |---|---|
//! | `cidr:` | networks, first match wins |
//! | `texthash:` | fixed strings from a text file |
//! | `hash:` `btree:` `cdb:` `dbm:` `lmdb:` `sdbm:` | the same, from the source text that postmap(1) indexes |
//! | `regexp:` `pcre:` | patterns, first match wins, with `$1` in the value |
//! | `inline:{ key = value }` | fixed strings in place |
//! | `static:value` | every key |
//! | `fail:` | none: every lookup is an error |
//!
//! Rules of the pattern types may stand in place too: `cidr:{ {10.0.0.0/8 OK}, {0.0.0.0/0 REJECT} }`.
//!
//! A table is read whole, off the network path, and never changes while a session holds it; [`Live`] reads it again
//! when its file changes. Where Postfix skips a bad rule with a warning that nobody sees, loading fails here, and
//! tells all that is wrong at once. Databases, networks and programs are not asked: a lookup takes about a
//! microsecond and waits for nothing.

mod cidr;
mod dialect;
mod error;
mod items;
mod keys;
mod list;
mod live;
mod network;
mod pattern;
mod program;
mod source;
mod strings;
mod template;
mod values;
mod words;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

pub use error::{LoadError, LookupError, Warning};
pub use keys::{Extent, Key, Locality, ParentDomains, address_keys, host_keys, ip_keys, recipient_keys};
pub use list::MatchList;
pub use live::{Live, Refresh, Refreshed, Sources};
pub use network::network;
pub use source::File;
pub(crate) use source::{LogicalLine, LogicalLines};
pub use values::Value;
pub use words::{Words, unbrace, words};

use error::Findings;
use pattern::Dialect;
use source::Source;
use strings::Duplicates;

/// One table, loaded.
pub struct Table {
    name: String,
    contents: Contents,
    file: Option<File>,
    warnings: Vec<Warning>,
}

enum Contents {
    Strings(strings::Strings),
    Networks(cidr::Networks),
    Patterns(pattern::Patterns),
    Static(String),
    Fail,
}

/// Whether a table takes keys as a whole only, or parts of them too (the parents of a domain, the nets of an address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Fixed strings: also asked for partial keys.
    Fixed,
    /// Patterns: asked for the full key alone.
    Pattern,
}

/// A key that a table has, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'k, 't> {
    /// The first key that the table has.
    pub key: Key<'k>,
    /// Its value.
    pub value: Cow<'t, str>,
}

impl Table {
    /// Loads the table that `spec` (`type:name`) names; relative file names are taken from `base`.
    ///
    /// Waits for the disk: call it off the network path.
    pub fn load(spec: &str, base: &Path) -> Result<Self, Vec<LoadError>> {
        let spec = spec.trim_matches(words::is_space);
        let one = |error| vec![error];
        // proxymap(8) only shares what lies behind it.
        let Some((kind, name)) = spec.strip_prefix("proxy:").unwrap_or(spec).split_once(':') else {
            return Err(one(LoadError::spec(
                spec,
                "a table is written type:name, such as hash:/etc/postfix/access",
            )));
        };
        let name = name.trim_matches(words::is_space);
        match kind {
            "texthash" => {
                Self::strings(spec, Source::file(spec, name, base).map_err(one)?, Duplicates::Refuse)
            }
            "hash" | "btree" | "cdb" | "dbm" | "lmdb" | "sdbm" => {
                Self::strings(spec, Source::file(spec, name, base).map_err(one)?, Duplicates::KeepFirst)
            }
            "cidr" => Self::networks(spec, Source::file_or_in_place(spec, name, base).map_err(one)?),
            "regexp" => {
                let source = Source::file_or_in_place(spec, name, base).map_err(one)?;
                Self::patterns(spec, source, Dialect::Posix)
            }
            "pcre" => {
                let source = Source::file_or_in_place(spec, name, base).map_err(one)?;
                Self::patterns(spec, source, Dialect::Pcre)
            }
            "inline" => Self::in_place(spec, name).map_err(one),
            "static" => Self::constant(spec, name).map_err(one),
            "fail" => Ok(Self::new(spec, Contents::Fail)),
            _ => Err(one(unknown_type(spec, kind))),
        }
    }

    /// The table as configured, `type:name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of keys it takes.
    pub fn keys(&self) -> Keys {
        match self.contents {
            Contents::Strings(_) | Contents::Static(_) => Keys::Fixed,
            Contents::Networks(_) | Contents::Patterns(_) | Contents::Fail => Keys::Pattern,
        }
    }

    /// Whether it could have a name among its keys. If not, nobody needs to ask DNS for one.
    pub fn has_names(&self) -> bool {
        !matches!(self.contents, Contents::Networks(_))
    }

    /// The value of `key`. Fixed tables fold its case; `cidr:` has nothing for a key that is no address.
    pub fn lookup(&self, key: &str) -> Result<Option<Cow<'_, str>>, LookupError> {
        match &self.contents {
            Contents::Strings(strings) => Ok(strings.get(key).map(Cow::Borrowed)),
            Contents::Networks(networks) => {
                Ok(key.parse().ok().and_then(|address| networks.get(address)).map(Cow::Borrowed))
            }
            Contents::Patterns(patterns) => patterns.get(key).map_err(|what| self.error(what)),
            Contents::Static(value) => Ok(Some(Cow::Borrowed(value))),
            Contents::Fail => Err(self.error("it always fails")),
        }
    }

    /// The value of an address, as a whole.
    pub fn lookup_address(&self, address: IpAddr) -> Result<Option<Cow<'_, str>>, LookupError> {
        match &self.contents {
            Contents::Networks(networks) => Ok(networks.get(address).map(Cow::Borrowed)),
            _ => self.lookup(&address.to_string()),
        }
    }

    /// The first of `keys` that the table has. Parts of a key are left out where it holds patterns.
    pub fn find<'k>(
        &self,
        keys: impl IntoIterator<Item = Key<'k>>,
    ) -> Result<Option<Found<'k, '_>>, LookupError> {
        let takes_parts = self.keys() == Keys::Fixed;
        for key in keys {
            if key.extent() == Extent::Partial && !takes_parts {
                continue;
            }
            if let Some(value) = self.lookup(key.as_str())? {
                return Ok(Some(Found { key, value }));
            }
        }
        Ok(None)
    }

    /// Every distinct value, in the order of the table.
    pub fn values(&self) -> Vec<Value<'_>> {
        match &self.contents {
            Contents::Strings(strings) => strings.values().iter().collect(),
            Contents::Networks(networks) => networks.values().iter().collect(),
            Contents::Patterns(patterns) => patterns.values().iter().collect(),
            Contents::Static(text) => vec![Value { text, line: 1 }],
            Contents::Fail => Vec::new(),
        }
    }

    /// Lines that work, but hardly as meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether the file that it was read from has changed since.
    pub fn changed(&self) -> bool {
        self.file.as_ref().is_some_and(File::changed)
    }

    fn new(spec: &str, contents: Contents) -> Self {
        Self { name: spec.to_owned(), contents, file: None, warnings: Vec::new() }
    }

    fn strings(spec: &str, source: Source, duplicates: Duplicates) -> Result<Self, Vec<LoadError>> {
        let mut findings = Findings::new(source.name());
        let mut reader = strings::Reader::new(duplicates);
        source.read(&mut findings, |findings, line, text| reader.line(findings, line, text));
        let warnings = findings.finish()?;
        let contents = Contents::Strings(reader.finish());
        Ok(Self { file: source.into_file(), warnings, ..Self::new(spec, contents) })
    }

    fn networks(spec: &str, source: Source) -> Result<Self, Vec<LoadError>> {
        let mut findings = Findings::new(source.name());
        let mut reader = cidr::Reader::new();
        source.read(&mut findings, |_, line, text| reader.line(line, text));
        let contents = Contents::Networks(reader.finish(&mut findings));
        let warnings = findings.finish()?;
        Ok(Self { file: source.into_file(), warnings, ..Self::new(spec, contents) })
    }

    fn patterns(spec: &str, source: Source, dialect: Dialect) -> Result<Self, Vec<LoadError>> {
        let mut findings = Findings::new(source.name());
        let mut reader = pattern::Reader::new(dialect);
        source.read(&mut findings, |_, line, text| reader.line(line, text));
        let contents = Contents::Patterns(reader.finish(&mut findings));
        let warnings = findings.finish()?;
        Ok(Self { file: source.into_file(), warnings, ..Self::new(spec, contents) })
    }

    fn in_place(spec: &str, name: &str) -> Result<Self, LoadError> {
        let mut findings = Findings::new(spec);
        let mut reader = strings::Reader::new(Duplicates::KeepLast);
        reader.in_place(&mut findings, name).map_err(|what| LoadError::spec(spec, what))?;
        Ok(Self::new(spec, Contents::Strings(reader.finish())))
    }

    fn constant(spec: &str, name: &str) -> Result<Self, LoadError> {
        let value = if name.starts_with('{') { unbrace(name) } else { Ok(name) };
        match value {
            Ok("") => Err(LoadError::spec(spec, "write the value behind the colon, such as static:OK")),
            Ok(value) => Ok(Self::new(spec, Contents::Static(value.to_owned()))),
            Err(what) => Err(LoadError::spec(spec, what)),
        }
    }

    fn error(&self, what: impl Into<String>) -> LookupError {
        LookupError { table: self.name.clone(), what: what.into() }
    }
}

impl Sources for Table {
    fn files(&self) -> Vec<File> {
        self.file.iter().cloned().collect()
    }
}

/// A million entries are not for reading: prints the name.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

fn unknown_type(spec: &str, kind: &str) -> LoadError {
    let what = match kind {
        _ if !spec.contains(':') => {
            "a table is written type:name, such as hash:/etc/postfix/access".to_owned()
        }
        "ldap" | "memcache" | "mongodb" | "mysql" | "nis" | "nisplus" | "pgsql" | "sqlite" | "socketmap"
        | "tcp" => {
            format!("`{kind}:` asks a server: export it to a text file and name it as texthash:/path")
        }
        _ => format!(
            "`{kind}:` is no table type: cidr, texthash, hash, btree, cdb, dbm, lmdb, sdbm, regexp, pcre, inline, \
             static and fail are"
        ),
    };
    LoadError::spec(spec, what)
}
