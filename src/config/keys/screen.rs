//! Keys of the tests before and behind the greeting.

use std::time::Duration;

use super::{SECOND, Section, key, section};
use crate::config::grammar::{line, time, word, yes_no};
use crate::config::slot::{list, one, optional, preset, whole};
use crate::screen::{self, DeepTest, dnsbl};
use crate::time::Unit::{Days, Hours, Minutes, Seconds};

const ACTIONS: &str = "ignore, enforce or drop";

#[rustfmt::skip]
pub(super) fn screen(screen: &mut screen::Settings) -> Section<'_> {
    let DeepTest { enable: pipelining_enable, action: pipelining_action, ttl: pipelining_ttl } = &mut screen.pipelining;
    let DeepTest { enable: non_smtp_enable, action: non_smtp_action, ttl: non_smtp_ttl } = &mut screen.non_smtp_command;
    let DeepTest { enable: newline_enable, action: newline_action, ttl: newline_ttl } = &mut screen.bare_newline;
    let doc = "Tests that tell mail servers from zombies. ignore: count it, go on; enforce: refuse every recipient; \
               drop: refuse and close.";
    section("screen", doc, vec![
        key("access_list", whole(&mut screen.access_list, word("permit_mynetworks, permit, reject, dunno, tables")),
            "Who is let through, and who is refused, without any test."),
        key("denylist_action", one(&mut screen.denylist_action, word(ACTIONS)),
            "What happens to a client that access_list rejects."),
        key("greet_wait", one(&mut screen.greet_wait, time(Seconds, Duration::ZERO)),
            "How long a new client waits for the greeting; also the longest wait for DNS lists. 0: no pregreet test."),
        key("stress_greet_wait", one(&mut screen.stress_greet_wait, time(Seconds, Duration::ZERO)),
            "The same when nine tenths of limits.pre_queue_limit are taken. 0: no wait but for DNS lists, 2s at most."),
        key("greet_banner", preset(&mut screen.greet_banner, line()),
            "Said at once, as 220-TEXT, to tempt those who do not wait. Empty: nothing. Default: HOSTNAME ESMTP."),
        key("greet_action", one(&mut screen.greet_action, word(ACTIONS)),
            "What happens to a client that speaks before it was greeted."),
        key("greet_ttl", one(&mut screen.greet_ttl, time(Days, SECOND)),
            "How long having waited counts."),
        key("pipelining_enable", one(pipelining_enable, yes_no()),
            "Whether clients must wait for replies. One that has failed an earlier test must in any case."),
        key("pipelining_action", one(pipelining_action, word(ACTIONS)),
            "What happens to a client that does not."),
        key("pipelining_ttl", one(pipelining_ttl, time(Days, SECOND)),
            "How long a pass counts."),
        key("non_smtp_command_enable", one(non_smtp_enable, yes_no()),
            "Whether clients must speak SMTP, not HTTP or a message's headers."),
        key("non_smtp_command_action", one(non_smtp_action, word(ACTIONS)),
            "What happens to a client that does not."),
        key("non_smtp_command_ttl", one(non_smtp_ttl, time(Days, SECOND)),
            "How long a pass counts."),
        key("bare_newline_enable", one(newline_enable, yes_no()),
            "Whether clients must end lines with CR LF."),
        key("bare_newline_action", one(newline_action, word(ACTIONS)),
            "What happens to a client that does not."),
        key("bare_newline_ttl", one(newline_ttl, time(Days, SECOND)),
            "How long a pass counts."),
    ])
}

#[rustfmt::skip]
pub(super) fn dnsbl(dnsbl: &mut dnsbl::Settings) -> Section<'_> {
    section("dnsbl", "DNS lists, weighed against each other.", vec![
        key("sites", list(&mut dnsbl.sites, word("domain[=filter][*weight]")),
            "The lists. A negative weight speaks for a client: [\"zen.spamhaus.org*3\", \"list.dnswl.org=127.0.[0..255].[1..3]*-2\"]"),
        key("threshold", one(&mut dnsbl.threshold, word("number from 1").bare()),
            "The score from which on a client fails."),
        key("allowlist_threshold", one(&mut dnsbl.allowlist_threshold, word("number below 0, or 0 for off").bare()),
            "The score down from which a client skips all other tests."),
        key("action", one(&mut dnsbl.action, word(ACTIONS)),
            "What happens to a client that fails."),
        key("reply_map", optional(&mut dnsbl.reply_map, word("table")),
            "From a list's domain to the name that others may see: for domains that hold a customer's key."),
        key("min_ttl", one(&mut dnsbl.min_ttl, time(Seconds, SECOND)),
            "The shortest time for which a pass is remembered."),
        key("max_ttl", one(&mut dnsbl.max_ttl, time(Hours, SECOND)),
            "The longest."),
        key("self_test_interval", one(&mut dnsbl.self_test_interval, time(Minutes, Duration::ZERO)),
            "How often each list is tested (RFC 5782); one that fails counts nothing until it heals. 0: never."),
    ])
}
