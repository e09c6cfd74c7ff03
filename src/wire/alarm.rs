//! A time limit that costs next to nothing while all goes well.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set as seldom as it can be: once for a whole conversation, as a rule, because each deadline lies
/// behind the one before it.
///
/// To set a timer for every line and take it back when the line comes is more work than reading the line.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// What comes of `work`, or nothing if it isn't done within `limit`. The clock is asked only where it has to wait.
    ///
    /// Pinned by the caller: an async function keeps room for its arguments twice.
    pub async fn within<F: Future>(&mut self, limit: Duration, mut work: Pin<&mut F>) -> Option<F::Output> {
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            while sleep.as_mut().poll(cx).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(None);
                }
                // It was set for a deadline that has been met.
                sleep.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_holds_though_the_timer_was_set_for_another() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        for seconds in [10, 2, 2, 30] {
            let begun = Instant::now();
            assert_eq!(alarm.within(seconds * SECOND, pin!(pending::<()>())).await, None);
            assert_eq!(begun.elapsed(), seconds * SECOND);
        }
        assert_eq!(start.elapsed(), 44 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn one_timer_serves_a_conversation() {
        let mut alarm = Alarm::default();
        for _ in 0..100 {
            assert_eq!(alarm.within(10 * SECOND, pin!(sleep(SECOND))).await, Some(()));
        }
        assert_eq!(alarm.within(Duration::ZERO, pin!(ready(7))).await, Some(7), "what is there is taken");
        assert_eq!(alarm.within(5 * SECOND, pin!(pending::<()>())).await, None);
    }
}
