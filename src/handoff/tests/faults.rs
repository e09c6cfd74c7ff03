//! Whatever a server does wrong: the client is told to come again, and nothing is believed that was not asked.

use super::rig::{Client, GOOD, Server, handoff, hasty, settings};
use crate::handoff::{Phase, Trouble};

#[tokio::test]
async fn whoever_does_not_greet_is_passed_over() {
    for bad in [
        "> 421 4.3.2 busy",
        "> 450 4.3.2 no",
        "> 554 5.3.2 no",
        "> 250 what",
        "",
        "!",
        "= 22O b\\r\\n",
        "= 220 b\\n",
    ] {
        let (bad_server, good) = (Server::start(&[bad]).await, Server::start(&[GOOD]).await);
        let mut handoff = handoff(&settings(&[&bad_server, &good]));
        let mut client = Client::new();
        client.mail("a@b");
        assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good", "{bad}");
        good.done().await;
    }
    let (absent, good) = (Server::absent().await, Server::start(&[GOOD]).await);
    let mut handoff = handoff(&settings(&[&absent, &good]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
}

#[tokio::test]
async fn whoever_does_not_greet_in_time_is_passed_over() {
    let (silent, good) = (Server::start(&["."]).await, Server::start(&[GOOD]).await);
    let mut handoff = handoff(&hasty(&[&silent, &good]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    silent.done().await;
}

/// With one server alone, what the client hears. The server does the same at every connection.
async fn heard(script: &str) -> String {
    let server = Server::start(&[script, script]).await;
    let mut handoff = handoff(&hasty(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    client.asks(&mut handoff, "one@x").await
}

#[tokio::test]
async fn no_trouble_of_a_server_becomes_a_refusal() {
    let greeted = "> 220 b\n< EHLO client.example\n";
    let introduced = [greeted, "> 250 b\n< MAIL FROM:<a@b>\n"].concat();
    let sent = [&introduced, "> 250 2.1.0 ok\n< RCPT TO:<one@x>\n"].concat();
    for (script, phase, trouble) in [
        ("> 554 5.7.1 no".to_owned(), "greeting", "rejected"),
        ("> 421 4.7.1 no".to_owned(), "greeting", "rejected"),
        (".".to_owned(), "greeting", "timeout"),
        (String::new(), "greeting", "closed"),
        (greeted.to_owned(), "helo", "closed"),
        ([greeted, "> 502 5.5.1 what?"].concat(), "helo", "rejected"),
        ([greeted, "> 554 5.5.0 synchronization"].concat(), "helo", "rejected"),
        ([greeted, "> 421 4.3.2 stress"].concat(), "helo", "rejected"),
        ([greeted, "."].concat(), "helo", "timeout"),
        (introduced.clone(), "envelope", "closed"),
        ([&introduced, "!"].concat(), "envelope", "closed"),
        ([&introduced, "> 354 what?"].concat(), "envelope", "malformed"),
        (sent.clone(), "envelope", "closed"),
        ([&sent, "!"].concat(), "envelope", "closed"),
        ([&sent, "."].concat(), "envelope", "timeout"),
        ([&sent, "> 354 go"].concat(), "envelope", "malformed"),
        ([&sent, "= 250-half\\r\\n"].concat(), "envelope", "closed"),
        ([&sent, "> 25O ok"].concat(), "envelope", "malformed"),
        ([&sent, "> 999 ok"].concat(), "envelope", "malformed"),
        ([&sent, "> 5.7.2"].concat(), "envelope", "malformed"),
        ([&sent, "= 250 ok\\n"].concat(), "envelope", "malformed"),
        ([&sent, "= 250 o\\0k\\r\\n"].concat(), "envelope", "malformed"),
        ([&sent, "= 250-a\\r\\n550 b\\r\\n"].concat(), "envelope", "malformed"),
    ] {
        let expected = format!("451 4.3.0 Service temporarily unavailable ({phase}, {trouble})");
        assert_eq!(heard(&script).await, expected, "{script}");
    }
}

#[tokio::test]
async fn an_endless_reply_is_cut() {
    let sent = "> 220 b\n< EHLO client.example\n> 250 b\n< MAIL FROM:<a@b>\n> 250 ok\n< RCPT TO:<one@x>\n";
    let lines = format!("{sent}= {}", "250-x\\r\\n".repeat(600));
    let long = format!("{sent}= 250 {}", "x".repeat(70_000));
    for script in [lines, long] {
        assert!(heard(&script).await.ends_with("(envelope, malformed)"));
    }
}

/// A server that dies before it has promised anything is replaced, wherever it dies.
#[tokio::test]
async fn a_server_that_dies_is_replaced() {
    let acts = GOOD.trim().lines().collect::<Vec<_>>();
    for cut in [2, 4, 6] {
        let dying = acts[..cut].join("\n");
        let (first, second) = (Server::start(&[&dying]).await, Server::start(&[GOOD]).await);
        let mut two = handoff(&settings(&[&first, &second]));
        let mut client = Client::new();
        client.mail("a@b");
        assert_eq!(client.asks(&mut two, "one@x").await, "250 2.1.5 good", "dies behind {cut}");
        first.done().await;
        second.done().await;

        // There is no other: then the same once more.
        let alone = Server::start(&[&dying, GOOD]).await;
        let mut one = handoff(&settings(&[&alone]));
        let mut client = Client::new();
        client.mail("a@b");
        assert_eq!(client.asks(&mut one, "one@x").await, "250 2.1.5 good", "dies behind {cut}");
        alone.done().await;
    }
}

/// What one server has accepted, another knows nothing of.
#[tokio::test]
async fn promises_are_lost_with_their_server() {
    let server = Server::start(&[&[GOOD, "< RCPT TO:<two@x>"].concat(), GOOD]).await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    for address in ["two@x", "three@x"] {
        let said = client.asks(&mut handoff, address).await;
        assert_eq!(said, "451 4.3.0 Service temporarily unavailable (envelope, closed)");
    }
    let lost = handoff.content(&client.content("DATA"), b"").await.unwrap_err();
    assert_eq!((lost.phase, lost.trouble), (Phase::Envelope, Trouble::Closed));

    // The next transaction is another story.
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    server.done().await;
}

/// A server whose patience ends while the client is silent: told at the next command, as it would be without us.
#[tokio::test]
async fn a_farewell_between_commands_is_passed_on() {
    let server = Server::start(&[&[GOOD, "> 421 4.4.2 timeout exceeded"].concat()]).await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    server.done().await;
    assert_eq!(client.asks(&mut handoff, "two@x").await, "421 4.4.2 timeout exceeded");
    let said = client.asks(&mut handoff, "three@x").await;
    assert_eq!(said, "451 4.3.0 Service temporarily unavailable (envelope, rejected)");
}

/// A reply too many would answer the next command; nobody is told it.
#[tokio::test]
async fn a_server_that_is_out_of_step_is_left() {
    let server = Server::start(&[&[GOOD, "> 250 2.1.5 and good again\n."].concat()]).await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    let said = client.asks(&mut handoff, "two@x").await;
    assert_eq!(said, "451 4.3.0 Service temporarily unavailable (envelope, malformed)");
    server.done().await;
}

#[tokio::test]
async fn a_server_that_is_out_of_step_gets_no_content() {
    let script = GOOD.replace("> 250 2.1.5 good", "= 250 2.1.5 good\\r\\n250 2.1.5 again\\r\\n");
    let server = Server::start(&[&[&script, "."].concat()]).await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    let lost = handoff.content(&client.content("DATA"), b"").await.unwrap_err();
    assert_eq!((lost.phase, lost.trouble), (Phase::Envelope, Trouble::Malformed));
    server.done().await;
}
