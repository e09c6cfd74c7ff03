//! Names that no server is asked for (RFC 6761 §6, RFC 7686 §2).
//!
//! `local` is not among them: many sites serve it by unicast, whatever RFC 6762 has to say of that.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::domain::usage::{IN_ADDR_ARPA_127, INVALID, IP6_ARPA_1, LOCALHOST, ONION};

use super::Answer;
use super::record::{Data, Kind, Question};

/// What was never asked for does not grow old.
const TTL: Duration = Duration::from_secs(86_400);

/// What is known of `question` without asking.
pub(super) fn answer(question: &Question) -> Option<Answer<Data>> {
    let below = |zones: &[&Name]| zones.iter().any(|zone| zone.zone_of(&question.name));
    if below(&[&LOCALHOST, &IN_ADDR_ARPA_127, &IP6_ARPA_1]) {
        return Some(loopback(question.kind));
    }
    below(&[&INVALID, &ONION]).then_some(Answer::NotFound { ttl: None })
}

/// The same for a name below `localhost` and for the reverse names of loopback addresses.
fn loopback(kind: Kind) -> Answer<Data> {
    let record = match kind {
        Kind::A => Data::A(Ipv4Addr::LOCALHOST),
        Kind::Aaaa => Data::Aaaa(Ipv6Addr::LOCALHOST),
        Kind::Ptr => Data::Ptr("localhost".into()),
        Kind::Mx | Kind::Ns | Kind::Txt => return Answer::NotFound { ttl: None },
    };
    Answer::Found { records: vec![record], ttl: TTL }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: Kind) -> Option<Answer<Data>> {
        answer(&Question::new(name, kind).unwrap())
    }

    fn found(data: Data) -> Option<Answer<Data>> {
        Some(Answer::Found { records: vec![data], ttl: Duration::from_secs(86_400) })
    }

    #[test]
    fn localhost_is_this_host() {
        for name in ["localhost", "LocalHost.", "mail.localhost"] {
            assert_eq!(ask(name, Kind::A), found(Data::A(Ipv4Addr::LOCALHOST)));
            assert_eq!(ask(name, Kind::Aaaa), found(Data::Aaaa(Ipv6Addr::LOCALHOST)));
            assert_eq!(ask(name, Kind::Mx), Some(Answer::NotFound { ttl: None }));
        }
        for address in ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"] {
            let question = Question::reverse(address.parse().unwrap());
            assert_eq!(answer(&question), found(Data::Ptr("localhost".into())), "{address}");
        }
    }

    #[test]
    fn some_names_never_exist() {
        for name in ["invalid", "a.Invalid", "x.onion"] {
            for kind in Kind::ALL {
                assert_eq!(ask(name, kind), Some(Answer::NotFound { ttl: None }), "{name}");
            }
        }
    }

    #[test]
    fn all_others_are_asked_for() {
        for name in ["localhost.example", "notlocalhost", "printer.local", "test", "127.example"] {
            assert_eq!(ask(name, Kind::A), None, "{name}");
        }
        for address in ["128.0.0.1", "::2", "192.168.0.1"] {
            assert_eq!(answer(&Question::reverse(address.parse().unwrap())), None, "{address}");
        }
    }
}
