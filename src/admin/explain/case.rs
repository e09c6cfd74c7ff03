//! A client, and what it says: from the command line, or a line of JSON.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

use crate::policy::{ClientNames, NameStatus, Names, TlsFacts};
use crate::smtp::envelope::Protocol;

/// A client, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The client's address.
    pub client: IpAddr,
    /// Its confirmed name; `unknown` if it has none. With neither this nor `reverse_name`, DNS is asked.
    pub client_name: Option<String>,
    /// The name that its address claims, confirmed or not. Default: the confirmed one.
    pub reverse_name: Option<String>,
    /// What it says behind HELO or EHLO; without one it says neither.
    pub helo: Option<String>,
    /// SMTP: it says HELO. Default ESMTP: it says EHLO.
    pub protocol: Protocol,
    /// The sender; empty for a bounce. Without one nothing is said from MAIL on.
    pub from: Option<String>,
    /// The recipients.
    pub to: Vec<String>,
    /// The size that MAIL declares, in bytes.
    pub size: Option<u64>,
    /// What TLS its session runs in, from before HELO on. None: it talks in clear.
    pub tls: Option<TlsFacts>,
    /// Fields of the line that are none.
    pub unknown: Vec<String>,
}

/// A line that is no case: what is wrong with it, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCase(String);

const EXAMPLE: &str = r#"an object such as {"client": "192.0.2.7", "helo": "x.example", "from": "a@b.example", "to": "c@d.example"}"#;

impl Case {
    /// A client that says nothing yet.
    pub fn new(client: IpAddr) -> Self {
        Self {
            client,
            client_name: None,
            reverse_name: None,
            helo: None,
            protocol: Protocol::Esmtp,
            from: None,
            to: Vec::new(),
            size: None,
            tls: None,
            unknown: Vec::new(),
        }
    }

    /// Reads a JSON object.
    pub fn parse(line: &[u8]) -> Result<Self, BadCase> {
        serde_json::from_slice(line).map_err(|error| {
            let text = error.to_string();
            let what = text.split(" at line 1 ").next().unwrap_or_default();
            BadCase(match error.column() {
                0 => format!("{what}; write {EXAMPLE}"),
                column => format!("{what}, at column {column}; write {EXAMPLE}"),
            })
        })
    }

    /// What is odd about the case itself.
    pub(super) fn oddities(&self) -> impl Iterator<Item = String> + '_ {
        let unsaid = if self.from.is_none() {
            Some("no sender is given, so nothing is said from MAIL on")
        } else if self.to.is_empty() {
            Some("no recipient is given, so nothing that is judged at RCPT has been judged")
        } else {
            None
        };
        let unknown = self.unknown.iter().map(|field| format!("`{field}` is no field, and is ignored"));
        unsaid.map(str::to_owned).into_iter().chain(unknown)
    }

    /// What is known of the client's names.
    pub(super) fn names(&self) -> ClientNames {
        let known = |name: &Option<String>| {
            name.clone().filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("unknown"))
        };
        if self.client_name.is_none() && self.reverse_name.is_none() {
            return ClientNames::default();
        }
        let name = known(&self.client_name);
        let reverse = known(&self.reverse_name).or_else(|| name.clone());
        let (status, reverse_status) = match (&name, &reverse) {
            (Some(_), _) => (NameStatus::Ok, NameStatus::Ok),
            (None, Some(_)) => (NameStatus::Forged, NameStatus::Ok),
            (None, None) => (NameStatus::Permanent, NameStatus::Permanent),
        };
        ClientNames::known(Names { name, reverse, status, reverse_status })
    }

    /// The commands in front of the first RCPT.
    pub(super) fn opening(&self) -> impl Iterator<Item = String> + use<> {
        let verb = self.protocol.verb().as_str();
        let helo = self.helo.as_ref().map(|name| format!("{verb} {name}"));
        let mail = self.from.as_ref().map(|sender| {
            let size = self.size.map_or(String::new(), |size| format!(" SIZE={size}"));
            let is_international = !sender.is_ascii() || self.to.iter().any(|to| !to.is_ascii());
            let utf8 = if is_international { " SMTPUTF8" } else { "" };
            format!("MAIL FROM:{}{size}{utf8}", path(sender))
        });
        helo.into_iter().chain(mail)
    }

    /// The RCPT command for a recipient.
    pub(super) fn rcpt(&self, recipient: &str) -> String {
        format!("RCPT TO:{}", path(recipient))
    }
}

fn path(address: &str) -> String {
    if address.starts_with('<') { address.to_owned() } else { format!("<{address}>") }
}

impl<'de> Deserialize<'de> for Case {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// By hand, so that a field that is none is told of and does not stop the run.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Case;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Case, M::Error> {
        let mut client = None;
        let mut case = Case::new(IpAddr::from([0, 0, 0, 0]));
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "client" => client = Some(map.next_value()?),
                "client_name" => case.client_name = map.next_value()?,
                "reverse_name" => case.reverse_name = map.next_value()?,
                "helo" => case.helo = map.next_value()?,
                "protocol" => case.protocol = protocol(map.next_value()?)?,
                "from" => case.from = map.next_value()?,
                "to" => case.to = map.next_value::<Option<Recipients>>()?.map_or(Vec::new(), Vec::from),
                "size" => case.size = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    case.unknown.push(field);
                }
            }
        }
        case.client = client.ok_or_else(|| M::Error::missing_field("client"))?;
        Ok(case)
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`to` takes an address or a list of addresses")]
enum Recipients {
    One(String),
    Many(Vec<String>),
}

impl From<Recipients> for Vec<String> {
    fn from(recipients: Recipients) -> Self {
        match recipients {
            Recipients::One(recipient) => vec![recipient],
            Recipients::Many(recipients) => recipients,
        }
    }
}

fn protocol<E: Error>(name: Option<String>) -> Result<Protocol, E> {
    match name.as_deref().map(str::to_ascii_uppercase).as_deref() {
        None | Some("ESMTP") => Ok(Protocol::Esmtp),
        Some("SMTP") => Ok(Protocol::Smtp),
        Some(_) => Err(E::custom("`protocol` takes SMTP (it says HELO) or ESMTP (it says EHLO)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(line: &str) -> Case {
        Case::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_line_says_what_it_says_and_no_more() {
        let client = "2001:db8::7".parse().unwrap();
        assert_eq!(case(r#"{"client": "2001:db8::7", "to": null, "helo": null}"#), Case::new(client));
        let all = r#"{"client": "2001:db8::7", "client_name": "a.test", "reverse_name": "b.test", "helo": "c.test",
            "protocol": "smtp", "from": "d@e.test", "to": ["f@g.test", "h@i.test"], "size": 10, "id": {"x": [1]}}"#;
        let text = |text: &str| Some(text.to_owned());
        let wanted = Case {
            client,
            client_name: text("a.test"),
            reverse_name: text("b.test"),
            helo: text("c.test"),
            protocol: Protocol::Smtp,
            from: text("d@e.test"),
            to: vec!["f@g.test".to_owned(), "h@i.test".to_owned()],
            size: Some(10),
            tls: None,
            unknown: vec!["id".to_owned()],
        };
        assert_eq!(case(&all.replace('\n', " ")), wanted);
    }

    #[test]
    fn names_are_known_where_one_is_given() {
        let found = |names: &str| {
            let names = case(&format!(r#"{{"client": "192.0.2.7"{names}}}"#)).names();
            names.found().map(|names| (names.name().to_owned(), names.reverse().to_owned(), names.status))
        };
        let names = |name: &str, reverse: &str, status| Some((name.to_owned(), reverse.to_owned(), status));
        assert_eq!(found(""), None, "DNS is asked");
        for (given, wanted) in [
            (r#", "client_name": "a.test""#, names("a.test", "a.test", NameStatus::Ok)),
            (r#", "reverse_name": "b.test""#, names("unknown", "b.test", NameStatus::Forged)),
            (r#", "client_name": "unknown""#, names("unknown", "unknown", NameStatus::Permanent)),
            (
                r#", "client_name": "unknown", "reverse_name": "b.test""#,
                names("unknown", "b.test", NameStatus::Forged),
            ),
        ] {
            assert_eq!(found(given), wanted, "{given}");
        }
    }

    #[test]
    fn what_is_said_can_be_read_again() {
        let case = case(
            r#"{"client": "192.0.2.7", "helo": "a.test", "from": "ü@b.test", "to": "<c@d.test>", "size": 7}"#,
        );
        let said: Vec<_> = case.opening().collect();
        assert_eq!(said, ["EHLO a.test", "MAIL FROM:<ü@b.test> SIZE=7 SMTPUTF8"]);
        assert_eq!(case.rcpt(&case.to[0]), "RCPT TO:<c@d.test>");
    }
}
