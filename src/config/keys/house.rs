//! Keys of what stands around a session: backend, names, store, TLS, forwarding, log.

use std::time::Duration;

use super::{MOMENT, SECOND, Section, key, section};
use crate::config::Admin;
use crate::config::grammar::{choice, file, line, number, socket, time, word};
use crate::config::slot::{list, list_of_phrases, one, optional, preset, whole};
use crate::report::log;
use crate::time::Unit::{Days, Seconds};
use crate::{allowlist, dns, handoff, metrics, relay, tls};

#[rustfmt::skip]
pub(super) fn backend(backend: &mut handoff::Settings) -> Section<'_> {
    section("backend", "Where clean connections go, and how the server is told who the client is.", vec![
        key("servers", list(&mut backend.servers, word("address:port, name:port or unix:/path")),
            "The servers, most wanted first. Names are looked up again when their TTL is over, or nobody answers."),
        key("order", one(&mut backend.order, choice()),
            "In which order servers are tried; those that failed a short while ago come last in any."),
        key("connection_limit", one(&mut backend.connection_limit, number(0..=usize::MAX)),
            "How many clients one server may have at once; more go to the next one. 0 is no limit."),
        key("identity", one(&mut backend.identity, choice()),
            "How a server is told who the client is. With none it takes every client for this host."),
        key("tls", one(&mut backend.tls, choice()),
            "Whether prescreen speaks TLS with the server: for one across a network. Never without, if it fails."),
        key("tls_ca", optional(&mut backend.tls_ca, file()),
            "PEM certificates that the server's must be signed by. Empty: those that the system trusts."),
        key("tls_name", optional(&mut backend.tls_name, word("name")),
            "The name, or IP address, that the server's certificate must bear. Empty: its address in servers."),
        key("connect_timeout", one(&mut backend.connect_timeout, time(Seconds, MOMENT)),
            "How long a server may take to accept a connection."),
        key("greeting_timeout", one(&mut backend.greeting_timeout, time(Seconds, MOMENT)),
            "How long it may take to greet."),
        key("command_timeout", one(&mut backend.command_timeout, time(Seconds, MOMENT)),
            "How long it may take to answer a command."),
        key("rest_time", one(&mut backend.rest_time, time(Seconds, Duration::ZERO)),
            "How long a server that failed comes last in the order, give or take a quarter."),
        key("probe_interval", one(&mut backend.probe_interval, time(Seconds, SECOND)),
            "How often each server is asked what it offers."),
    ])
}

#[rustfmt::skip]
pub(super) fn dns(dns: &mut dns::Settings) -> Section<'_> {
    let doc = "Whom to ask. A validating resolver on this host is best: DNSBL operators turn away the public ones.";
    section("dns", doc, vec![
        key("servers", list(&mut dns.servers, socket(Some(53))),
            "Name servers, in order of preference. Empty: those of /etc/resolv.conf."),
        key("timeout", one(&mut dns.timeout, time(Seconds, MOMENT)),
            "How long a lookup may take in all, whatever the number of servers."),
        key("in_flight_limit", one(&mut dns.in_flight_limit, number(1..=usize::MAX)),
            "Lookups at once; what comes on top counts as not answered. Each takes a file descriptor."),
        key("cache_limit", one(&mut dns.cache_limit, number(0..=usize::MAX)),
            "How many answers are remembered."),
        key("failure_ttl", one(&mut dns.failure_ttl, time(Seconds, Duration::ZERO)),
            "How long a failure is remembered, and an absence that names no TTL."),
    ])
}

#[rustfmt::skip]
pub(super) fn allowlist(allowlist: &mut allowlist::Settings) -> Section<'_> {
    section("allowlist", "Who has passed the tests, and until when.", vec![
        key("path", optional(&mut allowlist.path, file()),
            "The file that survives a restart; its folder must be writable. Empty: memory only."),
        key("max_entries", one(&mut allowlist.max_entries, number(1..=u64::MAX)),
            "Clients remembered at most; the one not seen for longest goes first. About 350 bytes each."),
        key("ipv4_prefix", one(&mut allowlist.ipv4_prefix, number(1..=32)),
            "Leading bits that identify an IPv4 client."),
        key("ipv6_prefix", one(&mut allowlist.ipv6_prefix, number(1..=128)),
            "Leading bits that identify an IPv6 client: a host owns its /64."),
        key("retention_time", one(&mut allowlist.retention_time, time(Days, SECOND)),
            "How long a client is remembered after all its passes have expired."),
        key("shared", optional(&mut allowlist.shared.address, word("redis://, rediss:// or unix:// address")),
            "A Redis or Valkey server that several hosts share: redis://user@host:6379/0, rediss://… with TLS, \
             unix:///path. Each goes on by its own memory while the server is away. Empty: none."),
        key("shared_password_file", optional(&mut allowlist.shared.password_file, file()),
            "A file whose first line is the password for that server; read at each connection. Empty: none."),
        key("shared_ca_file", optional(&mut allowlist.shared.ca_file, file()),
            "PEM certificates that vouch for a rediss:// server. Empty: those of the system."),
        key("shared_prefix", one(&mut allowlist.shared.prefix, line()),
            "What the keys of clients begin with there."),
        key("shared_timeout", one(&mut allowlist.shared.timeout, time(Seconds, MOMENT)),
            "How long a connection waits for that server at most."),
    ])
}

#[rustfmt::skip]
pub(super) fn tls<'a>(tls: &'a mut tls::Settings, required: &'a mut String) -> Section<'a> {
    section("tls", "STARTTLS with the client.", vec![
        key("starttls", one(&mut tls.starttls, choice()),
            "Whether TLS ends here (needs a certificate), at the backend, or is not offered."),
        key("certificates", list_of_phrases(&mut tls.certificates, word("\"chain.pem key.pem\"")),
            "PEM files; chosen by the name that the client asks for, the first serves all others."),
        key("required", whole(required, word("networks, names, tables")),
            "Clients that must use it: anything that brings mail nearer gets 530 in clear."),
        key("handshake_time_limit", one(&mut tls.handshake_time_limit, time(Seconds, MOMENT)),
            "How long a handshake may take."),
        key("handshake_count_limit", one(&mut tls.handshake_count_limit, number(1..=1_000_000)),
            "How many handshakes run at once; the rest wait within their time limit."),
    ])
}

#[rustfmt::skip]
pub(super) fn relay(relay: &mut relay::Settings) -> Section<'_> {
    section("relay", "Forwarding, once a server has taken the connection over.", vec![
        key("inspect", one(&mut relay.inspect, choice()),
            "How much is screened: the connection up to its first DATA, or every MAIL transaction."),
        key("forbid_bare_newline", one(&mut relay.forbid_bare_newline, choice()),
            "With inspect = \"transaction\": what becomes of a dot alone on what only some servers take for a line."),
        key("idle_timeout", one(&mut relay.idle_timeout, time(Seconds, SECOND)),
            "How long neither side may send anything. A server may take 10 minutes to answer the final dot."),
        key("pipe_size", one(&mut relay.pipe_size, number(4096..=usize::MAX)),
            "Bytes that one pipe shall hold; one splice moves no more."),
        key("max_pipes", one(&mut relay.max_pipes, number(0..=usize::MAX)),
            "Pipes of the whole process; 0 never splices. An ordinary user is given 64 of 1 MiB, 256 of 262144."),
    ])
}

#[rustfmt::skip]
pub(super) fn metrics(metrics: &mut metrics::Settings) -> Section<'_> {
    section("metrics", "What monitoring asks for.", vec![
        key("listen", optional(&mut metrics.listen, socket(None)),
            "Where /metrics (Prometheus), /healthz, /readyz and, at /, a status page are served. Empty: nowhere."),
    ])
}

#[rustfmt::skip]
pub(super) fn admin(admin: &mut Admin) -> Section<'_> {
    section("admin", "The operator's hand on a running server.", vec![
        key("socket", optional(&mut admin.socket, file()),
            "Where prescreen status, sessions, reload and their kin ask; mode 0600. Empty: nowhere."),
        key("history_size", one(&mut admin.history_size, number(0..=usize::MAX)),
            "Bytes of memory for what prescreen why tells of the last connections. 0: none."),
    ])
}

#[rustfmt::skip]
pub(super) fn log(log: &mut log::Settings) -> Section<'_> {
    section("log", "One line for each connection.", vec![
        key("format", one(&mut log.format, choice()),
            "A sentence for people, an object with every fact, or the lines that postscreen would write."),
        key("output", one(&mut log.output, word("stdout, journald, syslog or syslog:…")),
            "Where lines go: stdout, journald, syslog (/dev/log), syslog:/path, syslog:udp:ADDRESS:PORT or syslog:tcp:ADDRESS:PORT. Changes with a restart."),
        key("syslog_format", preset(&mut log.syslog_format, choice()),
            "How a syslog daemon is spoken to. Default: bsd to a socket of this host, rfc5424 over the network."),
        key("level", one(&mut log.level, choice()),
            "The least severe that is logged; info shows every connection."),
        key("syslog_name", one(&mut log.syslog_name, word("name")),
            "The part before /postscreen in the program tag of the postscreen format."),
    ])
}
