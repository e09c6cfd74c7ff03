//! The one table of keys.
//!
//! Reading files, `--set`, the environment, suggestions for mistyped names, the commented example file and the
//! reference all derive from it. A new setting is one entry here.

mod house;
mod policy;
mod screen;
mod smtp;

use std::time::Duration;

use super::Config;
use super::grammar::{choice, host, network, socket, time, word};
use super::listen::Listener;
use super::slot::{Slot, list, one, whole};
use crate::screen::Mode;
use crate::time::Unit::Seconds;

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
    let Config {
        base: _,
        hostname,
        mode,
        mynetworks,
        networks: _,
        listen: _,
        backend,
        dns,
        screen,
        dnsbl,
        dialogue,
        auth,
        policy,
        limits,
        rate,
        client_event_limit_exceptions,
        allowlist,
        tls,
        tls_required,
        tls_required_list: _,
        relay,
        metrics,
        admin,
        log,
    } = config;
    let mut sections = vec![top(hostname, mode, mynetworks), house::backend(backend), house::dns(dns)];
    sections.extend([screen::screen(screen), screen::dnsbl(dnsbl)]);
    sections.extend(smtp::sections(dialogue, auth, limits, rate, client_event_limit_exceptions));
    sections.extend(policy::sections(policy));
    sections.extend([
        house::allowlist(allowlist),
        house::tls(tls, tls_required),
        house::relay(relay),
        house::metrics(metrics),
        house::admin(admin),
        house::log(log),
    ]);
    sections
}

#[rustfmt::skip]
fn top<'a>(hostname: &'a mut String, mode: &'a mut Mode, mynetworks: &'a mut String) -> Section<'a> {
    section("", "", vec![
        key("hostname", one(hostname, host()),
            "The name in greetings and replies. Empty: the system's own."),
        key("mode", one(mode, choice()),
            "observe: everything is judged, logged and counted, and no client is refused for it. Protocol errors, the \
             limits that protect this host, tls.required, relay.forbid_bare_newline and the backend's own refusals \
             stay."),
        key("mynetworks", whole(mynetworks, word("networks, names, tables")),
            "Clients that are trusted: no tests, no limits, and permit_mynetworks permits them."),
    ])
}

/// The keys of one `[[listen]]`.
#[rustfmt::skip]
pub(super) fn listener(listener: &mut Listener) -> Section<'_> {
    section("listen", "Where clients come in; one [[listen]] for each address.", vec![
        key("address", one(&mut listener.address, socket(None)),
            "Address and port."),
        key("proxy_protocol", one(&mut listener.proxy_protocol, choice()),
            "Whether a PROXY header (v1 or v2) comes first and names the client."),
        key("trusted", list(&mut listener.trusted, network()),
            "Who may send PROXY headers. Anybody else is closed without a word."),
        key("proxy_timeout", one(&mut listener.proxy_timeout, time(Seconds, SECOND)),
            "The time for a whole PROXY header."),
    ])
}

fn section<'a>(name: &'static str, doc: &'static str, keys: Vec<Key<'a>>) -> Section<'a> {
    Section { name, doc, keys }
}

fn key<'a>(name: &'static str, slot: impl Slot + 'a, doc: &'static str) -> Key<'a> {
    Key { name, slot: Box::new(slot), doc }
}
