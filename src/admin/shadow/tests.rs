use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::admin::explain::Verdict;
use crate::allowlist::{Order, Record, Test};
use crate::config::Source;
use crate::dialogue::{Envelope, Finding, RefusedBy};
use crate::dns::{Resolver, Zone};
use crate::policy::{Cause, List, NameStatus, Names, Policy, TlsFacts};
use crate::proxy_protocol::Endpoints;
use crate::report::{Outcome, Report};
use crate::screen::{self, Action, Screen};
use crate::smtp::envelope::Protocol;
use crate::smtp::reply::Reply;

const ZONE: &str = "2.0.0.127.bl.test A 127.0.0.2\n7.2.0.192.bl.test A 127.0.0.2\nexample.net MX 10 mail.example.net\n\
                    mail.example.net A 192.0.2.99\n";

/// What decides nothing by itself.
const BASE: &str = "mynetworks = []\ndomains.local = ['example.org']\nscreen.greet_wait = 0\n\
                    screen.pipelining_enable = 'no'\nscreen.bare_newline_enable = 'no'\n\
                    screen.non_smtp_command_enable = 'no'\n";

fn shadow(more: &str) -> Shadow {
    let text = BASE
        .lines()
        .filter(|line| !more.contains(line.split(' ').next().unwrap()))
        .chain(more.lines())
        .collect::<Vec<_>>()
        .join("\n");
    let source = Source::Text { name: "test".into(), text, base: Path::new("").into() };
    let (config, _) = Config::load(&source, &[], []).unwrap();
    let resolver = Resolver::from_zone(Zone::parse(ZONE).unwrap());
    let networks = Arc::clone(&config.networks);
    let screen =
        Screen::new(config.screen.clone(), &config.dnsbl, "mx", networks, resolver.clone(), Path::new(""));
    let policy = Policy::new(config.policy.clone(), resolver, Path::new("")).unwrap().unfelt();
    let explainer = Explainer::new(&config, screen.unwrap(), policy);
    Shadow::new(explainer, &config, &Config::default())
}

fn report() -> Report {
    let ends =
        Endpoints { client: "192.0.2.7:4711".parse().unwrap(), server: "198.51.100.2:25".parse().unwrap() };
    let mut report = Report::new(ends, SystemTime::now());
    report.listen();
    report
}

fn envelope(recipient: Option<&str>) -> Arc<Envelope> {
    Arc::new(Envelope {
        command: if recipient.is_some() { "RCPT" } else { "MAIL" },
        sender: Some("a@example.net".to_owned()),
        recipient: recipient.map(str::to_owned),
        protocol: Protocol::Esmtp,
        helo: Some("host.example".to_owned()),
    })
}

/// The backend had nothing against it either, or has refused it itself.
fn permitted(report: &mut Report) {
    let reply = Reply::new(550, "5.1.1 unknown");
    report.dialogue(Finding::BackendReject { envelope: envelope(Some("b@example.org")), reply });
}

fn refused(report: &mut Report, by: RefusedBy) {
    let reply = Reply::new(450, "4.7.1 come back");
    report.dialogue(Finding::Reject { envelope: envelope(Some("b@example.org")), reply, by });
}

fn service() -> Cause {
    Cause {
        list: List::Recipient,
        verb: "check_policy_service",
        restriction: SERVICE.to_owned(),
        table: None,
        key: None,
        unanswered: false,
    }
}

const SERVICE: &str = "check_policy_service inet:127.0.0.1:1";

async fn judged(shadow: &Shadow, order: Option<Order>, story: impl FnOnce(&mut Report)) -> Vec<Compared> {
    let mut report = report();
    story(&mut report);
    report.end(Outcome::Quit);
    let heard = report.take_heard().unwrap();
    shadow.judge(&Seen::of(heard, &report, order).unwrap()).await.unwrap()
}

async fn one(shadow: &Shadow, story: impl FnOnce(&mut Report)) -> Shadowed {
    let compared = judged(shadow, None, story).await;
    assert_eq!(compared.len(), 1, "{compared:?}");
    compared.into_iter().next().unwrap().shadow
}

fn verdict(shadowed: &Shadowed) -> (Option<Verdict>, &str) {
    match shadowed {
        Shadowed::Decided(decision) => (Some(decision.verdict), &decision.rule),
        Shadowed::Undecided(why) => (None, why),
    }
}

#[tokio::test]
async fn its_own_lists_tests_and_restrictions_decide() {
    for (config, expected) in [
        ("", (Some(Verdict::Permit), "")),
        ("dnsbl.sites = ['bl.test']", (Some(Verdict::Reject), "dnsbl")),
        ("dnsbl.sites = ['bl.test']\ndnsbl.threshold = 2", (Some(Verdict::Permit), "")),
        ("dnsbl.sites = ['bl.test']\nmode = 'observe'", (Some(Verdict::Permit), "")),
        ("screen.access_list = 'reject'", (Some(Verdict::Reject), "denylisted")),
        (
            "restrictions.recipient = 'reject_non_fqdn_sender, defer'",
            (Some(Verdict::Defer), "restrictions.recipient: defer"),
        ),
    ] {
        let shadow = shadow(config);
        let shadowed = one(&shadow, permitted).await;
        assert_eq!(verdict(&shadowed), expected, "{config}");
    }
}

#[tokio::test]
async fn a_test_counts_as_the_live_one_has_seen_it() {
    let shadow = shadow("screen.bare_newline_enable = 'yes'");
    let fails = |report: &mut Report| {
        report.dialogue(Finding::Failed { test: Test::BareNewline, action: Action::Ignore });
        permitted(report);
    };
    assert_eq!(verdict(&one(&shadow, fails).await), (Some(Verdict::Reject), "bare_newline"));
    let passes = |report: &mut Report| {
        report.dialogue(Finding::Passed(vec![Test::BareNewline]));
        permitted(report);
    };
    assert_eq!(verdict(&one(&shadow, passes).await), (Some(Verdict::Permit), ""));
    let known = |report: &mut Report| {
        let mut record = Record::default();
        record.pass(Test::BareNewline, SystemTime::now(), Duration::from_secs(60));
        report.remembered(Some(&record));
        permitted(report);
    };
    assert_eq!(verdict(&one(&shadow, known).await), (Some(Verdict::Permit), ""));
    let shadowed = one(&shadow, permitted).await;
    assert_eq!(verdict(&shadowed), (None, "would pass, but for the test bare_newline, which was not made"));
}

#[tokio::test]
async fn servers_that_the_live_one_has_asked_say_the_same_and_others_are_not_guessed() {
    let shadow = shadow(&format!("restrictions.recipient = '{SERVICE}'"));
    let asked = |report: &mut Report| {
        report.consulted(vec![SERVICE.into()]);
        permitted(report);
    };
    assert_eq!(verdict(&one(&shadow, asked).await), (Some(Verdict::Permit), ""));
    let shadowed = one(&shadow, permitted).await;
    assert_eq!(verdict(&shadowed), (None, &*format!("{SERVICE} was not asked")));
    let put_off = |report: &mut Report| refused(report, RefusedBy::Restriction(service()));
    let shadowed = one(&shadow, put_off).await;
    assert_eq!(verdict(&shadowed), (Some(Verdict::Defer), &*format!("restrictions.recipient: {SERVICE}")));
}

#[tokio::test]
async fn who_was_refused_before_a_recipient_may_have_named_anybody() {
    let shadow = shadow("");
    let early = |report: &mut Report| {
        let reply = Reply::new(552, "5.3.4 too much");
        report.dialogue(Finding::Reject { envelope: envelope(None), reply, by: RefusedBy::Limit });
    };
    assert_eq!(verdict(&one(&shadow, early).await).0, None);
    let dropped = |report: &mut Report| {
        report.screen(screen::Finding::Failed { test: Some(Test::Dnsbl), action: Action::Drop });
    };
    assert_eq!(verdict(&one(&shadow, dropped).await).0, None);
    assert!(judged(&shadow, None, |_| {}).await.is_empty(), "it has asked for nothing");
    let listing = self::shadow("dnsbl.sites = ['bl.test']");
    assert_eq!(verdict(&one(&listing, dropped).await), (Some(Verdict::Reject), "dnsbl"));
}

#[tokio::test]
async fn names_and_tls_are_those_that_the_live_one_has_met() {
    let shadow = shadow("restrictions.client = 'reject_unknown_client_hostname, reject_plaintext_session'");
    let named = |report: &mut Report| {
        let name = Some("mail.example.net".to_owned());
        report.named(Some(&Names { reverse: name.clone(), name, ..Names::unknown(NameStatus::Ok) }));
    };
    let secured = |report: &mut Report| {
        let (protocol, cipher) = ("TLSv1.3".to_owned(), "TLS_AES_256_GCM_SHA384".to_owned());
        report.secured(TlsFacts { protocol, cipher, bits: 256 });
    };
    let both = |report: &mut Report| {
        named(report);
        secured(report);
        permitted(report);
    };
    assert_eq!(verdict(&one(&shadow, both).await), (Some(Verdict::Permit), ""));
    let nameless = |report: &mut Report| {
        secured(report);
        permitted(report);
    };
    let by = "restrictions.client: reject_unknown_client_hostname";
    assert_eq!(
        verdict(&one(&shadow, nameless).await),
        (Some(Verdict::Defer), by),
        "DNS does not know it either"
    );
    let in_clear = |report: &mut Report| {
        named(report);
        permitted(report);
    };
    let by = "restrictions.client: reject_plaintext_session";
    assert_eq!(verdict(&one(&shadow, in_clear).await), (Some(Verdict::Defer), by));
}

#[tokio::test]
async fn orders_stand_above_it() {
    let shadow = shadow("restrictions.recipient = 'reject'");
    let compared = judged(&shadow, Some(Order::Allow), permitted).await;
    assert_eq!(verdict(&compared[0].shadow).0, Some(Verdict::Permit));
    let shadow = self::shadow("");
    let compared = judged(&shadow, Some(Order::Deny), permitted).await;
    assert_eq!(verdict(&compared[0].shadow), (Some(Verdict::Reject), "denylisted"));
}

#[tokio::test]
async fn each_recipient_has_its_own_verdict() {
    let shadow =
        shadow("restrictions.recipient = 'check_recipient_access inline:{ {c@example.org = REJECT} }'");
    let story = |report: &mut Report| {
        for recipient in ["b@example.org", "c@example.org", "d@example.org"] {
            let reply = Reply::new(550, "5.1.1 unknown");
            report.dialogue(Finding::BackendReject { envelope: envelope(Some(recipient)), reply });
        }
    };
    let compared = judged(&shadow, None, story).await;
    let verdicts: Vec<_> = compared.iter().map(|one| verdict(&one.shadow).0.unwrap()).collect();
    assert_eq!(verdicts, [Verdict::Permit, Verdict::Reject, Verdict::Permit]);
}

#[tokio::test]
async fn what_comes_often_is_kept_whatever_else_comes() {
    let shadow = shadow("dnsbl.sites = ['bl.test']");
    let (mut tally, counters) = (Tally::default(), Counters::default());
    let mut report = report();
    permitted(&mut report);
    report.end(Outcome::Quit);
    let heard = report.take_heard().unwrap();
    let seen = Seen::of(heard, &report, None).unwrap();
    let compared = shadow.judge(&seen).await.unwrap();
    for n in 0..10_000 {
        let mut once = compared.clone();
        once[0].recipient = Some(format!("{n}@example.org"));
        tally.note(&seen, once, &counters);
        if n % 20 == 0 {
            tally.note(&seen, compared.clone(), &counters);
        }
    }
    let summary = tally.summary("x", 1, &[]);
    assert_eq!((summary.newly_refused, summary.refused_by["dnsbl"]), (10_500, 10_500));
    assert_eq!(summary.examples.len(), 10);
    assert_eq!(summary.examples[0].recipient.as_deref(), Some("b@example.org"));
    assert!(summary.examples[0].count >= 500);
    assert!(tally.take_news().len() <= 64);
    let counted: u64 = counters.compared().iter().map(|(_, count)| count).sum();
    assert_eq!(counted, 10_500);
}
