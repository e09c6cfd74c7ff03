//! The one table of keys.
//!
//! Reading files, `--set`, the environment, suggestions for mistyped names, the commented example file and the
//! reference all derive from it. A new setting is one line here.

use std::time::Duration;

use super::Config;
use super::grammar::{file, network, number, socket, time, word};
use super::listen::Listener;
use super::slot::{Slot, list, list_of_phrases, one, optional};
use crate::time::Unit::{Days, Seconds};

/// A `[section]` and its keys; the top level has no name.
pub(super) struct Section<'a> {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) keys: Vec<Key<'a>>,
}

/// A key, the place that it fills, and what to tell about it.
pub(super) struct Key<'a> {
    pub(super) name: &'static str,
    pub(super) slot: Box<dyn Slot + 'a>,
    pub(super) doc: &'static str,
}

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// All sections but `[[listen]]`, in the order in which the example shows them.
pub(super) fn sections(config: &mut Config) -> Vec<Section<'_>> {
    let Config { base: _, hostname, listen: _, backend, dns, limits, allowlist, tls, relay, log } = config;
    vec![
        section(
            "",
            "",
            vec![key(
                "hostname",
                one(hostname, word("host name")),
                "The name in greetings and replies. Empty: the system's own.",
            )],
        ),
        section(
            "backend",
            "Where clean connections go, and how the server is told who the client is.",
            vec![
                key(
                    "servers",
                    list(&mut backend.servers, word("address:port or unix:/path")),
                    "The servers, most wanted first.",
                ),
                key(
                    "identity",
                    one(&mut backend.identity, word("proxy-v2, proxy-v1 or none")),
                    "How a server is told who the client is. With none it takes every client for this host.",
                ),
                key(
                    "connect_timeout",
                    one(&mut backend.connect_timeout, time(Seconds, MOMENT)),
                    "How long a server may take to accept a connection.",
                ),
                key(
                    "greeting_timeout",
                    one(&mut backend.greeting_timeout, time(Seconds, MOMENT)),
                    "How long it may take to greet.",
                ),
                key(
                    "command_timeout",
                    one(&mut backend.command_timeout, time(Seconds, MOMENT)),
                    "How long it may take to answer a command.",
                ),
                key(
                    "rest_time",
                    one(&mut backend.rest_time, time(Seconds, Duration::ZERO)),
                    "How long a server that failed comes last in the order, give or take a quarter.",
                ),
                key(
                    "probe_interval",
                    one(&mut backend.probe_interval, time(Seconds, SECOND)),
                    "How often each server is asked what it offers.",
                ),
            ],
        ),
        section(
            "dns",
            "Whom to ask. A validating resolver on this host is best: DNSBL operators turn away the public ones.",
            vec![
                key(
                    "servers",
                    list(&mut dns.servers, socket(Some(53))),
                    "Name servers, in order of preference. Empty: those of /etc/resolv.conf.",
                ),
                key(
                    "timeout",
                    one(&mut dns.timeout, time(Seconds, MOMENT)),
                    "How long a lookup may take in all, whatever the number of servers.",
                ),
                key(
                    "in_flight_limit",
                    one(&mut dns.in_flight_limit, number(1..=usize::MAX)),
                    "Lookups at once; what comes on top counts as not answered. Each takes a file descriptor.",
                ),
                key(
                    "cache_limit",
                    one(&mut dns.cache_limit, number(0..=u64::MAX)),
                    "How many answers are remembered.",
                ),
                key(
                    "failure_ttl",
                    one(&mut dns.failure_ttl, time(Seconds, Duration::ZERO)),
                    "How long a failure is remembered, and an absence that names no TTL.",
                ),
            ],
        ),
        section(
            "limits",
            "How much at once, and how long.",
            vec![
                key(
                    "pre_queue_limit",
                    one(&mut limits.pre_queue_limit, number(10..=usize::MAX)),
                    "Connections at once that are still being screened or spoken with. A tenth more is kept for clients that have passed before.",
                ),
                key(
                    "post_queue_limit",
                    one(&mut limits.post_queue_limit, number(5..=usize::MAX)),
                    "Connections at once that have been handed to a backend; keep it at what the backend can serve.",
                ),
                key(
                    "command_time_limit",
                    one(&mut limits.command_time_limit, time(Seconds, SECOND)),
                    "The time for one complete command line, and for taking our reply.",
                ),
                key(
                    "stress_command_time_limit",
                    one(&mut limits.stress_command_time_limit, time(Seconds, SECOND)),
                    "The same when nine tenths of pre_queue_limit are taken.",
                ),
                key(
                    "drain_time_limit",
                    one(&mut limits.drain_time_limit, time(Seconds, Duration::ZERO)),
                    "How long sessions that were handed over may go on after SIGTERM. Docker grants ten seconds in all.",
                ),
            ],
        ),
        section(
            "allowlist",
            "Who has passed the tests, and until when.",
            vec![
                key(
                    "path",
                    optional(&mut allowlist.path, file()),
                    "The file that survives a restart; its folder must be writable. Empty: memory only.",
                ),
                key(
                    "max_entries",
                    one(&mut allowlist.max_entries, number(1..=u64::MAX)),
                    "Clients remembered at most; the one not seen for longest goes first. About 350 bytes each.",
                ),
                key(
                    "ipv4_prefix",
                    one(&mut allowlist.ipv4_prefix, number(1..=32)),
                    "Leading bits that identify an IPv4 client.",
                ),
                key(
                    "ipv6_prefix",
                    one(&mut allowlist.ipv6_prefix, number(1..=128)),
                    "Leading bits that identify an IPv6 client: a host owns its /64.",
                ),
                key(
                    "retention_time",
                    one(&mut allowlist.retention_time, time(Days, SECOND)),
                    "How long a client is remembered after all its passes have expired.",
                ),
            ],
        ),
        section(
            "tls",
            "STARTTLS with the client.",
            vec![
                key(
                    "starttls",
                    one(&mut tls.starttls, word("terminate, passthrough or off")),
                    "Whether TLS ends here (needs a certificate), at the backend, or is not offered.",
                ),
                key(
                    "certificates",
                    list_of_phrases(&mut tls.certificates, word("\"chain.pem key.pem\"")),
                    "PEM files; chosen by the name that the client asks for, the first serves all others.",
                ),
                key(
                    "handshake_time_limit",
                    one(&mut tls.handshake_time_limit, time(Seconds, MOMENT)),
                    "How long a handshake may take.",
                ),
                key(
                    "handshake_count_limit",
                    one(&mut tls.handshake_count_limit, number(1..=usize::MAX)),
                    "How many handshakes run at once; the rest wait within their time limit.",
                ),
            ],
        ),
        section(
            "relay",
            "Forwarding, once a server has taken the connection over.",
            vec![
                key(
                    "inspect",
                    one(&mut relay.inspect, word("connection or transaction")),
                    "How much is screened: the connection up to its first DATA, or every MAIL transaction.",
                ),
                key(
                    "idle_timeout",
                    one(&mut relay.idle_timeout, time(Seconds, SECOND)),
                    "How long neither side may send anything. A server may take 10 minutes to answer the final dot.",
                ),
                key(
                    "pipe_size",
                    one(&mut relay.pipe_size, number(4096..=usize::MAX)),
                    "Bytes that one pipe shall hold; one splice moves no more.",
                ),
                key(
                    "max_pipes",
                    one(&mut relay.max_pipes, number(0..=usize::MAX)),
                    "Pipes of the whole process; 0 never splices. An ordinary user is given 256.",
                ),
            ],
        ),
        section(
            "log",
            "One line for each connection, on standard output.",
            vec![
                key(
                    "format",
                    one(&mut log.format, word("text, json or postscreen")),
                    "A sentence for people, an object with every fact, or the lines that postscreen would write.",
                ),
                key(
                    "level",
                    one(&mut log.level, word("error, warn, info, debug or trace")),
                    "The least severe that is logged; info shows every connection.",
                ),
                key(
                    "syslog_name",
                    one(&mut log.syslog_name, word("name")),
                    "The part before /postscreen in the program tag of the postscreen format.",
                ),
            ],
        ),
    ]
}

/// The keys of one `[[listen]]`.
pub(super) fn listener(listener: &mut Listener) -> Section<'_> {
    section(
        "listen",
        "Where clients come in; one [[listen]] for each address.",
        vec![
            key("address", one(&mut listener.address, socket(None)), "Address and port."),
            key(
                "proxy_protocol",
                one(&mut listener.proxy_protocol, word("off or required")),
                "Whether a PROXY header (v1 or v2) comes first and names the client.",
            ),
            key(
                "trusted",
                list(&mut listener.trusted, network()),
                "Who may send PROXY headers. Anybody else is closed without a word.",
            ),
            key(
                "proxy_timeout",
                one(&mut listener.proxy_timeout, time(Seconds, SECOND)),
                "The time for a whole PROXY header.",
            ),
        ],
    )
}

fn section<'a>(name: &'static str, doc: &'static str, keys: Vec<Key<'a>>) -> Section<'a> {
    Section { name, doc, keys }
}

fn key<'a>(name: &'static str, slot: impl Slot + 'a, doc: &'static str) -> Key<'a> {
    Key { name, slot: Box::new(slot), doc }
}
