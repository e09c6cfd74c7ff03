//! What must hold for every conversation, whatever is said in it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::allowlist::Test;
use crate::policy::{Cause, ClientNames, Decision, Judgement, List};
use crate::screen::{Action, Screened};
use crate::smtp::capability::Capabilities;
use crate::smtp::excerpt::EXCERPT;
use crate::smtp::line::LineBuffer;
use crate::smtp::reply::Reply;
use crate::tls::Starttls;

/// Something that a client may say: mostly sense, in any order.
fn said() -> impl Strategy<Value = String> {
    let sense = prop::sample::select(vec![
        "HELO x\r\n",
        "EHLO x\r\n",
        "MAIL FROM:<a@b>\r\n",
        "MAIL FROM:<> SIZE=1 BODY=8BITMIME\r\n",
        "RCPT TO:<c@d>\r\n",
        "RCPT TO:<refused@d>\r\n",
        "RCPT TO:<dead@d>\r\n",
        "RCPT TO:<down@d>\r\n",
        "DATA\r\n",
        "BDAT 3\r\n",
        "BDAT 0 LAST\r\n",
        "RSET\r\n",
        "NOOP\n",
        "VRFY c@d\r\n",
        "ETRN d\r\n",
        "STARTTLS\r\n",
        "AUTH PLAIN AGEAYg==\r\n",
        "HELP\r\n",
        "QUIT\r\n",
        "GET / HTTP/1.0\r\n",
    ]);
    let nonsense = "[ -~\t\r]{0,40}\n".prop_map(|text| text);
    prop_oneof![8 => sense.prop_map(str::to_owned), 1 => nonsense]
}

/// What came of a conversation.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Everything the client was told.
    heard: Vec<Reply>,
    /// Recipients that the backend was asked for, with the transaction.
    asked: Vec<(u64, String)>,
    /// Whether the session ended, and how.
    end: Option<End>,
    /// Commands that were answered.
    answered: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    HandedOver,
}

/// Who talks here, and under which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Has passed everything.
    Known,
    /// Has yet to pass the deep tests.
    New(Action),
    /// Has failed before the greeting.
    Listed,
}

fn session(client: Client, hard_error_limit: u32) -> Session {
    let mut settings = Settings::default();
    settings.errors.hard_error_limit = hard_error_limit;
    settings.errors.soft_error_limit = 1000;
    settings.command_count_limit = 1000;
    let peer = Peer {
        client: "192.0.2.1:4242".parse().unwrap(),
        server: "198.51.100.1:25".parse().unwrap(),
        names: ClientNames::default(),
        id: "000000000001".parse().unwrap(),
    };
    let backend = ["backend", "PIPELINING", "CHUNKING", "AUTH PLAIN"].map(str::to_owned).to_vec();
    let capabilities = Arc::new(Capabilities::from_reply(&Reply::multiline(250, backend)));
    let encryption = Encryption::Optional;
    let offer = Offer { capabilities, starttls: Starttls::Terminate, auth: Auth::Handoff, encryption };
    let (standing, deep) = match client {
        Client::Known => (None, vec![]),
        Client::New(action) => {
            let tests = [Test::Pipelining, Test::NonSmtpCommand, Test::BareNewline];
            (None, tests.map(|test| (test, action)).to_vec())
        }
        Client::Listed => (Some(Reply::new(550, "5.7.1 listed")), vec![]),
    };
    Session::new(Arc::new(settings), peer, Screened::for_test(standing, deep, false), offer)
}

/// Plays `pieces`, each one arriving by itself.
fn converse<'a>(session: &mut Session, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome::default();
    let greeting = session.greet();
    resolve(session, greeting, &mut outcome);
    let mut buffer = LineBuffer::new();
    for piece in pieces {
        buffer.push(piece);
        while outcome.end.is_none() {
            let step = match buffer.next_line(2048) {
                None => break,
                Some(Err(_)) => session.too_long(),
                Some(Ok(line)) => session.line(&line, Waiting::of(buffer.as_slice())),
            };
            resolve(session, step, &mut outcome);
        }
    }
    outcome
}

/// Follows a step to its end: judgement, backend, reply.
fn resolve(session: &mut Session, step: Step, outcome: &mut Outcome) {
    let next = match step {
        Step::Reply { reply, .. } => {
            outcome.answered += 1;
            return outcome.heard.push(reply);
        }
        Step::StartTls(reply) => {
            outcome.heard.push(reply);
            outcome.end = Some(End::HandedOver);
            return;
        }
        Step::Close { replies, .. } => {
            outcome.heard.extend(replies);
            outcome.end = Some(End::Closed);
            return;
        }
        Step::Relay(_) | Step::Passthrough(_) => {
            outcome.end = Some(End::HandedOver);
            return;
        }
        Step::Judge(pending) => {
            let judgement = judge(&pending.facts(session));
            session.decided(pending, judgement)
        }
        Step::Forward(checked) => {
            let recipient = checked.rcpt().recipient.to_string();
            outcome.asked.push((checked.transaction(), recipient.clone()));
            match recipient.as_str() {
                "dead@d" => session.answered(checked, Reply::new(550, "5.1.1 dead")),
                "down@d" => session.unavailable(checked),
                _ => session.answered(checked, Reply::new(250, "2.1.5 Ok")),
            }
        }
    };
    resolve(session, next, outcome);
}

fn judge(facts: &crate::policy::Facts<'_>) -> Judgement {
    let refused = facts.rcpt.is_some_and(|rcpt| rcpt.recipient.as_str() == "refused@d");
    let cause = Cause {
        list: List::Recipient,
        verb: "reject",
        restriction: "reject".into(),
        table: None,
        key: None,
        unanswered: false,
    };
    let decision = if refused {
        Decision::Refuse { reply: Reply::new(554, "5.7.1 refused"), cause }
    } else {
        Decision::Permit
    };
    Judgement { decision, ..Judgement::default() }
}

fn client() -> impl Strategy<Value = Client> {
    prop_oneof![
        Just(Client::Known),
        Just(Client::Listed),
        prop::sample::select(vec![Action::Ignore, Action::Enforce, Action::Drop]).prop_map(Client::New),
    ]
}

proptest! {
    #[test]
    fn every_command_has_one_reply_until_the_session_ends(
        lines in prop::collection::vec(said(), 0..30),
        client in client(),
    ) {
        let mut session = session(client, 1000);
        let outcome = converse(&mut session, lines.iter().map(String::as_bytes));
        match outcome.end {
            None => prop_assert_eq!(outcome.answered, lines.len() + 1),
            Some(_) => prop_assert!(outcome.answered <= lines.len()),
        }
    }

    #[test]
    fn no_reply_takes_more_lines_on_the_wire_than_it_has(lines in prop::collection::vec(said(), 0..20)) {
        let outcome = converse(&mut session(Client::Known, 1000), lines.iter().map(String::as_bytes));
        for reply in outcome.heard {
            let wire = reply.to_wire();
            prop_assert_eq!(wire.iter().filter(|byte| **byte == b'\n').count(), reply.lines().count());
            prop_assert!(!wire.iter().any(|byte| byte.is_ascii_control() && !b"\r\n".contains(byte)));
        }
    }

    #[test]
    fn whoever_failed_a_test_is_never_handed_over(lines in prop::collection::vec(said(), 0..30)) {
        let mut session = session(Client::Listed, 1000);
        let outcome = converse(&mut session, lines.iter().map(String::as_bytes));
        prop_assert_eq!(outcome.asked, []);
        prop_assert!(session.passed().is_empty());
    }

    #[test]
    fn a_refused_recipient_never_reaches_the_backend(
        lines in prop::collection::vec(said(), 0..30),
        client in client(),
    ) {
        let outcome = converse(&mut session(client, 1000), lines.iter().map(String::as_bytes));
        prop_assert!(outcome.asked.iter().all(|(_, recipient)| recipient != "refused@d"));
        prop_assert!(outcome.asked.is_sorted_by_key(|(transaction, _)| *transaction));
    }

    #[test]
    fn with_a_limit_of_one_the_first_error_of_the_clients_own_is_the_last(
        lines in prop::collection::vec(said(), 0..30),
    ) {
        let outcome = converse(&mut session(Client::Known, 1), lines.iter().map(String::as_bytes));
        let ours = |reply: &&Reply| reply.code() >= 400 && !reply.to_string().contains("5.1.1 dead");
        let errors = outcome.heard.iter().filter(ours).filter(|reply| reply.code() != 451).count();
        // The error, and then 421; DATA behind dead recipients is not the client's own error.
        let blameless = outcome.heard.iter().filter(|reply| reply.to_string().contains("no valid recipients")).count();
        prop_assert!(errors <= blameless + 2, "{:?}", outcome.heard);
    }

    #[test]
    fn where_nothing_is_watched_the_cuts_of_the_network_change_nothing(
        lines in prop::collection::vec(said(), 0..20).prop_map(|lines| lines.concat()),
        cuts in prop::collection::vec(0usize..400, 0..10),
    ) {
        // STARTTLS looks at what waits behind it, for good reason.
        let lines = lines.replace("STARTTLS\r\n", "NOOP\r\n");
        let bytes = lines.as_bytes();
        let whole = converse(&mut session(Client::Known, 5), [bytes]);
        let mut cuts = cuts;
        cuts.retain(|cut| *cut <= bytes.len());
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(converse(&mut session(Client::Known, 5), pieces), whole);
    }

    #[test]
    fn any_bytes_are_answered_or_end_the_session(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        client in client(),
    ) {
        let mut session = session(client, 1000);
        converse(&mut session, [bytes.as_slice()]);
        for finding in session.take_findings() {
            if let Finding::NonSmtpCommand { word, rest, .. } = finding {
                prop_assert!(word.len() <= EXCERPT && rest.len() <= EXCERPT);
            }
        }
    }
}
