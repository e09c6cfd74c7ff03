//! A session with a made-up client, in front of a made-up backend that takes every recipient.

use std::sync::Arc;
use std::time::SystemTime;

use crate::dialogue::{Auth, Encryption, Finding, Offer, Peer, RefusedBy, Session, Step, Waiting};
use crate::id::Id;
use crate::policy::{Carry, Trace};
use crate::screen::Screened;
use crate::smtp::capability::Capabilities;
use crate::smtp::line::{Ending, Line};
use crate::smtp::reply::Reply;
use crate::tls::Starttls;

use super::{Case, Conversation, Detail, Exchange, Explainer, Refusal};

/// A session under way.
pub(super) struct Talk<'a> {
    explainer: &'a Explainer,
    case: &'a Case,
    session: Session,
    carry: Carry,
    detail: Detail,
    /// The test that stands against the client.
    failed: Option<Refusal>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(
        explainer: &'a Explainer,
        case: &'a Case,
        screened: Screened,
        failed: Option<Refusal>,
        detail: Detail,
    ) -> Self {
        let ends = explainer.ends(case.client);
        let peer = Peer {
            client: ends.client,
            server: ends.server,
            names: case.names(),
            id: Id::new(SystemTime::now()),
        };
        // What the backend offers is not known here, and decides about no recipient.
        let offer = Offer {
            capabilities: Arc::new(Capabilities::conservative()),
            starttls: Starttls::Off,
            auth: Auth::Hide,
            encryption: Encryption::Optional,
        };
        let session = Session::new(Arc::clone(&explainer.dialogue), peer, screened, offer);
        Self { explainer, case, session, carry: Carry::default(), detail, failed }
    }

    /// Talks until every one of `recipients` has its answer, or the session is over.
    pub(super) async fn with(mut self, recipients: &[String]) -> Conversation {
        let mut conversation = Conversation::default();
        if self.explainer.dialogue.wants_names() {
            self.explainer.policy.names(&self.session.peer().names, self.case.client).await;
        }
        let greeting = self.session.greet();
        let mut exchange = self.play(greeting, String::new()).await;
        if let Some(tls) = &self.case.tls {
            self.session.secured(tls.clone());
        }
        for line in self.case.opening() {
            if exchange.refusal.is_some() {
                break;
            }
            conversation.opening.push(exchange);
            exchange = self.say(line).await;
        }
        let refused = exchange.refusal.is_some();
        conversation.opening.push(exchange);
        // RCPT without MAIL would only show that the case is not complete.
        if refused || self.case.from.is_none() {
            return conversation;
        }
        for recipient in recipients {
            let exchange = self.say(self.case.rcpt(recipient)).await;
            let closed = exchange.closed;
            conversation.recipients.push(exchange);
            if closed {
                break;
            }
        }
        conversation
    }

    async fn say(&mut self, line: String) -> Exchange {
        let step = if line.len() + "\r\n".len() > self.explainer.dialogue.line_length_limit {
            self.session.too_long()
        } else {
            let line = Line { text: line.clone().into_bytes(), ending: Ending::CrLf };
            self.session.line(&line, Waiting::Nothing)
        };
        self.play(step, line).await
    }

    /// Goes on until there is an answer.
    async fn play(&mut self, mut step: Step, line: String) -> Exchange {
        let mut exchange = Exchange { line, ..Exchange::default() };
        loop {
            step = match step {
                Step::Judge(pending) => {
                    let mut trace = match self.detail {
                        Detail::Verdict => Trace::off(),
                        Detail::Trace => Trace::on(),
                    };
                    let facts = pending.facts(&self.session);
                    let policy = &self.explainer.policy;
                    let judgement = policy.judge(pending.stage(), &facts, &mut self.carry, &mut trace).await;
                    exchange.steps.extend_from_slice(trace.steps());
                    exchange.effects = judgement.effects.clone();
                    exchange.consulted.extend_from_slice(&judgement.consulted);
                    self.session.decided(pending, judgement)
                }
                Step::Forward(checked) => self.session.answered(checked, Reply::new(250, "2.1.5 Ok")),
                Step::Reply { reply, .. } => {
                    exchange.replies.push(reply);
                    break;
                }
                Step::Close { replies, .. } => {
                    exchange.replies = replies;
                    exchange.closed = true;
                    break;
                }
                // Nobody says DATA, STARTTLS or AUTH here.
                Step::StartTls(_) | Step::Relay(_) | Step::Passthrough(_) => break,
            };
        }
        for finding in self.session.take_findings() {
            match finding {
                Finding::Note { note, .. } => exchange.notes.push(note),
                Finding::Reject { by: RefusedBy::Restriction(cause), .. }
                | Finding::HungUpOn { cause, .. } => {
                    exchange.refusal = Some(Refusal::Restriction(cause));
                }
                Finding::Reject { by: RefusedBy::Test, .. } => {
                    exchange.refusal = self.failed.clone().or(Some(Refusal::Protocol));
                }
                Finding::Reject { by: RefusedBy::Limit, .. }
                | Finding::CountLimit { .. }
                | Finding::LengthLimit { .. } => exchange.refusal = Some(Refusal::Limit),
                Finding::ProtocolError { .. } => {
                    exchange.refusal.get_or_insert(Refusal::Protocol);
                }
                _ => {}
            }
        }
        exchange
    }
}
