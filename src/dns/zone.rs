//! A zone in memory: what `explain --zone`, the demo and the tests use instead of the Internet.
//!
//! One record a line, `#` starts a comment:
//!
//! ```text
//! mail.example.org          A      192.0.2.7
//! example.org         3600  MX     10 mail.example.org
//! silent.example.org        MX     0 .
//! www.example.org           CNAME  mail.example.org
//! 192.0.2.7                 PTR    mail.example.org
//! *.bl.example              TXT    "see https://bl.example/"
//! bl.example                SOA    120
//! broken.example            ANY    SERVFAIL
//! ```
//!
//! Data may be a fault or a manner: `SERVFAIL`, `REFUSED`, `TIMEOUT`, `NXDOMAIN` instead of records; `DELAY 300`
//! (milliseconds) and `TRUNCATED` (over UDP) beside them; with type `ANY` for every type. SOA's last field is how long
//! a negative answer below that name may be remembered. `*.zone` stands for every name below `zone` that has no line
//! of its own; unlike RFC 4592 has it, names in between do not hide it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use super::record::{self, Data, Kind, Mx, Question};
use super::{Answer, Trouble};

/// The TTL of a line that names none, in seconds.
const DEFAULT_TTL: u32 = 300;

/// As many aliases in a row as Postfix follows.
const MAX_ALIASES: usize = 10;

/// Names and their records.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    nodes: HashMap<Name, Node>,
}

/// A line of a zone file that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ZoneError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

#[derive(Clone, Debug, Default)]
struct Node {
    alias: Option<(Name, u32)>,
    /// From an SOA line: the TTL of negative answers at and below this name.
    negative_ttl: Option<u32>,
    lines: Vec<Line>,
}

/// A line's type (`None` = ANY) and what it says.
#[derive(Clone, Debug)]
struct Line(Option<Kind>, Says);

#[derive(Clone, Debug)]
enum Says {
    Record(Data, u32),
    Fault(Trouble),
    NxDomain,
    Delay(Duration),
    Truncated,
}

/// What a zone answers, and how.
#[derive(Clone, Debug)]
pub(super) struct Response {
    /// Owner, target and TTL of each alias that was followed.
    pub(super) aliases: Vec<(Name, Name, u32)>,
    /// The name at the end of the aliases.
    pub(super) owner: Name,
    pub(super) outcome: Outcome,
    /// The zone's apex and its negative TTL, where an SOA line stands above the name.
    pub(super) authority: Option<(Name, u32)>,
    pub(super) delay: Duration,
    pub(super) truncated: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Records(Vec<(Data, u32)>),
    NoData,
    NxDomain,
    Fault(Trouble),
}

impl Zone {
    /// Reads `name [ttl] [IN] type data` lines.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let mut zone = Self::default();
        for (index, line) in text.lines().enumerate() {
            zone.add(without_comment(line)).map_err(|what| ZoneError { line: index + 1, what })?;
        }
        Ok(zone)
    }

    /// What a server of this zone would say.
    pub(super) fn respond(&self, question: &Question) -> Response {
        let mut response = Response {
            aliases: Vec::new(),
            owner: question.name.clone(),
            outcome: Outcome::NxDomain,
            authority: None,
            delay: Duration::ZERO,
            truncated: false,
        };
        let mut node = self.node(&response.owner);
        while let Some((target, ttl)) = node.and_then(|node| node.alias.clone()) {
            if response.aliases.len() == MAX_ALIASES {
                response.outcome = Outcome::Fault(Trouble::ServFail);
                return response;
            }
            response.aliases.push((response.owner, target.clone(), ttl));
            response.owner = target;
            node = self.node(&response.owner);
        }
        response.authority = self.authority(&response.owner);
        if let Some(node) = node {
            node.speak(question.kind, &mut response);
        }
        response
    }

    /// The same as a resolver's caller sees it, and after which delay.
    pub(super) fn resolve(&self, question: &Question) -> (Answer<Data>, Duration) {
        let response = self.respond(question);
        let answer = match response.outcome {
            Outcome::Fault(trouble) => Answer::Temporary(trouble),
            Outcome::NoData | Outcome::NxDomain => {
                Answer::NotFound { ttl: response.authority.map(|(_, ttl)| seconds(ttl)) }
            }
            Outcome::Records(records) => {
                let aliases = response.aliases.iter().map(|(_, _, ttl)| *ttl);
                let ttl = records.iter().map(|(_, ttl)| *ttl).chain(aliases).min().unwrap_or(0);
                Answer::Found {
                    records: records.into_iter().map(|(data, _)| data).collect(),
                    ttl: seconds(ttl),
                }
            }
        };
        (answer, response.delay)
    }

    fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.get(name).or_else(|| {
            let mut parent = name.clone();
            while !parent.is_root() {
                if let Some(node) = self.nodes.get(&parent.clone().into_wildcard()) {
                    return Some(node);
                }
                parent = parent.base_name();
            }
            None
        })
    }

    fn authority(&self, name: &Name) -> Option<(Name, u32)> {
        let mut apex = name.clone();
        loop {
            if let Some(ttl) = self.nodes.get(&apex).and_then(|node| node.negative_ttl) {
                return Some((apex, ttl));
            }
            if apex.is_root() {
                return None;
            }
            apex = apex.base_name();
        }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let (owner, mut rest) = word(line);
        if owner.is_empty() {
            return Ok(());
        }
        let (ttl, after) = word(rest);
        let ttl = if ttl.bytes().all(|b| b.is_ascii_digit()) && !ttl.is_empty() {
            rest = after;
            ttl.parse().map_err(|_| format!("a TTL is at most {} seconds, not {ttl}", u32::MAX))?
        } else {
            DEFAULT_TTL
        };
        if let ("IN" | "in", after) = word(rest) {
            rest = after;
        }
        let (kind, data) = word(rest);
        let data = data.trim();
        if data.is_empty() {
            return Err(format!("`{}` is not `name type data`", line.trim()));
        }
        let node = self.nodes.entry(owner_name(owner, kind)?).or_default();
        match kind.to_ascii_uppercase().as_str() {
            "CNAME" => node.alias = Some((host(data)?, ttl)),
            "SOA" => node.negative_ttl = Some(number(data.split_whitespace().last().unwrap_or(data))?),
            "ANY" => {
                let says = manner(data)?.ok_or_else(|| {
                    format!(
                        "ANY takes SERVFAIL, REFUSED, TIMEOUT, NXDOMAIN, DELAY or TRUNCATED, not `{data}`"
                    )
                })?;
                node.lines.push(Line(None, says));
            }
            _ => {
                let kind: Kind = kind.parse()?;
                let says = match manner(data)? {
                    Some(says) => says,
                    None => Says::Record(parse_data(kind, data)?, ttl),
                };
                node.lines.push(Line(Some(kind), says));
            }
        }
        Ok(())
    }
}

impl Node {
    fn speak(&self, kind: Kind, response: &mut Response) {
        let mut records = Vec::new();
        let mut instead = None;
        for Line(_, says) in self.lines.iter().filter(|Line(of, _)| of.is_none_or(|of| of == kind)) {
            match says {
                Says::Record(data, ttl) => records.push((data.clone(), *ttl)),
                Says::Fault(trouble) => instead = Some(Outcome::Fault(*trouble)),
                Says::NxDomain => instead = Some(Outcome::NxDomain),
                Says::Delay(delay) => response.delay = *delay,
                Says::Truncated => response.truncated = true,
            }
        }
        response.outcome = match instead {
            Some(outcome) => outcome,
            None if records.is_empty() => Outcome::NoData,
            None => Outcome::Records(records),
        };
    }
}

/// The pseudo-data, if it is that.
fn manner(data: &str) -> Result<Option<Says>, String> {
    let (first, rest) = word(data);
    Ok(Some(match first {
        "SERVFAIL" => Says::Fault(Trouble::ServFail),
        "REFUSED" => Says::Fault(Trouble::Refused),
        "TIMEOUT" => Says::Fault(Trouble::Timeout),
        "NXDOMAIN" => Says::NxDomain,
        "TRUNCATED" => Says::Truncated,
        "DELAY" => Says::Delay(Duration::from_millis(number(rest.trim())?.into())),
        _ => return Ok(None),
    }))
}

fn parse_data(kind: Kind, data: &str) -> Result<Data, String> {
    let host_data = |text| host(text).map(|name| record::host_text(&name));
    Ok(match kind {
        Kind::A => Data::A(data.parse().map_err(|_| format!("`{data}` is no IPv4 address"))?),
        Kind::Aaaa => Data::Aaaa(data.parse().map_err(|_| format!("`{data}` is no IPv6 address"))?),
        Kind::Mx => {
            let (preference, exchange) = word(data);
            let preference = preference
                .parse()
                .map_err(|_| format!("MX data is a preference of 0 to 65535 and a host, not `{data}`"))?;
            Data::Mx(Mx { preference, exchange: host_data(exchange.trim())? })
        }
        Kind::Ns => Data::Ns(host_data(data)?),
        Kind::Ptr => Data::Ptr(host_data(data)?),
        Kind::Txt => Data::Txt(text(data)?),
    })
}

/// `"one" "two"` joined, or the bare text.
fn text(data: &str) -> Result<String, String> {
    if !data.starts_with('"') {
        return Ok(data.to_owned());
    }
    let mut joined = String::new();
    let mut rest = data;
    while let Some(quoted) = rest.strip_prefix('"') {
        let (string, after) = quoted.split_once('"').ok_or_else(|| format!("no closing quote in {data}"))?;
        joined.push_str(string);
        rest = after.trim_start();
    }
    if rest.is_empty() { Ok(joined) } else { Err(format!("`{rest}` stands behind the quotes of {data}")) }
}

/// The owner of a line; a PTR line may name the address itself.
fn owner_name(owner: &str, kind: &str) -> Result<Name, String> {
    match owner.parse::<IpAddr>() {
        Ok(address) if kind.eq_ignore_ascii_case("PTR") => Ok(Question::reverse(address).name),
        Ok(_) => Err(format!("an address as a name goes with PTR, not with {kind}")),
        Err(_) => host(owner),
    }
}

fn host(text: &str) -> Result<Name, String> {
    record::name(text).filter(|_| !text.is_empty()).ok_or_else(|| format!("`{text}` is no domain name"))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number"))
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// A `#` starts a comment at the beginning of a word, outside of quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => return &line[..at],
            _ => {}
        }
        before = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = r#"
        # hosts
        mail.example.org       A     192.0.2.7      # the one
        mail.example.org  60   A     192.0.2.8
        mail.example.org       AAAA  2001:db8::7
        Example.ORG            IN MX 20 backup.example.org.
        example.org            MX    10 mail.example.org
        null.example           MX    0 .
        www.example.org 30     CNAME mail.example.org
        loop.example           CNAME loop.example
        192.0.2.7              PTR   mail.example.org
        2001:db8::7            PTR   mail.example.org
        t.example              TXT   "one; # two " "three"
        t.example              TXT   bare text
        *.bl.example           A     127.0.0.2
        1.0.0.127.bl.example   A     NXDOMAIN
        bl.example             SOA   ns.example. root.example. 1 2 3 4 120
        broken.example         ANY   SERVFAIL
        slow.example           A     192.0.2.9
        slow.example           ANY   DELAY 300
    "#;

    fn resolve(name: &str, kind: Kind) -> Answer<Data> {
        Zone::parse(ZONE).unwrap().resolve(&Question::new(name, kind).unwrap()).0
    }

    fn found(name: &str, kind: Kind) -> (Vec<Data>, u64) {
        match resolve(name, kind) {
            Answer::Found { records, ttl } => (records, ttl.as_secs()),
            other => panic!("{name} {kind}: {other:?}"),
        }
    }

    #[test]
    fn records_are_found_whatever_the_case_of_the_name() {
        let (addresses, ttl) = found("MAIL.example.org.", Kind::A);
        assert_eq!(addresses, [Data::A([192, 0, 2, 7].into()), Data::A([192, 0, 2, 8].into())]);
        assert_eq!(ttl, 60, "the lowest");
        assert_eq!(found("example.org", Kind::Mx).0.len(), 2);
        let null = Mx { preference: 0, exchange: String::new() };
        assert_eq!(found("null.example", Kind::Mx).0, [Data::Mx(null)]);
        let texts = [Data::Txt("one; # two three".into()), Data::Txt("bare text".into())];
        assert_eq!(found("t.example", Kind::Txt).0, texts);
    }

    #[test]
    fn aliases_are_followed_and_do_not_go_round() {
        let (addresses, ttl) = found("www.example.org", Kind::A);
        assert_eq!((addresses.len(), ttl), (2, 30));
        assert_eq!(resolve("loop.example", Kind::A), Answer::Temporary(Trouble::ServFail));
    }

    #[test]
    fn wildcards_stand_for_names_without_a_line() {
        assert_eq!(found("9.2.0.192.bl.example", Kind::A).0, [Data::A([127, 0, 0, 2].into())]);
        let gone = Answer::NotFound { ttl: Some(Duration::from_secs(120)) };
        assert_eq!(resolve("1.0.0.127.bl.example", Kind::A), gone);
        assert_eq!(resolve("bl.example", Kind::A), gone, "the apex is not below itself");
        assert_eq!(resolve("other.example", Kind::A), Answer::NotFound { ttl: None });
    }

    #[test]
    fn a_fault_under_any_holds_for_every_type() {
        for kind in Kind::ALL {
            assert_eq!(resolve("broken.example", kind), Answer::Temporary(Trouble::ServFail));
        }
        let (_, delay) =
            Zone::parse(ZONE).unwrap().resolve(&Question::new("slow.example", Kind::Mx).unwrap());
        assert_eq!(delay, Duration::from_millis(300));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        for (line, part) in [
            ("a.example A", "`name type data`"),
            ("a.example", "`name type data`"),
            ("a.example A 1.2.3", "no IPv4 address"),
            ("a.example LOC here", "no record type"),
            ("a.example MX mail", "preference"),
            ("a.example TXT \"open", "closing quote"),
            ("a..example A 192.0.2.1", "no domain name"),
            ("192.0.2.1 A 192.0.2.1", "goes with PTR"),
            ("a.example ANY 192.0.2.1", "ANY takes"),
            ("a.example A DELAY soon", "whole number"),
            ("a.example 99999999999 A 192.0.2.1", "TTL"),
        ] {
            let error = Zone::parse(&format!("# first\n{line}")).unwrap_err();
            assert_eq!(error.line, 2);
            assert!(error.what.contains(part), "{line}: {error}");
        }
    }
}
