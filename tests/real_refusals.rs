//! Who is turned away in front of a real Postfix, in which words, and that Postfix never hears of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use prescreen::dns::{Responder, Zone};
use support::dns::{Dns, LIST};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen, command};
use support::talk::{Said, Talk};
use support::{client, free_address};

/// Addresses that the block list holds.
const LISTED: Ipv4Addr = client(66);
const LISTED_TOO: Ipv4Addr = client(67);

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[LISTED, LISTED_TOO]));

const SENDER: &str = "sender@example.com";
const TOO_MANY_ERRORS: &str = "421 4.7.0 mx.example.org Error: too many errors";

fn config() -> Config {
    Config::before(&POSTFIX, &DNS).set("dnsbl.sites", &format!("['{LIST}']"))
}

/// A wait that would be a long one, were it not over as soon as the verdict is known.
fn config_with_a_long_wait() -> Config {
    config().set("screen.greet_wait", "'1h'")
}

/// A client that has failed a test: every recipient is refused for that reason, until the client has had enough.
#[track_caller]
fn fails(test: &str, why: &str, prescreen: &Prescreen, mut talk: Talk, from: Ipv4Addr) {
    talk.expect(why);
    talk.ask("RCPT TO:<another@example.org>", why);
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty(), "{}", talk.record());
    comes_to(test, prescreen, from);
}

/// A client that a restriction list refuses: one error of its own making is one too many.
#[track_caller]
fn is_rejected(why: &str, prescreen: &Prescreen, mut talk: Talk, from: Ipv4Addr) {
    talk.expect(why);
    let replies = talk.closed();
    assert_eq!(replies.iter().map(Said::text).collect::<Vec<_>>(), [TOO_MANY_ERRORS], "{}", talk.record());
    comes_to("rejected", prescreen, from);
}

/// A client that is told so and shut out.
#[track_caller]
fn is_dropped(outcome: &str, why: &str, prescreen: &Prescreen, mut talk: Talk, from: Ipv4Addr) {
    let replies = talk.closed();
    let last = replies.last().expect("a reply before the end");
    assert!(last.text().starts_with(why), "{why:?} expected\n{}", talk.record());
    comes_to(outcome, prescreen, from);
}

/// One connection, one outcome, this one; and Postfix was not troubled with it.
#[track_caller]
fn comes_to(outcome: &str, prescreen: &Prescreen, from: Ipv4Addr) {
    prescreen.one_outcome_for_each_of(1);
    assert_eq!(prescreen.connections(&[&format!("outcome=\"{outcome}\"")]), 1.0, "{}", prescreen.log());
    let log = POSTFIX.log();
    assert!(!log.contains(&format!("[{from}]")), "Postfix has heard of {from}:\n{log}");
}

#[test]
fn an_early_talker_is_refused_at_rcpt() {
    let prescreen = config_with_a_long_wait().start();
    let mut talk = Talk::connect(client(40), prescreen.smtp);
    talk.say("EHLO mail.example.com");
    talk.expect("220 ");
    talk.expect("250 ");
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.say("RCPT TO:<early@example.org>");
    fails("pregreet", "550 5.5.1 Protocol error", &prescreen, talk, client(40));
}

#[test]
fn an_early_talker_is_dropped_where_so_configured() {
    let prescreen = config_with_a_long_wait().set("screen.greet_action", "'drop'").start();
    let mut talk = Talk::connect(client(41), prescreen.smtp);
    talk.say("EHLO mail.example.com");
    is_dropped("pregreet", "521 5.5.1 Protocol error", &prescreen, talk, client(41));
}

#[test]
fn a_pipeliner_is_refused_at_rcpt() {
    let prescreen = config().start();
    let mut talk = Talk::greeted(client(42), prescreen.smtp);
    talk.send(format!("MAIL FROM:<{SENDER}>\r\nRCPT TO:<pipeliner@example.org>\r\n").as_bytes());
    talk.expect("250 ");
    fails("pipelining", "550 5.5.1 Protocol error", &prescreen, talk, client(42));
}

#[test]
fn an_http_client_is_dropped() {
    let prescreen = config().start();
    let mut talk = Talk::connect(client(43), prescreen.smtp);
    talk.expect("220 ");
    talk.send(b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n");
    let why = "521 5.7.0 Error: I can break rules, too. Goodbye.";
    is_dropped("non_smtp_command", why, &prescreen, talk, client(43));
}

#[test]
fn a_client_on_the_block_list_is_refused_at_rcpt() {
    let prescreen = config_with_a_long_wait().start();
    let mut talk = Talk::greeted(LISTED, prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.say("RCPT TO:<listed@example.org>");
    let why = format!("550 5.7.1 Service unavailable; client [{LISTED}] blocked using {LIST}");
    fails("dnsbl", &why, &prescreen, talk, LISTED);
}

#[test]
fn a_client_on_the_block_list_is_dropped_where_so_configured() {
    let prescreen = config_with_a_long_wait().set("dnsbl.action", "'drop'").start();
    let talk = Talk::connect(LISTED_TOO, prescreen.smtp);
    let why = format!("521 5.7.1 Service unavailable; client [{LISTED_TOO}] blocked using {LIST}");
    is_dropped("dnsbl", &why, &prescreen, talk, LISTED_TOO);
}

#[test]
fn a_bare_newline_is_refused_at_rcpt() {
    let prescreen = config().start();
    let mut talk = Talk::greeted(client(44), prescreen.smtp);
    talk.send(format!("MAIL FROM:<{SENDER}>\n").as_bytes());
    talk.expect("250 ");
    talk.say("RCPT TO:<newline@example.org>");
    fails("bare_newline", "550 5.5.1 Protocol error", &prescreen, talk, client(44));
}

#[test]
fn a_helo_name_that_none_can_have_is_refused_at_rcpt() {
    for (at, (name, why)) in [
        ("localhost", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"),
        ("a..b", "501 5.5.2 <a..b>: Helo command rejected: Invalid name"),
        ("[999.1.2.3]", "501 5.5.2 <[999.1.2.3]>: Helo command rejected: invalid ip address"),
        ("192.0.2.1", "504 5.5.2 <192.0.2.1>: Helo command rejected: need fully-qualified hostname"),
    ]
    .into_iter()
    .enumerate()
    {
        let prescreen = config().start();
        let from = client(45 + u8::try_from(at).unwrap());
        let mut talk = Talk::connect(from, prescreen.smtp);
        talk.expect("220 ");
        talk.ask(&format!("EHLO {name}"), "250 ");
        talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
        talk.say("RCPT TO:<helo@example.org>");
        is_rejected(why, &prescreen, talk, from);
    }
}

#[test]
fn mail_for_elsewhere_is_not_relayed() {
    let prescreen = config().start();
    let mut talk = Talk::greeted(client(50), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.say("RCPT TO:<victim@elsewhere.example>");
    let why = "554 5.7.1 <victim@elsewhere.example>: Relay access denied";
    is_rejected(why, &prescreen, talk, client(50));
}

#[test]
fn a_sender_whose_domain_does_not_exist_is_put_off() {
    let prescreen = config().start();
    let mut talk = Talk::greeted(client(51), prescreen.smtp);
    talk.ask("MAIL FROM:<someone@nowhere.example>", "250 ");
    talk.say("RCPT TO:<alive@example.org>");
    let why = "450 4.1.8 <someone@nowhere.example>: Sender address rejected: Domain not found";
    is_rejected(why, &prescreen, talk, client(51));
}

#[test]
fn guessing_recipients_ends_when_the_backend_has_refused_enough() {
    let prescreen = config().set("errors.recipient_error_limit", "3").start();
    let mut talk = Talk::greeted(client(52), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    for guess in ["nobody-1", "nobody-2", "nobody-3"] {
        talk.ask(&format!("RCPT TO:<{guess}@example.org>"), &format!("550 5.1.1 <{guess}@example.org>"));
    }
    let replies = talk.closed();
    assert_eq!(replies.iter().map(Said::text).collect::<Vec<_>>(), [TOO_MANY_ERRORS], "{}", talk.record());
    prescreen.one_outcome_for_each_of(1);
    assert_eq!(prescreen.connections(&["outcome=\"backend_rejected\""]), 1.0, "{}", prescreen.log());
}

#[test]
fn a_client_on_the_deny_list_is_refused_at_rcpt() {
    let prescreen = config().set("screen.access_list", "'inline:{ 127.0.0.55=reject }'").start();
    let mut talk = Talk::greeted(client(55), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.say("RCPT TO:<denied@example.org>");
    fails("denylisted", "550 5.3.2 Service currently unavailable", &prescreen, talk, client(55));
}

#[test]
fn a_client_that_is_dropped_is_put_off_where_all_is_put_off() {
    let prescreen = config()
        .set("screen.access_list", "'inline:{ 127.0.0.63=reject }'")
        .set("screen.denylist_action", "'drop'")
        .set("smtp.soft_bounce", "'yes'")
        .start();
    let talk = Talk::connect(client(63), prescreen.smtp);
    is_dropped("denylisted", "421 4.3.2 Service currently unavailable", &prescreen, talk, client(63));
}

#[test]
fn a_client_with_too_many_connections_at_once_is_told_so() {
    let prescreen = config().set("limits.client_connection_count_limit", "2").start();
    let crowd = [(); 2].map(|()| Talk::greeted(client(56), prescreen.smtp));
    let mut one_more = Talk::connect(client(56), prescreen.smtp);
    let replies = one_more.closed();
    let why = "421 4.7.0 mx.example.org Error: too many connections from 127.0.0.56";
    assert_eq!(replies.iter().map(Said::text).collect::<Vec<_>>(), [why], "{}", one_more.record());
    comes_to("too_many_connections", &prescreen, client(56));
    drop(crowd);
    prescreen.one_outcome_for_each_of(3);
    Talk::greeted(client(56), prescreen.smtp).ask("QUIT", "221 ");
}

#[test]
fn the_busiest_clients_are_told_as_anvil_tells_them() {
    let prescreen = config().set("limits.status_update_time", "'1s'").start();
    let _two = [(); 2].map(|()| Talk::greeted(client(62), prescreen.smtp));
    prescreen.await_log("statistics: max connection count 2 for (smtp:127.0.0.62)");
}

#[test]
fn explain_foretells_what_each_client_hears() {
    let prescreen = config().start();
    let file = prescreen.config_file();
    let cast = [
        (client(57), "mail.example.com", SENDER, "alive@example.org"),
        (LISTED, "mail.example.com", SENDER, "alive@example.org"),
        (client(58), "localhost", SENDER, "alive@example.org"),
        (client(59), "mail.example.com", "someone@nowhere.example", "alive@example.org"),
        (client(60), "mail.example.com", SENDER, "victim@elsewhere.example"),
        (client(61), "mail.example.com", "someone", "alive@example.org"),
    ];
    for (from, helo, sender, recipient) in cast {
        let mut talk = Talk::connect(from, prescreen.smtp);
        talk.expect("220 ");
        talk.ask(&format!("EHLO {helo}"), "250 ");
        let heard = talk.envelope(sender, recipient);
        let address = from.to_string();
        let arguments = ["--client", &address, "--helo", helo, "--from", sender, "--to", recipient];
        let told = command(&[&["explain", "--config", file.to_str().unwrap()], &arguments[..]].concat());
        let (_, behind) = told.said.split_once("C: RCPT TO:").unwrap_or_else(|| panic!("{}", told.said));
        let foretold = behind.lines().find_map(|line| line.trim_start().strip_prefix("S: ")).unwrap();
        if heard.code == 250 {
            assert!(foretold.starts_with("250 "), "{heard:?}\n{}", told.said);
        } else {
            assert_eq!(heard.text(), foretold, "{}", told.said);
        }
    }
}

#[test]
fn hanging_up_is_no_offence() {
    let prescreen = config().start();
    drop(Talk::connect(client(53), prescreen.smtp));
    comes_to("hangup", &prescreen, client(53));
    // Neither remembered against the client nor taken for a pass.
    let mut talk = Talk::greeted(client(53), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "alive@example.org").code, 250);
    talk.ask("QUIT", "221 ");
    assert!(talk.closed().is_empty());
    prescreen.one_outcome_for_each_of(2);
}

#[test]
fn the_test_entry_of_the_block_list_is_listed_like_any_other() {
    let prescreen = config_with_a_long_wait().start();
    let mut talk = Talk::greeted(client(2), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
    talk.say("RCPT TO:<listed@example.org>");
    let why = format!("550 5.7.1 Service unavailable; client [{}] blocked using {LIST}", client(2));
    fails("dnsbl", &why, &prescreen, talk, client(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_list_of_the_world_refuses_nobody_before_it_is_found_out() {
    let world = "*.bl.example.net A 127.0.0.2\n1.0.0.127.bl.example.net A 127.0.0.2\n\
                 1.0.0.127.bl.example.net A DELAY 2000\nexample.com A 192.0.2.1";
    let resolver = Responder::bind(([127, 0, 0, 1], 0).into(), Zone::parse(world).unwrap()).await.unwrap();
    let prescreen = Config::before_address(POSTFIX.proxied, resolver.address())
        .set("dnsbl.sites", "['bl.example.net']")
        .start();
    let mut talk = Talk::greeted(client(3), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "untested@example.org").code, 250, "{}", talk.record());
}

#[test]
fn a_block_list_that_does_not_answer_refuses_nobody() {
    // Nobody answers at all: neither for the list nor for its test entries.
    let nobody = format!("['{}']", free_address());
    let prescreen = config().set("dns.servers", &nobody).set("restrictions.sender", "''").start();
    let mut talk = Talk::greeted(client(54), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "nobody-asked@example.org").code, 550, "by Postfix, for its own reason");
    talk.ask("QUIT", "221 ");
    prescreen.one_outcome_for_each_of(1);
}
