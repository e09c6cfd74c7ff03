//! The last connections and what was decided about them, in so much memory and no more.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use ipnet::IpNet;
use parking_lot::Mutex;

use crate::report::{Id, Report};

/// The last connections. A decision leaves when newer ones need its room.
#[derive(Debug)]
pub(super) struct History {
    decisions: Mutex<Decisions>,
    /// Octets.
    size: AtomicUsize,
}

#[derive(Debug, Default)]
struct Decisions {
    oldest_first: VecDeque<Decision>,
    size: usize,
}

/// What was decided about one connection.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    id: Id,
    client: IpAddr,
    /// When the connection ended.
    pub(super) ended: SystemTime,
    /// The report, as JSON.
    pub(super) report: Box<str>,
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
        self.decisions.lock().shrink(size);
    }

    pub(super) fn note(&self, report: &Report) {
        let size = self.size.load(Ordering::Relaxed);
        if size == 0 {
            return;
        }
        let decision = Decision {
            id: report.id(),
            client: report.ends().client.ip().to_canonical(),
            ended: SystemTime::now(),
            report: report.object().into(),
        };
        let mut decisions = self.decisions.lock();
        decisions.size += decision.size();
        decisions.oldest_first.push_back(decision);
        decisions.shrink(size);
    }

    /// What was decided, the oldest first.
    pub(super) fn about(&self, about: About) -> Vec<Decision> {
        let decisions = self.decisions.lock();
        decisions.oldest_first.iter().filter(|decision| about.means(decision)).cloned().collect()
    }
}

impl Decisions {
    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.size -= oldest.size();
        }
    }
}

impl Decision {
    fn size(&self) -> usize {
        size_of::<Self>() + self.report.len()
    }
}

impl About {
    fn means(self, decision: &Decision) -> bool {
        match self {
            Self::Connection(id) => decision.id == id,
            Self::Clients(network) => network.contains(&decision.client),
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
        (0..1_000).for_each(|_| history.note(&report("192.0.2.1")));
        let (held, size) = {
            let decisions = history.decisions.lock();
            (decisions.oldest_first.iter().map(Decision::size).sum::<usize>(), decisions.size)
        };
        assert_eq!(held, size);
        assert!((9_000..=10_000).contains(&size), "{size}");
        history.resize(0);
        history.note(&report("192.0.2.1"));
        assert!(history.about(About::Clients("0.0.0.0/0".parse().unwrap())).is_empty());
    }
}
