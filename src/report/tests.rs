//! Reports in the words of each format.

use serde_json::Value;

use super::log::Level as Least;
use super::log::tests::logged;
use super::*;
use crate::dialogue::{After, Finding as Said, RefusedBy};
use crate::dns::{Answer, Trouble};
use crate::relay::{How, Moved, Side};
use crate::screen::{Action, Finding as Noticed, Opinion, dnsbl};
use crate::smtp::reply::Reply;

const WAIT: Duration = Duration::from_millis(520);

fn report() -> Report {
    let (client, server) = ("[::ffff:192.0.2.7]:4711".parse().unwrap(), "198.51.100.2:25".parse().unwrap());
    Report::new(Endpoints { client, server }, SystemTime::now())
}

/// An envelope with everything in it, at this command.
pub(super) fn envelope(command: &'static str) -> Arc<Envelope> {
    Arc::new(Envelope {
        command,
        sender: Some("a@example.net".to_owned()),
        recipient: Some("b@example.org".to_owned()),
        protocol: Protocol::Esmtp,
        helo: Some("host".to_owned()),
    })
}

fn listed() -> Score {
    Score {
        total: 3,
        hits: Vec::new(),
        unanswered: vec!["slow.test".into()],
        opinion: Opinion::Listed { by: "bl.test".into() },
        ttl: None,
    }
}

fn answered(answer: Answer<std::net::Ipv4Addr>) -> Noticed {
    let reply = dnsbl::Reply { list: "bl.test".into(), answer, took: Duration::from_millis(7) };
    Noticed::Answered(Box::new(reply))
}

#[test]
fn what_is_told_is_what_has_words() {
    let found = |code: &str| answered(Answer::Found { records: vec![code.parse().unwrap()], ttl: WAIT });
    let unlisted = Score { opinion: Opinion::Clear, ..listed() };
    let reply = Reply::new(502, "5.5.2 Error: command not recognized");
    let (test, after, action) = (Test::Pipelining, After::Connect, Action::Enforce);
    let screened = [
        Noticed::Permitted,
        Noticed::Known,
        Noticed::HungUp { after: WAIT },
        found("127.0.0.2"),
        found("127.255.255.254"),
        answered(Answer::Temporary(Trouble::Timeout)),
        answered(Answer::NotFound { ttl: None }),
        Noticed::Scored(Arc::new(listed())),
        Noticed::Scored(Arc::new(unlisted)),
        Noticed::Waited(WAIT),
        Noticed::Passed(test),
        Noticed::Failed { test: Some(test), action },
    ];
    let said = [
        Said::TimeLimit { after },
        Said::Unavailable { envelope: envelope("RCPT") },
        Said::ProtocolError { after, reply },
        Said::Passed(vec![test]),
        Said::Failed { test, action },
    ];
    let said = said.map(|finding| Finding::Dialogue(Box::new(finding)));
    for finding in screened.map(Finding::Screen).into_iter().chain(said) {
        let lines = line::lines(&finding, Client::Understood);
        assert_eq!(line::is_told(&finding), !lines.is_empty(), "{finding:?}");
    }
}

/// Without time, host and program.
fn messages(story: impl FnOnce(&mut Report)) -> Vec<String> {
    let lines = logged(Format::Postscreen, Least::Info, || story(&mut report()));
    lines.into_iter().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect()
}

fn object(story: impl FnOnce(&mut Report)) -> Value {
    let lines = logged(Format::Json, Least::Info, || story(&mut report()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    serde_json::from_str(&lines[0]).unwrap()
}

fn a_listed_client(report: &mut Report) {
    report.admitted();
    let records = vec!["127.0.0.2".parse().unwrap(), "127.255.255.254".parse().unwrap()];
    report.screen(answered(Answer::Found { records, ttl: WAIT }));
    report.screen(Noticed::Scored(Arc::new(listed())));
    report.screen(Noticed::Failed { test: Some(Test::Dnsbl), action: Action::Enforce });
    report.screen(Noticed::Waited(WAIT));
    report.reached(State::Dialogue);
    let reply = Reply::new(550, "5.7.1 Service unavailable; client [192.0.2.7] blocked using bl.test");
    report.dialogue(Said::Reject { envelope: envelope("RCPT"), reply, by: RefusedBy::Test });
    report.dialogue(Said::TooManyErrors { after: After::Verb(Verb::Rcpt) });
    report.end(Outcome::Quit);
}

#[test]
fn a_listed_client_in_postscreens_lines() {
    assert_eq!(
        messages(a_listed_client),
        [
            "CONNECT from [192.0.2.7]:4711 to [198.51.100.2]:25",
            "addr 192.0.2.7 listed by domain bl.test as 127.0.0.2",
            "DNSBL rank 3 for [192.0.2.7]:4711",
            "NOQUEUE: reject: RCPT from [192.0.2.7]:4711: 550 5.7.1 Service unavailable; client [192.0.2.7] \
             blocked using bl.test; from=<a@example.net>, to=<b@example.org>, proto=ESMTP, helo=<host>",
            "too many errors after RCPT from unknown[192.0.2.7]",
            "DISCONNECT [192.0.2.7]:4711",
        ]
    );
}

#[test]
fn a_listed_client_in_one_object() {
    let object = object(a_listed_client);
    assert_eq!(object["outcome"], "dnsbl");
    assert_eq!((&object["client"], &object["port"]), (&"192.0.2.7".into(), &4711.into()));
    assert_eq!(object["stage"], "dialogue");
    assert_eq!(object["tests"]["dnsbl"], "failed");
    assert_eq!((&object["dnsbl"]["score"], &object["waited"]), (&3.into(), &0.52.into()));
    assert_eq!((&object["from"], &object["helo"]), (&"a@example.net".into(), &"host".into()));
    let events = object["events"].as_array().unwrap();
    assert_eq!(events[0]["what"], "addr listed by domain bl.test as 127.0.0.2");
    assert!(events.iter().any(|event| event["by"] == "test" && event["command"] == "RCPT"), "{events:?}");
}

#[test]
fn a_listed_client_in_one_sentence() {
    let lines = logged(Format::Text, Least::Info, || a_listed_client(&mut report()));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for part in
        [" dnsbl [192.0.2.7]:4711 after 0 s", "to=<b@example.org>", "DNSBL rank 3", "reject: RCPT: 550"]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn an_early_talker_that_hangs_up() {
    let story = |report: &mut Report| {
        report.admitted();
        let text = [b"\x16\x03\x01".as_slice(), &[b'x'; 97]].concat();
        report.screen(Noticed::Pregreet { count: 517, after: Duration::from_millis(83), text });
        report.screen(Noticed::Failed { test: Some(Test::Pregreet), action: Action::Ignore });
        report.screen(Noticed::HungUp { after: Duration::from_millis(1_940) });
        report.end(Outcome::HungUp);
    };
    let lines = messages(story);
    let shown = format!("\\026\\003\\001{}", "x".repeat(88));
    assert_eq!(lines[1], format!("PREGREET 517 after 0.08 from [192.0.2.7]:4711: {shown}"));
    assert_eq!(lines[2], "HANGUP after 1.9 from [192.0.2.7]:4711 in tests before SMTP handshake");
    assert_eq!(lines[3], "DISCONNECT [192.0.2.7]:4711");
    let object = object(story);
    assert_eq!((&object["outcome"], &object["tests"]["pregreet"]), (&"hangup".into(), &"ignored".into()));
}

#[test]
fn a_good_client_has_no_disconnect_and_tells_of_its_mail() {
    let story = |report: &mut Report| {
        report.admitted();
        report.screen(Noticed::Passed(Test::Pregreet));
        report.screen(answered(Answer::NotFound { ttl: None }));
        report.reached(State::Dialogue);
        report.dialogue(Said::Passed(vec![Test::Pipelining, Test::BareNewline]));
        report.passed(History::New);
        report.handed_over(HandOff { server: None, took: WAIT });
        report.handed_over(HandOff { server: Some("127.0.0.1:10025".into()), took: WAIT });
        report.handed_over(HandOff { server: Some("later".into()), took: WAIT });
        report.reached(State::Relay);
        let up = Moved { copied: 10, spliced: 4_000 };
        let ended = How::Finished { first: Side::Client };
        report.relayed(Transfer { up, down: Moved { copied: 70, spliced: 0 }, ended });
        report.end(Outcome::Relayed);
        report.end(Outcome::HungUp);
    };
    assert_eq!(
        messages(story),
        ["CONNECT from [192.0.2.7]:4711 to [198.51.100.2]:25", "PASS NEW [192.0.2.7]:4711"]
    );
    let object = object(story);
    assert_eq!((&object["outcome"], &object["passed"]), (&"relayed".into(), &"new".into()));
    assert_eq!(object["handoff"]["server"], "127.0.0.1:10025");
    assert_eq!(object["relay"]["to_backend"]["spliced"], 4_000);
    assert_eq!(object["tests"].as_object().unwrap().len(), 3);
    let lines = logged(Format::Text, Least::Info, || story(&mut report()));
    assert!(lines[0].contains("4010 bytes to the backend, 70 back, 4000 of them spliced"), "{lines:?}");
}

#[test]
fn limits_at_the_door_have_postscreens_lines() {
    for (outcome, expected) in [
        (Outcome::TooManyConnections, "too many connections"),
        (Outcome::Busy(Full::Screening), "all screening ports busy"),
        (Outcome::Busy(Full::Backend), "all server ports busy"),
    ] {
        let lines = messages(|report| report.end(outcome));
        assert_eq!(lines[0], format!("NOQUEUE: reject: CONNECT from [192.0.2.7]:4711: {expected}"));
    }
}

#[test]
fn the_gravest_offence_names_the_outcome() {
    let mut report = report();
    let reply = Reply::new(502, "5.5.2 Error: command not recognized");
    report.dialogue(Said::ProtocolError { after: After::Connect, reply });
    report.dialogue(Said::Failed { test: Test::BareNewline, action: Action::Enforce });
    report.dialogue(Said::Failed { test: Test::Pipelining, action: Action::Drop });
    report.end(Outcome::HungUp);
    assert_eq!(report.outcome(), Some(Outcome::Failed(Test::BareNewline)));
    assert_eq!(report.tests().count(), 2);
}

#[test]
fn a_backend_that_does_not_answer_is_nobodys_offence_but_names_the_outcome() {
    let mut report = report();
    report.dialogue(Said::Unavailable { envelope: envelope("RCPT") });
    report.end(Outcome::Quit);
    assert_eq!(report.outcome(), Some(Outcome::Unavailable));
    assert_eq!(report.verdicts(), [(Verdict { by: Judge::NoBackend, action: Refusal::Defer }, 1)]);
}

#[test]
fn a_report_is_bounded_and_counts_on() {
    let mut report = report();
    for _ in 0..10_000 {
        let reply = Reply::new(550, "5.1.1 <x>: User unknown".repeat(100));
        report.dialogue(Said::BackendReject { envelope: envelope("RCPT"), reply });
    }
    assert_eq!((report.findings.len(), report.untold as usize), (FINDINGS, 10_000 - FINDINGS));
    assert_eq!(report.verdicts()[0].1, 10_000);
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.len() < 64 * 1024, "{}", text.len());
    assert!(Sentence(&report).to_string().len() < 8 * 1024);
}

#[test]
fn a_report_says_how_much_memory_it_takes() {
    let mut report = report();
    let before = report.size();
    let (envelope, text) = (envelope("RCPT"), "x".repeat(10_000));
    report.dialogue(Said::Unavailable { envelope: Arc::clone(&envelope) });
    let with_envelope = report.size() - before;
    assert!(with_envelope > size_of_val(&*envelope), "{with_envelope}");
    report.dialogue(Said::BackendReject { envelope, reply: Reply::new(550, text) });
    // What two findings share is counted once.
    let with_reply = report.size() - before - with_envelope;
    assert!((10_000..10_000 + with_envelope).contains(&with_reply), "{with_envelope} {with_reply}");
}

#[test]
fn a_connection_that_is_cut_off_leaves_its_report() {
    let lines = messages(Report::admitted);
    assert_eq!(lines[1], "DISCONNECT [192.0.2.7]:4711");
    let lines = logged(Format::Json, Least::Info, || drop(report()));
    assert!(lines[0].contains("\"outcome\":\"cut\""), "{lines:?}");
}

#[test]
fn lists_that_cannot_be_asked_are_told_of() {
    let lines = messages(|report| report.screen(answered(Answer::Temporary(Trouble::Timeout))));
    assert_eq!(lines[0], "warning: dnsblog_query: lookup error for DNS query bl.test: timeout");
}
