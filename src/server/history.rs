//! The last connections and what was decided about them, in so much memory and no more.
//!
//! Reports are kept as they are: few of them are ever asked for, and to put all of them into words would cost more
//! than to serve some of the clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use ipnet::IpNet;
use parking_lot::Mutex;

use crate::id::Id;
use crate::report::Report;

/// The last connections. A decision leaves when newer ones need its room.
#[derive(Debug)]
pub(super) struct History {
    decisions: Mutex<Decisions>,
    /// Octets.
    size: AtomicUsize,
}

#[derive(Debug, Default)]
struct Decisions {
    oldest_first: VecDeque<Entry>,
    /// Octets that they take.
    size: usize,
}

#[derive(Debug)]
struct Entry {
    decision: Decision,
    /// Octets.
    size: usize,
}

/// What was decided about one connection.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// When the connection ended.
    pub(super) ended: SystemTime,
    pub(super) report: Arc<Report>,
}

/// Whom or what a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Connection(Id),
    Clients(IpNet),
}

impl History {
    pub(super) fn new(size: usize) -> Self {
        Self { decisions: Mutex::default(), size: AtomicUsize::new(size) }
    }

    /// Goes on with another size.
    pub(super) fn resize(&self, size: usize) {
        self.size.store(size, Ordering::Relaxed);
        let mut decisions = self.decisions.lock();
        decisions.shrink(size);
        decisions.oldest_first.shrink_to_fit();
    }

    pub(super) fn note(&self, report: Report) {
        let size = size_of::<Entry>() + report.size();
        let Some(rest) = self.size.load(Ordering::Relaxed).checked_sub(size) else { return };
        let decision = Decision { ended: SystemTime::now(), report: Arc::new(report) };
        let mut decisions = self.decisions.lock();
        // Room first, so that there is never more than may be.
        decisions.shrink(rest);
        decisions.size += size;
        decisions.oldest_first.push_back(Entry { decision, size });
    }

    /// What was decided, the oldest first.
    pub(super) fn about(&self, about: About) -> Vec<Decision> {
        let decisions = self.decisions.lock();
        let all = decisions.oldest_first.iter().map(|entry| &entry.decision);
        all.filter(|decision| about.means(&decision.report)).cloned().collect()
    }
}

impl Decisions {
    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.size -= oldest.size;
        }
    }
}

impl About {
    fn means(self, report: &Report) -> bool {
        match self {
            Self::Connection(id) => report.id() == id,
            Self::Clients(network) => network.contains(&report.ends().client.ip().to_canonical()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::Endpoints;
    use crate::report::Outcome;

    fn report(client: &str) -> Report {
        let ends = Endpoints {
            client: format!("{client}:4711").parse().unwrap(),
            server: "198.51.100.2:25".parse().unwrap(),
        };
        let mut report = Report::new(ends, SystemTime::now());
        report.end(Outcome::Quit);
        report
    }

    #[test]
    fn the_last_are_found_by_name_address_and_network() {
        let history = History::new(1 << 20);
        let (one, other) = (report("192.0.2.1"), report("192.0.2.2"));
        let id = one.id();
        history.note(one);
        history.note(other);
        let about = |about| history.about(about).len();
        assert_eq!(about(About::Connection(id)), 1);
        assert_eq!(about(About::Clients("192.0.2.2/32".parse().unwrap())), 1);
        assert_eq!(about(About::Clients("192.0.2.0/24".parse().unwrap())), 2);
        assert_eq!(about(About::Clients("198.51.100.0/24".parse().unwrap())), 0);
    }

    #[test]
    fn it_never_takes_more_memory_than_it_is_given() {
        let history = History::new(10_000);
        let each = size_of::<Entry>() + report("192.0.2.1").size();
        let everybody = About::Clients("0.0.0.0/0".parse().unwrap());
        for n in 0..1_000 {
            history.note(report("192.0.2.1"));
            assert_eq!(history.about(everybody).len(), (n + 1).min(10_000 / each));
        }
        let last = report("192.0.2.2");
        let id = last.id();
        history.note(last);
        assert_eq!(history.about(everybody).last().map(|last| last.report.id()), Some(id));
        history.resize(0);
        history.note(report("192.0.2.1"));
        assert!(history.about(everybody).is_empty());
    }
}
