//! What a lookup costs, by type and size; what a million entries cost to load; what counting a client costs.
//!
//! `cargo bench --bench tables`. Keys are walked with a stride, so that the caches of the processor do not answer.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use prescreen::rate::{Rates, Settings};
use prescreen::table::{MatchList, ParentDomains, Table, address_keys, host_keys};

const MILLION: u32 = 1_000_000;

/// The `n`th of many addresses, spread over the whole of IPv4.
fn address(n: u32) -> Ipv4Addr {
    n.wrapping_mul(0x9E37_79B1).into()
}

fn networks(count: u32) -> String {
    let mut text = String::new();
    for n in 0..count {
        let length = [32, 24, 28, 20][n as usize % 4];
        let net = Ipv4Addr::from(address(n).to_bits() & (u32::MAX << (32 - length)));
        let _ = writeln!(text, "{net}/{length} {}", ["OK", "REJECT listed", "DUNNO"][n as usize % 3]);
    }
    text
}

fn hosts(count: u32) -> String {
    let mut text = String::new();
    for n in 0..count {
        let _ = writeln!(text, "host{n}.example{}.com {}", n % 1000, ["OK", "REJECT listed"][n as usize % 2]);
    }
    text
}

fn patterns(count: u32) -> String {
    let mut text = String::new();
    for n in 0..count {
        let _ = writeln!(text, "/^(dsl|pool|dyn)[-.][0-9]+.*\\.isp{n}\\.example$/ REJECT dynamic: $1");
    }
    text
}

fn table(kind: &str, text: &str) -> Table {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), text).unwrap();
    Table::load(&format!("{kind}:file"), folder.path()).unwrap()
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10);
    let (networks, hosts) = (networks(MILLION), hosts(MILLION));
    group.bench_function("cidr/1000000", |b| b.iter(|| table("cidr", &networks)));
    group.bench_function("texthash/1000000", |b| b.iter(|| table("texthash", &hosts)));
    group.finish();
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    for count in [100, 10_000, MILLION] {
        let cidr = table("cidr", &networks(count));
        let mut n = 0_u32;
        group.bench_function(format!("cidr/{count}/found"), |b| {
            b.iter(|| {
                n = n.wrapping_add(7919);
                black_box(cidr.lookup_address(IpAddr::V4(address(n % count))).unwrap().is_some())
            });
        });
        group.bench_function(format!("cidr/{count}/any"), |b| {
            b.iter(|| {
                n = n.wrapping_add(7919);
                black_box(cidr.lookup_address(IpAddr::V4(address(n))).unwrap().is_some())
            });
        });
        let texthash = table("texthash", &hosts(count));
        let keys: Vec<_> = (0..count).map(|n| format!("host{n}.example{}.com", n % 1000)).collect();
        group.bench_function(format!("texthash/{count}/found"), |b| {
            b.iter(|| {
                n = n.wrapping_add(7919);
                black_box(texthash.lookup(&keys[(n % count) as usize]).unwrap().is_some())
            });
        });
    }
    for count in [10, 100] {
        let regexp = table("regexp", &patterns(count));
        group.bench_function(format!("regexp/{count}/absent"), |b| {
            b.iter(|| {
                black_box(regexp.lookup(black_box("mail-out.server17.example.com")).unwrap().is_some())
            });
        });
        let last = format!("dsl-17.pool.isp{}.example", count - 1);
        group.bench_function(format!("regexp/{count}/last"), |b| {
            b.iter(|| black_box(regexp.lookup(black_box(&last)).unwrap().is_some()));
        });
    }
    group.finish();
}

fn keys(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys");
    let texthash = table("texthash", &hosts(10_000));
    group.bench_function("host of four labels, absent", |b| {
        b.iter(|| {
            texthash.find(host_keys(black_box("a.mail.example.org"), ParentDomains::Match)).unwrap().is_some()
        });
    });
    group.bench_function("mail address with extension, absent", |b| {
        b.iter(|| {
            let keys =
                address_keys(black_box("user+list"), Some("mail.example.org"), "+", ParentDomains::Match);
            texthash.find(keys).unwrap().is_some()
        });
    });
    let mynetworks = "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 [::1]/128 [fe80::]/64";
    let mynetworks = MatchList::load(mynetworks, Path::new("/"), ParentDomains::Match).unwrap();
    group.bench_function("mynetworks of six, absent", |b| {
        b.iter(|| mynetworks.matches_address(black_box(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))).unwrap());
    });
    group.finish();
}

fn rates(c: &mut Criterion) {
    let start = Instant::now();
    let rates = Rates::new(Settings { client_message_rate_limit: 100, ..Settings::default() }, start);
    let mut n = 0_u32;
    c.bench_function("rate/connect and disconnect", |b| {
        b.iter(|| {
            n += 1;
            let now = start + Duration::from_millis(u64::from(n));
            black_box(rates.connect(IpAddr::V4(address(n)), now).is_ok())
        });
    });
    let connection = rates.connect(IpAddr::V4(address(1)), start).unwrap();
    c.bench_function("rate/mail", |b| b.iter(|| black_box(connection.mail(start).is_ok())));
}

criterion_group!(benches, lookup, keys, rates, load);
criterion_main!(benches);
