//! XCLIENT, Postfix's command by which a proxy tells who the client is
//! (<https://www.postfix.org/XCLIENT_README.html>). Pure.

use std::net::IpAddr;

use super::introduction::Client;
use crate::policy::{NameStatus, Names};
use crate::smtp::capability::Capabilities;

/// What is not known, and will not be.
const UNAVAILABLE: &str = "[UNAVAILABLE]";
/// What is not known now, because DNS does not answer.
const TEMPUNAVAIL: &str = "[TEMPUNAVAIL]";

/// The longest value that Postfix takes, once encoded.
const LONGEST_VALUE: usize = 255;
/// The longest command, without its line ending (RFC 5321 §4.5.3.1.4).
const LONGEST_COMMAND: usize = 510;

/// The commands that tell `client` to a server that offers `capabilities`; `None` if it does not offer to be told the
/// address. Of the other attributes, those that it offers are told; LOGIN never is, for nobody has logged in here.
///
/// A server decides anew whether we may say more once it has been told another address or name. So these come last:
/// all that stands in front is told under our own.
pub(super) fn commands(client: &Client<'_>, capabilities: &Capabilities) -> Option<Vec<String>> {
    let offered: Vec<_> = capabilities.parameters("XCLIENT")?.split(' ').collect();
    let is_offered = |name: &str| offered.iter().any(|word| word.eq_ignore_ascii_case(name));
    if !is_offered("ADDR") {
        return None;
    }
    let attributes = attributes(client).into_iter().filter(|(name, _)| is_offered(name));
    Some(in_lines(attributes.map(|(name, value)| format!(" {name}={value}"))))
}

/// Every attribute with its value, encoded; the ones that decide what we may say come last.
fn attributes(client: &Client<'_>) -> Vec<(&'static str, String)> {
    let mut attributes = Vec::new();
    if let Some(helo) = client.helo {
        attributes.push(("HELO", encoded(&helo.name)));
        attributes.push(("PROTO", helo.protocol.as_str().to_owned()));
    }
    if let Some(ends) = client.ends {
        attributes.push(("DESTADDR", address(ends.server.ip())));
        attributes.push(("DESTPORT", ends.server.port().to_string()));
        attributes.push(("PORT", ends.client.port().to_string()));
        attributes
            .push(("REVERSE_NAME", name_of(client.names, |names| (&names.reverse, names.reverse_status))));
        attributes.push(("NAME", name_of(client.names, |names| (&names.name, names.status))));
        attributes.push(("ADDR", address(ends.client.ip())));
    }
    attributes
}

fn name_of(names: Option<&Names>, which: impl Fn(&Names) -> (&Option<String>, NameStatus)) -> String {
    match names.map(which) {
        Some((Some(name), _)) => encoded(name),
        // Nobody has asked DNS, or DNS did not answer: that must not count against the client for good.
        None | Some((None, NameStatus::Temporary)) => TEMPUNAVAIL.to_owned(),
        Some((None, _)) => UNAVAILABLE.to_owned(),
    }
}

fn address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("IPV6:{address}"),
    }
}

/// As xtext (RFC 3461 §4): printable ASCII but for `+` and `=`, the rest as `+` and two hexadecimal digits. What is
/// empty or too long is not known.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'+' | b'=' => text.push_str(&format!("+{byte:02X}")),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("+{byte:02X}")),
        }
    }
    if text.is_empty() || text.len() > LONGEST_VALUE { UNAVAILABLE.to_owned() } else { text }
}

/// As few commands as hold them, in order. The last two attributes, by which the server decides what we may say, stay
/// together: each fits into a half of a command.
fn in_lines(attributes: impl Iterator<Item = String>) -> Vec<String> {
    let attributes: Vec<_> = attributes.collect();
    let deciding = attributes.len().saturating_sub(2);
    let mut lines = Vec::new();
    let mut line = String::from("XCLIENT");
    let (before, last) = attributes.split_at(deciding);
    for attribute in before.iter().cloned().chain([last.concat()]) {
        if line.len() + attribute.len() > LONGEST_COMMAND {
            lines.push(std::mem::replace(&mut line, String::from("XCLIENT")));
        }
        line.push_str(&attribute);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy_protocol::Endpoints;
    use crate::smtp::envelope::{Helo, Protocol};
    use crate::smtp::reply::Reply;

    const ALL: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME";

    fn offering(line: &str) -> Capabilities {
        Capabilities::from_reply(&Reply::multiline(250, ["b", line]))
    }

    fn told(line: &str, client: &str, names: Option<&Names>, helo: &str) -> Option<Vec<String>> {
        let ends = Endpoints { client: client.parse().unwrap(), server: "198.51.100.1:25".parse().unwrap() };
        let helo = Helo { protocol: Protocol::Esmtp, name: helo.into() };
        let client = Client { ends: Some(ends), names, helo: Some(&helo), ..Client::ourselves("mx.example") };
        commands(&client, &offering(line))
    }

    #[test]
    fn what_is_known_is_told() {
        let names = Names {
            name: Some("client.example".into()),
            reverse: Some("client.example".into()),
            status: NameStatus::Ok,
            reverse_status: NameStatus::Ok,
        };
        let commands = told(ALL, "192.0.2.7:4242", Some(&names), "client.example").unwrap();
        assert_eq!(
            commands,
            ["XCLIENT HELO=client.example PROTO=ESMTP DESTADDR=198.51.100.1 DESTPORT=25 PORT=4242 \
              REVERSE_NAME=client.example NAME=client.example ADDR=192.0.2.7"]
        );
        let commands = told("XCLIENT addr name", "[2001:db8::7]:1", Some(&names), "x").unwrap();
        assert_eq!(commands, ["XCLIENT NAME=client.example ADDR=IPV6:2001:db8::7"]);
    }

    #[test]
    fn what_is_not_known_is_told_so() {
        let name =
            |names: Option<&Names>| told("XCLIENT NAME ADDR", "[::ffff:192.0.2.7]:1", names, "x").unwrap();
        for (status, value) in [
            (NameStatus::Permanent, "[UNAVAILABLE]"),
            (NameStatus::Forged, "[UNAVAILABLE]"),
            (NameStatus::Temporary, "[TEMPUNAVAIL]"),
        ] {
            let commands = name(Some(&Names::unknown(status)));
            assert_eq!(commands, [format!("XCLIENT NAME={value} ADDR=192.0.2.7")]);
        }
        assert_eq!(name(None), ["XCLIENT NAME=[TEMPUNAVAIL] ADDR=192.0.2.7"]);
    }

    #[test]
    fn a_server_must_take_the_address() {
        assert_eq!(told("SIZE 10", "192.0.2.7:1", None, "x"), None);
        assert_eq!(told("XCLIENT NAME HELO", "192.0.2.7:1", None, "x"), None);
        assert_eq!(told("XCLIENT", "192.0.2.7:1", None, "x"), None);
    }

    #[test]
    fn what_could_end_a_value_is_encoded() {
        assert_eq!(encoded("a=b+c d\r\n\u{e9}"), "a+3Db+2Bc+20d+0D+0A+C3+A9");
        assert_eq!(encoded(""), "[UNAVAILABLE]");
        assert_eq!(encoded(&"x".repeat(256)), "[UNAVAILABLE]");
        assert_eq!(encoded(&"x".repeat(255)).len(), 255);
    }

    proptest! {
        #[test]
        fn no_command_is_too_long_and_the_deciding_ones_are_together(helo in ".{0,120}", name in "[a-z.]{0,260}") {
            let names = Names { name: Some(name.clone()), reverse: Some(name), ..Names::unknown(NameStatus::Ok) };
            let commands = told(ALL, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", Some(&names), &helo).unwrap();
            let (last, before) = commands.split_last().unwrap();
            prop_assert!(last.contains(" NAME=") && last.contains(" ADDR="));
            for command in before {
                prop_assert!(!command.contains(" NAME=") && !command.contains(" ADDR="));
            }
            for command in &commands {
                prop_assert!(command.len() <= LONGEST_COMMAND);
                prop_assert!(command.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
            let attributes: Vec<_> = commands.iter().flat_map(|command| command.split(' ').skip(1)).collect();
            prop_assert_eq!(attributes.len(), 8);
            prop_assert!(!commands.concat().contains("LOGIN"));
        }
    }
}
