//! A client and a backend that are to be joined, and that are.
//!
//! A relay may wait for hours, and thousands of them do: so nothing is kept of how the two came together.

use std::future::pending;
use std::pin::Pin;

use super::Visit;
use crate::handoff::{Link, Place};
use crate::limits::{Seat, State};
use crate::relay::{self, Early, Transfer};
use crate::report::{Outcome, Report};
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

/// A client and a backend between which bytes go to and fro.
pub(super) struct Joined<'a> {
    transfer: Pin<Box<dyn Future<Output = Transfer> + Send + 'a>>,
    report: &'a mut Report,
    outcome: Outcome,
    _seat: Seat,
    _place: Option<Place>,
}

impl<'a> Pair<'a> {
    /// Begins the relay.
    pub(super) fn joined(self) -> Joined<'a> {
        let Self { visit, backend, early, place, outcome } = self;
        let Visit { stream, seat, site, report, .. } = *visit;
        report.reached(State::Relay);
        let transfer: Pin<Box<dyn Future<Output = Transfer> + Send + 'a>> = match (stream, backend) {
            (Stream::Plain(client), Link::Plain(backend)) => {
                Box::pin(relay::splice(client, backend, early, &site.relay, pending()))
            }
            (client, backend) => Box::pin(relay::copy(client, backend, early, &site.relay, pending())),
        };
        Joined { transfer, report, outcome, _seat: seat, _place: place }
    }
}

impl Joined<'_> {
    /// What it came to, once both sides have finished.
    pub(super) async fn ended(&mut self) -> Outcome {
        let transfer = self.transfer.as_mut().await;
        self.report.relayed(transfer);
        self.outcome
    }
}
