//! The last connections and what was decided about them, in so much memory and no more.

use std::collections::VecDeque;
use std::net::IpAddr;
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

/// Texts of different lengths that come and go one by one would leave holes everywhere: they stand in one queue.
#[derive(Debug, Default)]
struct Decisions {
    oldest_first: VecDeque<Entry>,
    /// Their reports, one behind the other.
    reports: VecDeque<u8>,
}

#[derive(Debug)]
struct Entry {
    id: Id,
    client: IpAddr,
    ended: SystemTime,
    /// Octets of its report.
    length: usize,
}

/// What was decided about one connection.
#[derive(Debug)]
pub(super) struct Decision {
    /// When the connection ended.
    pub(super) ended: SystemTime,
    /// The report, as JSON.
    pub(super) report: String,
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
        decisions.reports.shrink_to_fit();
    }

    pub(super) fn note(&self, report: &Report) {
        let size = self.size.load(Ordering::Relaxed);
        if size == 0 {
            return;
        }
        let object = report.object();
        let Some(rest) = size.checked_sub(size_of::<Entry>() + object.len()) else { return };
        let entry = Entry {
            id: report.id(),
            client: report.ends().client.ip().to_canonical(),
            ended: SystemTime::now(),
            length: object.len(),
        };
        let mut decisions = self.decisions.lock();
        // Room first, so that the queues never grow beyond their size.
        decisions.shrink(rest);
        decisions.oldest_first.push_back(entry);
        decisions.reports.extend(object.as_bytes());
    }

    /// What was decided, the oldest first.
    pub(super) fn about(&self, about: About) -> Vec<Decision> {
        let decisions = self.decisions.lock();
        let mut found = Vec::new();
        let mut begin = 0;
        for entry in &decisions.oldest_first {
            let end = begin + entry.length;
            if about.means(entry) {
                let report: Vec<u8> = decisions.reports.range(begin..end).copied().collect();
                let report = String::from_utf8(report).unwrap_or_default();
                found.push(Decision { ended: entry.ended, report });
            }
            begin = end;
        }
        found
    }
}

impl Decisions {
    fn shrink(&mut self, size: usize) {
        while self.size() > size
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.reports.drain(..oldest.length);
        }
    }

    fn size(&self) -> usize {
        self.oldest_first.len() * size_of::<Entry>() + self.reports.len()
    }
}

impl About {
    fn means(self, entry: &Entry) -> bool {
        match self {
            Self::Connection(id) => entry.id == id,
            Self::Clients(network) => network.contains(&entry.client),
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
        history.note(&one);
        history.note(&other);
        let about = |about| history.about(about).len();
        assert_eq!(about(About::Connection(one.id())), 1);
        assert_eq!(about(About::Clients("192.0.2.2/32".parse().unwrap())), 1);
        assert_eq!(about(About::Clients("192.0.2.0/24".parse().unwrap())), 2);
        assert_eq!(about(About::Clients("198.51.100.0/24".parse().unwrap())), 0);
    }

    #[test]
    fn it_never_takes_more_memory_than_it_is_given() {
        let history = History::new(10_000);
        let report = report("192.0.2.1");
        (0..1_000).for_each(|_| history.note(&report));
        let size = history.decisions.lock().size();
        assert!((9_000..=10_000).contains(&size), "{size}");
        let everybody = About::Clients("0.0.0.0/0".parse().unwrap());
        let told = history.about(everybody);
        assert!(told.iter().all(|decision| decision.report.ends_with('}')), "{told:?}");
        assert_eq!(told.last().map(|last| &*last.report), Some(report.object()));
        history.resize(0);
        history.note(&report);
        assert!(history.about(everybody).is_empty());
    }
}
