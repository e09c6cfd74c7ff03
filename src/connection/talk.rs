//! The dialogue with the client, line by line: what the session wants asked is asked, what it wants said is said.
//!
//! The session decides; nothing is decided here.

use std::pin::{Pin, pin};
use std::time::Instant;

use tokio_util::sync::WaitForCancellationFuture;

use super::{Ended, Visit, read};
use crate::dialogue::{Checked, Passthrough, Pending, Released, Session, Step, Waiting};
use crate::handoff::{Handoff, Unavailable};
use crate::limits::State;
use crate::policy::{Carry, ClientNames, Judgement, Trace};
use crate::rate;
use crate::report::HandOff;
use crate::screen::Mode;
use crate::smtp::line::{Line, LineBuffer, TooLong};
use crate::smtp::reply::Reply;
use crate::tls::Stream;
use crate::wire::{self, Alarm, Then};

/// How a dialogue ended, where the client did not go away by itself.
pub(super) enum Talked {
    /// A message is to be handed over.
    Released(Released),
    /// The session is to be handed over.
    Passthrough(Passthrough),
    /// Nothing is.
    Closed,
}

impl<'a> Visit<'a> {
    /// Asks, says and reads what the session wants, until there is something to hand over or nothing more to say.
    pub(super) async fn talk(
        mut self: Box<Self>,
        session: &mut Session,
        handoff: &mut Handoff,
        place: &rate::Connection,
    ) -> Result<(Box<Self>, Talked), Ended> {
        let site = self.site;
        let mut carry = Carry::default();
        if site.dialogue.wants_names() {
            Box::pin(site.policy.names(&session.peer().names, self.client())).await;
        }
        // Registered and set once, not for every line.
        let (mut drained, mut alarm) = (pin!(self.drain.cancelled()), Alarm::default());
        let mut step = session.greet();
        loop {
            self.note(session);
            step = match step {
                Step::Judge(pending) => self.judged(session, pending, place, &mut carry).await,
                Step::Forward(checked) => {
                    let names = &session.peer().names;
                    match Box::pin(self.hand_over(handoff, &checked, names)).await {
                        Ok(reply) => {
                            if reply.is_positive() {
                                self.report.accepted(&checked);
                            }
                            session.answered(checked, reply)
                        }
                        Err(Unavailable { .. }) => session.unavailable(checked),
                    }
                }
                Step::Reply { reply, delay } => {
                    self.say(&[reply], delay, self.then()).await?;
                    self.next(session, drained.as_mut(), &mut alarm).await?
                }
                Step::StartTls(reply) => {
                    self.say(&[reply], None, Then::Listen).await?;
                    self = Box::pin(self.secured(session, handoff)).await?;
                    carry.secured();
                    self.next(session, drained.as_mut(), &mut alarm).await?
                }
                Step::Relay(released) if self.inspects() => {
                    Box::pin(self.message(session, handoff, &released)).await?
                }
                Step::Relay(released) => return Ok((self, Talked::Released(released))),
                Step::Passthrough(passthrough) => return Ok((self, Talked::Passthrough(passthrough))),
                Step::Close { replies, delay } => {
                    self.say(&replies, delay, Then::End).await?;
                    wire::close(&mut self.stream).await;
                    return Ok((self, Talked::Closed));
                }
            };
        }
    }

    /// What follows a reply: where the client has sent several commands, it has their replies together (RFC 2920 §3.2).
    fn then(&self) -> Then {
        if self.input.as_slice().contains(&b'\n') { Then::More } else { Then::Listen }
    }

    /// What the restriction lists say of a command, and before them the rates; a client that is permanently permitted
    /// meets neither.
    async fn judged(
        &mut self,
        session: &mut Session,
        pending: Pending,
        place: &rate::Connection,
        carry: &mut Carry,
    ) -> Step {
        if session.screened().permitted() {
            return session.decided(pending, Judgement::default());
        }
        let (site, stage) = (self.site, pending.stage());
        if let Err(exceeded) = self.within_rates(place, stage).await {
            if site.dialogue.mode == Mode::Enforce {
                let reply = exceeded.reply(&site.dialogue.hostname);
                self.report.exceeded(exceeded);
                return session.limited(&pending, reply);
            }
            self.report.tolerated(exceeded);
        }
        if site.policy.is_silent_at(stage) {
            return session.decided(pending, Judgement::default());
        }
        let (facts, trace) = (pending.facts(session), &mut Trace::off());
        let mut judgement = Box::pin(site.policy.judge(stage, &facts, carry, trace)).await;
        self.report.consulted(std::mem::take(&mut judgement.consulted));
        session.decided(pending, judgement)
    }

    /// Tells the report what the session has found out.
    fn note(&mut self, session: &mut Session) {
        self.report.named(session.peer().names.found());
        session.take_findings().into_iter().for_each(|finding| self.report.dialogue(finding));
        if has_passed(session) {
            self.report.passed(session.screened().history());
        }
    }

    /// The session's next line, or what the lack of one means.
    async fn next(
        &mut self,
        session: &mut Session,
        mut drained: Pin<&mut WaitForCancellationFuture<'_>>,
        alarm: &mut Alarm,
    ) -> Result<Step, Ended> {
        let (time_limit, length_limit) = (self.time_limit(), self.site.dialogue.line_length_limit);
        let line = {
            let line = pin!(line(&mut self.stream, &mut self.input, length_limit));
            tokio::select! {
                biased;
                line = alarm.within(time_limit, line) => line,
                () = drained.as_mut() => return Ok(session.shutting_down()),
            }
        };
        Ok(match line.transpose()? {
            Some(Ok(line)) => session.line(&line, Waiting::of(self.input.as_slice())),
            Some(Err(TooLong)) => session.too_long(),
            None => session.timed_out(),
        })
    }

    /// Asks the backend for a recipient; the first one opens it.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
    pub(super) fn hand_over<'v>(
        &'v mut self,
        handoff: &'v mut Handoff,
        checked: &'v Checked,
        names: &'v ClientNames,
    ) -> impl Future<Output = Result<Reply, Unavailable>> + use<'a, 'v> {
        async move {
            if self.seat.state() != State::Relay && self.seat.relay(&self.site.limits).is_err() {
                return Err(Unavailable::full());
            }
            if let Some(names) = self.names_for_backend(names).await {
                handoff.named(names);
            }
            let begun = Instant::now();
            let answer = handoff.recipient(checked).await;
            let server = answer.as_ref().ok().and_then(|_| handoff.server()).cloned();
            self.report.handed_over(HandOff { server, took: begun.elapsed() });
            answer
        }
    }
}

/// The client's next line, if it keeps to `limit`.
async fn line(
    stream: &mut Stream,
    input: &mut LineBuffer,
    limit: usize,
) -> Result<Result<Line, TooLong>, Ended> {
    loop {
        match input.next_line(limit) {
            Some(line) => return Ok(line),
            None => read(stream, input).await?,
        }
    }
}

/// Whether the client has passed every test that it was held to.
fn has_passed(session: &Session) -> bool {
    !session.has_failed() && session.passed().len() == session.screened().deep().len()
}
