//! What is learnt of servers, and how it orders them.

use std::sync::Arc;
use std::time::Duration;

use super::rig::{Client, GOOD, Server, ends, id, settings};
use crate::handoff::{Backends, Handoff, Health, Identity, Phase, Proof, Settings, Trouble};
use crate::screen::Passed;

fn handoff(backends: &Arc<Backends>) -> Handoff {
    Handoff::new(Arc::clone(backends), ends(), id())
}

fn probed(offers: &str) -> String {
    format!("> 220 b\n< EHLO mx.example\n= 250-b\\r\\n{offers}\n< QUIT\n> 221 bye")
}

#[tokio::test]
async fn what_is_offered_is_what_all_servers_that_are_up_offer() {
    let one = Server::start(&[&probed("250-SIZE 100\\r\\n250-DSN\\r\\n250 8BITMIME\\r\\n")]).await;
    let two = Server::start(&[&probed("250-SIZE 50\\r\\n250 8BITMIME\\r\\n")]).await;
    let gone = Server::absent().await;
    let backends = Backends::new(&settings(&[&one, &two, &gone]), "mx.example");
    assert!(!backends.healthy());
    assert!(backends.capabilities().offers("8BITMIME"), "what every server takes");

    backends.probe().await;
    assert!(backends.healthy());
    let capabilities = backends.capabilities();
    assert_eq!(capabilities.parameters("SIZE"), Some("50"));
    assert!(capabilities.offers("8BITMIME") && !capabilities.offers("DSN"));

    let [one_totals, _, gone_totals] = &backends.totals()[..] else { panic!("three servers") };
    assert_eq!((one_totals.health, gone_totals.health), (Health::Up, Health::Down));
    assert_eq!(one_totals.latency[Phase::Helo as usize].count(), 1);
    assert_eq!(gone_totals.failures[Phase::Connect as usize][Trouble::Refused as usize], 1);
    one.done().await;
    two.done().await;
}

#[tokio::test]
async fn every_hand_off_teaches_what_the_server_offers_now() {
    let server = Server::start(&[
        &probed("250 DSN\\r\\n"),
        "
        > 220 b
        < EHLO client.example
        = 250-b\\r\\n250 SMTPUTF8\\r\\n
        < MAIL FROM:<a@b>
        > 550 5.7.1 no
        ",
    ])
    .await;
    let backends = Arc::new(Backends::new(&settings(&[&server]), "mx.example"));
    backends.probe().await;
    assert!(backends.capabilities().offers("DSN"));
    let mut client = Client::new();
    client.mail("a@b");
    client.asks(&mut handoff(&backends), "one@x").await;
    assert!(backends.capabilities().offers("SMTPUTF8") && !backends.capabilities().offers("DSN"));
    server.done().await;
}

/// From a server that is known to understand how clients are announced, it is the client that is refused.
#[tokio::test]
async fn a_helo_is_refused_only_by_who_understood_whose_it_is() {
    let refusing = "> 220 b\n< EHLO client.example\n> 550 5.7.1 bad name";
    let server = Server::start(&[refusing, &probed("250 DSN\\r\\n"), refusing]).await;
    let backends = Arc::new(Backends::new(&settings(&[&server]), "mx.example"));
    let mut client = Client::new();
    client.mail("a@b");
    let said = client.asks(&mut handoff(&backends), "one@x").await;
    assert_eq!(said, "451 4.3.0 Service temporarily unavailable (helo, rejected)");
    backends.probe().await;
    assert_eq!(client.asks(&mut handoff(&backends), "one@x").await, "550 5.7.1 bad name");
    server.done().await;
}

/// Postfix without `smtpd_upstream_proxy_protocol`, and what it makes of either version.
#[tokio::test]
async fn a_server_that_does_not_know_the_announcement_is_down() {
    for (identity, script) in [
        (Identity::ProxyV1, "> 220 b\n= 502 5.5.2 Error: command not recognized\\r\\n\n"),
        (Identity::ProxyV1, "= 220 b\\r\\n502 5.5.2 Error: command not recognized\\r\\n\n"),
        (
            Identity::ProxyV2,
            "> 220 b\n= 500 5.5.2 Error: bad syntax\\r\\n500 5.5.2 Error: bad syntax\\r\\n\n",
        ),
        (Identity::ProxyV2, "> 554 5.5.0 Error: SMTP protocol synchronization"),
    ] {
        let server = Server::start(&[script]).await;
        let settings = Settings { identity, ..settings(&[&server]) };
        let backends = Backends::new(&settings, "mx.example");
        backends.probe().await;
        assert_eq!(backends.totals()[0].health, Health::Down, "{script}");
        assert!(!backends.healthy());
        server.done().await;
    }
}

#[tokio::test]
async fn a_server_that_rests_comes_last_and_is_still_tried() {
    let quitting = [GOOD, "< QUIT"].concat();
    let (absent, good) = (Server::absent().await, Server::start(&[&quitting, &quitting]).await);
    let backends = Arc::new(Backends::new(&settings(&[&absent, &good]), "mx.example"));
    for _ in 0..2 {
        let mut client = Client::new();
        client.mail("a@b");
        assert_eq!(client.asks(&mut handoff(&backends), "one@x").await, "250 2.1.5 good");
    }
    let refused = |totals: &[crate::handoff::Totals]| {
        totals[0].failures[Phase::Connect as usize][Trouble::Refused as usize]
    };
    assert_eq!(refused(&backends.totals()), 1, "the second client did not try it first");
    good.done().await;

    let mut client = Client::new();
    client.mail("a@b");
    let said = client.asks(&mut handoff(&backends), "one@x").await;
    assert_eq!(said, "451 4.3.0 Service temporarily unavailable (connect, refused)");
    assert_eq!(refused(&backends.totals()), 2, "with the other gone it is");
}

#[tokio::test]
async fn servers_are_watched_until_nobody_cares() {
    let server = Server::start(&[&probed("250 DSN\\r\\n")]).await;
    let backends = Arc::new(Backends::new(&settings(&[&server]), "mx.example"));
    let watching = Arc::clone(&backends);
    let watch = tokio::spawn(async move { watching.learn().await });
    server.done().await;
    while !backends.healthy() {
        tokio::task::yield_now().await;
    }
    watch.abort();
    assert!(watch.await.unwrap_err().is_cancelled());
}

/// It was restarted, and a client came in between.
#[tokio::test]
async fn a_server_that_a_client_has_found_gone_is_asked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("mta");
    let started = || {
        let _ = std::fs::remove_file(&socket);
        Server::start_unix(
            &socket,
            "> 220 b\n< EHLO mx.example\n= 250-b\\r\\n250 DSN\\r\\n\n< QUIT\n> 221 bye",
        )
    };
    let server = started();
    let far = Duration::from_secs(3600);
    let backends = Backends::new(&Settings { probe_interval: far, ..settings(&[&server]) }, "mx.example");
    let backends = Arc::new(backends);
    let watching = Arc::clone(&backends);
    let watch = tokio::spawn(async move { watching.learn().await });
    server.done().await;
    while !backends.healthy() {
        tokio::task::yield_now().await;
    }
    let mut client = Client::new();
    client.mail("a@b");
    let said = client.asks(&mut handoff(&backends), "one@x").await;
    assert_eq!(said, "451 4.3.0 Service temporarily unavailable (connect, refused)");
    assert!(!backends.healthy());
    started().done().await;
    while !backends.healthy() {
        tokio::task::yield_now().await;
    }
    watch.abort();
}

/// Its queue takes connections; nobody takes them from there.
#[tokio::test]
async fn a_connection_alone_says_nothing_of_a_server() {
    let hung = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![hung.local_addr().unwrap().to_string().parse().unwrap()];
    let backends = Backends::new(&Settings { servers, ..Settings::default() }, "mx.example");
    let proof = Passed::for_test();
    assert!(backends.open(Proof::Passed(&proof), ends(), None, id()).await.is_ok());
    assert!(!backends.healthy());
}
