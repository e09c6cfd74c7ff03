//! What an administrator can set about the allowlist.

use std::path::PathBuf;
use std::time::Duration;

use super::record::Prefixes;
use super::shared;

/// `[allowlist]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file that survives a restart; its folder must be writable. Default: none, memory only.
    pub path: Option<PathBuf>,
    /// Clients remembered at most; the one not seen for longest goes first. About 350 bytes of memory each.
    /// Default 200,000.
    pub max_entries: u64,
    /// Leading bits that identify an IPv4 client, 0 to 32. Default 32.
    pub ipv4_prefix: u8,
    /// Leading bits that identify an IPv6 client, 0 to 128. Default 64: a host owns its /64.
    pub ipv6_prefix: u8,
    /// How long a client is remembered after all its passes have expired. Default 7 days.
    pub retention_time: Duration,
    /// The allowlist that several hosts share.
    pub shared: shared::Settings,
    /// The longest TTL of any test: no pass counts for longer, whatever the clock was when it was noted.
    /// Default 30 days.
    pub longest_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            max_entries: 200_000,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            retention_time: Duration::from_secs(7 * 86_400),
            shared: shared::Settings::default(),
            longest_ttl: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Settings {
    /// The keys in which `other` differs and which a running allowlist cannot change.
    pub fn fixed_keys_changed(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let path = (self.path != other.path).then_some("path");
        let room = (self.max_entries != other.max_entries).then_some("max_entries");
        let shared = (self.shared != other.shared).then_some("shared, and what belongs to it,");
        path.into_iter().chain(room).chain(shared)
    }

    pub(super) fn prefixes(&self) -> Prefixes {
        Prefixes { ipv4: self.ipv4_prefix, ipv6: self.ipv6_prefix }
    }
}
