//! The one table of keys.
//!
//! Reading files, `--set`, the environment, suggestions for mistyped names, the commented example file and the
//! reference all derive from it. A new setting is one line here.

use std::time::Duration;

use super::Config;
use super::grammar::{Grammar, network, number, socket, time, word, yes_no};
use super::listen::Listener;
use super::slot::{Slot, entries, list, one, optional, whole};
use super::time::Unit::Seconds;

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

/// All sections but `[[listen]]`, in the order in which the example shows them.
pub(super) fn sections(config: &mut Config) -> Vec<Section<'_>> {
    let Config { hostname, limits, .. } = config;
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
