//! Which lists a command is judged by, and in which order.

use super::Policy;
use super::facts::{Facts, Stage};
use super::judgement::{Carry, Decision, Effects, Judgement, List};
use super::judging::{End, Judging};
use super::restriction::Party;
use super::trace::Trace;
use super::verbs::Times;

impl Policy {
    /// Whether nothing can be said at `stage`, whatever the facts are: with `delay_reject = yes` the lists of Connect,
    /// Helo and Mail are judged later, and the one of Data is empty, as a rule.
    pub fn is_silent_at(&self, stage: Stage) -> bool {
        match stage {
            Stage::Connect | Stage::Helo | Stage::Mail => self.times == Times::Delayed,
            Stage::Data => self.list(List::Data).is_empty(),
            Stage::Rcpt | Stage::Vrfy | Stage::Etrn | Stage::StartTls | Stage::Auth => false,
        }
    }

    /// What the lists that belong to `stage` say of `facts`.
    ///
    /// With `delay_reject = yes` (the default) Connect, Helo and Mail permit, and Rcpt judges all lists afresh for
    /// each recipient; so do StartTls and Auth with those that can be judged there. With `no` each list is judged at its own command, and `carry` takes to the next stage what
    /// an earlier one has put off. Never an error: trouble is part of the decision.
    pub async fn judge(
        &self,
        stage: Stage,
        facts: &Facts<'_>,
        carry: &mut Carry,
        trace: &mut Trace,
    ) -> Judgement {
        let mut judging = Judging::new(self, stage, facts, trace);
        let result = judging.stage(carry).await;
        let Judging { effects, notes, consulted, .. } = judging;
        match result {
            Ok(()) => Judgement { decision: Decision::Permit, effects, notes, consulted },
            Err(end) => Judgement { decision: *end, effects: Effects::default(), notes, consulted },
        }
    }
}

impl Judging<'_> {
    async fn stage(&mut self, carry: &mut Carry) -> Result<(), End> {
        let delayed = self.policy.times == Times::Delayed;
        match self.stage {
            stage if self.policy.is_silent_at(stage) => Ok(()),
            Stage::Connect => self.at_connect(carry).await,
            Stage::Helo => self.at_helo(carry).await,
            Stage::Mail => self.at_mail(carry).await,
            Stage::Rcpt | Stage::Vrfy => {
                // Every server must take mail for its postmaster, whoever sends it (RFC 5321 §4.5.1).
                if self.facts.rcpt.is_some_and(|rcpt| rcpt.recipient.is_bare_postmaster()) {
                    return Ok(());
                }
                if delayed {
                    self.at_connect(carry).await?;
                    self.at_helo(carry).await?;
                    self.at_mail(carry).await?;
                }
                self.at_rcpt(carry).await
            }
            Stage::Etrn => {
                if delayed {
                    self.at_connect(carry).await?;
                    self.at_helo(carry).await?;
                }
                self.at_etrn(carry).await
            }
            Stage::StartTls | Stage::Auth => {
                if delayed {
                    self.at_connect(carry).await?;
                    self.at_helo(carry).await?;
                }
                self.begin(carry.before_mail());
                self.permit()
            }
            Stage::Data => self.at_data().await,
        }
    }

    async fn at_connect(&mut self, carry: &mut Carry) -> Result<(), End> {
        *carry = Carry::default();
        self.list(List::Client).await?;
        carry.after_client = self.defer_if_permit.clone();
        Ok(())
    }

    async fn at_helo(&mut self, carry: &mut Carry) -> Result<(), End> {
        self.begin(&carry.after_client);
        if self.facts.helo.is_some() {
            self.list(List::Helo).await?;
        }
        carry.after_helo = self.defer_if_permit.clone();
        Ok(())
    }

    async fn at_mail(&mut self, carry: &mut Carry) -> Result<(), End> {
        self.begin(carry.before_mail());
        if self.facts.mail.is_some() {
            self.list(List::Sender).await?;
            if self.policy.settings.reject_unlisted_sender {
                self.listed(List::Sender, Party::Sender).await?;
            }
        }
        carry.after_mail = self.defer_if_permit.clone();
        Ok(())
    }

    async fn at_rcpt(&mut self, carry: &Carry) -> Result<(), End> {
        self.begin(&carry.after_mail);
        self.list(List::Relay).await?;
        self.list(List::Recipient).await?;
        self.permit()?;
        if self.policy.settings.reject_unlisted_recipient {
            self.listed(List::Recipient, Party::Recipient).await?;
        }
        Ok(())
    }

    async fn at_etrn(&mut self, carry: &Carry) -> Result<(), End> {
        self.begin(carry.before_mail());
        self.list(List::Etrn).await?;
        self.permit()
    }

    async fn at_data(&mut self) -> Result<(), End> {
        // Some recipient was permitted, so nothing that was put off concerns the mail as a whole.
        self.begin(&None);
        self.list(List::Data).await?;
        self.permit()
    }

    /// The implied restriction behind the last list: addresses in our domains must exist.
    async fn listed(&mut self, list: List, party: Party) -> Result<(), End> {
        if !self.policy.settings.recipients.any() {
            return Ok(());
        }
        let policy = self.policy;
        self.single(list, policy.implied.of(party)).await?;
        Ok(())
    }
}
