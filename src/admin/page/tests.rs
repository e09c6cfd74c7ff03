use std::sync::Arc;

use super::*;
use crate::dns;
use crate::screen::Ailment;

fn status() -> Status {
    Status {
        hostname: "mx.example.org".to_owned(),
        uptime: Duration::from_secs(93_784),
        readiness: Readiness::Ready,
        snapshot: Snapshot::default(),
        hour: Hour::default(),
        busiest: 0.0,
    }
}

fn list(name: &str, suspended: Option<Ailment>) -> ListStatistics {
    ListStatistics {
        list: Arc::from(name),
        suspended,
        lookups: Default::default(),
        malfunctions: Default::default(),
        hits: 17,
        unique_hits: 3,
        overlaps: Vec::new(),
        latency: dns::Latency::default(),
    }
}

#[test]
fn a_quiet_house_shows_no_notice() {
    let page = html(&status());
    assert!(
        page.contains(">ready<") && page.contains("Nobody has come.") && page.contains("up 1 d 2 h"),
        "{page}"
    );
    assert!(!page.contains("role=\"alert\""), "{page}");
}

#[test]
fn what_needs_somebody_stands_on_top() {
    let mut status = status();
    status.readiness = Readiness::NotReady("no backend answers".to_owned());
    status.snapshot.lists =
        vec![list("bl.example", Some(Ailment::ListsEverybody)), list("good.example", None)];
    status.snapshot.allowlist.store = StoreState::Ill;
    status.snapshot.configuration.kept();
    status.snapshot.log_dropped = 7;
    status.busiest = 0.97;
    let page = html(&status);
    for words in [
        "not ready: no backend answers",
        "DNS list bl.example is suspended: it lists 127.0.0.1",
        "The allowlist&#39;s file is ill",
        "The last reload was refused",
        "7 log lines were dropped",
        "97 % of the last connections came from one address",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.matches("role=\"alert\"").count(), 5, "{page}");
}

#[test]
fn verdicts_are_counted_drawn_and_explained() {
    let mut status = status();
    status.hour = Hour::of(&[(Outcome::Relayed, 3), (Outcome::HungUp, 1), (Outcome::Unavailable, 2)]);
    let page = html(&status);
    assert!(page.contains("<b>3</b><span>went on to a backend</span>"), "{page}");
    assert!(page.contains("<b>0</b><span>refused</span>"), "{page}");
    assert!(page.contains("hung up</td><td class=\"n\">1<"), "{page}");
    assert_eq!(page.matches("<rect").count(), 3, "{page}");
}

/// Names come from the configuration, which is no reason to trust them.
#[test]
fn no_name_becomes_markup() {
    let mut status = status();
    status.hostname = "<script>alert(1)</script>".to_owned();
    status.snapshot.lists = vec![list("\"><b onload='x'>", None)];
    let page = html(&status);
    assert!(!page.contains("<script") && !page.contains("<b onload"), "{page}");
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let page = html(&status());
    for word in ["<script", "<link", "<img", "http:", "https:", "url(", "@import"] {
        assert!(!page.contains(word), "{word}");
    }
}
