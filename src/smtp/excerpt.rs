//! What may be told of what a client has sent: its first octets, without passwords.

use super::command::Verb;
use super::line::first_word;

/// How much of it: postscreen's 100 octets.
pub const EXCERPT: usize = 100;

/// What stands in the place of a password.
pub const MASK: &[u8] = b"***";

/// The first octets of `sent`, which begins with a line. What a client says behind AUTH and its mechanism
/// (RFC 4954 §4), there or on the lines that follow, may be a password.
pub fn excerpt(sent: &[u8]) -> Vec<u8> {
    let sent = sent.get(..EXCERPT).unwrap_or(sent);
    match sent.split_at_checked(secret_at(sent)) {
        None | Some((_, [])) => sent.to_vec(),
        Some((told, _)) => [told, MASK].concat().into_iter().take(EXCERPT).collect(),
    }
}

/// Where secrets begin; at the end, if there are none.
fn secret_at(sent: &[u8]) -> usize {
    let mut rest = sent;
    while !rest.is_empty() {
        let end = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')).unwrap_or(rest.len());
        let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let (word, arguments) = first_word(line);
        if word.eq_ignore_ascii_case(Verb::Auth.as_str().as_bytes()) {
            return match first_word(arguments) {
                (_mechanism, []) => sent.len() - behind.trim_ascii_start().len(),
                (_mechanism, secret) => sent.len() - behind.len() - secret.len(),
            };
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    sent.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sent: &str) -> String {
        String::from_utf8(excerpt(sent.as_bytes())).unwrap()
    }

    #[test]
    fn what_stands_behind_a_mechanism_is_not_told() {
        for (sent, expected) in [
            ("AUTH PLAIN AGEAYg==", "AUTH PLAIN ***"),
            ("  auth\tplain  AGEAYg==\n", "  auth\tplain  ***"),
            ("AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\n", "AUTH LOGIN\r\n***"),
            ("EHLO x\r\nAUTH PLAIN\r\nAGEAYg==\r\nMAIL FROM:<a@b>\r\n", "EHLO x\r\nAUTH PLAIN\r\n***"),
            ("EHLO x\nAUTH PLAIN AGEAYg==\n", "EHLO x\nAUTH PLAIN ***"),
            ("AUTH\r\nc2VjcmV0\r\n", "AUTH\r\n***"),
        ] {
            assert_eq!(told(sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn all_else_is_told_as_it_came() {
        for sent in [
            "",
            "\r\n",
            "AUTH",
            "AUTH LOGIN\r\n",
            "AUTHOR x\r\n",
            "HELO auth\r\n",
            "MAIL FROM:<a@b> AUTH=<>\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(told(sent), sent);
        }
        assert_eq!(told(&"x".repeat(300)), "x".repeat(EXCERPT));
        assert_eq!(told(&format!("NOOP {}\r\nAUTH PLAIN x", "x".repeat(82))).len(), EXCERPT);
    }
}
