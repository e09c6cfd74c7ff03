//! What every connection pays for: lines, commands, the score of DNS lists, a look into the allowlist.
//!
//! `cargo bench --bench hot`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prescreen::allowlist::{Allowlist, Record, Settings, Test};
use prescreen::screen::Site;
use prescreen::screen::lists::Lists;
use prescreen::screen::score::{Heard, Limits, Tally};
use prescreen::smtp::address::PathSyntax;
use prescreen::smtp::command::Command;
use prescreen::smtp::line::LineBuffer;

const ENVELOPE: &[u8] = b"EHLO mail.example.net\r\n\
    MAIL FROM:<friend@example.net> SIZE=4096 BODY=8BITMIME\r\n\
    RCPT TO:<postbox@example.com>\r\n\
    DATA\r\n";

/// `line_length_limit`.
const LIMIT: usize = 2048;

fn lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("line");
    group.throughput(Throughput::Bytes(ENVELOPE.len() as u64));
    group.bench_function("envelope in one piece", |b| {
        b.iter(|| {
            let mut buffer = LineBuffer::new();
            buffer.push(black_box(ENVELOPE));
            while let Some(line) = buffer.next_line(LIMIT) {
                let _ = black_box(line);
            }
        });
    });
    group.bench_function("envelope byte by byte", |b| {
        b.iter(|| {
            let mut buffer = LineBuffer::new();
            for byte in ENVELOPE.chunks(1) {
                buffer.push(black_box(byte));
                let _ = black_box(buffer.next_line(LIMIT));
            }
        });
    });
    group.finish();

    let mut group = c.benchmark_group("command");
    for line in ENVELOPE.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
        let name = String::from_utf8_lossy(line.get(..4).unwrap_or(line)).into_owned();
        group.bench_function(name, |b| b.iter(|| Command::parse(black_box(line), PathSyntax::Lenient)));
    }
    group.finish();
}

fn score(c: &mut Criterion) {
    let sites = ["zen.example=127.0.0.[2..11]*3", "bl.example*2", "dnswl.example=127.0.[0..255].[1..3]*-2"];
    let sites: Vec<Site> = sites.iter().map(|site| site.parse().expect("a site")).collect();
    let lists = Lists::new(&sites, |_| None);
    let limits = Limits {
        threshold: 3,
        allowlist_threshold: Some(-2),
        min_ttl: Duration::from_secs(60),
        max_ttl: Duration::from_secs(3600),
    };
    let ttl = Duration::from_secs(300);
    let listed = Heard::Listed { answers: vec![Ipv4Addr::new(127, 0, 0, 4)], ttl };
    let clear = || Heard::NotListed { ttl: Some(ttl) };
    let mut group = c.benchmark_group("score");
    for (name, first) in [("three lists, one hit", listed), ("three lists, clear", clear())] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut tally = Tally::new(black_box(&lists));
                tally.hear(0, first.clone());
                tally.hear(1, clear());
                tally.hear(2, clear());
                tally.score(&limits)
            });
        });
    }
    group.finish();
}

fn allowlist(c: &mut Criterion) {
    const CLIENTS: u32 = 100_000;
    // With a stride, so that the caches of the processor do not answer.
    let address = |n: u32| IpAddr::from(Ipv4Addr::from((n % CLIENTS).wrapping_mul(0x9E37_79B1)));
    let allowlist = Allowlist::open(&Settings::default());
    let mut record = Record::default();
    record.pass(Test::Pregreet, SystemTime::now(), Duration::from_secs(86_400));
    for n in 0..CLIENTS {
        allowlist.store(allowlist.key(address(n)), record);
    }
    let mut group = c.benchmark_group("allowlist");
    let mut n = 0;
    group.bench_function("known, of 100000", |b| {
        b.iter(|| {
            n += 1;
            allowlist.lookup(allowlist.key(black_box(address(n))))
        });
    });
    let stranger = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    group.bench_function("stranger", |b| b.iter(|| allowlist.lookup(allowlist.key(black_box(stranger)))));
    group.finish();
}

criterion_group!(benches, lines, score, allowlist);
criterion_main!(benches);
