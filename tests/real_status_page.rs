//! The status page as a Chromium shows it: on a desk and on a telephone, by day and by night.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use prescreen::demo::{Demo, Places};
use prescreen::dns::{Responder, Zone};
use serde_json::Value;
use support::browser::{Browser, Kind, Screen};
use support::prescreen::Config;
use support::{eventually, free_address};

const DESK: Screen = Screen { width: 1280, height: 900, kind: Kind::Desk };
const TELEPHONE: Screen = Screen { width: 390, height: 844, kind: Kind::Telephone };
/// The smallest that is still sold.
const SMALL: Screen = Screen { width: 320, height: 568, kind: Kind::Telephone };

/// Opens the page, and looks at what is true of it whatever it shows.
///
/// How it looked lies in target/tmp/status-page.
#[track_caller]
fn open(browser: &mut Browser, page: SocketAddr, screen: Screen, name: &str) {
    let address = format!("http://{page}/");
    browser.open(&address, screen);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page");
    fs::create_dir_all(&pictures).unwrap();
    browser.picture(&pictures.join(format!("{name}-{}.png", screen.width)));
    assert_eq!(browser.requests(), [&*address], "nothing but the page itself");
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());

    assert_eq!(browser.evaluate("innerWidth"), screen.width, "{screen:?}");
    let wider = "[...document.querySelectorAll('body *')]\
                 .filter(e => e.getBoundingClientRect().right > innerWidth || e.getBoundingClientRect().left < 0)\
                 .map(e => e.outerHTML)";
    assert_eq!(browser.evaluate(wider), Value::Array(Vec::new()), "out of sight: {screen:?}");
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, "{screen:?}");
    // What is cut off within its own box.
    let cut = "[...document.querySelectorAll('section, td, th, p, h1, b, span')]\
               .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map(e => e.outerHTML)";
    assert_eq!(browser.evaluate(cut), Value::Array(Vec::new()), "cut off: {screen:?}");
    // A short word in two lines.
    let torn = "[...document.querySelectorAll('td, thead th, .wide th, .gauge *')].filter(e => !/\\s/.test(e.innerText.trim()))\
                .filter(e => { const r = new Range; r.selectNodeContents(e.lastChild ?? e); return r.getClientRects().length > 1; })\
                .map(e => e.outerHTML)";
    assert_eq!(browser.evaluate(torn), Value::Array(Vec::new()), "torn: {screen:?}");
    let small = "Math.min(...[...document.querySelectorAll('body *')]\
                 .map(e => parseFloat(getComputedStyle(e).fontSize)))";
    assert!(browser.evaluate(small).as_f64().unwrap() >= 12.0, "too small to read");
}

/// The verdicts as they stand on the page, and how often each was given.
fn verdicts(browser: &mut Browser) -> BTreeMap<String, u64> {
    let rows = browser.evaluate(
        "[...document.querySelectorAll('.wide tr')].map(row => [row.cells[0].innerText, row.cells[2].innerText])",
    );
    let cell = |row: &Value, at: usize| row[at].as_str().unwrap().trim().to_owned();
    rows.as_array().unwrap().iter().map(|row| (cell(row, 0), cell(row, 1).parse().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_became_of_the_demos_clients() {
    let anywhere = ([127, 0, 0, 1], 0).into();
    let demo = Demo::play(Places { proxy: anywhere, metrics: anywhere }, &mut Vec::new()).await.unwrap();
    let mut due = BTreeMap::new();
    for row in demo.rows() {
        *due.entry(row.outcome.replace('_', " ")).or_default() += 1;
    }
    let page = demo.metrics_address().unwrap();
    let browser = &mut Browser::start();
    for screen in [DESK, TELEPHONE, SMALL] {
        open(browser, page, screen, "demo");
        assert_eq!(verdicts(browser), due);
        let header = browser.evaluate("document.querySelector('header').innerText");
        assert!(
            header.as_str().unwrap().contains("mail.example.com")
                && header.as_str().unwrap().contains("ready")
        );
        let bars = browser.evaluate("document.querySelectorAll('svg rect').length").as_u64().unwrap();
        assert!(bars > 0, "{bars} bars");
        let text = browser.evaluate("document.body.innerText");
        assert!(text.as_str().unwrap().contains("bl.example.org"), "{text}");
    }
    demo.end().await;
}

/// WCAG 2.2, 1.4.3: text stands out from what is behind it by 4.5 to 1, by day and by night.
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_somebody_can_be_read_on_the_smallest_screen() {
    const LIST: &str = "a-list-with-quite-a-name-that-answers-everything.dnsbl.example.org";
    let everybody = Zone::parse(&format!("*.{LIST} A 127.0.0.2\n")).unwrap();
    let resolver = Responder::bind(([127, 0, 0, 1], 0).into(), everybody).await.unwrap();
    // Nobody listens there.
    let prescreen = Config::before_address(free_address(), resolver.address())
        .set("hostname", "'mx-with-a-name-that-is-too-long-for-it.department.university.example.org'")
        .set("dnsbl.sites", &format!("['{LIST}']"))
        .launch();
    eventually("the backend to be missed and the list to be suspended", || {
        let (_, page) = prescreen.fetch("/")?;
        (page.matches("role=\"alert\"").count() == 2).then_some(())
    });
    let browser = &mut Browser::start();
    for scheme in ["light", "dark"] {
        browser.prefers(scheme);
        for screen in [DESK, TELEPHONE, SMALL] {
            open(browser, prescreen.admin(), screen, scheme);
            let faint = browser.evaluate(&format!("({FAINT})(4.5)"));
            assert_eq!(faint, Value::Array(Vec::new()), "{scheme}");
        }
    }
    let night = browser.evaluate("getComputedStyle(document.body).backgroundColor");
    browser.prefers("light");
    assert_ne!(browser.evaluate("getComputedStyle(document.body).backgroundColor"), night);
}

/// Texts whose contrast is below a ratio.
const FAINT: &str = r"least => {
    const colour = text => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        const found = colour(getComputedStyle(e).backgroundColor);
        return found.length == 3 || found[3] > 0 ? found : behind(e.parentElement);
    };
    const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return [...document.querySelectorAll('body *')]
        .filter(e => [...e.childNodes].some(n => n.nodeType == Node.TEXT_NODE && n.data.trim()))
        .map(e => [contrast(light(colour(getComputedStyle(e).color)), light(behind(e))), e.outerHTML])
        .filter(([ratio]) => ratio < least);
}";
