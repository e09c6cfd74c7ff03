//! A case told to an administrator, step by step.

use std::fmt::Display;
use std::sync::Arc;

use crate::allowlist::Test;
use crate::dns::Answer;
use crate::policy::{Said, Step};
use crate::report::text::printable_up_to;
use crate::screen::dnsbl::Reply;
use crate::screen::{Access, Action, DeepTest, Finding, ListStatistics, Listing, Opinion, Score};
use crate::smtp::reply::Reply as SmtpReply;
use crate::time;

use super::json::{shown, warning};
use super::{Case, Conversation, Course, Detail, Exchange, Explainer, Refusal, Ruling, Verdict};

/// The longest line, in characters. Some of what is told comes from DNS.
const LONGEST: usize = 2000;

/// Where the right column of the first part begins.
const COLUMN: usize = 16;

impl Explainer {
    /// Tells how `case` goes: what each test and each restriction says, what is answered, and what that comes to.
    pub async fn tell(&self, case: &Case) -> String {
        let mut story = Story::default();
        story.line(0, format_args!("client {}", case.client.to_canonical()));
        story.chapter("before the greeting");
        self.tell_of_tests(case, &mut story).await;
        let course = self.explain(case, Detail::Trace).await;
        if let Course::Talked(conversations) = &course {
            story.chapter("dialogue");
            let mut before: Option<&Conversation> = None;
            for conversation in conversations {
                let is_repeated = before.is_some_and(|before| before.opening == conversation.opening);
                if before.is_some() {
                    story.line(2, "(it comes again, for those that it has not reached)");
                }
                let opening = if is_repeated { &[] } else { conversation.opening.as_slice() };
                opening.iter().chain(&conversation.recipients).for_each(|exchange| story.exchange(exchange));
                before = Some(conversation);
            }
        }
        story.chapter("verdict");
        for ruling in course.rulings(case) {
            story.ruling(&ruling, &course);
        }
        for oddity in case.oddities() {
            story.line(2, format_args!("note: {oddity}"));
        }
        story.0
    }

    async fn tell_of_tests(&self, case: &Case, story: &mut Story) {
        let settings = self.screen.settings();
        let (access, list) = (self.screen.access(case.client), &settings.access_list);
        let action = settings.denylist_action;
        story.row(
            "access list",
            match access {
                Access::Permit => format!("{list}: permits it, and nothing else is asked"),
                Access::Reject => format!("{list}: rejects it; {}", consequence(action)),
                Access::Undecided => format!("{list}: says nothing of it"),
            },
        );
        if access == Access::Permit || (access == Access::Reject && action != Action::Ignore) {
            return;
        }
        story.row(
            "allowlist",
            "a client on it has no greet wait and no DNS lists; restrictions judge its mail, too",
        );
        self.tell_of_lists(case, story).await;
        story.row(
            "greet wait",
            match settings.greet_wait {
                wait if wait.is_zero() => "none".to_owned(),
                wait => format!("{}; who speaks earlier: {}", time::show(wait), settings.greet_action),
            },
        );
        let deep = settings.deep_tests();
        let held: Vec<_> = deep.iter().filter(|(_, deep)| deep.enable).map(of_deep_test).collect();
        story.row("deep tests", if held.is_empty() { "none".to_owned() } else { held.join(", ") });
    }

    async fn tell_of_lists(&self, case: &Case, story: &mut Story) {
        let lists = self.screen.list_statistics();
        if lists.is_empty() {
            return story.row("DNS lists", "none");
        }
        let mut replies = Vec::new();
        let mut note = |finding| {
            if let Finding::Answered(reply) = finding {
                replies.push(reply);
            }
        };
        let score = self.screen.recheck(case.client, &mut note).await;
        let width = lists.iter().map(|list| list.list.chars().count()).max().unwrap_or_default();
        let mut label = "DNS lists";
        for list in &lists {
            let reply =
                replies.iter().find(|reply| Arc::ptr_eq(&reply.list, &list.list) || reply.list == list.list);
            story.row(
                label,
                format_args!("{:width$}  {}", list.list, said(list, reply.map(Box::as_ref), &score)),
            );
            label = "";
        }
        story.row("", self.of_score(&score));
    }

    fn of_score(&self, score: &Score) -> String {
        let total = score.total;
        let threshold = self.screen.dnsbl_threshold();
        let comes_to = match &score.opinion {
            Opinion::Listed { by } => {
                format!("listed, by {by}; {}", consequence(self.screen.dnsbl_action()))
            }
            Opinion::Clear => "not listed".to_owned(),
            Opinion::Trusted => "vouched for: it skips all other tests".to_owned(),
            Opinion::Unknown => {
                let because =
                    if total >= threshold { "a list that is silent might outweigh that: " } else { "" };
                format!("{because}nothing is held against it, and it is asked about again next time")
            }
        };
        format!("score {total}, threshold {threshold}: {comes_to}")
    }
}

fn of_deep_test((test, deep): &(Test, &DeepTest)) -> String {
    format!("{} {}", test.as_str(), deep.action)
}

/// What a failed test leads to.
fn consequence(action: Action) -> &'static str {
    match action {
        Action::Ignore => "ignore: it goes on",
        Action::Enforce => "enforce: every recipient is refused",
        Action::Drop => "drop: it is refused at once",
    }
}

/// What one list said.
fn said(list: &ListStatistics, reply: Option<&Reply>, score: &Score) -> String {
    if let Some(ailment) = list.suspended {
        return format!("suspended, says nothing: {ailment}");
    }
    match reply.map(|reply| &reply.answer) {
        None => "not asked".to_owned(),
        Some(Answer::NotFound { .. }) => "not listed".to_owned(),
        Some(Answer::Temporary(trouble)) => format!("no answer ({}): says nothing", trouble.as_str()),
        Some(Answer::Found { records, .. }) => {
            let codes: Vec<_> = records.iter().map(ToString::to_string).collect();
            let codes = codes.join(", ");
            let malfunction = records.iter().find_map(|code| match Listing::of(*code) {
                Listing::Malfunction(malfunction) => Some(malfunction),
                Listing::Listed => None,
            });
            match (score.hits.iter().find(|hit| hit.list == list.list), malfunction) {
                (Some(hit), _) => format!("{codes}: weighs {}", hit.weight),
                (None, Some(malfunction)) => format!("{codes}: says nothing; {}", malfunction.meaning()),
                (None, None) => format!("{codes}: no code that counts"),
            }
        }
    }
}

/// The text so far.
#[derive(Default)]
struct Story(String);

impl Story {
    fn line(&mut self, indent: usize, text: impl Display) {
        self.0.extend(std::iter::repeat_n(' ', indent));
        self.0.push_str(&printable_up_to(LONGEST, &text.to_string()));
        self.0.push('\n');
    }

    fn chapter(&mut self, title: &str) {
        self.0.push('\n');
        self.line(0, title);
    }

    fn row(&mut self, label: &str, text: impl Display) {
        self.line(2, format_args!("{label:COLUMN$}{text}"));
    }

    fn exchange(&mut self, exchange: &Exchange) {
        if !exchange.line.is_empty() {
            self.line(2, format_args!("C: {}", exchange.line));
        }
        let mut list = None;
        for step in &exchange.steps {
            self.step(step, if list == Some(step.list) { "" } else { step.list.as_str() });
            list = Some(step.list);
        }
        for note in &exchange.notes {
            self.line(5, warning(note));
        }
        for header in &exchange.effects.prepend {
            self.line(5, format_args!("the message is given the header line {header}"));
        }
        for address in &exchange.effects.bcc {
            self.line(5, format_args!("the message is given the recipient <{address}>"));
        }
        exchange.replies.iter().for_each(|reply| self.reply(reply));
        if exchange.closed {
            self.line(2, "S: (closes)");
        }
    }

    fn step(&mut self, step: &Step, list: &str) {
        let indent = 2 * step.depth;
        self.line(5, format_args!("{list:11}{:17}{:indent$}{}", step.said.as_str(), "", step.restriction));
        let inner = 5 + 11 + 17 + indent + 2;
        for lookup in &step.lookups {
            self.line(inner, lookup);
        }
        if !step.why.is_empty() {
            self.line(inner, &step.why);
        }
        if let (Said::Warning | Said::DeferIfPermit | Said::DeferIfReject, Some(reply)) =
            (step.said, &step.reply)
        {
            self.line(inner, format_args!("would have answered {reply}"));
        }
    }

    /// What EHLO offers depends on the backend, and is left out.
    fn reply(&mut self, reply: &SmtpReply) {
        let text = shown(reply);
        let mut lines = text.split("\r\n");
        if reply.is_positive() && reply.lines().count() > 1 {
            return self.line(2, format_args!("S: {} …", lines.next().unwrap_or_default()));
        }
        lines.for_each(|line| self.line(2, format_args!("S: {line}")));
    }

    fn ruling(&mut self, ruling: &Ruling<'_>, course: &Course) {
        let who =
            ruling.to.map_or("the client".to_owned(), |to| format!("<{}>", to.trim_matches(['<', '>'])));
        let verdict = ruling.verdict().as_str();
        self.line(2, format_args!("{who}: {verdict}, {}", why(ruling, course)));
        if let Some(reply) = ruling.decisive().and_then(|exchange| exchange.replies.get(1)) {
            self.line(2, format_args!("then the session ends with {reply}"));
        }
    }
}

fn why(ruling: &Ruling<'_>, course: &Course) -> String {
    if *course == Course::Forwarded {
        return "by the access list: nothing is judged here".to_owned();
    }
    let refusal = ruling.decisive().and_then(|exchange| exchange.refusal.as_ref());
    match (refusal, ruling.verdict()) {
        (Some(Refusal::Restriction(cause)), _) => {
            let key = cause.key.as_ref().map_or(String::new(), |key| format!(", for the key {key}"));
            let table = cause.table.as_ref().filter(|table| !cause.restriction.contains(*table));
            let table = table.map_or(String::new(), |table| format!(" by {table}"));
            format!("by `{}` in restrictions.{}{table}{key}", cause.restriction, cause.list.as_str())
        }
        (Some(Refusal::Test(None)), _) => "because the access list rejects the client".to_owned(),
        (Some(Refusal::Test(Some(test))), _) => {
            format!("because the client fails the test {}", test.as_str())
        }
        (Some(Refusal::Limit), _) => "because it is beyond a limit".to_owned(),
        (Some(Refusal::Protocol), _) => "because it is against the protocol".to_owned(),
        (None, Verdict::Permit) if ruling.to.is_none() => "so far".to_owned(),
        (None, Verdict::Permit) => "and the backend is asked: what it answers is the answer".to_owned(),
        (None, _) => "without a reason that is known".to_owned(),
    }
}
