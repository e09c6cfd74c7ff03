//! Any bytes from the network: a proper reply or a clean end, one outcome, and prescreen as alive as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::thread;

use support::client;
use support::dns::Dns;
use support::postfix::Postfix;
use support::prescreen::Config;
use support::talk::Talk;

static POSTFIX: LazyLock<Postfix> = LazyLock::new(Postfix::start);
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

/// When the bytes are sent.
#[derive(Clone, Copy)]
enum Moment {
    /// Before the greeting.
    Early,
    /// After it.
    Greeted,
    /// In place of MAIL.
    Introduced,
}

impl Moment {
    const ALL: [Self; 3] = [Self::Early, Self::Greeted, Self::Introduced];
}

/// Sends each input at each moment, each from an address of its own and all at once; then a clean client comes.
#[track_caller]
fn survives(inputs: &[Vec<u8>]) {
    // Room for all of them at once: who finds none is told so, which is not what is to be seen here.
    let prescreen = Config::before(&POSTFIX, &DNS).set("limits.pre_queue_limit", "1000").start();
    let to = prescreen.smtp;
    thread::scope(|scope| {
        for (input, number) in inputs.iter().zip(0..=u8::MAX) {
            for (moment, host) in Moment::ALL.into_iter().zip(1..) {
                scope.spawn(move || send(Ipv4Addr::new(127, 9, number, host), to, moment, input));
            }
        }
    });
    let sent = u32::try_from(inputs.len() * Moment::ALL.len()).unwrap();
    prescreen.one_outcome_for_each_of(sent);
    assert!(!POSTFIX.log().contains("[127.9."), "Postfix has heard of them:\n{}", POSTFIX.log());

    let mut talk = Talk::greeted(client(73), to);
    assert_eq!(talk.envelope("sender@example.com", "alive@example.org").code, 250);
    talk.ask("QUIT", "221 ");
    prescreen.one_outcome_for_each_of(sent + 1);
}

/// Sends bytes, says nothing more, and reads to the end: [`Talk::closed`] fails on anything that is no reply. None of
/// the replies may take the bytes for mail.
fn send(from: Ipv4Addr, to: SocketAddr, at: Moment, bytes: &[u8]) {
    let mut talk = match at {
        Moment::Early => Talk::connect(from, to),
        Moment::Greeted => {
            let mut talk = Talk::connect(from, to);
            talk.expect("220 ");
            talk
        }
        Moment::Introduced => Talk::greeted(from, to),
    };
    // The other side may have had enough before we have said all.
    let _ = talk.try_send(bytes);
    talk.try_half_close();
    let replies = talk.closed();
    assert!(replies.iter().all(|said| said.code != 354), "{}", talk.record());
}

#[test]
fn a_tls_client_hello_in_clear() {
    // A record of handshake type, version 3.1, with the start of a ClientHello in it (RFC 8446 section 4.1.2).
    let mut hello = vec![0x16, 0x03, 0x01, 0x01, 0x00, 0x01, 0x00, 0x00, 0xfc, 0x03, 0x03];
    hello.extend((0..=244).map(|at: u8| at.wrapping_mul(73)));
    survives(&[hello]);
}

#[test]
fn other_peoples_protocols() {
    let http = "POST /mail HTTP/1.1\r\nHost: mx.example.org\r\nContent-Length: 53\r\n\r\n\
                MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n";
    let remote_desktop =
        b"\x03\0\0\x2f\x2a\xe0\0\0\0\0\0Cookie: mstshash=administr\r\n\x01\0\x08\0\x03\0\0\0";
    survives(&[
        http.into(),
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".into(),
        remote_desktop.into(),
        // SOCKS 4 and 5.
        b"\x04\x01\0\x19\xc0\0\x02\x01\0".into(),
        b"\x05\x02\0\x02".into(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n".into(),
    ]);
}

#[test]
fn nothing_but_nuls() {
    survives(&[vec![0; 10_000]]);
}

#[test]
fn a_megabyte_with_no_line_end_or_nothing_else() {
    survives(&[vec![b'A'; 1 << 20], vec![b'\n'; 1 << 20], b"\r\n".repeat(1 << 19)]);
}

#[test]
fn every_byte_value_in_lines_and_in_one_line() {
    let lines = (0..=255_u8).flat_map(|byte| [byte, b'\r', b'\n']).collect();
    let line = (0..=255_u8).chain(*b"\r\n").collect();
    survives(&[lines, line]);
}

#[test]
fn every_byte_value_in_a_sender_address() {
    let line = |byte| [&b"MAIL FROM:<a"[..], &[byte], &b"b@example.com>\r\nRSET\r\n"[..]].concat();
    survives(&(0..=255_u8).map(line).collect::<Vec<_>>());
}
