//! Client and server agree on every transaction, whatever happens in between.

use std::net::SocketAddr;

use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::rig::{Client, ends, id};
use crate::handoff::{Backends, Handoff, Identity, Settings};

/// What a client does next.
#[derive(Clone, Debug)]
enum Act {
    Mail(u8),
    Rcpt(u8),
    Helo(u8),
}

/// What a server does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Accept,
    Refuse,
    Die,
    Babble,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => (0u8..4).prop_map(Act::Mail),
        6 => (0u8..200).prop_map(Act::Rcpt),
        1 => (0u8..3).prop_map(Act::Helo),
    ];
    prop::collection::vec(act, 1..25)
}

fn moods() -> impl Strategy<Value = Vec<Mood>> {
    let mood = prop_oneof![
        20 => Just(Mood::Accept),
        4 => Just(Mood::Refuse),
        1 => Just(Mood::Die),
        1 => Just(Mood::Babble),
    ];
    prop::collection::vec(mood, 1..60)
}

/// An MTA that keeps the order of commands, and whose every reply names what it answers. At DATA it recites the
/// transaction.
async fn serve(stream: TcpStream, moods: &mut impl Iterator<Item = Mood>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 b\r\n").await.ok()?;
    let (mut sender, mut recipients) = (None::<String>, Vec::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        assert!(stream.buffer().is_empty(), "{line:?} and {:?} behind it", stream.buffer());
        let line = line.trim_end();
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let mood = if matches!(verb, "MAIL" | "RCPT" | "EHLO") { moods.next()? } else { Mood::Accept };
        match mood {
            Mood::Die => return None,
            Mood::Babble => {
                stream.write_all(format!("250 {argument}\r\n250 and more\r\n").as_bytes()).await.ok()?;
                return None;
            }
            Mood::Refuse => {
                stream.write_all(format!("550 {argument}\r\n").as_bytes()).await.ok()?;
                continue;
            }
            Mood::Accept => {}
        }
        match verb {
            "EHLO" | "RSET" => (sender, recipients) = (None, Vec::new()),
            "MAIL" => {
                assert_eq!(sender, None, "nested {line}");
                sender = Some(argument.to_owned());
            }
            "RCPT" => {
                assert!(sender.is_some(), "{line} without MAIL");
                recipients.push(argument.to_owned());
            }
            "DATA" => {
                let told = format!("354 {} {}\r\n", sender.unwrap(), recipients.join(" "));
                stream.write_all(told.as_bytes()).await.ok()?;
                return None;
            }
            "QUIT" => return None,
            verb => panic!("{verb}"),
        }
        stream.write_all(format!("250 {argument}\r\n").as_bytes()).await.ok()?;
    }
}

/// Plays `acts` and hands over; whoever was told 250 must be in the transaction that the server recites, and nobody
/// else.
async fn play(acts: Vec<Act>, server: SocketAddr) {
    let settings = Settings {
        servers: vec![server.to_string().parse().unwrap()],
        identity: Identity::None,
        ..Settings::default()
    };
    let backends = Backends::new(&settings, "mx.example");
    let mut handoff = Handoff::new(backends.into(), ends(), id());
    let mut client = Client::new();
    client.mail("0@sender");
    let mut told = "FROM:<0@sender>".to_owned();
    let mut accepted = 0;
    for act in acts {
        match act {
            Act::Mail(sender) => {
                client.mail(&format!("{sender}@sender"));
                (told, accepted) = (format!("FROM:<{sender}@sender>"), 0);
            }
            Act::Helo(name) => {
                client.say(&format!("EHLO {name}.example"));
                client.mail("0@sender");
                (told, accepted) = ("FROM:<0@sender>".to_owned(), 0);
            }
            Act::Rcpt(recipient) => {
                let address = format!("{recipient}@x");
                let said = client.asks(&mut handoff, &address).await;
                let of_recipient = format!("TO:<{address}>");
                match &said[..3] {
                    "250" => {
                        assert_eq!(said, format!("250 {of_recipient}"));
                        told = format!("{told} {of_recipient}");
                        accepted += 1;
                    }
                    "451" => {}
                    // The recipient, the sender or the HELO was refused.
                    _ => assert!(
                        said.ends_with(&of_recipient)
                            || said.contains("@sender")
                            || said.ends_with(".example"),
                        "{said}"
                    ),
                }
            }
        }
    }
    if accepted == 0 {
        return;
    }
    if let Ok(ready) = handoff.content(&client.content("DATA"), b"").await {
        let mut socket = ready.link;
        socket.write_all(&ready.to_backend).await.unwrap();
        let mut recited = String::new();
        socket.read_to_string(&mut recited).await.unwrap();
        assert_eq!(recited, format!("354 {told}\r\n"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn who_was_told_250_is_in_the_transaction_and_nobody_else(acts in acts(), moods in moods()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = listener.local_addr().unwrap();
            let serving = async {
                let mut moods = moods.into_iter().chain(std::iter::repeat(Mood::Accept));
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    serve(stream, &mut moods).await;
                }
            };
            tokio::select! {
                () = play(acts, server) => {}
                () = serving => {}
            }
        });
    }
}
