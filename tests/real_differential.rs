//! Postfix's smtpd and prescreen, given the same lists and tables and the same envelopes: what each answers to MAIL
//! and RCPT must be the same, byte for byte.
//!
//! Postfix is told by XCLIENT who the client is, prescreen by a PROXY header and by DNS. Each site is a set of lists;
//! for each, envelopes are drawn from the product of clients, HELO names, senders and recipients by a generator with
//! a fixed seed, so that a difference can be found again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use prescreen::demo::Sink;
use prescreen::dns::{Responder, Zone};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;
use tempfile::TempDir;

/// Envelopes for each site.
const ENVELOPES: usize = 420;

/// Address and name of each client; without a name DNS knows none.
const CLIENTS: [(&str, Option<&str>); 6] = [
    ("192.0.2.1", Some("mail.example.net")),
    ("192.0.2.2", None),
    ("198.51.100.7", Some("host.spam.test")),
    ("198.51.100.8", Some("dyn-8.pool.test")),
    ("10.1.2.3", Some("inside.example.org")),
    ("203.0.113.9", None),
];

const HELOS: [&str; 14] = [
    "mail.example.net",
    "friend",
    "192.0.2.1",
    "[192.0.2.1]",
    "[192.0.2.999]",
    "[IPv6:2001:db8::1]",
    "-bad-.test",
    "under_score.test",
    "spam.test",
    "sub.spam.test",
    "a..b",
    "localhost",
    "mail.example.net.",
    "we;rd(name)",
];

const SENDERS: [&str; 13] = [
    "",
    "a@example.net",
    "a@spam.test",
    "a@sub.spam.test",
    "bulk@example.net",
    "nodomain",
    "a@nodot",
    "user+ext@example.net",
    "\"a b\"@example.net",
    "A@EXAMPLE.NET",
    "a@[192.0.2.1]",
    "own@example.org",
    "a%b@example.net",
];

const RECIPIENTS: [&str; 18] = [
    "x@example.org",
    "postmaster",
    "x@relay.test",
    "x@sub.relay.test",
    "x@elsewhere.test",
    "x%elsewhere.test@example.org",
    "\"x@elsewhere.test\"@example.org",
    "@example.org:x@elsewhere.test",
    "elsewhere.test!x@example.org",
    "x%elsewhere.test@relay.test",
    "blocked@example.org",
    "defer@example.org",
    "code@example.org",
    "friend@elsewhere.test",
    "x@nodot",
    "User+Ext@Example.Org",
    "abuse@example.org",
    "x@EXAMPLE.ORG.",
];

/// A set of lists, as main.cf has them; `%` is the folder of the tables.
struct Site {
    name: &'static str,
    client: &'static str,
    helo: &'static str,
    sender: &'static str,
    relay: &'static str,
    recipient: &'static str,
}

const SITES: [Site; 6] = [
    Site {
        name: "what most guides say",
        client: "permit_mynetworks",
        helo: "permit_mynetworks, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname",
        sender: "permit_mynetworks, reject_non_fqdn_sender",
        relay: "permit_mynetworks, defer_unauth_destination",
        recipient: "permit_mynetworks, reject_non_fqdn_recipient, reject_unauth_destination",
    },
    Site {
        name: "access tables",
        client: "check_client_access texthash:%/client",
        helo: "check_helo_access texthash:%/helo",
        sender: "check_sender_access texthash:%/sender",
        relay: "reject_unauth_destination",
        recipient: "check_recipient_access texthash:%/recipient",
    },
    Site {
        name: "patterns",
        client: "check_client_access cidr:%/client.cidr, check_client_access regexp:%/client.regexp",
        helo: "check_helo_access regexp:%/helo.regexp",
        sender: "check_sender_access regexp:%/sender.regexp",
        relay: "permit_mynetworks, reject_unauth_destination",
        recipient: "check_recipient_access regexp:%/recipient.regexp",
    },
    Site {
        name: "warnings, deferrals and classes",
        client: "warn_if_reject reject_unknown_reverse_client_hostname, defer_if_permit",
        helo: "warn_if_reject reject_non_fqdn_helo_hostname",
        sender: "strict, permit",
        relay: "permit_mynetworks, permit_auth_destination, reject",
        recipient: "check_recipient_access inline:{ blocked@example.org=strict_reject defer@=DEFER }, defer_if_reject, permit",
    },
    Site {
        name: "names of clients",
        client: "check_client_access texthash:%/client, reject_unknown_reverse_client_hostname, reject_unknown_client_hostname",
        helo: "",
        sender: "check_sender_access inline:{ <>=OK example.net=DUNNO sub.spam.test=REJECT }",
        relay: "permit_mynetworks, check_recipient_access inline:{ friend@elsewhere.test=OK }, reject_unauth_destination",
        recipient: "reject_multi_recipient_bounce, permit_auth_destination, defer",
    },
    Site {
        name: "everything in one list, as in the old days",
        client: "",
        helo: "",
        sender: "",
        relay: "",
        recipient: "reject_invalid_hostname, reject_non_fqdn_hostname, reject_non_fqdn_sender, reject_non_fqdn_recipient, \
                    permit_mynetworks, reject_unauth_destination, check_helo_access texthash:%/helo, \
                    check_sender_access texthash:%/sender, reject_plaintext_session",
    },
];

const CLASSES: [(&str, &str); 2] = [
    ("strict", "reject_non_fqdn_sender, check_sender_access texthash:%/sender"),
    ("strict_reject", "reject"),
];

const TABLES: [(&str, &str); 8] = [
    (
        "client",
        "mail.example.net DUNNO\nspam.test REJECT we know you\n.pool.test REJECT never matches\npool.test 450 4.7.9 dynamic\n\
         203.0.113 554 5.7.1 that network\nunknown WARN no name\n10 OK\n",
    ),
    (
        "helo",
        "friend REJECT\nspam.test 550 5.7.1 no spam here\nlocalhost DEFER_IF_PERMIT are you sure\n[192.0.2.1] OK\n",
    ),
    (
        "sender",
        "<> DUNNO\nspam.test REJECT 5.1.8 not from there\nbulk@ 451 4.7.1 later\nuser+ext@example.net 553 only this one\n\
         nodomain@ DEFER\nown@example.org 550 5.7.1 that is ours\n",
    ),
    (
        "recipient",
        "blocked@example.org REJECT\ndefer@example.org DEFER not now\ncode@example.org 552 5.2.2 full\nabuse@ OK\n\
         relay.test INFO passing by\nuser+ext@example.org REJECT never an extension\n",
    ),
    ("client.cidr", "10.0.0.0/8 OK\n!192.0.2.0/24 WARN far away\n198.51.100.0/29 450 4.7.1 wait\n"),
    (
        "client.regexp",
        "/^unknown$/ DUNNO\n/(pool)\\.test$/ 554 5.7.1 $1 is dynamic\nif /spam/\n/^host\\./ REJECT spam host\nendif\n",
    ),
    (
        "helo.regexp",
        "/^[0-9.]+$/ 550 5.7.1 a bare address\n!/\\./ REJECT no dot in it\n/^-/ 501 5.5.2 bad name\n",
    ),
    (
        "sender.regexp",
        "/^(bulk|a%b)@/ 450 4.7.1 ${1} later\n/@nodot$/ DEFER_IF_REJECT hm\n/^$/ REJECT null\n",
    ),
];

const RECIPIENT_REGEXP: &str =
    "/^(code|defer)@(.*)$/ 554 5.7.1 $1 at $(2)\n/^abuse@/ OK\n/[%!]/ REJECT routed\n";

#[test]
fn smtpd_and_prescreen_say_the_same_to_the_same_envelopes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sink, names) = runtime.block_on(async {
        let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let zone = Zone::parse(&zone()).unwrap();
        (Sink::start(anywhere).await.unwrap(), Responder::bind(anywhere, zone).await.unwrap())
    });
    let mut compared = 0;
    let mut differences = String::new();
    for (number, site) in SITES.iter().enumerate() {
        let tables = tables();
        let postfix =
            Postfix::start_with(&main_cf(site, tables.path()).iter().map(String::as_str).collect::<Vec<_>>());
        let prescreen = prescreen(site, tables.path(), sink.address(), names.address());
        let mut smtpd = Talk::connect([127, 0, 0, 1].into(), postfix.direct);
        smtpd.expect("220 ");
        smtpd.ask("EHLO test", "250 ");
        let mut dice = Dice(0x5eed + number as u64);
        for _ in 0..ENVELOPES {
            let envelope = Envelope::draw(&mut dice);
            let (theirs, ours) = (ask_postfix(&mut smtpd, &envelope), ask_prescreen(&prescreen, &envelope));
            compared += 1;
            if theirs != ours && !is_known(&theirs, &ours) {
                writeln!(
                    differences,
                    "{}: {envelope:?}\n  smtpd:     {theirs:?}\n  prescreen: {ours:?}",
                    site.name
                )
                .unwrap();
            }
        }
    }
    assert!(compared >= 2_000, "{compared}");
    assert!(differences.is_empty(), "{compared} envelopes compared; they differ on\n{differences}");
}

/// Where this smtpd, which is of Postfix 3.7, says something else than the one whose manual we follow, 3.12.
fn is_known(theirs: &[String], ours: &[String]) -> bool {
    theirs.len() == ours.len()
        && theirs.iter().zip(ours).all(|(theirs, ours)| {
            theirs == ours
                // 3.7 answers with 4.7.1 where 3.12 has 4.7.25 (RFC 7372 §3.1).
                || theirs.replace("450 4.7.1 Client host rejected: cannot find your hostname", "450 4.7.25 Client host rejected: cannot find your hostname") == *ours
        })
}

#[derive(Debug)]
struct Envelope {
    client: (&'static str, Option<&'static str>),
    helo: &'static str,
    sender: &'static str,
    recipient: &'static str,
}

impl Envelope {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            client: dice.pick(&CLIENTS),
            helo: dice.pick(&HELOS),
            sender: dice.pick(&SENDERS),
            recipient: dice.pick(&RECIPIENTS),
        }
    }
}

/// Knuth's MMIX generator: enough for drawing, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(self.0 >> 33) as usize % from.len()]
    }
}

/// The replies to MAIL and, where that was accepted, RCPT.
fn envelope(talk: &mut Talk, envelope: &Envelope) -> Vec<String> {
    let mut replies = Vec::new();
    for command in [format!("MAIL FROM:<{}>", envelope.sender), format!("RCPT TO:<{}>", envelope.recipient)] {
        talk.say(&command);
        let said = talk.reply();
        replies.push(said.lines.join("\n"));
        if said.code >= 400 {
            break;
        }
    }
    replies
}

fn ask_postfix(talk: &mut Talk, which: &Envelope) -> Vec<String> {
    let (address, name) = which.client;
    let name = name.unwrap_or("[UNAVAILABLE]");
    talk.ask("RSET", "250 ");
    talk.ask(&format!("XCLIENT ADDR={address} NAME={name} REVERSE_NAME={name}"), "220 ");
    talk.ask(&format!("EHLO {}", which.helo), "250 ");
    envelope(talk, which)
}

fn ask_prescreen(prescreen: &Prescreen, which: &Envelope) -> Vec<String> {
    let mut talk = Talk::connect([127, 0, 0, 1].into(), prescreen.smtp);
    talk.say(&format!("PROXY TCP4 {} 192.0.2.25 40000 25", which.client.0));
    talk.expect("220 ");
    talk.ask(&format!("EHLO {}", which.helo), "250 ");
    envelope(&mut talk, which)
}

/// Forward and reverse names of the clients that have one.
fn zone() -> String {
    let mut zone = String::new();
    for (address, name) in CLIENTS {
        if let Some(name) = name {
            writeln!(zone, "{address} PTR {name}\n{name} A {address}").unwrap();
        }
    }
    zone
}

fn tables() -> TempDir {
    let folder = TempDir::with_prefix("prescreen-tables-").unwrap();
    for (name, text) in TABLES.into_iter().chain([("recipient.regexp", RECIPIENT_REGEXP)]) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    // smtpd runs as another user.
    std::process::Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path()).status().unwrap();
    folder
}

fn main_cf(site: &Site, tables: &Path) -> Vec<String> {
    let in_place = |list: &str| list.replace('%', tables.to_str().unwrap());
    let lists = [
        ("client", site.client),
        ("helo", site.helo),
        ("sender", site.sender),
        ("relay", site.relay),
        ("recipient", site.recipient),
    ];
    let mut settings: Vec<_> =
        lists.map(|(name, list)| format!("smtpd_{name}_restrictions = {}", in_place(list))).into();
    settings.push(format!("smtpd_restriction_classes = {}", CLASSES.map(|(name, _)| name).join(", ")));
    settings.extend(CLASSES.map(|(name, list)| format!("{name} = {}", in_place(list))));
    settings.extend(
        [
            "myhostname = mx.example.org",
            "mydestination = example.org",
            "myorigin = example.org",
            "local_recipient_maps =",
            "virtual_mailbox_domains =",
            "virtual_mailbox_maps =",
            "relay_domains = relay.test",
            "relay_recipient_maps =",
            "mynetworks = 10.0.0.0/8",
            "recipient_delimiter = +",
            "smtpd_authorized_xclient_hosts = 0.0.0.0/0",
            "smtpd_hard_error_limit = 1000000",
            "smtpd_soft_error_limit = 1000000",
            "smtpd_junk_command_limit = 1000000",
            "smtpd_peername_lookup = yes",
        ]
        .map(str::to_owned),
    );
    settings
}

fn prescreen(site: &Site, tables: &Path, sink: SocketAddr, names: SocketAddr) -> Prescreen {
    let in_place = |list: &str| format!("'''{}'''", list.replace('%', tables.to_str().unwrap()));
    let mut config = Config::before_address(sink, names)
        .set("mynetworks", "['10.0.0.0/8']")
        .set("domains.relay", "['relay.test']")
        .set("screen.access_list", "'dunno'")
        .set("screen.greet_wait", "0")
        .set("restrictions.client", &in_place(site.client))
        .set("restrictions.helo", &in_place(site.helo))
        .set("restrictions.sender", &in_place(site.sender))
        .set("restrictions.relay", &in_place(site.relay))
        .set("restrictions.recipient", &in_place(site.recipient))
        .set("domains.recipient_delimiter", "'+'")
        .listener("proxy_protocol", "'required'")
        .listener("trusted", "['127.0.0.0/8']");
    for (name, list) in CLASSES {
        config = config.set(&format!("restrictions.classes.{name}"), &in_place(list));
    }
    config.start()
}
