//! Servers that are to speak TLS, and do not, or not as they should. Nothing is ever said to them in clear instead.

use super::rig::{Client, Server, handoff, settings};
use crate::handoff::{BackendTls, Phase, Settings, Trouble};

/// TLS is asked for, and somebody is trusted who signs nothing here.
fn encrypted(server: &Server) -> (Settings, tempfile::NamedTempFile) {
    let ca = tempfile::NamedTempFile::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["mail.example.org".to_owned()]).unwrap();
    std::fs::write(ca.path(), made.cert.pem()).unwrap();
    let tls_ca = Some(ca.path().to_owned());
    (Settings { tls: BackendTls::StartTls, tls_ca, ..settings(&[server]) }, ca)
}

async fn fails(script: &str) -> (Phase, Trouble) {
    let server = Server::start(&[script]).await;
    let (settings, _ca) = encrypted(&server);
    let mut handoff = handoff(&settings);
    let mut client = Client::new();
    client.mail("a@b");
    let checked = client.rcpt("one@x");
    let lost = handoff.recipient(&checked).await.unwrap_err();
    server.done().await;
    (lost.phase, lost.trouble)
}

#[tokio::test]
async fn a_server_without_starttls_hears_nothing_more() {
    let script = "
        > 220 b
        < EHLO mx.example
        > 250 b
        .
        ";
    assert_eq!(fails(script).await, (Phase::Tls, Trouble::Tls));
}

#[tokio::test]
async fn nor_does_one_that_takes_it_back() {
    let script = "
        > 220 b
        < EHLO mx.example
        = 250-b\\r\\n250 STARTTLS\\r\\n
        < STARTTLS
        > 454 4.7.0 TLS not available
        .
        ";
    assert_eq!(fails(script).await, (Phase::Tls, Trouble::Tls));
}

/// Somebody in between would have it read as if it stood inside.
#[tokio::test]
async fn what_stands_behind_the_reply_to_starttls_ends_it() {
    let script = "
        > 220 b
        < EHLO mx.example
        = 250-b\\r\\n250 STARTTLS\\r\\n
        < STARTTLS
        = 220 go\\r\\n250 injected\\r\\n
        .
        ";
    assert_eq!(fails(script).await, (Phase::Tls, Trouble::Malformed));
}

#[tokio::test]
async fn what_is_no_handshake_ends_it() {
    let script = "
        > 220 b
        < EHLO mx.example
        = 250-b\\r\\n250 STARTTLS\\r\\n
        < STARTTLS
        > 220 go
        > this is not TLS
        ";
    let (phase, trouble) = fails(script).await;
    // Whether it comes with the reply or behind it is the network's to say.
    assert!(phase == Phase::Tls && matches!(trouble, Trouble::Tls | Trouble::Malformed), "{trouble:?}");
}
