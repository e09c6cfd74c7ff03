//! What connections came to, written down some at a time.
//!
//! To log, count and remember a connection takes much code that serving one does not. Run between the commands of
//! other clients, it finds no processor cache warm, and leaves none; run for many connections in a row, it costs a
//! fraction of that.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::report::Report;

/// How long a report may wait for others.
const REST: Duration = Duration::from_millis(20);

/// How many are enough.
const MANY: usize = 64;

/// Reports of connections that have ended, not yet written down.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    waiting: Mutex<Vec<Report>>,
    first: Notify,
    many: Notify,
}

impl Ledger {
    /// One more.
    pub(super) fn enter(&self, report: Report) {
        let mut waiting = self.waiting.lock();
        waiting.push(report);
        match waiting.len() {
            1 => self.first.notify_one(),
            MANY => self.many.notify_one(),
            _ => {}
        }
    }

    /// Ready when it is time to write some of them down.
    pub(super) async fn is_due(&self) {
        self.first.notified().await;
        let _ = timeout(REST, self.many.notified()).await;
    }

    /// All of them.
    pub(super) fn take(&self) -> Vec<Report> {
        let mut waiting = self.waiting.lock();
        let all = waiting.drain(..).collect();
        waiting.shrink_to(MANY);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::Instant;

    use super::*;
    use crate::proxy_protocol::Endpoints;

    fn report() -> Report {
        let anywhere = ([192, 0, 2, 1], 25).into();
        Report::new(Endpoints { client: anywhere, server: anywhere }, SystemTime::now())
    }

    #[tokio::test(start_paused = true)]
    async fn some_come_together_and_many_do_not_wait() {
        let ledger = Ledger::default();
        let begun = Instant::now();
        ledger.enter(report());
        ledger.enter(report());
        ledger.is_due().await;
        assert_eq!((ledger.take().len(), begun.elapsed()), (2, REST));
        (0..MANY).for_each(|_| ledger.enter(report()));
        ledger.is_due().await;
        assert_eq!((ledger.take().len(), begun.elapsed()), (MANY, REST));
        assert!(timeout(REST, ledger.is_due()).await.is_err(), "there is nothing");
    }
}
