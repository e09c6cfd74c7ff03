//! The one table of all metrics. What is not in it cannot be counted, and the documentation is made from it.

use super::family::{Family, GREETINGS, LIVES, SCORES, WAITS};
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
    OBSERVED = Family::counter(
        "prescreen_observed_total", &["outcome"],
        "Connections that would have come to this, had everything been enforced that was only observed: mode observe, \
         tests that are ignored, warn_if_reject.");
    SHADOW_DECISIONS = Family::counter(
        "prescreen_shadow_decisions_total", &["live", "shadow"],
        "Decisions that prescreen shadow has compared, by what was done and what the other configuration would have \
         done: permit, reject, defer, hangup, undecided.");
    SHADOW_DROPPED = Family::counter(
        "prescreen_shadow_dropped_total", &[],
        "Decisions that prescreen shadow has not compared, because it could not keep up.");
    SHADOW_RUNNING = Family::gauge(
        "prescreen_shadow_running", &[],
        "1 while prescreen shadow compares another configuration with the one in force.");
    CONNECTION_DURATION = Family::histogram(
        "prescreen_connection_duration_seconds", LIVES, &["stage"],
        "How long connections lived, by how far they came.");
    TESTS = Family::counter(
        "prescreen_tests_total", &["test", "result"],
        "Tests held, by result: passed, failed, or failed and ignored. A pass remembered from before is none.");
    PASSES = Family::counter(
        "prescreen_passes_total", &["history"],
        "Clients that passed all their tests: new, or old if they had passed them before.");
    GREET_WAIT = Family::histogram(
        "prescreen_greet_wait_seconds", GREETINGS, &[],
        "How long clients were kept waiting before the greeting; those that were not are not counted.");
    REFUSALS = Family::counter(
        "prescreen_refusals_total", &["by", "action"],
        "Commands and connections refused, by who refused and how: for good, for now, by hanging up, or not at all.");
    RESTRICTIONS = Family::counter(
        "prescreen_restriction_verdicts_total", &["list", "verb", "action"],
        "Refusals by restrictions, by list and verb. A series appears with its first refusal.");
    RATE_LIMITED = Family::counter(
        "prescreen_rate_limited_total", &["limit"],
        "Times that a client was over one of the limits of what one client may do.");
    RATE_PEAK = Family::gauge(
        "prescreen_rate_peak", &["limit"],
        "The most that one client did of what a limit is about, when counts were last summed up (limits.status_update_time).");
    RATE_CLIENTS = Family::gauge(
        "prescreen_rate_clients", &[],
        "Clients whose rates were remembered then.");
    BUSIEST = Family::gauge(
        "prescreen_busiest_client_ratio", &[],
        "The share of the last 256 connections, but for permitted ones, that one address had. Near 1, the clients' \
         addresses are probably lost.");
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

    DNSBL_SCORE = Family::histogram(
        "prescreen_dnsbl_score", SCORES, &[],
        "What DNS lists together made of clients.");
    DNSBL_LOOKUPS = Family::counter(
        "prescreen_dnsbl_lookups_total", &["list", "result"],
        "Lookups in a DNS list, by result; those answered from memory included.");
    DNSBL_DURATION = Family::histogram(
        "prescreen_dnsbl_lookup_duration_seconds", &dns::Latency::BOUNDS, &["list"],
        "How long answers of a DNS list took.");
    DNSBL_UP = Family::gauge(
        "prescreen_dnsbl_list_up", &["list"],
        "1 while a DNS list is believed, 0 while it is suspended because it failed its self-test.");
    DNSBL_HITS = Family::counter(
        "prescreen_dnsbl_hits_total", &["list"],
        "Clients for which the answer of a DNS list counted.");
    DNSBL_UNIQUE_HITS = Family::counter(
        "prescreen_dnsbl_unique_hits_total", &["list"],
        "Clients for which the answer of a DNS list counted, and that of no other.");
    DNSBL_MALFUNCTIONS = Family::counter(
        "prescreen_dnsbl_malfunctions_total", &["list", "code"],
        "Answers of a DNS list that say something of the list instead of a client, such as that the resolver is blocked.");

    DNSBL_RECHECKS = Family::counter(
        "prescreen_dnsbl_rechecks_total", &["result"],
        "Clients on the allowlist that DNS lists were asked about again when the answer had expired: clear, listed \
         (and taken off) or unknown.");

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
    SHARED_STATE = Family::gauge(
        "prescreen_shared_allowlist_state", &["state"],
        "1 for the state that the server of the shared allowlist is in: off, up, refusing (it takes nothing) or down.");
    SHARED_OPERATIONS = Family::counter(
        "prescreen_shared_allowlist_operations_total", &["operation", "result"],
        "What the server of the shared allowlist was asked, and what came of it.");
    SHARED_DURATION = Family::histogram(
        "prescreen_shared_allowlist_duration_seconds", &dns::Latency::BOUNDS, &["operation"],
        "How long its answers took; without those that did not come in time.");
    SHARED_CONNECTIONS = Family::counter(
        "prescreen_shared_allowlist_connections_total", &[],
        "Connections made to it.");
    SHARED_PENDING = Family::gauge(
        "prescreen_shared_allowlist_pending", &[],
        "Changes that it has not been told of yet.");
    SHARED_DROPPED = Family::counter(
        "prescreen_shared_allowlist_dropped_total", &[],
        "Changes that it will not be told of, because too many waited.");

    HANDOFFS = Family::counter(
        "prescreen_handoffs_total", &["result"],
        "Clients that a backend took on (ok), or that no backend would (failed).");
    HANDOFF_DURATION = Family::histogram(
        "prescreen_handoff_duration_seconds", WAITS, &[],
        "From the first try to reach a backend to its reply to the first recipient.");
    BACKEND_UP = Family::gauge(
        "prescreen_backend_up", &["server"],
        "1 if a backend took a client or answered a probe when it was last spoken to, else 0.");
    BACKEND_DURATION = Family::histogram(
        "prescreen_backend_phase_duration_seconds", &dns::Latency::BOUNDS, &["server", "phase"],
        "How long each phase of a hand-off took that ended well: connecting, greeting, HELO, envelope.");
    BACKEND_FAILURES = Family::counter(
        "prescreen_backend_failures_total", &["server", "phase", "trouble"],
        "Phases of a hand-off, or of a probe, that came to nothing.");
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

    CERTIFICATE_EXPIRY = Family::gauge(
        "prescreen_tls_certificate_expiry_timestamp_seconds", &["certificate"],
        "Until when a certificate is valid, in seconds since the epoch, by the file that it comes from.");
    CERTIFICATE_RELOADS = Family::counter(
        "prescreen_tls_certificate_reloads_total", &["result"],
        "Times that certificate files had changed: ok, or failed, so that the certificates in use went on.");
    CERTIFICATE_FRESH = Family::gauge(
        "prescreen_tls_certificate_last_reload_successful", &[],
        "1 if the certificates in use are those of the files; 0 if the files have changed and cannot be used.");
    HANDSHAKES = Family::counter(
        "prescreen_tls_handshakes_total", &["result"],
        "TLS handshakes with clients by result: full, resumed (by a ticket), failed, timed_out.");
    CONFIG_RELOADS = Family::counter(
        "prescreen_config_reloads_total", &["result"],
        "Reloads of the configuration: ok, or failed, so that the one before went on.");
    CONFIG_FRESH = Family::gauge(
        "prescreen_config_last_reload_successful", &[],
        "1 if the last reload of the configuration succeeded, or there was none; 0 if it was refused.");
    CONFIG_LOADED = Family::gauge(
        "prescreen_config_loaded_timestamp_seconds", &[],
        "When the configuration in force was loaded, in seconds since the epoch.");
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
    RUNTIME_BUSY = Family::counter(
        "prescreen_runtime_busy_seconds_total", &[],
        "Time that the threads which serve connections were at work; each of them adds at most a second a second.");
    RUNTIME_THREADS = Family::gauge(
        "prescreen_runtime_threads", &[],
        "Threads that serve connections.");
    RUNTIME_QUEUED = Family::gauge(
        "prescreen_runtime_queued_tasks", &[],
        "Connections and other tasks that could go on and wait for a thread; more than a few, and all are late.");
}
