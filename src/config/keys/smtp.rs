//! Keys of the session: how it talks, which errors end it, how much it may ask for.

use std::time::Duration;

use super::{SECOND, Section, key, section};
use crate::config::grammar::{choice, line, number, time, word, yes_no, yes_no_as};
use crate::config::slot::{list, one, optional, preset, whole};
use crate::dialogue::{self, Auth};
use crate::limits;
use crate::rate;
use crate::smtp::address::PathSyntax;
use crate::time::Unit::Seconds;

#[rustfmt::skip]
pub(super) fn sections<'a>(
    smtp: &'a mut dialogue::Settings,
    auth: &'a mut Auth,
    limits: &'a mut limits::Settings,
    rate: &'a mut rate::Settings,
    event_limit_exceptions: &'a mut Option<String>,
) -> [Section<'a>; 3] {
    let errors = &mut smtp.errors;
    [
        section("smtp", "How prescreen talks with the client until a backend takes over.", vec![
            key("banner", one(&mut smtp.banner, line()),
                "The text of the 220 greeting, host name first. Empty: HOSTNAME ESMTP."),
            key("helo_required", one(&mut smtp.helo_required, yes_no()),
                "Whether MAIL and ETRN need HELO or EHLO first."),
            key("disable_vrfy_command", one(&mut smtp.disable_vrfy_command, yes_no()),
                "Whether VRFY is refused; else it is answered 252."),
            key("strict_rfc821_envelopes",
                one(&mut smtp.strict_rfc821_envelopes, yes_no_as(PathSyntax::Strict, PathSyntax::Lenient)),
                "Whether addresses must stand in <>."),
            key("forbidden_commands", whole(&mut smtp.forbidden_commands, word("words, tables")),
                "First words that no mail client says."),
            key("discard_ehlo_keywords", list(&mut smtp.discard_ehlo_keywords, word("keyword")),
                "What EHLO does not show although the backend offers it."),
            key("discard_ehlo_keyword_address_maps",
                whole(&mut smtp.discard_ehlo_keyword_address_maps, word("tables")),
                "The same for single clients: keywords by address."),
            key("auth", one(auth, choice()),
                "Whether AUTH is offered when the backend does; the session is then the backend's."),
            key("soft_bounce", one(&mut smtp.soft_bounce, yes_no()),
                "Whether our own 5xx replies become 4xx: for trying things out."),
            key("reject_footer", optional(&mut smtp.reject_footer, word("text")),
                "Text behind every refusal: \\c joins it to the reply, \\n begins a line; $client_address, $localtime, \
                 $recipient, $server_name, $id (which prescreen why takes) and so on are filled in. Empty: none, as \
                 Postfix does."),
            key("reject_footer_maps", whole(&mut smtp.reject_footer_maps, word("tables")),
                "The same for single replies: footers by code and text."),
        ]),
        section("errors", "Which errors end a session, and which slow it down.", vec![
            key("hard_error_limit", one(&mut errors.hard_error_limit, number(1..=u32::MAX)),
                "Errors of the client's own making that end the session. Postfix has 20."),
            key("soft_error_limit", one(&mut errors.soft_error_limit, number(1..=u32::MAX)),
                "Errors of any class from which on every reply waits for error_sleep_time."),
            key("error_sleep_time", one(&mut errors.error_sleep_time, time(Seconds, Duration::ZERO)),
                "How long it waits."),
            key("junk_command_limit", one(&mut errors.junk_command_limit, number(0..=u32::MAX)),
                "HELO, EHLO, RSET, NOOP, VRFY and ETRN that are free; each one more is an error."),
            key("recipient_error_limit", one(&mut errors.recipient_error_limit, number(1..=u32::MAX)),
                "Recipients that the backend refuses for good, or that do not exist; so many end the session."),
        ]),
        section("limits", "How much at once, how much in one session, and how long.", vec![
            key("pre_queue_limit", one(&mut limits.pre_queue_limit, number(10..=usize::MAX)),
                "Connections at once that are still being screened or spoken with. A tenth more is kept for clients \
                 that have passed before."),
            key("post_queue_limit", one(&mut limits.post_queue_limit, number(5..=usize::MAX)),
                "Connections at once that have been handed to a backend; keep it at what the backend can serve."),
            key("client_connection_count_limit",
                one(&mut rate.client_connection_count_limit, number(0..=u32::MAX)),
                "Connections at once from one client; 0 is no limit."),
            key("client_connection_rate_limit", one(&mut rate.client_connection_rate_limit, number(0..=u32::MAX)),
                "Connections of one client per rate_time_unit; 0 is no limit."),
            key("client_message_rate_limit", one(&mut rate.client_message_rate_limit, number(0..=u32::MAX)),
                "MAIL commands of one client per rate_time_unit, refused ones included; 0 is no limit."),
            key("client_recipient_rate_limit", one(&mut rate.client_recipient_rate_limit, number(0..=u32::MAX)),
                "RCPT and VRFY commands of one client per rate_time_unit, refused ones included; 0 is no limit."),
            key("status_update_time", one(&mut rate.status_update_time, time(Seconds, SECOND)),
                "How often the log is told the highest counts of any client, as anvil(8) does; metrics show them, too."),
            key("rate_time_unit", one(&mut rate.rate_time_unit, time(Seconds, SECOND)),
                "What rates are counted per, in whole seconds."),
            key("shared_rates", one(&mut rate.shared_rates, yes_no()),
                "Whether the hosts that share an allowlist (allowlist.shared) count together: connections, messages and \
                 recipients per rate_time_unit. Each counts by itself, too, and alone while that server is away."),
            key("client_event_limit_exceptions", preset(event_limit_exceptions, word("networks, names, tables")),
                "Clients that are not counted at all. Default: mynetworks."),
            key("client_ipv4_prefix_length", one(&mut rate.client_ipv4_prefix_length, number(1..=32)),
                "Leading bits of an IPv4 address that make one client."),
            key("client_ipv6_prefix_length", one(&mut rate.client_ipv6_prefix_length, number(1..=128)),
                "The same of an IPv6 address."),
            key("rate_entries", one(&mut rate.max_entries, number(1..=usize::MAX)),
                "Clients whose rates are remembered; about 100 bytes each."),
            key("command_count_limit", one(&mut smtp.command_count_limit, number(1..=u32::MAX)),
                "Commands before one recipient is accepted or put off; RCPTs that are refused do not count."),
            key("command_time_limit", one(&mut limits.command_time_limit, time(Seconds, SECOND)),
                "The time for one complete command line, and for taking our reply."),
            key("stress_command_time_limit", one(&mut limits.stress_command_time_limit, time(Seconds, SECOND)),
                "The same when nine tenths of pre_queue_limit are taken."),
            key("line_length_limit", one(&mut smtp.line_length_limit, number(512..=usize::MAX)),
                "The longest command line in bytes, its ending included."),
            key("message_size_limit", one(&mut smtp.message_size_limit, number(0..=u64::MAX)),
                "The largest message in bytes, as SIZE and MAIL know it; 0 leaves it to the backend."),
            key("recipient_limit", one(&mut smtp.recipient_limit, number(1..=usize::MAX)),
                "Recipients accepted or put off for one message; more are told 452."),
            key("recipient_overshoot_limit", one(&mut smtp.recipient_overshoot_limit, number(1..=usize::MAX)),
                "Recipients beyond the limit that are not yet an error."),
            key("drain_time_limit", one(&mut limits.drain_time_limit, time(Seconds, Duration::ZERO)),
                "How long sessions that were handed over may go on after SIGTERM. Docker grants ten seconds in all."),
            key("upgrade_time_limit", one(&mut limits.upgrade_time_limit, time(Seconds, Duration::ZERO)),
                "How long sessions may go on after an upgrade in the process that was replaced."),
        ]),
    ]
}
