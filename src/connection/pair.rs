//! A client and a backend that are to be joined, and the relay between them.
//!
//! A relay may wait for hours, and thousands of them do: so nothing is kept of how the two came together.

use std::future::pending;
use std::pin::Pin;

use super::Visit;
use crate::handoff::{Link, Place};
use crate::limits::State;
use crate::relay::{self, Early, Transfer};
use crate::report::Outcome;
use crate::tls::Stream;

/// A client and a backend to be joined.
pub(super) struct Pair<'a> {
    pub(super) visit: Box<Visit<'a>>,
    pub(super) backend: Link,
    pub(super) early: Early,
    /// Given back when the relay has ended.
    pub(super) place: Option<Place>,
    pub(super) outcome: Outcome,
}

impl<'a> Pair<'a> {
    /// Relays; what it came to, once both sides have finished.
    pub(super) fn relayed(self) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let Self { visit, backend, early, place, outcome } = self;
        let Visit { stream, seat, site, report, .. } = *visit;
        report.reached(State::Relay);
        let mut transfer: Pin<Box<dyn Future<Output = Transfer> + Send + 'a>> = match (stream, backend) {
            (Stream::Plain(client), Link::Plain(backend)) => {
                Box::pin(relay::splice(client, backend, early, &site.relay, pending()))
            }
            (client, backend) => Box::pin(relay::copy(client, backend, early, &site.relay, pending())),
        };
        Box::pin(async move {
            report.relayed(transfer.as_mut().await);
            // Taken until now.
            drop((seat, place));
            outcome
        })
    }
}
