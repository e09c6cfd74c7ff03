//! The deep tests: what only shows once a client talks.
//!
//! A test is passed at the first RCPT that comes in sequence, behind a MAIL that was accepted: by then a client has
//! had the occasion to fail. Which of the tests a session is held to, and what a failure does, the screen has said.

use crate::allowlist::Test;
use crate::screen::{Action, Consequence, Failure};
use crate::smtp::command::Verb;
use crate::smtp::excerpt::{MASK, excerpt};
use crate::smtp::line::{Ending, Line, first_word};

use super::finding::Finding;
use super::session::{Offered, Session};
use super::step::{Step, Waiting};
use super::tables::Tables;

/// The deep tests of one session.
#[derive(Debug)]
pub(super) struct DeepTests(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    test: Test,
    action: Action,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Passed,
    /// Passed before this session: watched, and not passed anew.
    Proven,
    Failed,
}

impl DeepTests {
    /// `tests` to hold the client to, and those of which it was `proven` before that it passes them: who breaks one
    /// of these is told on, and not refused.
    pub(super) fn new(tests: &[(Test, Action)], proven: &[Test]) -> Self {
        let open = tests.iter().map(|&(test, action)| Watched { test, action, state: State::Open });
        let proven =
            proven.iter().map(|&test| Watched { test, action: Action::Ignore, state: State::Proven });
        Self(open.chain(proven).collect())
    }

    /// Whether any test was failed, whatever its action.
    pub(super) fn failed(&self) -> bool {
        self.0.iter().any(|watched| watched.state == State::Failed)
    }

    /// Whether the client is held to `test` and has not failed it yet. Having passed it does not end it: a failure
    /// later in the session takes the pass back.
    pub(super) fn watches(&self, test: Test) -> bool {
        self.0.iter().any(|watched| watched.test == test && watched.state != State::Failed)
    }

    /// Whether the client is held to `test` and has not passed it yet.
    pub(super) fn awaits(&self, test: Test) -> bool {
        self.0
            .iter()
            .any(|watched| watched.test == test && matches!(watched.state, State::Open | State::Failed))
    }

    /// Marks `test` as failed; what that leads to, the first time.
    pub(super) fn fail(&mut self, test: Test) -> Option<Action> {
        let watched = self.0.iter_mut().find(|watched| watched.test == test)?;
        if watched.state == State::Failed {
            return None;
        }
        watched.state = State::Failed;
        Some(watched.action)
    }

    /// Marks what was not failed as passed; returns what is new.
    pub(super) fn pass(&mut self) -> Vec<Test> {
        let open = self.0.iter_mut().filter(|watched| watched.state == State::Open);
        open.map(|watched| {
            watched.state = State::Passed;
            watched.test
        })
        .collect()
    }

    /// What has been passed and not failed since.
    pub(super) fn passed(&self) -> Vec<Test> {
        let passed = self.0.iter().filter(|watched| watched.state == State::Passed);
        passed.map(|watched| watched.test).collect()
    }
}

impl Session {
    /// Holds a line against the deep tests, whatever it says.
    pub(super) fn deep_tests(
        &mut self,
        line: &Line,
        verb: Option<Verb>,
        waiting: Waiting<'_>,
    ) -> Option<Step> {
        if line.ending == Ending::BareLf && self.deep.watches(Test::BareNewline) {
            let finding = Finding::BareNewline { line: self.told(&line.text, verb) };
            if let Some(step) = self.failed(&Failure::BareNewline, finding) {
                return Some(step);
            }
        }
        if self.deep.watches(Test::NonSmtpCommand) && is_non_smtp(&line.text, &self.settings.tables) {
            let (word, rest) = first_word(&line.text);
            let (word, rest) = (self.told(word, verb), self.told(rest, verb));
            let finding = Finding::NonSmtpCommand { after: self.after, word, rest };
            if let Some(step) = self.failed(&Failure::NonSmtpCommand, finding) {
                return Some(step);
            }
        }
        self.pipelining_test(line, verb, waiting)
    }

    /// A client that was not told of PIPELINING must wait for every reply; one that was, for those of the commands
    /// that end a group (RFC 2920 §3.1). Behind BDAT stands content, which nothing needs to wait with.
    fn pipelining_test(&mut self, line: &Line, verb: Option<Verb>, waiting: Waiting<'_>) -> Option<Step> {
        let Waiting::Bytes(waiting) = waiting else { return None };
        let ends_group = matches!(verb, Some(Verb::Helo | Verb::Ehlo | Verb::Data | Verb::Noop | Verb::Vrfy));
        if verb == Some(Verb::Bdat) || (self.pipelining == Offered::Yes && !ends_group) {
            return None;
        }
        self.pipelined = true;
        if !self.deep.watches(Test::Pipelining) {
            return None;
        }
        let (word, _) = first_word(&line.text);
        let finding = Finding::Pipelining { verb: self.told(word, verb), waiting: self.told(waiting, None) };
        self.failed(&Failure::Pipelining, finding)
    }

    /// What may be told of a line with `verb`, or of what stands behind the line at hand.
    fn told(&self, text: &[u8], verb: Option<Verb>) -> Vec<u8> {
        if self.confides && verb.is_none() { MASK.to_vec() } else { excerpt(text) }
    }

    /// A deep test was failed: tells of it once, and does what its action says.
    fn failed(&mut self, failure: &Failure, finding: Finding) -> Option<Step> {
        let test = failure.test()?;
        let action = self.deep.fail(test)?;
        self.findings.extend([finding, Finding::Failed { test, action }]);
        match action.consequence(failure) {
            Consequence::GoOn => None,
            Consequence::Stand(reply) => {
                self.standing.get_or_insert(reply);
                None
            }
            Consequence::Refuse(reply) => {
                self.standing.get_or_insert(reply.clone());
                Some(self.close(vec![reply]))
            }
        }
    }
}

/// Whether a line is no SMTP at all: a header field, another protocol, or bytes that are no text.
fn is_non_smtp(line: &[u8], tables: &Tables) -> bool {
    let (word, _) = first_word(line);
    let Ok(word) = std::str::from_utf8(word) else { return true };
    if Verb::of(word).is_some() {
        return false;
    }
    std::str::from_utf8(line).is_err() || is_header_label(word) || tables.forbids(word)
}

/// Whether `word` begins a header field: printable characters, then a colon (RFC 5322 §2.2).
fn is_header_label(word: &str) -> bool {
    let (label, colon) = word.split_once(':').map_or((word, false), |(label, _)| (label, true));
    colon && !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_failed_once_and_a_pass_can_be_lost() {
        let mut tests =
            DeepTests::new(&[(Test::Pipelining, Action::Drop), (Test::BareNewline, Action::Ignore)], &[]);
        assert!(tests.awaits(Test::Pipelining));
        assert!(!tests.watches(Test::NonSmtpCommand));
        assert_eq!(tests.pass(), [Test::Pipelining, Test::BareNewline]);
        assert_eq!(tests.pass(), []);
        assert!(!tests.awaits(Test::Pipelining));
        assert_eq!(tests.fail(Test::Pipelining), Some(Action::Drop));
        assert_eq!(tests.fail(Test::Pipelining), None);
        assert_eq!(tests.fail(Test::NonSmtpCommand), None);
        assert_eq!(tests.passed(), [Test::BareNewline]);
    }

    #[test]
    fn what_was_proven_before_is_watched_and_not_passed_anew() {
        let mut tests = DeepTests::new(&[], &[Test::BareNewline, Test::Pipelining]);
        assert!(tests.watches(Test::BareNewline) && !tests.awaits(Test::Pipelining));
        assert_eq!((tests.pass(), tests.passed(), tests.failed()), (vec![], vec![], false));
        assert_eq!(tests.fail(Test::BareNewline), Some(Action::Ignore), "told, not refused");
        assert!(tests.failed());
    }

    #[test]
    fn what_is_no_smtp() {
        let forbidden = Tables::default();
        let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        for line in [
            b"GET / HTTP/1.1".as_slice(),
            b"post /x",
            b"CONNECT a:25",
            b"Subject: x",
            b"MAILFROM:<a@b>",
            b"123",
            b"\x03\x00\x00\x13\x0e",
            b"SSH-2.0-\xff",
            b"FOO \xff",
            tls_hello,
        ] {
            assert!(is_non_smtp(line, &forbidden), "{}", String::from_utf8_lossy(line));
        }
        for line in
            [b"EHLO x".as_slice(), b"mail FROM:<\xff>", b"foo", b"XCLIENT a=b", b"Subject : x", b"", b"  "]
        {
            assert!(!is_non_smtp(line, &forbidden), "{}", String::from_utf8_lossy(line));
        }
    }
}
