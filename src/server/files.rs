//! The descriptor limit: raised at start, and turned into a number of connections that can be kept.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that are not for connections: listeners, store, log, metrics, DNS sockets, pooled pipes, spare ones.
const RESERVE: u64 = 1_024;

/// Raises the soft limit to the hard one, and returns what is in force.
pub(super) fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1_024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// How many connections fit under a descriptor limit: each may come to need two, its own and the backend's.
pub(super) fn connections_within(limit: u64) -> usize {
    let reserve = RESERVE.min(limit / 4);
    usize::try_from((limit - reserve) / 2).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_still_leaves_room_for_connections() {
        assert_eq!(connections_within(256), 96);
        assert_eq!(connections_within(20_000), 9_488);
        assert_eq!(connections_within(0), 0);
    }
}
