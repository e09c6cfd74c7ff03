//! Restrictions that ask somebody: the backend about addresses, Debian's policy servers about what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::LazyLock;

use support::dns::Dns;
use support::message::{dotted, message};
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::services::{Postfwd, Postgrey};
use support::talk::Talk;
use support::{client, eventually};
use tempfile::TempDir;

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

static POSTGREY: LazyLock<Postgrey> = LazyLock::new(Postgrey::start);
static POSTFWD: LazyLock<Postfwd> = LazyLock::new(|| Postfwd::start(RULES));

const RULES: &str = "\
id=SENDER; sender==bad@example.com; action=REJECT not from you
id=LATER; recipient==later@example.org; action=421 4.7.1 come back
id=HELO; helo_name==mail.example.com; client_address==127.0.0.163; action=PREPEND X-Seen: $$client_address
";

const SENDER: &str = "sender@example.com";

/// What a client hears of a recipient, and what comes behind it if the session ends there.
#[track_caller]
fn envelope(prescreen: &Prescreen, host: u8, sender: &str, recipient: &str) -> Vec<String> {
    let mut talk = Talk::greeted(client(host), prescreen.smtp);
    let mut said = vec![talk.envelope(sender, recipient)];
    if said[0].code >= 400 {
        said.extend(talk.closed());
    }
    said.iter().map(|said| said.text().to_owned()).collect()
}

#[test]
fn the_backend_is_asked_about_an_address_once() {
    let prescreen = Config::before(&POSTFIX, &DNS)
        .set("restrictions.sender", "'reject_unverified_sender'")
        .set("restrictions.recipient", "'reject_unverified_recipient'")
        .set("verification.unverified_recipient_reject_code", "550")
        .set("verification.sender", "'probe@mx.example.org'")
        .start();
    let refused = |address: &str| {
        format!(
            "host {} said: 550 5.1.1 <{address}>: Recipient address rejected: User unknown in virtual mailbox table \
             (in reply to RCPT TO command)",
            POSTFIX.proxied
        )
    };
    let goodbye = "421 4.7.0 mx.example.org Error: too many errors".to_owned();
    for host in [150, 151] {
        let wanted = format!(
            "550 5.1.1 <nobody-asked@example.org>: Recipient address rejected: undeliverable address: {}",
            refused("nobody-asked@example.org")
        );
        let mut talk = Talk::greeted(client(host), prescreen.smtp);
        assert_eq!(talk.envelope(SENDER, "nobody-asked@example.org").text(), wanted);
        talk.ask("RCPT TO:<asked@example.org>", "250 ");
        goes_on(&mut talk);
    }
    let log = POSTFIX.log();
    let probes =
        log.lines().filter(|line| line.contains("from=<probe@mx.example.org> to=<nobody-asked@example.org>"));
    assert_eq!(probes.count(), 1, "{log}");

    assert_eq!(envelope(&prescreen, 152, SENDER, "asked@example.org"), ["250 2.1.5 Ok"]);

    // The backend knows nothing of strangers; but of its own users it does.
    let wanted = format!(
        "450 4.1.7 <nobody@example.org>: Sender address rejected: unverified address: {}",
        refused("nobody@example.org")
    );
    assert_eq!(envelope(&prescreen, 153, "nobody@example.org", "asked@example.org"), [wanted, goodbye]);
    assert_eq!(envelope(&prescreen, 154, "asked@example.org", "asked@example.org"), ["250 2.1.5 Ok"]);
}

#[test]
fn without_a_backend_to_ask_nobody_is_refused_for_good() {
    let nowhere = support::free_address();
    let prescreen = Config::before_address(nowhere, DNS.address)
        .set("restrictions.recipient", "'reject_unverified_recipient'")
        .set("verification.unverified_recipient_reject_code", "550")
        .launch();
    let mut talk = Talk::greeted(client(155), prescreen.smtp);
    let said = talk.envelope(SENDER, "user@example.org");
    assert_eq!(
        said.text(),
        "450 4.1.1 <user@example.org>: Recipient address rejected: address verification problem"
    );
    goes_on(&mut talk);
}

fn asking(list: &str) -> Prescreen {
    Config::before(&POSTFIX, &DNS).set("restrictions.recipient", &format!("'{list}'")).start()
}

/// The session goes on behind what it was told of one recipient.
#[track_caller]
fn goes_on(talk: &mut Talk) {
    talk.ask("RSET", "250 ");
    talk.ask("QUIT", "221 ");
}

#[test]
fn postgrey_costs_a_client_one_deferral_and_nothing_else() {
    let postgrey = POSTGREY.socket.display();
    let prescreen = Config::before(&POSTFIX, &DNS)
        .set("errors.hard_error_limit", "1")
        .set("restrictions.recipient", &format!("'check_policy_service unix:{postgrey}'"))
        .start();
    let recipients = ["grey-one@example.org", "grey-two@example.org"];
    let put_off =
        |recipient: &str| format!("450 4.2.0 <{recipient}>: Recipient address rejected: Greylisted, see ");
    let mut talk = Talk::greeted(client(160), prescreen.smtp);
    for sender in [SENDER, "other@example.com"] {
        talk.ask(&format!("MAIL FROM:<{sender}>"), "250 ");
        for recipient in recipients {
            talk.ask(&format!("RCPT TO:<{recipient}>"), &put_off(recipient));
        }
        talk.ask("DATA", "554 5.5.1 Error: no valid recipients");
        talk.ask("RSET", "250 ");
    }
    talk.ask("QUIT", "221 ");
    prescreen.await_connections(1.0);
    assert_eq!(prescreen.metric("prescreen_passes_total", &["history=\"new\""]), 1.0, "the pass is not lost");

    // It was told once of each recipient, so one more visit is enough for all of them.
    let mut talk = eventually("postgrey to have seen enough", || {
        let mut talk = Talk::greeted(client(160), prescreen.smtp);
        (talk.envelope(SENDER, recipients[0]).code == 250).then_some(talk)
    });
    talk.ask(&format!("RCPT TO:<{}>", recipients[1]), "250 ");
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("greylisted", "hello\r\n")));
    talk.expect("250 2.0.0");
    talk.ask("QUIT", "221 ");
    drop(talk);
    prescreen.await_metric("prescreen_passes_total", &["history=\"old\""], 1.0);
    let mail = POSTFIX.mailbox.await_messages("grey-one", 1).remove(0);
    assert!(
        String::from_utf8_lossy(&mail).contains("X-Greylist: delayed "),
        "what postgrey prepends is there"
    );
}

#[test]
fn postfwd_is_asked_over_tcp() {
    let prescreen = asking(&format!("check_policy_service inet:{}", POSTFWD.address));
    let goodbye = "421 4.7.0 mx.example.org Error: too many errors".to_owned();
    let refused = "554 5.7.1 <user@example.org>: Recipient address rejected: not from you".to_owned();
    assert_eq!(envelope(&prescreen, 161, "bad@example.com", "user@example.org"), [refused, goodbye]);
    let later = "421 4.7.1 <later@example.org>: Recipient address rejected: come back";
    assert_eq!(envelope(&prescreen, 162, SENDER, "later@example.org"), [later]);

    let mut talk = Talk::greeted(client(163), prescreen.smtp);
    assert_eq!(talk.envelope(SENDER, "postfwd@example.org").code, 250);
    talk.ask("DATA", "354 ");
    talk.send(&dotted(&message("postfwd", "hello\r\n")));
    talk.expect("250 2.0.0");
    let mail = POSTFIX.mailbox.await_messages("postfwd", 1).remove(0);
    assert!(
        String::from_utf8_lossy(&mail).contains("X-Seen: 127.0.0.163"),
        "the client is told to the server"
    );
}

#[test]
fn a_policy_server_that_is_away_is_not_the_clients_fault() {
    let home = TempDir::new().unwrap();
    let nobody = home.path().join("nobody");
    let prescreen = asking(&format!("check_policy_service {{ unix:{}, try_limit=1 }}", nobody.display()));
    let mut talk = Talk::greeted(client(164), prescreen.smtp);
    let said = talk.envelope(SENDER, "away@example.org");
    assert_eq!(
        said.text(),
        "451 4.3.5 <away@example.org>: Recipient address rejected: Server configuration problem"
    );
    goes_on(&mut talk);
    prescreen.await_log("cannot connect to unix:");

    let prescreen = asking(&format!(
        "check_policy_service {{ unix:{}, try_limit=1, default_action=DUNNO }}",
        nobody.display()
    ));
    assert_eq!(envelope(&prescreen, 165, SENDER, "away@example.org"), ["250 2.1.5 Ok"]);
}

#[test]
fn a_policy_server_that_never_answers_is_given_its_time() {
    let home = TempDir::new().unwrap();
    let mute = home.path().join("mute");
    let _listener = UnixListener::bind(&mute).unwrap();
    let prescreen = asking(&format!(
        "check_policy_service {{ unix:{}, timeout=1s, try_limit=1, {{ default_action=450 4.7.1 soon }} }}",
        mute.display()
    ));
    let mut talk = Talk::greeted(client(166), prescreen.smtp);
    let said = talk.envelope(SENDER, "mute@example.org");
    assert_eq!(said.text(), "450 4.7.1 <mute@example.org>: Recipient address rejected: soon");
    goes_on(&mut talk);
}

#[test]
fn a_changed_table_takes_effect_and_a_broken_one_does_not() {
    let home = TempDir::new().unwrap();
    let table = home.path().join("access");
    let write = |line: &str| fs::write(&table, format!("{line}\n")).unwrap();
    write("somebody@example.com REJECT never");
    let prescreen = Config::before(&POSTFIX, &DNS)
        .set("restrictions.sender", &format!("'check_sender_access texthash:{}'", table.display()))
        .start();
    let told = || envelope(&prescreen, 167, SENDER, "table@example.org").remove(0);
    let await_told = |text: &str| {
        let wanted = format!("554 5.7.1 <{SENDER}>: Sender address rejected: {text}");
        eventually(&wanted, || (told() == wanted).then_some(()));
    };
    assert_eq!(told(), "250 2.1.5 Ok");

    write(&format!("{SENDER} REJECT told to look"));
    prescreen.signal("HUP");
    await_told("told to look");

    write(&format!("{SENDER} 550"));
    prescreen.signal("HUP");
    prescreen.await_log("/access:1: `550` without text means OK");
    await_told("told to look");

    // Nobody need say that there is a new one.
    write(&format!("{SENDER} REJECT seen"));
    await_told("seen");
}
