use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn allowlist(max_entries: u64) -> Allowlist {
    Allowlist::open(&Settings { max_entries, ..Settings::default() })
}

fn passed(test: Test, now: SystemTime, ttl: Duration) -> Record {
    let mut record = Record::default();
    record.pass(test, now, ttl);
    record
}

fn client(list: &Allowlist, n: u32) -> Key {
    list.key(IpAddr::V4(n.into()))
}

#[test]
fn overlapping_sessions_of_one_client_keep_each_others_passes() {
    let (list, now) = (allowlist(10), SystemTime::now());
    let key = client(&list, 1);
    list.store(key, passed(Test::Pregreet, now, DAY));
    list.store(key, passed(Test::Pipelining, now, DAY));
    let record = list.lookup(key).unwrap();
    assert!(record.passed(Test::Pregreet, now) && record.passed(Test::Pipelining, now));
}

#[test]
fn to_be_known_is_no_lookup() {
    let list = allowlist(10);
    let (known, stranger) = (client(&list, 1), client(&list, 2));
    list.store(known, passed(Test::Pregreet, SystemTime::now(), DAY));
    assert!(list.knows(known) && !list.knows(stranger));
    assert_eq!((list.totals().hits, list.totals().misses), (0, 0));
}

#[test]
fn a_revoked_pass_is_gone() {
    let list = allowlist(10);
    let key = client(&list, 1);
    list.store(key, passed(Test::Pregreet, SystemTime::now(), DAY));
    list.remove(key);
    assert_eq!(list.lookup(key), None);
    let totals = list.totals();
    assert_eq!((totals.hits, totals.misses, totals.stored, totals.removed), (0, 1, 1, 1));
}

#[test]
fn other_settings_count_at_once_and_forget_nobody() {
    let (list, now) = (allowlist(10), SystemTime::now());
    let known = client(&list, 0xc000_0207);
    list.store(known, passed(Test::Pregreet, now, DAY));
    list.configure(&Settings { ipv4_prefix: 24, longest_ttl: 2 * DAY, ..Settings::default() });
    assert_eq!(client(&list, 0xc000_0207).to_string(), "192.0.2.0/24");
    assert!(list.lookup(known).is_some() && !list.knows(client(&list, 0xc000_0207)));
    list.store(known, passed(Test::Pregreet, now, 9 * DAY));
    let expires = list.lookup(known).and_then(|record| record.expires(Test::Pregreet)).unwrap();
    assert!(expires <= now + 3 * DAY);

    let (a, b) = (Settings::default(), Settings { max_entries: 1, ipv6_prefix: 48, ..Settings::default() });
    assert_eq!(a.fixed_keys_changed(&b).collect::<Vec<_>>(), ["max_entries"]);
}

#[test]
fn a_full_list_takes_newcomers_and_forgets_the_oldest() {
    let (list, now) = (allowlist(100), SystemTime::now());
    for n in 0..1_000 {
        list.store(client(&list, n), passed(Test::Pregreet, now, DAY));
    }
    assert_eq!(list.len(), 100);
    assert!((900..1_000).all(|n| list.lookup(client(&list, n)).is_some()));
    assert_eq!(list.iter().count(), 100);
}

#[test]
fn an_expired_client_is_still_known_until_retention_ends() {
    let (list, now) = (allowlist(10), SystemTime::now());
    let (late, gone) = (client(&list, 1), client(&list, 2));
    list.store(late, passed(Test::Pregreet, now - 2 * DAY, DAY));
    list.store(gone, passed(Test::Pregreet, now - 9 * DAY, DAY));
    let record = list.lookup(late).unwrap();
    assert!(record.ever_passed(Test::Pregreet) && !record.passed(Test::Pregreet, now));
    assert_eq!(list.lookup(gone), None);
}

#[test]
fn a_clock_set_back_lets_no_pass_live_longer_than_the_longest_ttl() {
    let (list, now) = (allowlist(10), SystemTime::now());
    let key = client(&list, 1);
    let years = 3_652 * DAY;
    list.store_at(key, passed(Test::Pregreet, now + years, DAY), now + years);
    let record = list.lookup_at(key, now).unwrap();
    assert!(record.passed(Test::Pregreet, now + 29 * DAY));
    let a_month_later = list.lookup_at(key, now + 31 * DAY).unwrap();
    assert!(!a_month_later.passed(Test::Pregreet, now + 31 * DAY), "the bound moved with the clock");
}
