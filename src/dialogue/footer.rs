//! The reject footer's template: what a refused sender may quote when it asks for help.

use super::session::Peer;

/// Fills `$client_address`, `$client_port`, `$server_name` and `$id`, the connection's name, into `template`, written `$name` or `${name}`; `$$` is
/// a dollar sign, an unknown name is empty.
pub(super) fn fill_in(template: &str, peer: &Peer, server_name: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            text.push('$');
            rest = behind;
            continue;
        }
        let (name, behind) = split_name(behind);
        match name {
            "client_address" => text.push_str(&peer.client.ip().to_canonical().to_string()),
            "client_port" => text.push_str(&peer.client.port().to_string()),
            "server_name" => text.push_str(server_name),
            "id" => text.push_str(&peer.id),
            _ => {}
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// The name that a `$` introduces, and what stands behind it.
fn split_name(text: &str) -> (&str, &str) {
    if let Some((name, behind)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return (name, behind);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ClientNames;

    #[test]
    fn names_are_filled_in() {
        let peer = Peer {
            client: "192.0.2.1:4242".parse().unwrap(),
            server: "198.51.100.1:25".parse().unwrap(),
            names: ClientNames::default(),
            id: "1".into(),
        };
        let fill_in = |template| fill_in(template, &peer, "mx.example");
        assert_eq!(
            fill_in("$client_address:${client_port} at $server_name, $id."),
            "192.0.2.1:4242 at mx.example, 1."
        );
        assert_eq!(fill_in("no$thing, $$5, ${"), "no, $5, {");
        assert_eq!(fill_in("plain"), "plain");
    }
}
