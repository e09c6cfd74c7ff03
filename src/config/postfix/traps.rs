//! What looks right in a Postfix configuration and is not, or means something else in front of it.

use super::translation::Translation;
use crate::table::words;

impl Translation<'_> {
    /// Tells of every trap that this configuration holds.
    pub(super) fn traps(&mut self) {
        self.error_limits();
        self.order_of_lists();
        self.screening_defaults();
        self.policy_services();
    }

    fn error_limits(&mut self) {
        let what = match self.postfix.setting("smtpd_hard_error_limit") {
            // What is wrong with it has been told.
            Some(_) if !self.entries.contains_key("errors.hard_error_limit") => return,
            None => "smtpd_hard_error_limit is not set: Postfix gives a client 20 errors (1 under stress), prescreen 1. \
                     The backend's refusals are counted apart: errors.recipient_error_limit"
                .to_owned(),
            Some(setting) if self.postfix.value("smtpd_hard_error_limit") == "1" => format!(
                "{}: smtpd_hard_error_limit = 1 made Postfix drop a mailing list over one dead subscriber. Here the \
                 backend's refusals are counted apart: errors.recipient_error_limit, 20",
                setting.origin
            ),
            Some(setting) => format!(
                "{}: smtpd_hard_error_limit = {} is taken over. prescreen's default is 1, which drops zombies at \
                 their first error; the backend's refusals are counted apart (errors.recipient_error_limit)",
                setting.origin, setting.value
            ),
        };
        self.report.traps.push(what);
        let number = |parameter: &str| self.postfix.value(parameter).parse::<i64>().unwrap_or(i64::MAX);
        if self.postfix.setting("smtpd_soft_error_limit").is_some()
            && number("smtpd_soft_error_limit") >= number("smtpd_hard_error_limit")
        {
            self.report.traps.push(
                "smtpd_soft_error_limit is not below smtpd_hard_error_limit: nobody is ever slowed down"
                    .to_owned(),
            );
        }
    }

    fn order_of_lists(&mut self) {
        let recipient_list = self.postfix.value("smtpd_recipient_restrictions");
        let relay_list = self.postfix.value("smtpd_relay_restrictions");
        if !recipient_list.is_empty()
            && !relay_list.is_empty()
            && !self.postfix.is_yes("smtpd_relay_before_recipient_restrictions")
        {
            self.report.traps.push(
                "with this compatibility_level Postfix judges smtpd_recipient_restrictions before \
                 smtpd_relay_restrictions; prescreen judges relay first, as Postfix has done since 3.6. A refusal for \
                 two reasons may name the other one"
                    .to_owned(),
            );
        }
        let control = [
            "reject_unauth_destination",
            "defer_unauth_destination",
            "check_relay_domains",
            "reject",
            "defer",
        ];
        let mut permitting = None;
        for word in words(&recipient_list) {
            if control.contains(&word) {
                break;
            }
            if word == "check_sender_access" || word == "check_helo_access" || word == "check_client_access" {
                permitting = Some(word.to_owned());
            }
        }
        if let Some(verb) = permitting.filter(|_| relay_list.is_empty()) {
            self.report.traps.push(format!(
                "smtpd_recipient_restrictions has {verb} in front of its relay control: an OK in that table lets its \
                 clients relay anywhere"
            ));
        }
        if self.postfix.setting("smtpd_delay_reject").is_some() && !self.postfix.is_yes("smtpd_delay_reject")
        {
            self.report.traps.push(
                "smtpd_delay_reject = no refuses before the recipient is known: the log will not say for whom the \
                 mail was, and postmaster cannot be reached"
                    .to_owned(),
            );
        }
    }

    fn screening_defaults(&mut self) {
        if !self.postfix.has_postscreen() && !self.entries.keys().any(|key| key.starts_with("screen.")) {
            self.report.traps.push(
                "there was no postscreen: a client that was not here for a day now waits 6 s for the greeting \
                 (screen.greet_wait), and one that talks before it is greeted, does not wait for replies or speaks no \
                 SMTP is refused"
                    .to_owned(),
            );
        }
        for (parameter, key, default) in [
            ("postscreen_greet_action", "screen.greet_action", "enforce"),
            ("postscreen_dnsbl_action", "dnsbl.action", "enforce"),
            ("postscreen_denylist_action", "screen.denylist_action", "enforce"),
        ] {
            if self.postfix.has_postscreen() && !self.entries.contains_key(key) {
                self.report.traps.push(format!(
                    "{parameter} is not set: postscreen ignores what it finds, prescreen's {key} is {default}"
                ));
            }
        }
        if self.postfix.setting("postscreen_greet_banner").is_some_and(|setting| setting.value.is_empty()) {
            self.report.traps.push(
                "an empty postscreen_greet_banner turned the whole pregreet test off; here only the teaser is gone. \
                 screen.greet_wait = 0 turns the test off"
                    .to_owned(),
            );
        }
    }

    fn policy_services(&mut self) {
        let asks = self.entries.values().any(|entry| entry.value.contains("check_policy_service"));
        if asks {
            self.report.traps.push(
                "check_policy_service is now asked by prescreen and by Postfix, for each recipient: greylisting bears \
                 that, a server that counts quotas does not. Take it out of one of the two"
                    .to_owned(),
            );
        }
        let strict = self.entries.get("errors.hard_error_limit").is_none_or(|entry| entry.value == "1");
        if asks && strict {
            self.report.traps.push(
                "check_policy_service with errors.hard_error_limit = 1: a greylisted client is told its 450, and the \
                 session ends with 421. That costs nothing but the connection; raise the limit if a policy server \
                 often defers one recipient of several"
                    .to_owned(),
            );
        }
    }
}
