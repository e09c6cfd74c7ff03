//! The demo, as a newcomer runs it: every client hears what the references say, and the clean ones are delivered.

#![allow(clippy::unwrap_used)]

use prescreen::demo::{CAST, Demo, Places};

#[tokio::test]
async fn everybody_hears_what_is_due_and_good_mail_arrives_in_the_first_connection() {
    let anywhere = ([127, 0, 0, 1], 0).into();
    let mut shown = Vec::new();
    let demo = Demo::play(Places { proxy: anywhere, metrics: anywhere }, &mut shown).await.unwrap();
    let table = String::from_utf8(shown).unwrap();

    assert_eq!(demo.rows().len(), CAST.len() + 1, "{table}");
    for row in demo.rows() {
        let (reply, due) = (&row.visit.reply, row.character.hears);
        assert!(reply.starts_with(due), "{}: {reply:?} instead of {due:?}", row.character.name);
        assert!(table.contains(row.character.name), "{} is missing:\n{table}", row.character.name);
    }
    let outcome = |name| demo.rows().iter().find(|row| row.character.name == name).unwrap().outcome;
    assert_eq!(outcome("clean first-timer"), "relayed");
    assert_eq!(outcome("returning client"), "relayed");
    assert_eq!(outcome("early talker"), "pregreet");
    assert_eq!(outcome("pipeliner"), "pipelining");
    assert_eq!(outcome("HTTP bot"), "non_smtp_command");
    assert_eq!(outcome("listed on a DNSBL"), "dnsbl");
    assert_eq!(outcome("bad HELO"), "rejected");
    assert_eq!(outcome("relay attempt"), "rejected");
    assert_eq!(outcome("dictionary attacker"), "backend_rejected");
    assert_eq!(outcome("bare-newline sender"), "bare_newline");
    assert_eq!(outcome("one that hangs up"), "hangup");

    // One error of its own making, or twenty unknown recipients, are one too many.
    let goodbye = |name| {
        let row = demo.rows().iter().find(|row| row.character.name == name).unwrap();
        row.visit.goodbye.as_deref().and_then(|said| said.split("; id ").next()).map(str::to_owned)
    };
    for name in ["bad HELO", "relay attempt", "dictionary attacker"] {
        assert_eq!(
            goodbye(name).as_deref(),
            Some("421 4.7.0 mail.example.com Error: too many errors"),
            "{name}"
        );
    }
    assert_eq!(goodbye("listed on a DNSBL"), None, "its recipients are refused one by one");

    assert_eq!(demo.messages().len(), 2, "one from each visit of the clean client");
    assert_eq!(demo.messages()[0].client.ip().to_string(), "127.0.2.1", "the backend knows the real client");
    demo.end().await;
}
