//! What the system grants, and whether it shows us who the clients are.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::geteuid;

use super::Finding;
use crate::config::{Config, ProxyProtocol};

const HOST: &str = "this host";

/// What container engines leave behind.
const MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(_, hard)| hard);
    let pages = number("/proc/sys/fs/pipe-user-pages-soft");
    let is_contained = MARKS.iter().any(|mark| Path::new(mark).exists());
    let route = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mut findings = vec![descriptors(config, limit)];
    if !geteuid().is_root() {
        findings.extend(pages.map(|pages| pipes(config, pages)));
    }
    if is_contained {
        findings.extend(gateway(config, gateway_of(&route)));
    }
    findings
}

fn number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn descriptors(config: &Config, limit: u64) -> Finding {
    let wanted = config.limits.descriptors() as u64;
    if limit >= wanted {
        return Finding::good(HOST, format!("grants {limit} file descriptors"));
    }
    Finding::warning(
        HOST,
        format!(
            "grants {limit} file descriptors; the connections that [limits] allows may come to need {wanted}"
        ),
        format!("raise LimitNOFILE= (systemd) or ulimit -n to {wanted}, or lower limits.pre_queue_limit"),
    )
}

/// Who is not root, has only so many pages for pipes.
fn pipes(config: &Config, pages: u64) -> Finding {
    let wanted = (config.relay.max_pipes as u64) * (config.relay.pipe_size as u64).div_ceil(4_096);
    if pages == 0 || pages >= wanted {
        return Finding::good(HOST, "grants the pipes that relay.max_pipes asks for");
    }
    Finding::warning(
        HOST,
        format!(
            "grants {pages} pages for pipes; relay.max_pipes of relay.pipe_size may come to need {wanted}"
        ),
        format!(
            "raise the sysctl fs.pipe-user-pages-soft to {wanted}; without it, large messages are copied"
        ),
    )
}

/// In a container on a bridge the engine may stand between: its proxy makes every client come from the gateway.
fn gateway(config: &Config, gateway: Option<Ipv4Addr>) -> Option<Finding> {
    let gateway = gateway.filter(Ipv4Addr::is_private)?;
    let is_open = config.listen.iter().any(|listener| {
        listener.proxy_protocol == ProxyProtocol::Off && !listener.address.ip().is_loopback()
    });
    is_open.then(|| {
        Finding::warning(
            HOST,
            format!(
                "is a container behind the gateway {gateway}: with the engine's userland proxy, and for IPv6 clients, \
                 all the world has that address, passes as one, and is listed as one"
            ),
            "use the host's network (network_mode: host), or a proxy in front that sends a PROXY header; \
             prescreen_busiest_client_ratio tells",
        )
    })
}

/// The IPv4 default gateway, as /proc/net/route has it: hexadecimal, in the machine's byte order.
fn gateway_of(route: &str) -> Option<Ipv4Addr> {
    route.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (destination, gateway) = (columns.next()?, columns.next()?);
        let is_default = destination == "00000000";
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|_| is_default)?;
        Some(Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::preflight::Weight;
    use crate::config::Listener;

    #[test]
    fn limits_that_are_too_small_are_told_with_what_would_do() {
        let config = Config::default();
        let finding = descriptors(&config, 1_024);
        assert_eq!(finding.weight, Weight::Warning);
        assert!(finding.remedy.unwrap().contains("LimitNOFILE"));
        assert_eq!(descriptors(&config, 1 << 20).weight, Weight::Good);
        assert_eq!(pipes(&config, 16).weight, Weight::Warning);
        assert_eq!(pipes(&config, 0).weight, Weight::Good);
        assert_eq!(pipes(&config, 1 << 20).weight, Weight::Good);
    }

    #[test]
    fn a_private_gateway_hides_clients_unless_they_are_announced() {
        let route = "Iface\tDestination\tGateway\tFlags\neth0\t0000A8C0\t00000000\t0001\neth0\t00000000\t010012AC\t0003\n";
        let gateway_address = gateway_of(route).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(gateway_address, Ipv4Addr::new(172, 18, 0, 1));
        }
        let private = Some(Ipv4Addr::new(172, 18, 0, 1));
        let mut config = Config::default();
        assert_eq!(gateway(&config, private).unwrap().weight, Weight::Warning);
        assert_eq!(gateway(&config, Some(Ipv4Addr::new(198, 51, 100, 1))), None);
        config.listen.iter_mut().for_each(|listener: &mut Listener| {
            listener.proxy_protocol = ProxyProtocol::Required;
        });
        assert_eq!(gateway(&config, private), None);
    }
}
