//! The one table of all metrics. What is not in it cannot be counted, and the documentation is made from it.

use super::family::{Family, LIVES, WAITS};
use crate::dns;

/// Declares the metrics, and [`ALL`] of them in this order.
macro_rules! table {
    ($($name:ident = $family:expr;)*) => {
        $(pub(super) static $name: Family = $family;)*
        /// All metrics, in the order in which they are documented.
        pub(super) static ALL: &[&Family] = &[$(&$name),*];
    };
}

table! {
    CONNECTIONS = Family::counter(
        "prescreen_connections_total", &["outcome"],
        "Connections that have ended, by what they came to. Each connection counts once.");
    CONNECTION_DURATION = Family::histogram(
        "prescreen_connection_duration_seconds", LIVES, &["stage"],
        "How long connections lived, by how far they came.");
    SESSIONS = Family::gauge(
        "prescreen_sessions", &["state"],
        "Connections now, by where they are: being tested, talking, relayed.");
    SESSION_LIMIT = Family::gauge(
        "prescreen_session_limit", &["queue"],
        "Connections allowed at once: before the hand-off (pre) and after it (post).");
    STRESS = Family::counter(
        "prescreen_stress_total", &[],
        "Times that nine tenths of the places before the hand-off were taken, so that waits shrank.");
    REFUSED_FULL = Family::counter(
        "prescreen_refused_full_total", &["queue"],
        "Connections refused because all places of a queue were taken.");

    DNS_LOOKUPS = Family::counter(
        "prescreen_dns_lookups_total", &["type", "result"],
        "DNS lookups, by record type and result.");
    DNS_DURATION = Family::histogram(
        "prescreen_dns_lookup_duration_seconds", &dns::Latency::BOUNDS, &[],
        "How long lookups took that a server was asked for.");
    DNS_CACHED = Family::counter(
        "prescreen_dns_cached_total", &[],
        "DNS lookups that the cache answered.");
    DNS_JOINED = Family::counter(
        "prescreen_dns_joined_total", &[],
        "DNS lookups that joined one for the same name in flight.");
    DNS_FAILOVERS = Family::counter(
        "prescreen_dns_failovers_total", &[],
        "DNS lookups that went on to a further server.");
    DNS_IN_FLIGHT = Family::gauge(
        "prescreen_dns_in_flight", &[],
        "DNS lookups in flight now.");

    ALLOWLIST_ENTRIES = Family::gauge(
        "prescreen_allowlist_entries", &[],
        "Clients that the temporary allowlist remembers.");
    ALLOWLIST_LOOKUPS = Family::counter(
        "prescreen_allowlist_lookups_total", &["result"],
        "Lookups of clients in the temporary allowlist: hit, if the client is remembered, or miss.");
    ALLOWLIST_CHANGES = Family::counter(
        "prescreen_allowlist_changes_total", &["change"],
        "Passes stored, and clients removed because a pass was revoked.");
    ALLOWLIST_WRITES = Family::counter(
        "prescreen_allowlist_writes_total", &["result"],
        "Changes written to the allowlist's file, and changes dropped because it could not be written.");
    ALLOWLIST_STORE = Family::gauge(
        "prescreen_allowlist_store_state", &["state"],
        "1 for the state that the allowlist's file is in: off, up, locked, ill or closed.");

    HANDOFF_DURATION = Family::histogram(
        "prescreen_handoff_duration_seconds", WAITS, &[],
        "From the first try to reach a backend to its reply to the first recipient.");
    RELAY_BYTES = Family::counter(
        "prescreen_relay_bytes_total", &["direction", "way"],
        "Bytes relayed, by whom they went to and how: copied, or spliced in the kernel.");
    RELAY_PIPES = Family::gauge(
        "prescreen_relay_pipes", &[],
        "Pipes that exist for splicing.");
    RELAY_PIPE_LIMITED = Family::counter(
        "prescreen_relay_pipe_limited_total", &[],
        "Times that bulk was copied because there was no pipe for it.");
    RELAY_SPLICE_REFUSED = Family::counter(
        "prescreen_relay_splice_refused_total", &[],
        "Times that the kernel would not splice.");

    LOG_DROPPED = Family::counter(
        "prescreen_log_dropped_lines_total", &[],
        "Log lines dropped because their reader was stuck.");
    BUILD_INFO = Family::gauge(
        "prescreen_build_info", &["version"],
        "1, for the version that runs.");
    START_TIME = Family::gauge(
        "prescreen_start_time_seconds", &[],
        "When the program started, in seconds since the epoch.");
    OPEN_FDS = Family::gauge(
        "prescreen_open_fds", &[],
        "File descriptors in use.");
    MAX_FDS = Family::gauge(
        "prescreen_max_fds", &[],
        "File descriptors allowed.");
    RESIDENT_MEMORY = Family::gauge(
        "prescreen_resident_memory_bytes", &[],
        "Memory in use.");
    CPU = Family::counter(
        "prescreen_cpu_seconds_total", &[],
        "Processor time used.");
    THREADS = Family::gauge(
        "prescreen_threads", &[],
        "Threads of the process.");
}
