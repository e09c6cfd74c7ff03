//! A client and a backend that are to be joined, and the relay between them.
//!
//! A relay may wait for hours, and thousands of them do: so nothing is kept of how the two came together.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

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

impl<'a> Pair<'a> {
    /// Relays; what it came to, once both sides have finished.
    pub(super) fn relayed(self) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let Self { visit, backend, early, place, outcome } = self;
        let Visit { stream, seat, site, report, .. } = *visit;
        report.reached(State::Relay);
        let seats = (seat, place);
        match (stream, backend) {
            (Stream::Plain(client), Link::Plain(backend)) => {
                let transfer = relay::splice(client, backend, early, &site.relay, pending());
                Box::pin(Relayed { transfer, report, seats, outcome })
            }
            (client, backend) => {
                let transfer = relay::copy(client, backend, early, &site.relay, pending());
                Box::pin(Relayed { transfer, report, seats, outcome })
            }
        }
    }
}

pin_project! {
    /// A relay, and what is told and given back when it has ended.
    struct Relayed<'a, T> {
        #[pin]
        transfer: T,
        report: &'a mut Report,
        seats: (Seat, Option<Place>),
        outcome: Outcome,
    }
}

impl<T: Future<Output = Transfer>> Future for Relayed<'_, T> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.project();
        let transfer = ready!(this.transfer.poll(cx));
        this.report.relayed(transfer);
        Poll::Ready(*this.outcome)
    }
}
