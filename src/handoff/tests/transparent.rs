//! The client's own address as the source of the connection, in a network of the test's own.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::rig::id;
use crate::handoff::{Backends, Identity, Proof, Ready, Settings, Trouble};
use crate::proxy_protocol::Endpoints;
use crate::screen::Passed;

const MARK: &str = "PRESCREEN_TEST_NAMESPACE";

/// What is shown inside: servers on the host's own addresses see the clients'.
#[tokio::test]
async fn a_server_sees_the_client() {
    if std::env::var_os(MARK).is_none() {
        return in_a_network_of_its_own();
    }
    for (server, client) in [("127.0.0.1:10025", "192.0.2.7:4242"), ("[::1]:10025", "[2001:db8::7]:4242")] {
        let listener = TcpListener::bind(server).await.unwrap();
        let settings = Settings {
            servers: vec![server.parse().unwrap()],
            identity: Identity::Transparent,
            ..Settings::default()
        };
        let backends = Backends::new(&settings, "mx.example");
        let client: SocketAddr = client.parse().unwrap();
        let ends = Endpoints { client, server: client };
        let proof = Passed::for_test();
        let (opened, accepted) =
            tokio::join!(backends.open(Proof::Passed(&proof), ends, None, id()), listener.accept());
        let (mut stream, peer) = accepted.unwrap();
        assert_eq!(peer.ip(), client.ip());

        // Its words find their way back.
        stream.write_all(b"220 hello\r\n").await.unwrap();
        drop(stream);
        let Ready { link: mut socket, to_client: mut greeting, .. } = opened.unwrap().release();
        tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut greeting).await.unwrap();
        assert_eq!(greeting, b"220 hello\r\n");
    }
}

fn in_a_network_of_its_own() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/transparent.sh");
    let inside = format!(
        "ip link set lo up && {script} up 127.0.0.1 10025 && {script} up ::1 10025 && \
         exec \"$0\" --exact handoff::tests::transparent::a_server_sees_the_client --nocapture"
    );
    if !Command::new("unshare").args(["-n", "ip", "link"]).output().is_ok_and(|run| run.status.success()) {
        println!("skipped: no network namespace to be had (it takes root, unshare and ip)");
        return;
    }
    let run = Command::new("unshare")
        .args(["-n", "sh", "-c", &inside])
        .arg(std::env::current_exe().unwrap())
        .env(MARK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn a_client_is_not_told_of_in_another_family() {
    let servers = ["127.0.0.1:1", "unix:/nowhere"].map(|server| server.parse().unwrap()).to_vec();
    let settings = Settings { servers, identity: Identity::Transparent, ..Settings::default() };
    let backends = Backends::new(&settings, "mx.example");
    let client = "[2001:db8::7]:4242".parse().unwrap();
    let proof = Passed::for_test();
    let ends = Endpoints { client, server: client };
    let unavailable = backends.open(Proof::Passed(&proof), ends, None, id()).await.unwrap_err();
    assert_eq!((unavailable.server, unavailable.trouble), (None, Trouble::Unreachable));
}
