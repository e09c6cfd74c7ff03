//! The threads that serve connections, as tokio counts them: whether there is time for everybody.

use std::time::Duration;

use tokio::runtime::Handle;

/// What tokio knows of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runtime {
    pub(super) threads: usize,
    /// All threads together, since the start.
    pub(super) busy: Duration,
    /// Tasks that could go on, and that no thread has taken yet.
    pub(super) queued: usize,
}

impl Runtime {
    /// The one that we run in; nothing outside of one.
    pub(super) fn read() -> Option<Self> {
        let metrics = Handle::try_current().ok()?.metrics();
        let threads = metrics.num_workers();
        Some(Self {
            threads,
            busy: (0..threads).map(|thread| metrics.worker_total_busy_duration(thread)).sum(),
            queued: metrics.global_queue_depth(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_runtime_knows_its_threads() {
        assert_eq!(Runtime::read().unwrap().threads, 2);
    }

    #[test]
    fn outside_there_is_none() {
        assert!(Runtime::read().is_none());
    }
}
