//! Whole waits in virtual time: a client on one end of a pipe, a zone for DNS, the clock paused.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{Instant, sleep};

use crate::allowlist::{Allowlist, Key};
use crate::dns::Zone;
use crate::smtp::reply::Reply;
use crate::table::ParentDomains;

use super::*;

const CLIENT: &str = "192.0.2.99";
const DAY: Duration = Duration::from_secs(86_400);

/// Listed in bl, wl and slow; broken never knows.
const ZONE: &str = "
    99.2.0.192.bl.test    A   127.0.0.2
    99.2.0.192.wl.test    A   127.0.0.2
    99.2.0.192.slow.test  A   127.0.0.2
    99.2.0.192.err.test   A   127.255.255.254
    99.2.0.192.sold.test  A   203.0.113.7
    *.bl.test             ANY DELAY 300
    99.2.0.192.bl.test    ANY DELAY 300
    99.2.0.192.wl.test    ANY DELAY 300
    99.2.0.192.slow.test  ANY DELAY 10000
    *.late.test           ANY DELAY 3000
    *.broken.test         ANY SERVFAIL
    *.silent.test         ANY TIMEOUT
    *.silent.test         ANY DELAY 5000
    clear.test            SOA 900
    8.b.d.0.1.0.0.2.six.test A 127.0.0.1
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.six.test A 127.0.0.2
";

#[derive(Clone)]
struct Scene {
    settings: Settings,
    dnsbl: dnsbl::Settings,
    client: &'static str,
    /// When the client speaks, and what.
    speaks: Option<(u64, &'static [u8])>,
    /// When it hangs up.
    hangs_up: Option<u64>,
    /// When nobody is waited for any longer.
    stops: Option<u64>,
    /// What it sent behind a PROXY header.
    waiting: &'static [u8],
    remembered: Option<Record>,
    pressure: Pressure,
}

/// What came of it.
struct Ending {
    verdict: Verdict,
    findings: Vec<Finding>,
    /// What the client was told.
    said: String,
    /// What waits to be taken for commands.
    input: LineBuffer,
    /// Milliseconds.
    took: u128,
}

fn scene(sites: &str) -> Scene {
    Scene {
        settings: Settings::default(),
        dnsbl: dnsbl::Settings {
            sites: sites.split_whitespace().map(|site| site.parse().unwrap()).collect(),
            ..dnsbl::Settings::default()
        },
        client: CLIENT,
        speaks: None,
        hangs_up: None,
        stops: None,
        waiting: b"",
        remembered: None,
        pressure: Pressure::Normal,
    }
}

fn screen(scene: &Scene) -> Screen {
    let mynetworks =
        Live::new(|| MatchList::load("10.0.0.0/8", Path::new("/"), ParentDomains::Match)).unwrap();
    let resolver = Resolver::from_zone(Zone::parse(ZONE).unwrap());
    let settings = scene.settings.clone();
    Screen::new(settings, &scene.dnsbl, "mx.test", Arc::new(mynetworks), resolver, Path::new("/")).unwrap()
}

impl Scene {
    async fn play(self) -> Ending {
        let screen = screen(&self);
        let (mut near, far) = duplex(16_384);
        let (mut hears, mut talks) = tokio::io::split(far);
        let hears = tokio::spawn(async move {
            let mut said = String::new();
            hears.read_to_string(&mut said).await.unwrap();
            said
        });
        let talks = tokio::spawn(async move {
            if let Some((at, text)) = self.speaks {
                sleep(Duration::from_millis(at)).await;
                talks.write_all(text).await.unwrap();
            }
            match self.hangs_up {
                Some(at) => {
                    sleep(Duration::from_millis(at)).await;
                    talks.shutdown().await.unwrap();
                }
                None => std::future::pending().await,
            }
        });

        let mut input = LineBuffer::new();
        input.push(self.waiting);
        let address = self.client.parse().unwrap();
        let candidate = Candidate { address, access: screen.access(address), remembered: self.remembered };
        let mut findings = Vec::new();
        let start = Instant::now();
        let stop = pin!(sleep(self.stops.map_or(Duration::MAX, Duration::from_millis)));
        let verdict = screen
            .test(&mut near, &mut input, candidate, self.pressure, stop, &mut |f| findings.push(f))
            .await;
        let took = start.elapsed().as_millis();
        drop(near);
        let said = hears.await.unwrap();
        talks.abort();
        Ending { verdict, findings, said, input, took }
    }
}

impl Ending {
    fn screened(&self) -> &Screened {
        match &self.verdict {
            Verdict::Converse(screened) => screened,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self) -> String {
        match &self.verdict {
            Verdict::Refuse(reply) => reply.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn standing(&self) -> Option<String> {
        self.screened().standing().map(Reply::to_string)
    }

    fn earned(&self) -> Vec<Test> {
        let record = self.screened().earned(&[], SystemTime::now()).unwrap_or_default();
        Test::ALL.into_iter().filter(|test| record.ever_passed(*test)).collect()
    }

    fn score(&self) -> Option<&Score> {
        self.findings.iter().find_map(|finding| match finding {
            Finding::Scored(score) => Some(&**score),
            _ => None,
        })
    }

    fn pregreet(&self) -> Option<(usize, u128, &[u8])> {
        self.findings.iter().find_map(|finding| match finding {
            Finding::Pregreet { count, after, text } => Some((*count, after.as_millis(), text.as_slice())),
            _ => None,
        })
    }
}

fn passed(tests: &[Test]) -> Option<Record> {
    let mut record = Record::default();
    for test in tests {
        record.pass(*test, SystemTime::now(), Duration::from_secs(3600));
    }
    Some(record)
}

const DEEP: [Test; 3] = [Test::Pipelining, Test::NonSmtpCommand, Test::BareNewline];
const TEASER: &str = "220-mx.test ESMTP\r\n";

#[tokio::test(start_paused = true)]
async fn a_clean_stranger_waits_its_time_and_passes() {
    let ending = scene("clear.test late.test").play().await;
    assert_eq!((ending.took, ending.said.as_str()), (6000, TEASER));
    let screened = ending.screened();
    assert!(screened.standing().is_none() && screened.teased() && !screened.failed());
    assert_eq!(screened.history(), History::New);
    assert_eq!(screened.deep().iter().map(|(test, _)| *test).collect::<Vec<_>>(), DEEP);
    assert_eq!(ending.earned(), [Test::Pregreet, Test::Dnsbl]);
    let all = screened.earned(&DEEP, SystemTime::now()).unwrap();
    assert!(Test::ALL.iter().all(|test| all.passed(*test, SystemTime::now())));
    let answers = ending.findings.iter().filter(|finding| matches!(finding, Finding::Answered(_))).count();
    assert_eq!(answers, 2);
}

#[tokio::test(start_paused = true)]
async fn under_stress_the_wait_is_short() {
    let ending = Scene { pressure: Pressure::Stress, ..scene("") }.play().await;
    assert_eq!(ending.took, 2000);
    assert_eq!(ending.earned(), [Test::Pregreet]);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_early_is_out_at_once_and_not_looked_up_further() {
    let ending = Scene { speaks: Some((1000, b"EHLO x\r\n")), ..scene("late.test") }.play().await;
    assert_eq!(ending.took, 1000);
    assert_eq!(ending.standing().as_deref(), Some("550 5.5.1 Protocol error"));
    assert_eq!(ending.pregreet(), Some((8, 1000, b"EHLO x\r\n".as_slice())));
    assert_eq!(ending.input.as_slice(), b"EHLO x\r\n", "what it said is its first command");
    assert!(ending.score().is_none() && ending.earned().is_empty());
    assert_eq!(ending.screened().deep().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_early_talker_that_is_ignored_waits_for_dns_alone() {
    let mut scene = Scene { speaks: Some((1000, b"EHLO x\r\n")), ..scene("late.test") };
    scene.settings.greet_action = Action::Ignore;
    let ending = scene.clone().play().await;
    assert_eq!((ending.took, ending.standing()), (3000, None));
    assert_eq!(ending.score().unwrap().opinion, Opinion::Clear);
    assert!(ending.earned().is_empty() && ending.screened().failed());
    // It is still watched.
    let ending = Scene { hangs_up: Some(1000), ..scene }.play().await;
    assert!(matches!(ending.verdict, Verdict::HungUp));
    assert_eq!(ending.took, 2000);
}

#[tokio::test(start_paused = true)]
async fn a_drop_behind_the_teaser_completes_the_greeting_first() {
    let mut scene = Scene { speaks: Some((1000, b"EHLO x\r\n")), ..scene("") };
    scene.settings.greet_action = Action::Drop;
    let ending = scene.clone().play().await;
    assert_eq!(ending.refused(), "521 5.5.1 Protocol error");
    assert_eq!(ending.said, format!("{TEASER}220 mx.test ESMTP\r\n"));
    scene.settings.greet_banner = Some(String::new());
    assert_eq!(scene.play().await.said, "");
}

#[tokio::test(start_paused = true)]
async fn who_is_teased_and_not_waited_for_is_greeted_to_the_end() {
    let mut scene = Scene { stops: Some(1000), ..scene("late.test") };
    let ending = scene.clone().play().await;
    assert!(matches!(ending.verdict, Verdict::Stopped), "{:?}", ending.verdict);
    assert_eq!((ending.took, ending.said), (1000, format!("{TEASER}220 mx.test ESMTP\r\n")));
    scene.remembered = passed(&[Test::Pregreet]);
    let ending = scene.play().await;
    assert!(matches!(ending.verdict, Verdict::Stopped), "{:?}", ending.verdict);
    assert_eq!((ending.took, ending.said.as_str()), (1000, ""));
}

#[tokio::test(start_paused = true)]
async fn without_a_teaser_the_test_goes_on() {
    let mut scene = Scene { speaks: Some((1000, b"EHLO x\r\n")), ..scene("") };
    scene.settings.greet_banner = Some(String::new());
    let ending = scene.play().await;
    assert_eq!((ending.said.as_str(), ending.screened().teased()), ("", false));
    assert!(ending.pregreet().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_came_behind_a_proxy_header_came_early() {
    let ending = Scene { waiting: b"EHLO x\r\n", ..scene("") }.play().await;
    assert_eq!((ending.took, ending.pregreet()), (0, Some((8, 0, b"EHLO x\r\n".as_slice()))));
}

#[tokio::test(start_paused = true)]
async fn a_talker_is_read_up_to_a_bound() {
    let mut scene = Scene { speaks: Some((10, &[b'x'; 16_000])), ..scene("late.test") };
    scene.settings.greet_action = Action::Ignore;
    let ending = scene.play().await;
    assert!(ending.input.len() <= 8192, "{}", ending.input.len());
    assert_eq!(ending.pregreet().unwrap().2.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_came_early_is_told_nobody() {
    let ending = Scene { speaks: Some((10, b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\n")), ..scene("") }.play().await;
    assert_eq!(ending.pregreet().unwrap().2, b"EHLO x\r\nAUTH PLAIN ***");
}

#[tokio::test(start_paused = true)]
async fn hanging_up_is_no_crime() {
    let ending = Scene { hangs_up: Some(2000), ..scene("late.test") }.play().await;
    assert!(matches!(ending.verdict, Verdict::HungUp));
    assert!(matches!(ending.findings[0], Finding::HungUp { after } if after == Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_listed_client_waits_until_the_verdict_is_known() {
    // A list that is slower cannot change it.
    let ending = scene("bl.test slow.test").play().await;
    assert_eq!(ending.took, 300);
    let blocked = "550 5.7.1 Service unavailable; client [192.0.2.99] blocked using bl.test";
    assert_eq!(ending.standing().as_deref(), Some(blocked));
    assert_eq!(ending.score().unwrap().total, 1);
    assert!(ending.earned().is_empty());
    // One that could outweigh it may.
    let ending = scene("bl.test clear.test*-1 late.test*-1").play().await;
    assert_eq!((ending.took, ending.standing().as_deref()), (3000, Some(blocked)));
}

#[tokio::test(start_paused = true)]
async fn a_listed_client_may_be_dropped_or_ignored() {
    let mut scene = scene("bl.test");
    scene.dnsbl.action = Action::Drop;
    let ending = scene.clone().play().await;
    let blocked = "521 5.7.1 Service unavailable; client [192.0.2.99] blocked using bl.test";
    assert_eq!((ending.took, ending.refused().as_str()), (300, blocked));
    scene.dnsbl.action = Action::Ignore;
    let ending = scene.play().await;
    assert_eq!((ending.took, ending.standing()), (6000, None), "it waits like any other");
    assert!(ending.earned().is_empty() && ending.screened().failed());
}

#[tokio::test(start_paused = true)]
async fn clients_see_the_name_of_a_list_and_never_its_domain() {
    let mut scene = scene("bl.test");
    scene.dnsbl.reply_map = Some("inline:{bl.test=public.example}".to_owned());
    let ending = scene.play().await;
    assert!(ending.standing().unwrap().ends_with("blocked using public.example"));
    assert!(!format!("{:?}", ending.findings).contains("bl.test"));
}

#[tokio::test(start_paused = true)]
async fn dns_trouble_lists_nobody_and_earns_nothing() {
    for (sites, took) in [
        ("broken.test", 6000),
        ("silent.test", 6000),
        ("slow.test", 6000),
        ("err.test", 6000),
        ("sold.test", 6000),
        ("clear.test slow.test", 6000),
    ] {
        let ending = scene(sites).play().await;
        assert_eq!((ending.took, ending.standing()), (took, None), "{sites}");
        assert_eq!(ending.score().unwrap().opinion, Opinion::Unknown, "{sites}");
        assert_eq!(ending.earned(), [Test::Pregreet], "{sites}");
    }
    // With an allowlist silent that could have outweighed it, a listing does not stand.
    let ending = scene("bl.test broken.test*-1").play().await;
    assert_eq!((ending.took, ending.standing(), ending.earned()), (6000, None, vec![Test::Pregreet]));
}

#[tokio::test(start_paused = true)]
async fn whom_lists_vouch_for_skips_the_other_tests() {
    let mut scene = scene("clear.test wl.test*-2");
    scene.dnsbl.allowlist_threshold = "-2".parse().unwrap();
    let ending = scene.clone().play().await;
    assert_eq!(ending.took, 300);
    assert_eq!((ending.earned(), ending.screened().deep()), (Test::ALL.to_vec(), [].as_slice()));
    // Not if it has misbehaved before.
    scene.settings.greet_action = Action::Ignore;
    let ending = Scene { speaks: Some((100, b"x")), ..scene }.play().await;
    assert_eq!((ending.earned(), ending.screened().deep().len()), (vec![], 3));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_before_waits_for_dns_alone() {
    let remembered = passed(&[Test::Pregreet, Test::Pipelining]);
    let ending = Scene { remembered, ..scene("late.test") }.play().await;
    assert_eq!((ending.took, ending.said.as_str()), (3000, ""));
    assert_eq!(ending.screened().deep().len(), 2);
    // And is watched meanwhile.
    let ending = Scene { remembered, speaks: Some((1000, b"EHLO")), ..scene("late.test") }.play().await;
    assert_eq!((ending.took, ending.standing().is_some()), (1000, true));
    assert!(ending.earned().is_empty());
    let ending = Scene { remembered, hangs_up: Some(1000), ..scene("late.test") }.play().await;
    assert!(matches!(ending.verdict, Verdict::HungUp));
}

#[tokio::test(start_paused = true)]
async fn who_has_passed_everything_waits_for_nothing() {
    let remembered = passed(&Test::ALL);
    let ending = Scene { remembered, ..scene("bl.test") }.play().await;
    assert_eq!((ending.took, ending.said.as_str()), (0, ""));
    assert!(matches!(ending.findings[..], [Finding::Known]));
    assert_eq!((ending.screened().history(), ending.screened().deep().len()), (History::Old, 0));
    // Deep tests that are missing are made up for, without a wait.
    let remembered = passed(&[Test::Pregreet, Test::Dnsbl]);
    let ending = Scene { remembered, ..scene("bl.test") }.play().await;
    assert_eq!((ending.took, ending.screened().deep().len()), (0, 3));
    assert!(ending.findings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_expired_pass_is_an_old_acquaintance() {
    let mut record = Record::default();
    for test in Test::ALL {
        record.pass(test, SystemTime::now() - Duration::from_secs(10), Duration::from_secs(5));
    }
    let ending = Scene { remembered: Some(record), ..scene("clear.test") }.play().await;
    assert_eq!((ending.took, ending.screened().history()), (6000, History::Old));
}

#[tokio::test(start_paused = true)]
async fn with_the_greet_wait_off_dns_alone_is_waited_for() {
    let mut scene = Scene { waiting: b"EHLO x\r\n", ..scene("late.test") };
    scene.settings.greet_wait = Duration::ZERO;
    let ending = scene.clone().play().await;
    assert_eq!((ending.took, ending.said.as_str(), ending.standing()), (3000, "", None));
    assert_eq!(ending.earned(), [Test::Dnsbl]);
    // Under stress nobody is waited for longer than by default, whichever wait is off.
    let ending = Scene { pressure: Pressure::Stress, ..scene.clone() }.play().await;
    assert_eq!((ending.took, ending.score().unwrap().unanswered.len()), (2000, 1));
    scene.settings.greet_wait = Settings::default().greet_wait;
    scene.settings.stress_greet_wait = Duration::ZERO;
    let ending = Scene { pressure: Pressure::Stress, ..scene.clone() }.play().await;
    assert_eq!((ending.took, ending.standing(), ending.earned()), (2000, None, vec![]));
    scene.settings.greet_wait = Duration::ZERO;
    scene.dnsbl.sites.clear();
    let Settings { pipelining, non_smtp_command, bare_newline, .. } = &mut scene.settings;
    for deep in [pipelining, non_smtp_command, bare_newline] {
        deep.enable = false;
    }
    let ending = scene.play().await;
    assert_eq!((ending.took, ending.screened().deep().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_permanent_list_comes_first() {
    let permitted = Scene { client: "10.1.2.3", ..scene("bl.test") }.play().await;
    assert!(matches!(permitted.verdict, Verdict::Forward(_)) && permitted.took == 0);
    assert!(matches!(permitted.findings[..], [Finding::Permitted]));

    let mut scene = scene("bl.test");
    scene.settings.access_list = "permit_mynetworks, cidr:{{192.0.2.0/24 reject}}".to_owned();
    let enforced = scene.clone().play().await;
    assert_eq!(enforced.took, 0, "a client that is out is not looked up");
    assert_eq!(enforced.standing().as_deref(), Some("550 5.3.2 Service currently unavailable"));
    assert_eq!(enforced.screened().deep().len(), 3);
    scene.settings.denylist_action = Action::Drop;
    let dropped = scene.clone().play().await;
    assert_eq!(dropped.refused(), "521 5.3.2 Service currently unavailable");
    assert_eq!(dropped.said, "");
    scene.settings.denylist_action = Action::Ignore;
    scene.remembered = passed(&Test::ALL);
    let ignored = scene.play().await;
    let ignore = Action::Ignore;
    assert!(matches!(
        ignored.findings[..],
        [Finding::Rejected, Finding::Failed { test: None, action }] if action == ignore
    ));
    assert!(ignored.standing().is_none() && ignored.earned().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ipv6_clients_are_asked_for_by_nibbles() {
    let ending = Scene { client: "2001:db8::1", ..scene("six.test") }.play().await;
    assert!(ending.standing().unwrap().contains("client [2001:db8::1]"));
    let ending = Scene { client: "::ffff:192.0.2.99", ..scene("bl.test") }.play().await;
    assert!(ending.standing().unwrap().contains("client [192.0.2.99]"));
}

#[tokio::test(start_paused = true)]
async fn a_client_can_be_looked_up_again_without_anybody_waiting() {
    let screen = screen(&scene("bl.test clear.test"));
    let mut answers = Vec::new();
    let listed = screen.recheck(CLIENT.parse().unwrap(), &mut |finding| answers.push(finding)).await;
    assert!(listed.is_listed());
    assert_eq!((listed.total, listed.hits[0].weight), (1, 1));
    assert_eq!(answers.len(), 2, "all are heard");
    let clean = screen.recheck("192.0.2.1".parse().unwrap(), &mut |_| {}).await;
    assert_eq!((clean.opinion, clean.ttl), (Opinion::Clear, Some(Duration::from_secs(60))));
}

#[tokio::test(start_paused = true)]
async fn lists_are_counted_with_what_they_have_in_common() {
    let scene = scene("bl.test wl.test*-1 clear.test");
    let screen = screen(&scene);
    screen.recheck(CLIENT.parse().unwrap(), &mut |_| {}).await;
    screen.recheck("192.0.2.1".parse().unwrap(), &mut |_| {}).await;
    let statistics = screen.list_statistics();
    let hits: Vec<_> = statistics.iter().map(|list| (&*list.list, list.hits, list.unique_hits)).collect();
    assert_eq!(hits, [("bl.test", 1, 0), ("wl.test", 1, 0), ("clear.test", 0, 0)]);
    assert_eq!(statistics[0].overlaps, [Overlap { with: "wl.test".into(), hits: 1 }]);
    assert_eq!(statistics[0].latency.count(), 2);
    let before = screen;
    let after = self::screen(&scene).succeeding(&before);
    assert_eq!(after.list_statistics()[0].hits, 1, "a reload goes on counting");
}

#[test]
fn all_that_cannot_be_loaded_is_told_at_once() {
    let mynetworks = Live::new(|| MatchList::load("", Path::new("/"), ParentDomains::Match)).unwrap();
    let settings = Settings { access_list: "permit, deny".to_owned(), ..Settings::default() };
    let dnsbl = dnsbl::Settings { reply_map: Some("nosuch:map".to_owned()), ..dnsbl::Settings::default() };
    let resolver = Resolver::from_zone(Zone::default());
    let errors = Screen::new(settings, &dnsbl, "mx.test", Arc::new(mynetworks), resolver, Path::new("/"))
        .err()
        .unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn addresses_that_may_hide_many_clients() {
    for (address, hides) in [
        ("172.18.0.1", true),
        ("10.0.0.1", true),
        ("192.168.1.1", true),
        ("127.0.0.1", true),
        ("169.254.1.1", true),
        ("100.64.0.1", true),
        ("100.128.0.1", false),
        ("::ffff:172.18.0.1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("::1", true),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(is_gateway_like(address.parse().unwrap()), hides, "{address}");
    }
}

/// A record whose answer of the DNS lists expires now, on an allowlist of its own.
fn about_to_expire(client: &str) -> (Arc<Allowlist>, Key) {
    let allowlist = Arc::new(Allowlist::open(&crate::allowlist::Settings::default()));
    let key = allowlist.key(client.parse().unwrap());
    let mut record = Record::default();
    record.pass(Test::Pregreet, SystemTime::now(), DAY);
    allowlist.store(key, record);
    (allowlist, key)
}

#[tokio::test(start_paused = true)]
async fn who_is_listed_when_the_answer_has_expired_is_taken_off_the_allowlist() {
    for (client, remains) in [(CLIENT, false), ("192.0.2.1", true)] {
        let screen = screen(&scene("bl.test clear.test"));
        let (allowlist, key) = about_to_expire(client);
        screen.rechecks.note(client.parse().unwrap(), SystemTime::now());
        let never = screen.run_rechecks(&allowlist);
        tokio::time::timeout(Duration::from_secs(60), never).await.unwrap_err();
        let record = allowlist.lookup(key);
        assert_eq!(record.is_some(), remains, "{client}");
        let passed = record.is_some_and(|record| record.passed(Test::Dnsbl, SystemTime::now()));
        assert_eq!(passed, remains, "{client} passes anew");
        assert_eq!(screen.rechecked(), if remains { [1, 0, 0] } else { [0, 1, 0] });
    }
}

#[tokio::test(start_paused = true)]
async fn lists_that_say_nothing_take_nobody_off_the_allowlist() {
    let screen = screen(&scene("broken.test"));
    let (allowlist, key) = about_to_expire(CLIENT);
    screen.rechecks.note(CLIENT.parse().unwrap(), SystemTime::now());
    let never = screen.run_rechecks(&allowlist);
    tokio::time::timeout(Duration::from_secs(60), never).await.unwrap_err();
    assert!(allowlist.knows(key));
    assert_eq!(screen.rechecked(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn who_stays_longer_than_the_answer_counts_is_asked_about_when_gone() {
    let screen = screen(&scene("clear.test"));
    let allowlist = Arc::new(Allowlist::open(&crate::allowlist::Settings::default()));
    let (client, began) = (CLIENT.parse().unwrap(), SystemTime::now());
    let mut presence = allowlist.arrive(allowlist.key(client));
    let mut record = Record::default();
    record.pass(Test::Pregreet, began, DAY);
    record.pass(Test::Dnsbl, began, Duration::from_secs(1));
    screen.rechecks.note(client, began);
    presence.earn(record);
    let a_minute = || tokio::time::timeout(Duration::from_secs(60), screen.run_rechecks(&allowlist));
    a_minute().await.unwrap_err();
    assert_eq!(screen.rechecked(), [0, 0, 0], "it has nothing yet that could be renewed");
    drop(presence);
    // Expiry goes by the calendar, which no test can wind on.
    std::thread::sleep(Duration::from_secs(1));
    a_minute().await.unwrap_err();
    assert_eq!(screen.rechecked(), [1, 0, 0]);
    a_minute().await.unwrap_err();
    assert_eq!(screen.rechecked(), [1, 0, 0], "and not again until it returns");
}

#[tokio::test(start_paused = true)]
async fn who_is_let_in_on_an_answer_is_asked_about_again() {
    let (client, now) = (CLIENT.parse().unwrap(), SystemTime::now());
    let [mut fresh, mut stale, never] = [Record::default(); 3];
    fresh.pass(Test::Dnsbl, now, DAY);
    stale.pass(Test::Dnsbl, now - 2 * DAY, DAY);
    for (sites, record, is_due) in [
        ("clear.test", fresh, true),
        ("clear.test", stale, false),
        ("clear.test", never, false),
        ("", fresh, false),
    ] {
        let screen = screen(&scene(sites));
        screen.recheck_in_time(client, &record, now);
        let expiry = record.expires(Test::Dnsbl).unwrap_or(now);
        assert_eq!(screen.rechecks.is_due(client, expiry), is_due, "{sites} {record:?}");
    }
}
