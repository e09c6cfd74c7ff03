//! What a judgement costs: the lists of a typical site, with all names in memory.
//!
//! `cargo bench --bench policy`

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use prescreen::dns::{Resolver, Zone};
use prescreen::policy::{Carry, ClientNames, Decision, Facts, Policy, Settings, Stage, Trace};
use prescreen::smtp::address::PathSyntax;
use prescreen::smtp::command::Command;
use prescreen::smtp::envelope::{Helo, Mail, Protocol, Rcpt};
use tokio::runtime::{Builder, Runtime};

const ZONE: &str = "client.example MX 10 mail.client.example\n192.0.2.7 PTR mail.client.example\n\
                    mail.client.example A 192.0.2.7\n66.2.0.192.bl.example A 127.0.0.2\n";

/// Seven verbs that ask nobody.
const PLAIN: &str = "permit_mynetworks, reject_non_fqdn_helo_hostname, reject_invalid_helo_hostname, \
                     reject_non_fqdn_sender, reject_non_fqdn_recipient, \
                     check_recipient_access inline:{ abuse@=OK, spamtrap@example.com=REJECT }, \
                     reject_unauth_destination";

/// Seven verbs of which three ask DNS.
const ASKING: &str = "permit_mynetworks, reject_non_fqdn_helo_hostname, reject_non_fqdn_sender, \
                      reject_unknown_sender_domain, reject_unauth_destination, reject_unknown_client_hostname, \
                      reject_rbl_client bl.example";

fn policy(recipient: &str) -> Policy {
    let mut settings = Settings {
        helo: String::new(),
        sender: String::new(),
        relay: Some(String::new()),
        recipient: recipient.to_owned(),
        mynetworks: "127.0.0.0/8, 10.0.0.0/8, [2001:db8::]/32".to_owned(),
        ..Settings::default()
    };
    settings.domains.local = "example.com, mail.example.com".to_owned();
    settings.domains.relay = "example.org".to_owned();
    let resolver = Resolver::from_zone(Zone::parse(ZONE).unwrap());
    Policy::new(settings, resolver, Path::new("/")).unwrap()
}

fn mail(line: &str) -> Mail {
    let Ok(Command::Mail(mail)) = Command::parse(line.as_bytes(), PathSyntax::Lenient) else {
        panic!("{line}")
    };
    mail
}

fn rcpt(line: &str) -> Rcpt {
    let Ok(Command::Rcpt(rcpt)) = Command::parse(line.as_bytes(), PathSyntax::Lenient) else {
        panic!("{line}")
    };
    rcpt
}

/// Judges one RCPT; whether it is permitted.
fn judge(runtime: &Runtime, policy: &Policy, rcpt: &Rcpt, client: &str, mut trace: Trace) -> bool {
    let (helo, mail) =
        (Helo::new(Protocol::Esmtp, "mail.client.example"), mail("MAIL FROM:<someone@client.example>"));
    let names = ClientNames::default();
    let facts = Facts {
        client: client.parse().unwrap(),
        server: "198.51.100.25:25".parse().unwrap(),
        names: &names,
        helo: Some(&helo),
        mail: Some(&mail),
        rcpt: Some(rcpt),
        etrn: None,
        accepted: 0,
        tls: None,
        pipelined: false,
        id: "00000000000A".parse().unwrap(),
        transaction: 3,
    };
    let judgement = runtime.block_on(policy.judge(Stage::Rcpt, &facts, &mut Carry::default(), &mut trace));
    black_box(trace);
    matches!(judgement.decision, Decision::Permit)
}

fn judgements(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let (plain, asking) = (policy(PLAIN), policy(ASKING));
    let (ours, theirs) = (rcpt("RCPT TO:<user@example.com>"), rcpt("RCPT TO:<user@elsewhere.example>"));
    let mut group = criterion.benchmark_group("seven verbs");
    let mut bench =
        |name: &str, policy: &Policy, rcpt: &Rcpt, client: &str, trace: fn() -> Trace, permitted: bool| {
            assert_eq!(judge(&runtime, policy, rcpt, client, trace()), permitted, "{name}");
            group.bench_function(name, |bencher| {
                bencher.iter(|| judge(&runtime, black_box(policy), black_box(rcpt), client, trace()));
            });
        };
    bench("permit", &plain, &ours, "192.0.2.7:1025", Trace::off, true);
    bench("refuse", &plain, &theirs, "192.0.2.7:1025", Trace::off, false);
    bench("permit, with trace", &plain, &ours, "192.0.2.7:1025", Trace::on, true);
    bench("permit, asking DNS", &asking, &ours, "192.0.2.7:1025", Trace::off, true);
    bench("refuse, asking DNS", &asking, &ours, "192.0.2.66:1025", Trace::off, false);
    group.finish();
}

fn loading(criterion: &mut Criterion) {
    criterion.bench_function("read a seven-verb list", |bencher| bencher.iter(|| policy(black_box(PLAIN))));
}

criterion_group!(benches, judgements, loading);
criterion_main!(benches);
