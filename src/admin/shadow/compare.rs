//! What two policies make of the same connection.

use super::seen::{Known, Seen};
use crate::admin::explain::{Course, Detail, Explainer, Refusal, Ruling, Standing, Verdict};
use crate::allowlist::Test;
use crate::policy::Cause;
use crate::report::text::printable;
use crate::report::{self, Decided, Outcome, Refuser};
use crate::screen::{Action, Consequence, Failure};
use crate::smtp::reply::Reply;

/// A decision under both policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What the live policy did.
    pub live: Decision,
    /// What the other would have done.
    pub shadow: Shadowed,
    /// The sender, if it came to that; empty for a bounce.
    pub sender: Option<String>,
    /// The recipient, if it came to that.
    pub recipient: Option<String>,
}

/// A verdict and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// What refused: a test, or a list and its restriction; empty where nothing did.
    pub rule: String,
    /// What the client is told; empty where it is permitted, or not told anything.
    pub reply: String,
}

/// What the other policy would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shadowed {
    /// This.
    Decided(Decision),
    /// The live policy has not learnt what that depends on: a phrase.
    Undecided(String),
}

const NO_RECIPIENT: &str = "refused before a recipient was named";

/// Plays `seen` through under the policy of `explainer`.
pub(super) async fn compare(explainer: &Explainer, seen: &Seen) -> Vec<Compared> {
    let decisions = seen.heard.decisions.as_slice();
    if decisions.is_empty() {
        return of_connection(explainer, seen).await.into_iter().collect();
    }
    let mut compared = Vec::with_capacity(decisions.len());
    for together in decisions.chunk_by(is_one_transaction) {
        let case = seen.case(together);
        let access = seen.access(explainer.access(seen.client));
        let (course, standing) = explainer.play(&case, access, Detail::Verdict).await;
        let tests = of_tests(explainer, seen, standing);
        for (decided, ruling) in together.iter().zip(course.rulings(&case)) {
            let envelope = &decided.envelope;
            compared.push(Compared {
                live: of_live(seen, decided),
                shadow: shadowed(decided, &course, standing, &tests, &ruling),
                sender: envelope.sender.as_deref().map(|sender| printable(sender).into_owned()),
                recipient: envelope.recipient.as_deref().map(|recipient| printable(recipient).into_owned()),
            });
        }
    }
    compared
}

/// Whether two recipients are of one message, as far as can be seen.
fn is_one_transaction(one: &Decided, next: &Decided) -> bool {
    let (one, next) = (&one.envelope, &next.envelope);
    one.recipient.is_some()
        && next.recipient.is_some()
        && (&one.sender, &one.helo, one.protocol) == (&next.sender, &next.helo, next.protocol)
}

/// A connection in which no recipient was decided about, if it was decided about at all.
async fn of_connection(explainer: &Explainer, seen: &Seen) -> Option<Compared> {
    let live = match seen.outcome {
        Outcome::Forwarded | Outcome::PassedThrough => Decision::permit(),
        Outcome::Denylisted
        | Outcome::Failed(_)
        | Outcome::Dropped
        | Outcome::Rejected
        | Outcome::TooManyErrors => {
            Decision::refuse(Verdict::Reject, seen.outcome.as_str().to_owned(), String::new())
        }
        // It left by itself, or was kept out for reasons that no policy has to do with.
        _ => return None,
    };
    let case = seen.case(&[]);
    let access = seen.access(explainer.access(seen.client));
    let (course, standing) = explainer.play(&case, access, Detail::Verdict).await;
    let ruling = course.rulings(&case).into_iter().next().unwrap_or_default();
    let undecided = || Shadowed::Undecided(NO_RECIPIENT.to_owned());
    let shadow = match (standing, of_tests(explainer, seen, standing)) {
        (Standing::Permitted, _) => Shadowed::Decided(Decision::permit()),
        (Standing::Failed(test), _) => Shadowed::Decided(Decision::refuse(
            Verdict::Reject,
            Outcome::of_failure(test).as_str().to_owned(),
            reply_of(&ruling).filter(|_| ruling.verdict() != Verdict::Permit).unwrap_or_default(),
        )),
        (_, Tests::Failed(decision)) => Shadowed::Decided(decision),
        _ if ruling.verdict() != Verdict::Permit => Shadowed::Decided(of_ruling(&ruling)),
        _ => undecided(),
    };
    Some(Compared { live, shadow, sender: None, recipient: None })
}

/// What the tests come to that only a client at hand can be held to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tests {
    Passed,
    Failed(Decision),
    /// This one was not made.
    Unknown(Test),
}

fn of_tests(explainer: &Explainer, seen: &Seen, standing: Standing) -> Tests {
    if standing != Standing::Clean {
        return Tests::Passed;
    }
    let settings = explainer.tests();
    let pregreet = (!settings.greet_wait.is_zero()).then_some((Test::Pregreet, settings.greet_action));
    let deep = settings.deep_tests().into_iter().filter(|(_, deep)| deep.enable);
    let held = pregreet.into_iter().chain(deep.map(|(test, deep)| (test, deep.action)));
    let mut unknown = None;
    for (test, action) in held {
        let action = action.under(settings.mode);
        match seen.known(test) {
            _ if action == Action::Ignore => {}
            Known::Passed => {}
            Known::Failed => return Tests::Failed(of_failure(test, action)),
            Known::Not => unknown = unknown.or(Some(test)),
        }
    }
    unknown.map_or(Tests::Passed, Tests::Unknown)
}

fn of_failure(test: Test, action: Action) -> Decision {
    let failure = match test {
        Test::Pregreet => Failure::Pregreet,
        Test::Pipelining => Failure::Pipelining,
        Test::NonSmtpCommand => Failure::NonSmtpCommand,
        Test::BareNewline => Failure::BareNewline,
        // Lists are asked anew.
        Test::Dnsbl => Failure::Denylisted,
    };
    let reply = match action.consequence(&failure) {
        Consequence::Stand(reply) | Consequence::Refuse(reply) => text(&reply),
        Consequence::GoOn => String::new(),
    };
    Decision::refuse(Verdict::Reject, test.as_str().to_owned(), reply)
}

fn shadowed(
    decided: &Decided,
    course: &Course,
    standing: Standing,
    tests: &Tests,
    ruling: &Ruling<'_>,
) -> Shadowed {
    if *course == Course::Forwarded {
        return Shadowed::Decided(Decision::permit());
    }
    if let Tests::Failed(decision) = tests {
        return Shadowed::Decided(decision.clone());
    }
    let is_refused = ruling.verdict() != Verdict::Permit;
    if let Standing::Failed(test) = standing
        && !is_refused
    {
        // The reply would have come at a recipient, and there was none.
        let decision =
            Decision::refuse(Verdict::Reject, Outcome::of_failure(test).as_str().to_owned(), String::new());
        return Shadowed::Decided(decision);
    }
    let by = decided.refused.as_ref().map(|refused| &refused.by);
    let consulted: Vec<_> = ruling.exchanges().flat_map(|exchange| &exchange.consulted).collect();
    // The other policy asks the same server, and would be told the same.
    if let (Some(Refuser::Restriction(cause)), Some(refused)) = (by, &decided.refused)
        && consulted.iter().any(|restriction| ***restriction == *cause.restriction)
    {
        return Shadowed::Decided(Decision::refuse(
            refused.how.into(),
            rule(cause),
            printable(&refused.reply).into_owned(),
        ));
    }
    if let Some(unasked) = consulted.iter().find(|restriction| !decided.consulted.contains(restriction)) {
        return Shadowed::Undecided(format!("{unasked} was not asked"));
    }
    match tests {
        _ if is_refused => Shadowed::Decided(of_ruling(ruling)),
        _ if by == Some(&Refuser::Rate) => Shadowed::Undecided("refused for its rate".to_owned()),
        _ if decided.envelope.recipient.is_none() => Shadowed::Undecided(NO_RECIPIENT.to_owned()),
        Tests::Unknown(test) => {
            Shadowed::Undecided(format!("would pass, but for the test {}, which was not made", test.as_str()))
        }
        Tests::Passed | Tests::Failed(_) => Shadowed::Decided(Decision::permit()),
    }
}

fn of_live(seen: &Seen, decided: &Decided) -> Decision {
    let Some(refused) = &decided.refused else { return Decision::permit() };
    let rule = match &refused.by {
        Refuser::Test => seen.offence.map_or("test", Outcome::as_str).to_owned(),
        Refuser::Restriction(cause) => rule(cause),
        Refuser::Limit => "limit".to_owned(),
        Refuser::Rate => "rate".to_owned(),
    };
    Decision::refuse(refused.how.into(), rule, printable(&refused.reply).into_owned())
}

fn of_ruling(ruling: &Ruling<'_>) -> Decision {
    let rule = match ruling.decisive().and_then(|exchange| exchange.refusal.as_ref()) {
        Some(Refusal::Test(test)) => Outcome::of_failure(*test).as_str().to_owned(),
        Some(Refusal::Restriction(cause)) => rule(cause),
        Some(Refusal::Limit) => "limit".to_owned(),
        Some(Refusal::Protocol) | None => "protocol".to_owned(),
    };
    Decision::refuse(ruling.verdict(), rule, reply_of(ruling).unwrap_or_default())
}

fn reply_of(ruling: &Ruling<'_>) -> Option<String> {
    ruling.decisive()?.replies.first().map(text)
}

/// The first line of a reply.
fn text(reply: &Reply) -> String {
    printable(&reply.to_string()).into_owned()
}

fn rule(cause: &Cause) -> String {
    let list = cause.list.as_str();
    match &cause.table {
        Some(table) if !cause.restriction.contains(table) => {
            format!("restrictions.{list}: {} {table}", cause.restriction)
        }
        _ => format!("restrictions.{list}: {}", cause.restriction),
    }
}

impl Decision {
    fn permit() -> Self {
        Self { verdict: Verdict::Permit, rule: String::new(), reply: String::new() }
    }

    fn refuse(verdict: Verdict, rule: String, reply: String) -> Self {
        Self { verdict, rule, reply }
    }
}

impl From<report::Refusal> for Verdict {
    fn from(refusal: report::Refusal) -> Self {
        match refusal {
            report::Refusal::Reject => Self::Reject,
            report::Refusal::Defer => Self::Defer,
            report::Refusal::HangUp => Self::HangUp,
            // Only told of.
            report::Refusal::Warn => Self::Permit,
        }
    }
}
