//! `prescreen preflight` against a real Postfix, set up well and badly: what it finds, what it advises, how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::LazyLock;

use prescreen::dns::{Responder, Zone};
use support::dns::Dns;
use support::postfix::Postfix;
use support::prescreen::{Config, Ended, command, config_file};
use support::{eventually, free_address};

/// Anybody may be told to it by XCLIENT, and its own network is this host.
static POSTFIX: LazyLock<Postfix> = LazyLock::new(|| {
    Postfix::start_with(&[
        "smtpd_authorized_xclient_hosts = 127.0.0.1",
        "mynetworks = 127.0.0.0/8",
        "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
    ])
});
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

const GOOD: Option<i32> = Some(0);
const COULD_BE_BETTER: Option<i32> = Some(1);
const GRAVE: Option<i32> = Some(78);

fn config(server: SocketAddr, identity: &str) -> Config {
    Config::before_address(server, DNS.address)
        .set("backend.identity", &format!("'{identity}'"))
        .set("limits.pre_queue_limit", "100")
}

/// Runs it, or another command.
fn run(config: &Config, arguments: &[&str]) -> Ended {
    let (_folder, file) = config_file(&config.toml());
    command(&[arguments, &["--config", file.to_str().unwrap()]].concat())
}

#[track_caller]
fn finds(config: &Config, end: Option<i32>, words: &[&str]) {
    let ended = run(config, &["preflight"]);
    assert_eq!(ended.code, end, "{}", ended.said);
    for words in words {
        assert!(ended.said.contains(words), "{words:?} is not in\n{}", ended.said);
    }
}

#[test]
fn all_is_well() {
    let good = "127.0.0.1:";
    for (server, identity) in
        [(POSTFIX.proxied, "proxy-v2"), (POSTFIX.proxied, "proxy-v1"), (POSTFIX.direct, "xclient")]
    {
        let understands = format!(": understands {identity}; offers PIPELINING SIZE");
        let words = [good, &understands, "relays nothing for strangers", "does not exist that it does not"];
        finds(&config(server, identity), GOOD, &words);
    }
    let ended = run(&config(POSTFIX.proxied, "proxy-v2"), &["check", "--preflight"]);
    assert_eq!(ended.code, GOOD, "{}", ended.said);
    assert!(ended.said.contains("The configuration is good.\n"), "{}", ended.said);
    assert!(ended.said.contains("understands proxy-v2"), "{}", ended.said);
}

#[test]
fn what_is_not_understood_is_told_with_what_would_be() {
    let not = |identity| format!("does not understand backend.identity = \"{identity}\"");
    let write = |identity| format!("write backend.identity = \"{identity}\"");
    finds(&config(POSTFIX.direct, "proxy-v2"), GRAVE, &[&not("proxy-v2"), &write("xclient")]);
    finds(&config(POSTFIX.direct, "proxy-v1"), GRAVE, &[&not("proxy-v1"), &write("xclient")]);
    finds(&config(POSTFIX.proxied, "xclient"), GRAVE, &[&not("xclient"), &write("proxy-v2")]);
    finds(
        &config(POSTFIX.proxied, "none"),
        GRAVE,
        &["wants to be told who the client is", &write("proxy-v2")],
    );
}

#[test]
fn a_server_that_trusts_this_host_is_an_open_relay_unless_it_is_told_who_the_client_is() {
    let words = ["could be told who the client is", "an open relay", "from this host", "mynetworks"];
    finds(&config(POSTFIX.direct, "none"), GRAVE, &words);
    let everybody = Postfix::start_with(&[
        "mynetworks = 0.0.0.0/0",
        "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
    ]);
    let words = ["an open relay", "from strangers", "smtpd_relay_restrictions"];
    finds(&config(everybody.proxied, "proxy-v2"), GRAVE, &words);
    assert!(!everybody.log().contains("postfix/cleanup"), "a message was sent\n{}", everybody.log());
}

#[test]
fn only_a_message_to_a_mailbox_that_is_named_shows_what_ends_it() {
    let strict = Postfix::start_with(&["smtpd_forbid_bare_newline = reject"]);
    let normal = Postfix::start_with(&["smtpd_forbid_bare_newline = normalize"]);
    for (postfix, end, words) in [
        (&*POSTFIX, COULD_BE_BETTER, "takes <LF>.<CR><LF> for the end of a message"),
        (&strict, GOOD, "refuses <LF>.<CR><LF>"),
        (&normal, GOOD, "takes <LF>.<CR><LF> for content"),
    ] {
        let ended =
            run(&config(postfix.proxied, "proxy-v2"), &["preflight", "--to", "preflight@example.org"]);
        assert_eq!(ended.code, end, "{}", ended.said);
        assert!(ended.said.contains(words), "{}", ended.said);
    }
    POSTFIX.mailbox.await_messages("preflight", 1);
    assert!(strict.mailbox.messages("preflight").is_empty());

    let ended = run(&config(POSTFIX.proxied, "proxy-v2"), &["preflight", "--to", "nobody@example.org"]);
    assert_eq!(ended.code, COULD_BE_BETTER, "{}", ended.said);
    assert!(ended.said.contains("User unknown") && ended.said.contains("--to"), "{}", ended.said);
}

#[test]
fn who_is_not_there_is_told() {
    finds(&config(free_address(), "proxy-v2"), GRAVE, &["cannot be spoken with", "refused", "start it"]);
    let nobody = free_address();
    let config = config(POSTFIX.proxied, "proxy-v2").set("dns.servers", &format!("['{nobody}']"));
    let words = [&*format!("resolver {nobody}: does not answer"), "dns.servers"];
    finds(&config.set("dns.timeout", "'1s'"), COULD_BE_BETTER, &words);
}

#[test]
fn a_resolver_that_invents_answers_is_found_out_and_so_are_lists_that_turn_it_away() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let zone = "*.example.com A 198.51.100.1\n\
                2.0.0.127.blocked.example.net A 127.255.255.254\n1.0.0.127.blocked.example.net A 127.255.255.254\n";
    let loopback = "127.0.0.1:0".parse().unwrap();
    let liar = runtime.block_on(Responder::bind(loopback, Zone::parse(zone).unwrap())).unwrap();
    let config = config(POSTFIX.proxied, "proxy-v2")
        .set("dns.servers", &format!("['{}']", liar.address()))
        .set("dnsbl.sites", "['blocked.example.net']");
    let words = [
        "invents answers",
        "unbound",
        "list blocked.example.net: the list turns away what comes through a public",
    ];
    finds(&config, COULD_BE_BETTER, &words);
}

#[test]
fn a_start_is_warned_and_not_delayed() {
    let mut prescreen = config(POSTFIX.direct, "proxy-v2").launch();
    prescreen.await_status("/readyz", 503);
    prescreen.await_log("preflight: does not understand backend.identity");
    eventually("the advice", || {
        prescreen.log().contains("write backend.identity = \\\"xclient\\\"").then_some(())
    });
}
