//! What a server's message says of the question that was put to it.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record};

use super::record::{Data, Question};
use super::{Answer, Trouble};

/// TTLs with the highest bit set count as 0 (RFC 2181 §8), and none is longer than a day.
const MAX_TTL: u32 = 86_400;

/// What one message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// All that the server knows.
    Known(Answer<Data>),
    /// The name is but another one, and of that the message says nothing.
    Elsewhere(Alias),
}

/// Where a name leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) target: Name,
    pub(super) ttl: Duration,
}

/// Reads an answer to `question`; `None` if it was truncated, for then nothing in it counts (RFC 2181 §9).
pub(super) fn read(question: &Question, message: &Message) -> Option<Reply> {
    let code = message.metadata.response_code;
    if let Some(trouble) = trouble_of(code) {
        return Some(Reply::Known(Answer::Temporary(trouble)));
    }
    if message.metadata.truncation {
        return None;
    }
    if message.all_sections().any(|record| record.dns_class != DNSClass::IN) {
        return Some(Reply::Known(Answer::Temporary(Trouble::Malformed)));
    }
    let end = End::of(&question.name, &message.answers);
    let found = end.select(question, &message.answers);
    if matches!(found, Answer::Found { .. }) {
        return Some(Reply::Known(found));
    }
    let ttl = negative_ttl(&message.authorities);
    // An SOA record and NXDOMAIN speak of the name at the end of the aliases (RFC 2308 §2.1, §2.2).
    if end.owner == &question.name || code == ResponseCode::NXDomain || ttl.is_some() {
        return Some(Reply::Known(Answer::NotFound { ttl }));
    }
    Some(Reply::Elsewhere(Alias { target: end.owner.clone(), ttl: seconds(end.ttl) }))
}

/// What an answer section says of the question, and nothing else that may stand there.
pub(super) fn select(question: &Question, answers: &[Record]) -> Answer<Data> {
    End::of(&question.name, answers).select(question, answers)
}

/// What a server has to complain of; `None` if it answers the question. Whatever is not known here says nothing of
/// the name.
pub(super) fn trouble_of(code: ResponseCode) -> Option<Trouble> {
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => None,
        ResponseCode::ServFail => Some(Trouble::ServFail),
        ResponseCode::Refused => Some(Trouble::Refused),
        _ => Some(Trouble::Malformed),
    }
}

/// The duration that a TTL on the wire stands for.
pub(super) fn lifetime(ttl: u32) -> Duration {
    seconds(sane(ttl))
}

/// The name at the end of an answer's aliases, and the lowest TTL on the way there.
struct End<'a> {
    owner: &'a Name,
    ttl: u32,
}

impl<'a> End<'a> {
    fn of(name: &'a Name, answers: &'a [Record]) -> Self {
        let mut end = Self { owner: name, ttl: MAX_TTL };
        // Each record can be an alias once, so a loop of them ends.
        for _ in answers {
            let alias = answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == *end.owner => Some((&target.0, record.ttl)),
                _ => None,
            });
            let Some((target, ttl)) = alias else { break };
            end = Self { owner: target, ttl: end.ttl.min(sane(ttl)) };
        }
        end
    }

    fn select(&self, question: &Question, answers: &[Record]) -> Answer<Data> {
        let mut ttl = self.ttl;
        let mut records = Vec::new();
        let kind = question.kind.record_type();
        for record in answers.iter().filter(|r| r.name == *self.owner && r.record_type() == kind) {
            if let Some(data) = Data::from_wire(&record.data) {
                ttl = ttl.min(sane(record.ttl));
                records.push(data);
            }
        }
        if records.is_empty() {
            return Answer::NotFound { ttl: None };
        }
        Answer::Found { records, ttl: seconds(ttl) }
    }
}

/// How long an absence may be remembered (RFC 2308 §5): the SOA record's own TTL, or its last field if that is less.
fn negative_ttl(authorities: &[Record]) -> Option<Duration> {
    authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(lifetime(record.ttl.min(soa.minimum))),
        _ => None,
    })
}

fn sane(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl.min(MAX_TTL) }
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};

    use super::super::Kind;
    use super::super::record;
    use super::*;

    fn question(name: &str) -> Question {
        Question::new(name, Kind::A).unwrap()
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        let owner = record::name(owner).unwrap();
        Record::from_rdata(owner, ttl, RData::A(A([192, 0, 2, last].into())))
    }

    fn cname(owner: &str, ttl: u32, target: &str) -> Record {
        let target = record::name(target).unwrap();
        Record::from_rdata(record::name(owner).unwrap(), ttl, RData::CNAME(CNAME(target)))
    }

    fn found(last: u8, ttl: u64) -> Answer<Data> {
        Answer::Found { records: vec![Data::A([192, 0, 2, last].into())], ttl: Duration::from_secs(ttl) }
    }

    #[test]
    fn records_of_other_names_do_not_count() {
        assert_eq!(select(&question("a.test"), &[a("b.test", 60, 1), a("A.test", 60, 2)]), found(2, 60));
        assert_eq!(select(&question("a.test"), &[a("b.test", 60, 1)]), Answer::NotFound { ttl: None });
    }

    #[test]
    fn aliases_lead_on_and_their_ttl_counts() {
        let chain = [a("c.test", 60, 3), cname("b.test", 20, "c.test"), cname("a.test", 40, "b.test")];
        assert_eq!(select(&question("a.test"), &chain), found(3, 20));
        let ring = [cname("a.test", 1, "b.test"), cname("b.test", 1, "a.test")];
        assert_eq!(select(&question("a.test"), &ring), Answer::NotFound { ttl: None });
    }

    #[test]
    fn a_ttl_beyond_31_bits_is_zero_and_none_exceeds_a_day() {
        assert_eq!(select(&question("a.test"), &[a("a.test", 1 << 31, 1)]), found(1, 0));
        assert_eq!(select(&question("a.test"), &[a("a.test", (1 << 31) - 1, 1)]), found(1, 86_400));
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let soa = SOA::new(record::name("test").unwrap(), record::name("test").unwrap(), 1, 1, 1, 1, minimum);
        Record::from_rdata(record::name("test").unwrap(), ttl, RData::SOA(soa))
    }

    fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
        let mut message = Message::error_msg(7, OpCode::Query, code);
        message.answers = answers;
        message.authorities = authorities;
        message
    }

    fn absent(ttl: Option<u64>) -> Option<Reply> {
        Some(Reply::Known(Answer::NotFound { ttl: ttl.map(Duration::from_secs) }))
    }

    #[test]
    fn an_absence_lasts_as_long_as_the_soa_record_says() {
        let question = question("a.test");
        for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
            for (ttl, minimum, lasts) in [(77, 300, 77), (300, 77, 77), (1 << 31, 1 << 31, 0)] {
                let message = message(code, Vec::new(), vec![soa(ttl, minimum)]);
                assert_eq!(read(&question, &message), absent(Some(lasts)));
            }
            assert_eq!(read(&question, &message(code, Vec::new(), Vec::new())), absent(None));
            assert_eq!(read(&question, &message(code, vec![a("b.test", 60, 1)], Vec::new())), absent(None));
        }
    }

    #[test]
    fn an_alias_is_followed_unless_its_end_is_known_not_to_be() {
        let question = question("a.test");
        let chain = || vec![cname("a.test", 40, "b.test"), cname("b.test", 20, "c.test")];
        let target = record::name("c.test").unwrap();
        assert_eq!(
            read(&question, &message(ResponseCode::NoError, chain(), Vec::new())),
            Some(Reply::Elsewhere(Alias { target, ttl: Duration::from_secs(20) }))
        );
        assert_eq!(read(&question, &message(ResponseCode::NXDomain, chain(), Vec::new())), absent(None));
        let nodata = message(ResponseCode::NoError, chain(), vec![soa(5, 9)]);
        assert_eq!(read(&question, &nodata), absent(Some(5)));
        let ring = vec![cname("a.test", 1, "b.test"), cname("b.test", 1, "a.test")];
        assert_eq!(read(&question, &message(ResponseCode::NoError, ring, Vec::new())), absent(None));
    }

    #[test]
    fn a_complaint_says_nothing_of_the_name() {
        for (code, trouble) in [
            (ResponseCode::ServFail, Trouble::ServFail),
            (ResponseCode::Refused, Trouble::Refused),
            (ResponseCode::FormErr, Trouble::Malformed),
            (ResponseCode::Unknown(11), Trouble::Malformed),
        ] {
            let mut message = message(code, vec![a("a.test", 60, 1)], Vec::new());
            message.metadata.truncation = true;
            let known = Reply::Known(Answer::Temporary(trouble));
            assert_eq!(read(&question("a.test"), &message), Some(known), "{code}");
        }
    }

    #[test]
    fn a_record_of_another_class_spoils_the_message() {
        let mut chaos = a("a.test", 60, 1);
        chaos.dns_class = DNSClass::CH;
        let message = message(ResponseCode::NoError, vec![a("a.test", 60, 2), chaos], Vec::new());
        let known = Reply::Known(Answer::Temporary(Trouble::Malformed));
        assert_eq!(read(&question("a.test"), &message), Some(known));
    }
}
