//! The error budget: the one place that counts a client's errors.
//!
//! Classes, because one limit cannot serve both ends: a zombie shall be gone at its first error, a mailing list with
//! one dead subscriber shall not. What the client does wrong is `client`; a recipient or sender that the *backend*
//! refuses for good is `recipient`, and so is a recipient that does not exist, whoever says so.

use std::time::Duration;

use super::settings::ErrorSettings;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Protocol errors, refusals by a restriction, junk commands past their limit.
    Client,
    /// The backend's refusals of a recipient or sender for good, and recipients that do not exist.
    Recipient,
}

/// What a session has used of its budget.
#[derive(Debug)]
pub(super) struct Errors {
    limits: ErrorSettings,
    client: u32,
    recipient: u32,
    junk: u32,
}

impl Errors {
    pub(super) fn new(limits: ErrorSettings) -> Self {
        Self { limits, client: 0, recipient: 0, junk: 0 }
    }

    pub(super) fn count(&mut self, class: Class) {
        let counter = match class {
            Class::Client => &mut self.client,
            Class::Recipient => &mut self.recipient,
        };
        *counter = counter.saturating_add(1);
    }

    /// Counts a command that brings no mail nearer. The limit itself and one more are free, as in Postfix.
    pub(super) fn count_junk(&mut self) {
        if self.junk > self.limits.junk_command_limit {
            self.count(Class::Client);
        }
        self.junk = self.junk.saturating_add(1);
    }

    /// Whether the budget is used up and the session must end.
    pub(super) fn exhausted(&self) -> bool {
        self.client >= self.limits.hard_error_limit || self.recipient >= self.limits.recipient_error_limit
    }

    /// How long the next reply waits.
    pub(super) fn delay(&self) -> Option<Duration> {
        let errors = self.client.saturating_add(self.recipient);
        (errors >= self.limits.soft_error_limit).then_some(self.limits.error_sleep_time)
    }

    /// A message was accepted: the past is forgiven.
    pub(super) fn forgive(&mut self) {
        *self = Self::new(self.limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(limits: ErrorSettings) -> Errors {
        Errors::new(limits)
    }

    #[test]
    fn one_error_of_the_clients_own_is_one_too_many_by_default() {
        let mut errors = errors(ErrorSettings::default());
        assert!(!errors.exhausted());
        errors.count(Class::Client);
        assert!(errors.exhausted());
    }

    #[test]
    fn dead_recipients_have_a_budget_of_their_own() {
        let mut errors = errors(ErrorSettings::default());
        for _ in 0..19 {
            errors.count(Class::Recipient);
            assert!(!errors.exhausted());
        }
        errors.count(Class::Recipient);
        assert!(errors.exhausted());
    }

    #[test]
    fn replies_wait_from_the_soft_limit_on() {
        let mut errors =
            errors(ErrorSettings { hard_error_limit: 20, soft_error_limit: 2, ..Default::default() });
        errors.count(Class::Client);
        assert_eq!(errors.delay(), None);
        errors.count(Class::Recipient);
        assert_eq!(errors.delay(), Some(Duration::from_secs(1)));
        errors.forgive();
        assert_eq!(errors.delay(), None);
    }

    #[test]
    fn the_second_junk_command_past_the_limit_counts() {
        let mut errors = errors(ErrorSettings { junk_command_limit: 1, ..Default::default() });
        errors.count_junk();
        errors.count_junk();
        assert!(!errors.exhausted());
        errors.count_junk();
        assert!(errors.exhausted());
    }
}
