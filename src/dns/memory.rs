//! The memory of answers: those that were asked for last, small enough for tens of thousands.
//!
//! Names are kept as they go over the wire, in lower case; of an answer's time, only the moment when it is over.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

use super::record::{Data, Question};
use super::{Answer, Trouble};

/// A question in few octets: the labels of its name without case (RFC 4343), each behind its length, and its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Box<[u8]>);

/// What is remembered; nothing where it may have no entries.
pub(super) struct Memory(Option<LruCache<Key, Remembered>>);

struct Remembered {
    answer: Known,
    until: Instant,
}

/// An [`Answer`] without its time.
enum Known {
    Found(Box<[Data]>),
    /// For a time that the answer has named.
    NotFound,
    /// For a time that is ours.
    NotFoundForNow,
    Trouble(Trouble),
}

impl Key {
    pub(super) fn of(question: &Question) -> Self {
        let mut key = Vec::with_capacity(question.name.len() + 1);
        for label in &question.name {
            key.extend(u8::try_from(label.len()));
            key.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        key.push(question.kind as u8);
        Self(key.into())
    }
}

impl Memory {
    /// With room for so many answers; 0 is none.
    pub(super) fn new(entries: usize) -> Self {
        Self(NonZeroUsize::new(entries).map(LruCache::sparse))
    }

    /// The answer, while it holds. Its TTL is the time that is left of it.
    pub(super) fn recall(&mut self, key: &Key) -> Option<Answer<Data>> {
        let answers = self.0.as_mut()?;
        let Remembered { answer, until } = answers.get(key)?;
        let ttl = until.saturating_duration_since(Instant::now());
        if ttl.is_zero() {
            answers.pop(key);
            return None;
        }
        Some(match answer {
            Known::Found(records) => Answer::Found { records: records.to_vec(), ttl },
            Known::NotFound => Answer::NotFound { ttl: Some(ttl) },
            Known::NotFoundForNow => Answer::NotFound { ttl: None },
            Known::Trouble(trouble) => Answer::Temporary(*trouble),
        })
    }

    /// Remembers an answer for so long.
    pub(super) fn remember(&mut self, key: Key, answer: Answer<Data>, lifetime: Duration) {
        let Some(answers) = &mut self.0 else { return };
        let answer = match answer {
            Answer::Found { records, .. } => Known::Found(records.into()),
            Answer::NotFound { ttl: Some(_) } => Known::NotFound,
            Answer::NotFound { ttl: None } => Known::NotFoundForNow,
            Answer::Temporary(trouble) => Known::Trouble(trouble),
        };
        answers.put(key, Remembered { answer, until: Instant::now() + lifetime });
    }

    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(answers) = &mut self.0 {
            answers.pop(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::record::Kind;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(name: &str, kind: Kind) -> Key {
        Key::of(&Question::new(name, kind).unwrap())
    }

    #[test]
    fn a_key_is_the_question_without_case() {
        let host = key("mail.example.net", Kind::A);
        assert_eq!(&*host.0, b"\x04mail\x07example\x03net\x00");
        assert_eq!(host, key("MAIL.Example.Net.", Kind::A));
        for other in [key("mail.example.net", Kind::Aaaa), key("mai.lexample.net", Kind::A)] {
            assert_ne!(host, other);
        }
    }

    #[test]
    fn answers_come_back_as_they_were_but_for_their_time() {
        let mut memory = Memory::new(8);
        let ttl = Some(HOUR);
        let answers = [
            Answer::Found { records: vec![Data::A(Ipv4Addr::LOCALHOST)], ttl: HOUR },
            Answer::NotFound { ttl },
            Answer::NotFound { ttl: None },
            Answer::Temporary(Trouble::ServFail),
        ];
        for (kind, answer) in Kind::ALL.into_iter().zip(answers) {
            memory.remember(key("a.test", kind), answer.clone(), HOUR);
            let mut recalled = memory.recall(&key("A.test", kind)).unwrap();
            if let Answer::Found { ttl, .. } | Answer::NotFound { ttl: Some(ttl) } = &mut recalled {
                assert!(*ttl <= HOUR && *ttl > HOUR / 2);
                *ttl = HOUR;
            }
            assert_eq!(recalled, answer);
        }
        memory.forget(&key("a.test", Kind::A));
        assert_eq!(memory.recall(&key("a.test", Kind::A)), None);
        memory.remember(key("a.test", Kind::Mx), Answer::NotFound { ttl }, Duration::ZERO);
        assert_eq!(memory.recall(&key("a.test", Kind::Mx)), None, "its time is over");
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut memory = Memory::new(0);
        memory.remember(key("a.test", Kind::A), Answer::NotFound { ttl: None }, HOUR);
        assert_eq!(memory.recall(&key("a.test", Kind::A)), None);
    }

    /// There are as many of these as clients have come of late.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<(Key, Remembered)>() <= 56);
    }
}
