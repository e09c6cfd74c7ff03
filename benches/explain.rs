//! How many cases `explain --batch` answers: JSON lines in, JSON lines out, nothing but verdicts, DNS from a zone.
//!
//! `cargo bench --bench explain`

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prescreen::admin::explain::{Detail, Explainer, batch};
use prescreen::config::{Config, Override, Source};
use prescreen::dns::{Resolver, Zone};
use prescreen::server;
use tokio::runtime::{Builder, Runtime};

const CASES: usize = 10_000;

const ZONE: &str = "client.example MX 10 mail.client.example\nmail.client.example A 192.0.2.7\n";

/// A third is permitted, a third is refused for its HELO, a third for its recipient.
fn cases() -> String {
    let line = |index: usize| {
        let (helo, to) = match index % 3 {
            0 => ("mail.client.example", "user@example.com"),
            1 => ("friend", "user@example.com"),
            _ => ("mail.client.example", "user@elsewhere.example"),
        };
        format!(
            r#"{{"client": "192.0.2.7", "client_name": "mail.client.example", "helo": "{helo}", "from": "{index}@client.example", "to": "{to}"}}"#
        )
    };
    (0..CASES).map(|index| line(index) + "\n").collect()
}

fn explainer() -> Arc<Explainer> {
    let set = [Override::new("hostname", "mx.example.com"), Override::new("domains.local", "example.com")];
    let (config, _) = Config::load(&Source::Defaults, &set, []).unwrap();
    let resolver = Resolver::from_zone(Zone::parse(ZONE).unwrap());
    let screen = server::screen(&config, resolver.clone()).unwrap();
    let policy = server::policy(&config, resolver).unwrap();
    Arc::new(Explainer::new(&config, screen, policy))
}

fn answered(runtime: &Runtime, explainer: &Arc<Explainer>, detail: Detail, input: &str) -> Vec<u8> {
    let mut output = Vec::new();
    let tally = runtime.block_on(batch(explainer, detail, input.as_bytes(), &mut output)).unwrap();
    assert_eq!((tally.answered, tally.bad), (CASES, 0));
    output
}

fn batches(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let (explainer, input) = (explainer(), cases());
    let mut group = criterion.benchmark_group("explain --batch");
    group.throughput(Throughput::Elements(CASES as u64)).sample_size(20);
    for (name, detail) in [("verdicts", Detail::Verdict), ("with traces", Detail::Trace)] {
        let output = String::from_utf8(answered(&runtime, &explainer, detail, &input)).unwrap();
        let permitted = output.lines().filter(|line| line.contains(r#""verdict":"permit""#)).count();
        assert_eq!(permitted, CASES.div_ceil(3), "{}", output.lines().next().unwrap());
        group.bench_function(name, |bencher| {
            bencher.iter(|| answered(&runtime, &explainer, detail, black_box(&input)));
        });
    }
    group.finish();
}

criterion_group!(benches, batches);
criterion_main!(benches);
