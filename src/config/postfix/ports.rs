//! Where prescreen listens and where Postfix moves to: `[[listen]]`, `[backend]`, and the lines of Postfix's side.

use std::net::{IpAddr, SocketAddr};

use super::main_cf::Service;
use super::translation::{Translation, comment};
use crate::config::slot::quoted;
use crate::table::words;

/// Ports for Postfix behind prescreen; content filters often have the first.
const BACKEND_PORTS: [u16; 4] = [10025, 10125, 12525, 20025];

/// Where clients come in and where clean connections go.
pub(super) struct Ports {
    /// `[[listen]]` addresses.
    pub(super) listen: Vec<String>,
    /// What stands above them.
    pub(super) comments: Vec<String>,
    /// Whether PROXY headers come first.
    pub(super) behind_proxy: bool,
    /// Where Postfix will listen.
    pub(super) backend: String,
}

/// Networks in which a load balancer may stand when nobody says which.
pub(super) const PRIVATE_NETWORKS: [&str; 5] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fd00::/8"];

impl Translation<'_> {
    /// Works out both ends.
    pub(super) fn ports(&mut self) -> Ports {
        let interfaces = self.take("inet_interfaces");
        let protocols = self.take("inet_protocols");
        self.done.insert("proxy_interfaces".to_owned());
        let mut comments: Vec<_> =
            interfaces.as_ref().map(|setting| comment("inet_interfaces", setting)).into_iter().collect();
        comments.extend(protocols.as_ref().map(|setting| comment("inet_protocols", setting)));
        let protocols = self.postfix.value("inet_protocols");
        let (v4, v6) =
            (protocols != "ipv6", matches!(protocols.as_str(), "all" | "ipv6") || protocols.contains("ipv6"));
        let all = |any: [&'static str; 2]| {
            [v4.then_some(any[0]), v6.then_some(any[1])].into_iter().flatten().map(str::to_owned)
        };
        let mut listen = Vec::new();
        let (mut named, mut loopback_only) = (Vec::new(), true);
        for interface in words(&self.postfix.value("inet_interfaces")) {
            let address = interface.trim_matches(['[', ']']);
            match (address, address.parse::<IpAddr>()) {
                ("loopback-only" | "localhost", _) => listen.extend(all(["127.0.0.1:25", "[::1]:25"])),
                (_, Ok(ip)) => {
                    listen.push(SocketAddr::from((ip, 25)).to_string());
                    loopback_only &= ip.is_loopback();
                }
                ("all", _) => {
                    listen.extend(all(["0.0.0.0:25", "[::]:25"]));
                    loopback_only = false;
                }
                _ => named.push(interface.to_owned()),
            }
        }
        if !named.is_empty() || listen.is_empty() {
            listen = all(["0.0.0.0:25", "[::]:25"]).collect();
            self.report.attention.push(format!(
                "inet_interfaces has names ({}): prescreen listens on all addresses; write those that were meant into \
                 [[listen]]",
                named.join(", ")
            ));
        } else if loopback_only {
            self.report.attention.push(
                "inet_interfaces lets Postfix listen on loopback addresses only, so no stranger ever came; prescreen \
                 does the same, and hardly needs to be there"
                    .to_owned(),
            );
        }
        listen.dedup();
        let behind_proxy =
            ["postscreen_upstream_proxy_protocol", "smtpd_upstream_proxy_protocol"].iter().any(|parameter| {
                let set = self.take(parameter);
                set.is_some() && !self.postfix.value(parameter).is_empty()
            });
        if behind_proxy {
            self.report.attention.push(
                "clients come through a proxy that sends PROXY headers: put its address into listen.trusted, where \
                 all private networks stand now"
                    .to_owned(),
            );
        }
        Ports { listen, comments, behind_proxy, backend: self.backend_address() }
    }

    /// A loopback address that no service of master.cf has.
    fn backend_address(&self) -> String {
        let taken = |port: &u16| {
            self.postfix.services.iter().any(|service| {
                service.kind == "inet" && service.name.rsplit(':').next() == Some(port.to_string().as_str())
            })
        };
        let port = BACKEND_PORTS.into_iter().find(|port| !taken(port)).unwrap_or(BACKEND_PORTS[0]);
        format!("127.0.0.1:{port}")
    }

    /// What must change in main.cf and master.cf.
    pub(super) fn postfix_side(&self, backend: &str) -> String {
        let mut text = String::from("On Postfix's side, in master.cf:\n\n");
        let ours: Vec<&Service> = self.postfix.on_port_25().collect();
        let helpers = self.postfix.services.iter().filter(|service| {
            self.postfix.has_postscreen() && matches!(service.command.as_str(), "dnsblog" | "tlsproxy")
        });
        text.push_str("1. Take out, with the lines that continue them:\n");
        if ours.is_empty() {
            text.push_str("       smtp      inet  …  smtpd      (or postscreen, with smtpd pass, dnsblog and tlsproxy)\n");
        }
        for service in ours.iter().copied().chain(helpers) {
            text.push_str(&format!(
                "       {} {} … {}      ({})\n",
                service.name, service.kind, service.command, service.origin
            ));
        }
        text.push_str("\n2. Put in:\n");
        let chroot = ours
            .iter()
            .find(|service| service.command == "smtpd")
            .map_or("y", |service| service.chroot.as_str());
        text.push_str(&format!("       {backend} inet n - {chroot} - - smtpd\n"));
        text.push_str("           -o smtpd_upstream_proxy_protocol=haproxy\n");
        for service in &ours {
            for (name, setting) in &service.settings {
                if service.command == "smtpd" && !name.contains("upstream_proxy") {
                    text.push_str(&format!("           -o {{ {name} = {} }}\n", setting.value));
                }
            }
        }
        text.push_str(
            "\n3. Then `postfix check && postfix reload`, start prescreen, and see in Postfix's log that it connects \
             from real\n   client addresses. Ports 465 and 587 stay as they are.\n\n",
        );
        text.push_str(if self.entries.contains_key("tls.starttls") {
            "What may go from main.cf afterwards: postscreen_*.\n\
             What must stay: everything else. Sessions inside TLS are judged by Postfix's lists alone while\n\
             tls.starttls is \"passthrough\".\n"
        } else {
            "What may go from main.cf afterwards: postscreen_*, and reject_rbl_* (each list would be asked twice).\n\
             What must stay: relay control (reject_unauth_destination), mynetworks, milters, content filters.\n"
        });
        text
    }

    /// `[backend]`.
    pub(super) fn backend(&mut self, ports: &Ports) {
        let what = "where Postfix is to listen for prescreen; see its side below".to_owned();
        self.write("backend.servers", format!("[{}]", quoted(&ports.backend)), vec![what]);
        self.write(
            "backend.identity",
            quoted("proxy-v2"),
            vec!["smtpd_upstream_proxy_protocol = haproxy there".to_owned()],
        );
    }
}
