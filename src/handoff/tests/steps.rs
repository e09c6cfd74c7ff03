//! Where the client is, the server is brought: in lock-step, and not one command further.

use tokio::io::AsyncReadExt;

use super::rig::{Client, GOOD, Server, ends, handoff, id, settings};
use crate::dialogue::Step;
use crate::handoff::{Backends, Begun, Identity, Phase, Proof, Ready, Settings, Trouble};
use crate::policy::{Effects, NameStatus, Names, TlsFacts};
use crate::proxy_protocol::{Header, Origin, Parsed, Tlv, parse};
use crate::screen::Passed;

#[tokio::test]
async fn the_envelope_is_replayed_and_the_replies_are_the_servers() {
    let server = Server::start(&["
        > 220 b
        < EHLO client.example
        = 250-b\\r\\n250-SIZE 100\\r\\n250 8BITMIME\\r\\n
        < MAIL FROM:<a@b> BODY=8BITMIME
        > 250 2.1.0 sender ok
        < RCPT TO:<one@x>
        > 250 2.1.5 one ok
        < RCPT TO:<two@x>
        > 550 5.1.1 no two
        < RCPT TO:<three@x>
        > 452 4.5.3 later
        < DATA
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.say("MAIL FROM:<a@b> BODY=8BITMIME");
    assert_eq!(handoff.server(), None);
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 one ok");
    assert_eq!(handoff.server().map(|name| &**name), Some(server.address.to_string().as_str()));
    assert_eq!(client.asks(&mut handoff, "two@x").await, "550 5.1.1 no two");
    assert_eq!(client.asks(&mut handoff, "three@x").await, "452 4.5.3 later");

    let ready = handoff.content(&client.content("DATA"), b"Subject: hi\r\n").await.unwrap();
    assert_eq!(ready.to_backend, b"DATA\r\nSubject: hi\r\n");
    assert_eq!(ready.to_client, b"");
    let mut socket = ready.link;
    tokio::io::AsyncWriteExt::write_all(&mut socket, b"DATA\r\n").await.unwrap();
    server.done().await;
}

#[tokio::test]
async fn a_refused_sender_is_the_answer_and_is_asked_again() {
    let server = Server::start(&["
        > 220 b
        < EHLO client.example
        > 250 b
        < MAIL FROM:<a@b>
        > 553 5.1.8 bad sender
        < RSET
        > 250 2.0.0 forgotten
        < MAIL FROM:<a@b>
        > 250 2.1.0 on second thoughts
        < RCPT TO:<two@x>
        > 250 2.1.5 ok
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "553 5.1.8 bad sender");
    assert_eq!(client.asks(&mut handoff, "two@x").await, "250 2.1.5 ok");
    server.done().await;
}

#[tokio::test]
async fn another_transaction_is_another_even_in_the_same_words() {
    let server = Server::start(&["
        > 220 b
        < HELO client.example
        > 250 b
        < MAIL FROM:<a@b>
        > 250 2.1.0 ok
        < RCPT TO:<one@x>
        > 250 2.1.5 ok
        < RSET
        > 250 2.0.0 ok
        < MAIL FROM:<a@b>
        > 250 2.1.0 ok
        < RCPT TO:<two@x>
        > 250 2.1.5 ok
        < EHLO other.example
        > 250 b
        < MAIL FROM:<>
        > 250 2.1.0 ok
        < RCPT TO:<three@x>
        > 250 2.1.5 ok
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::silent();
    client.say("HELO client.example");
    for address in ["one@x", "two@x"] {
        client.mail("a@b");
        assert_eq!(client.asks(&mut handoff, address).await, "250 2.1.5 ok");
    }
    client.say("EHLO other.example");
    client.mail("");
    assert_eq!(client.asks(&mut handoff, "three@x").await, "250 2.1.5 ok");
    server.done().await;
}

#[tokio::test]
async fn a_client_that_says_no_helo_is_not_made_to_say_one() {
    let server = Server::start(&["
        > 220 b
        < MAIL FROM:<a@b>
        > 503 5.5.1 polite people say hello
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::silent();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "503 5.5.1 polite people say hello");
    server.done().await;
}

#[tokio::test]
async fn what_the_lists_prepend_stands_in_front_of_the_content() {
    let lines = ["X-One: 1", "X-Two: a\r\nb"].map(str::to_owned).to_vec();
    let effects = Effects { prepend: lines, bcc: vec!["archive@x".into()] };
    let bcc = "
        < RCPT TO:<archive@x>
        > 250 2.1.5 ok
        ";
    let data = [GOOD, bcc, "< DATA\n> 354 go\n."].concat();
    let refused = [GOOD, bcc, "< DATA\n> 450 4.2.0 not now\n."].concat();
    let server = Server::start(&[&data, &refused]).await;
    let settings = settings(&[&server]);

    let mut client = Client::with(effects.clone());
    client.say("EHLO client.example");
    client.mail("a@b");
    let mut accepted = handoff(&settings);
    client.asks(&mut accepted, "one@x").await;
    let ready = accepted.content(&client.content("DATA"), b"Subject").await.unwrap();
    assert_eq!(ready.to_client, b"354 go\r\n");
    assert_eq!(ready.to_backend, b"X-One: 1\r\nX-Two: a  b\r\nSubject");
    drop(ready);

    let mut client = Client::with(effects);
    client.say("EHLO client.example");
    client.mail("a@b");
    let mut refused = handoff(&settings);
    client.asks(&mut refused, "one@x").await;
    let ready = refused.content(&client.content("DATA"), b"RSET\r\n").await.unwrap();
    assert_eq!(ready.to_client, b"450 4.2.0 not now\r\n");
    assert_eq!(ready.to_backend, b"RSET\r\n");
    drop(ready);
    server.done().await;
}

#[tokio::test]
async fn what_the_lists_prepend_is_a_chunk_of_its_own_before_the_clients() {
    let server = Server::start(&[&[GOOD, "< BDAT 10\\r\\nX-One: 1\n> 250 2.0.0 10 bytes\n."].concat()]).await;
    let mut client = Client::with(Effects { prepend: vec!["X-One: 1".into()], bcc: vec![] });
    client.say("EHLO client.example");
    client.mail("a@b");
    let mut handoff = handoff(&settings(&[&server]));
    client.asks(&mut handoff, "one@x").await;
    let ready = handoff.content(&client.content("BDAT 5 LAST"), b"hello").await.unwrap();
    assert_eq!(ready.to_backend, b"BDAT 5 LAST\r\nhello");
    assert_eq!(ready.to_client, b"");
    drop(ready);
    server.done().await;
}

/// RFC 3030 §2. Exim takes a chunk for commands once it has heard a RCPT behind another.
#[tokio::test]
async fn behind_a_chunk_a_server_hears_of_no_recipient() {
    let chunks = "
        < RCPT TO:<archive@x>
        > 250 2.1.5 ok
        < BDAT 5
        > 250 2.0.0 5 bytes
        < BDAT 0 LAST
        > 250 2.0.0 queued
        < QUIT
        ";
    let server = Server::start(&[&[GOOD, chunks].concat()]).await;
    let mut client = Client::with(Effects { prepend: vec![], bcc: vec!["archive@x".into()] });
    client.say("EHLO client.example");
    client.mail("a@b");
    let mut handoff = handoff(&settings(&[&server]));
    client.asks(&mut handoff, "one@x").await;
    for (line, said) in [("BDAT 5", "250 2.0.0 5 bytes"), ("BDAT 0 LAST", "250 2.0.0 queued")] {
        let released = client.content(line);
        assert!(matches!(handoff.begin(&released).await, Ok(Begun::Go(None))));
        let reply = handoff.end(released.command(), settings(&[]).command_timeout).await.unwrap();
        assert_eq!(reply.to_string(), said);
    }
    drop(handoff);
    server.done().await;
}

#[tokio::test]
async fn behind_a_chunk_a_client_names_no_recipient() {
    for line in ["RCPT TO:<two@x>", "DATA"] {
        let server = Server::start(&[GOOD]).await;
        let mut handoff = handoff(&settings(&[&server]));
        let mut client = Client::new();
        client.mail("a@b");
        client.asks(&mut handoff, "one@x").await;
        client.content("BDAT 5");
        let step = client.say(line);
        assert!(matches!(&step, Step::Close { replies, .. } if replies[0].code() == 503), "{line}: {step:?}");
    }
}

/// What the lists add to the envelope is named once, also for a client that asks for DATA again.
#[tokio::test]
async fn behind_a_refused_data_the_next_names_what_is_new() {
    let data = "
        < RCPT TO:<archive@x>
        > 250 2.1.5 ok
        < DATA
        > 450 4.2.0 not now
        < DATA
        > 354 go
        < X-One: 1
        .
        ";
    let server = Server::start(&[&[GOOD, data].concat()]).await;
    let effects = Effects { prepend: vec!["X-One: 1".into()], bcc: vec!["archive@x".into()] };
    let mut client = Client::with(effects);
    client.say("EHLO client.example");
    client.mail("a@b");
    let mut handoff = handoff(&settings(&[&server]));
    client.asks(&mut handoff, "one@x").await;
    assert!(matches!(handoff.begin(&client.content("DATA")).await, Ok(Begun::Refused(_))));
    assert!(matches!(handoff.begin(&client.content("DATA")).await, Ok(Begun::Go(Some(_)))));
    drop(handoff);
    server.done().await;
}

#[tokio::test]
async fn a_server_that_offers_pipelining_gets_mail_and_the_first_recipient_at_once() {
    let server = Server::start(&["
        > 220 b
        < EHLO client.example
        = 250-b\\r\\n250 PIPELINING\\r\\n
        < MAIL FROM:<a@b>\\r\\nRCPT TO:<one@x>
        > 550 5.7.1 not from there
        > 503 5.5.1 no mail
        < RSET
        > 250 2.0.0 ok
        < MAIL FROM:<b@b>\\r\\nRCPT TO:<one@x>
        > 250 2.1.0 ok
        > 250 2.1.5 good
        < RCPT TO:<two@x>
        > 250 2.1.5 good
        < QUIT
        .
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "550 5.7.1 not from there");
    client.say("RSET");
    client.mail("b@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    assert_eq!(client.asks(&mut handoff, "two@x").await, "250 2.1.5 good");
    drop(handoff);
    server.done().await;
}

#[tokio::test]
async fn starttls_is_replayed_behind_ehlo() {
    let server = Server::start(&["
        > 220 b
        < EHLO client.example
        = 250-b\\r\\n250 STARTTLS\\r\\n
        < STARTTLS
        > 220 2.0.0 go
        .
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    let ready = handoff.passthrough(&client.passthrough("STARTTLS"), b"").await.unwrap();
    assert_eq!((&*ready.to_backend, &*ready.to_client), (&b""[..], &b"220 2.0.0 go\r\n"[..]));
    drop(ready);
    server.done().await;
}

/// In clear, the envelope is ours to judge.
#[tokio::test]
async fn a_server_that_takes_back_its_starttls_is_not_left_alone_with_the_client() {
    let server = Server::start(&["
        > 220 b
        < EHLO client.example
        = 250-b\\r\\n250 STARTTLS\\r\\n
        < STARTTLS
        > 454 4.7.0 TLS not available
        .
        "])
    .await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    let lost = handoff.passthrough(&client.passthrough("STARTTLS"), b"").await.unwrap_err();
    assert_eq!((lost.phase, lost.trouble), (Phase::Helo, Trouble::Rejected));
    server.done().await;
}

#[tokio::test]
async fn who_is_dropped_takes_leave() {
    let server = Server::start(&[&[GOOD, "< QUIT\n> 221 2.0.0 bye"].concat()]).await;
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    client.asks(&mut handoff, "one@x").await;
    drop(handoff);
    server.done().await;
}

/// Reads a header off a listener's first connection, then plays an MTA's part up to the greeting.
async fn header_of(identity: Identity, tls: Option<TlsFacts>) -> Header {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        servers: vec![listener.local_addr().unwrap().to_string().parse().unwrap()],
        identity,
        ..Settings::default()
    };
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            stream.read_buf(&mut bytes).await.unwrap();
            match parse(&bytes) {
                Parsed::Complete { header, used } => {
                    assert_eq!(used, bytes.len(), "nothing behind the header before the greeting");
                    return header;
                }
                Parsed::Incomplete => {}
                Parsed::Malformed(why) => panic!("{why}"),
            }
        }
    });
    let mut handoff = handoff(&settings);
    if let Some(tls) = tls {
        handoff.secured(tls);
    }
    let mut client = Client::new();
    client.mail("a@b");
    let said = client.asks(&mut handoff, "one@x").await;
    assert!(said.starts_with("451 4.3.0 "), "{said}");
    server.await.unwrap()
}

#[tokio::test]
async fn the_server_is_told_who_the_client_is() {
    let tls = TlsFacts { protocol: "TLSv1.3".into(), cipher: "TLS_AES_256_GCM_SHA384".into(), bits: 256 };
    let id = Tlv::unique_id(id());
    let v2 = header_of(Identity::ProxyV2, None).await;
    assert_eq!(v2, Header { origin: Origin::Proxied(ends()), tlvs: vec![id.clone()] });
    let secured = header_of(Identity::ProxyV2, Some(tls)).await;
    assert_eq!(secured.tlvs, [id, Tlv::ssl("TLSv1.3", "TLS_AES_256_GCM_SHA384")]);
    let v1 = header_of(Identity::ProxyV1, None).await;
    assert_eq!(v1, Header { origin: Origin::Proxied(ends()), tlvs: vec![] });
}

#[tokio::test]
async fn a_client_that_is_always_let_through_hears_the_servers_own_greeting() {
    let server = Server::start(&["> 220 b ESMTP"]).await;
    let backends = Backends::new(&settings(&[&server]), "mx.example");
    let proof = Passed::for_test();
    let backend = backends.open(Proof::Passed(&proof), ends(), None, id()).await.unwrap();
    let Ready { link: mut socket, to_client: mut greeting, .. } = backend.release();
    socket.read_to_end(&mut greeting).await.unwrap();
    assert_eq!(greeting, b"220 b ESMTP\r\n");
    server.done().await;
}

#[tokio::test]
async fn a_unix_socket_is_a_server_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_unix(&folder.path().join("mta"), GOOD);
    let mut handoff = handoff(&settings(&[&server]));
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    server.done().await;
}

const INTRODUCED: &str = "
    > 220 b
    < EHLO mx.example
    = 250-b\\r\\n250 XCLIENT NAME ADDR PORT HELO\\r\\n
    ";

fn xclient(server: &Server) -> Settings {
    Settings { identity: Identity::Xclient, ..settings(&[server]) }
}

#[tokio::test]
async fn by_xclient_the_dialogue_begins_anew() {
    let told = "< XCLIENT HELO=client.example PORT=4242 NAME=client.example ADDR=192.0.2.7";
    let server = Server::start(&[&[INTRODUCED, told, GOOD].concat()]).await;
    let mut handoff = handoff(&xclient(&server));
    let names = Names { name: Some("client.example".into()), ..Names::unknown(NameStatus::Ok) };
    handoff.named(&names);
    let mut client = Client::new();
    client.mail("a@b");
    assert_eq!(client.asks(&mut handoff, "one@x").await, "250 2.1.5 good");
    server.done().await;
}

#[tokio::test]
async fn by_xclient_the_client_hears_the_greeting_that_is_meant_for_it() {
    let told = "< XCLIENT PORT=4242 NAME=[TEMPUNAVAIL] ADDR=192.0.2.7";
    let server = Server::start(&[&[INTRODUCED, told, "\n> 220 hello client"].concat()]).await;
    let backends = Backends::new(&xclient(&server), "mx.example");
    let proof = Passed::for_test();
    let backend = backends.open(Proof::Passed(&proof), ends(), None, id()).await.unwrap();
    assert_eq!(backend.release().to_client, b"220 hello client\r\n");
    server.done().await;
}

#[tokio::test]
async fn a_server_that_will_not_be_told_is_never_spoken_to_without() {
    let told = "< XCLIENT HELO=client.example PORT=4242 NAME=[TEMPUNAVAIL] ADDR=192.0.2.7\n";
    for (script, trouble) in [
        (INTRODUCED.replace("XCLIENT", "XFORWARD"), "identity"),
        (INTRODUCED.replace("ADDR", "LOGIN"), "identity"),
        ([INTRODUCED, told, "> 550 5.7.0 Error: insufficient authorization"].concat(), "identity"),
        ([INTRODUCED, told, "> 501 5.5.4 Bad syntax"].concat(), "identity"),
        ([INTRODUCED, told, "> 250 2.0.0 ok"].concat(), "identity"),
        ([INTRODUCED, told, "> 421 4.7.0 not now"].concat(), "rejected"),
        (INTRODUCED.replace("250", "550"), "rejected"),
    ] {
        let server = Server::start(&[&script]).await;
        let mut handoff = handoff(&xclient(&server));
        let mut client = Client::new();
        client.mail("a@b");
        let expected = format!("451 4.3.0 Service temporarily unavailable (greeting, {trouble})");
        assert_eq!(client.asks(&mut handoff, "one@x").await, expected, "{script}");
        server.done().await;
    }
}
