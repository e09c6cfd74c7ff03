//! How a relay ends, and what each side sees of the other's end.

use std::io::ErrorKind;
use std::time::Duration;

use prescreen::relay::{Early, How, Settings, Side};
use prescreen::wire::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use crate::rig::{Backend, Random, Rig, assert_same, copying, pair};

const EVERY: [(fn() -> Settings, Backend); 4] = [
    (Settings::default, Backend::Tcp),
    (Settings::default, Backend::Unix),
    (copying, Backend::Tcp),
    (copying, Backend::Unix),
];

#[tokio::test]
async fn who_has_finished_sending_goes_on_receiving() {
    for (settings, backend) in EVERY {
        for length in [0, 1, 70_000, 1_000_000] {
            let bytes = Random::seeded(length as u64).bytes(length);

            let mut rig = Rig::start(settings(), backend, Early::default()).await;
            rig.client.shutdown().await.unwrap();
            assert_eq!(rig.backend.read(&mut [0]).await.unwrap(), 0);
            let (mut hears, _says) = split(&mut rig.client);
            let mut heard = Vec::new();
            let (wrote, read) = tokio::join!(
                async {
                    rig.backend.write_all(&bytes).await?;
                    rig.backend.shutdown().await
                },
                hears.read_to_end(&mut heard)
            );
            wrote.unwrap();
            read.unwrap();
            assert_same(&heard, &bytes, "to the client");
            assert_eq!(rig.relay.await.unwrap().ended, How::Finished { first: Side::Client });

            let mut rig = Rig::start(settings(), backend, Early::default()).await;
            rig.backend.shutdown().await.unwrap();
            assert_eq!(rig.client.read(&mut [0]).await.unwrap(), 0);
            let mut heard = Vec::new();
            let (wrote, read) = tokio::join!(
                async {
                    rig.client.write_all(&bytes).await?;
                    rig.client.shutdown().await
                },
                rig.backend.read_to_end(&mut heard)
            );
            wrote.unwrap();
            read.unwrap();
            assert_same(&heard, &bytes, "to the backend");
            assert_eq!(rig.relay.await.unwrap().ended, How::Finished { first: Side::Backend });
        }
    }
}

/// A client that has been let go holds nobody's place, whether it closes or not.
#[tokio::test]
async fn behind_quit_nobody_waits_for_the_client() {
    for (settings, backend) in EVERY {
        let mut rig = Rig::start(settings(), backend, Early::default()).await;
        rig.client.write_all(b".\r\nquit\r\n").await.unwrap();
        rig.backend.read_exact(&mut [0; 9]).await.unwrap();
        rig.backend.write_all(b"250 Ok\r\n221 Bye\r\n").await.unwrap();
        drop(rig.backend);
        assert_eq!(rig.relay.await.unwrap().ended, How::Finished { first: Side::Backend });
        let mut heard = String::new();
        rig.client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "250 Ok\r\n221 Bye\r\n");
    }
}

/// Data and FIN wait together before the relay first looks.
#[tokio::test]
async fn data_and_end_in_one_event() {
    for settings in [Settings::default, copying] {
        let ((mut client, near_client), (mut backend, near_backend)) = (pair().await, pair().await);
        client.write_all(b"QUIT\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        backend.write_all(b"221 bye\r\n").await.unwrap();
        backend.shutdown().await.unwrap();
        let settings = settings();
        let stop = std::future::pending();
        let near_backend = Socket::from(near_backend);
        let transfer =
            prescreen::relay::splice(near_client, near_backend, Early::default(), &settings, stop).await;
        assert!(matches!(transfer.ended, How::Finished { .. }));
        let mut heard = String::new();
        backend.read_to_string(&mut heard).await.unwrap();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "QUIT\r\n221 bye\r\n");
    }
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    for settings in [Settings::default, copying] {
        let mut rig = Rig::start(settings(), Backend::Tcp, Early::default()).await;
        rig.client.write_all(b"half a mail").await.unwrap();
        rig.backend.read_exact(&mut [0; 11]).await.unwrap();
        rig.client.set_zero_linger().unwrap();
        drop(rig.client);
        assert_eq!(rig.backend.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let ended = rig.relay.await.unwrap().ended;
        assert_eq!(ended, How::Broken { side: Side::Client, error: ErrorKind::ConnectionReset });

        let mut rig = Rig::start(settings(), Backend::Tcp, Early::default()).await;
        rig.backend.reset_on_close();
        drop(rig.backend);
        assert_eq!(rig.client.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let ended = rig.relay.await.unwrap().ended;
        assert_eq!(ended, How::Broken { side: Side::Backend, error: ErrorKind::ConnectionReset });
    }
}

/// A backend that refuses in the middle of a mail says why and closes, while the client goes on sending.
#[tokio::test]
async fn last_words_reach_a_client_that_is_still_sending() {
    for settings in [Settings::default, copying] {
        let mut rig = Rig::start(settings(), Backend::Tcp, Early::default()).await;
        let (mut hears, mut says) = split(rig.client);
        let sending = tokio::spawn(async move { while says.write_all(&[b'x'; 50_000]).await.is_ok() {} });
        rig.backend.read_exact(&mut [0; 100_000]).await.unwrap();
        rig.backend.write_all(b"552 5.3.4 too big\r\n").await.unwrap();
        // Unread bytes are in its socket: the close is a reset.
        drop(rig.backend);
        let mut heard = [0; 19];
        hears.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"552 5.3.4 too big\r\n");
        let ended = rig.relay.await.unwrap().ended;
        assert!(matches!(ended, How::Broken { side: Side::Backend, .. }), "{ended:?}");
        sending.await.unwrap();
    }
}

/// Neither side sees an end that the other did not make: no FIN while bytes are on the way.
#[tokio::test]
async fn an_end_comes_behind_every_byte() {
    for (settings, backend) in EVERY {
        let mut rig = Rig::start(settings(), backend, Early::default()).await;
        let mail = Random::seeded(3).bytes(4 << 20);
        let sending = tokio::spawn(async move {
            rig.client.write_all(&mail).await.unwrap();
            drop(rig.client);
            mail
        });
        // It reads only once everything that fits into sockets and pipes is there.
        let mut heard = Vec::new();
        let mut first = [0; 1];
        rig.backend.read_exact(&mut first).await.unwrap();
        heard.extend_from_slice(&first);
        tokio::task::yield_now().await;
        rig.backend.read_to_end(&mut heard).await.unwrap();
        assert_same(&heard, &sending.await.unwrap(), "mail");
    }
}

#[tokio::test]
async fn a_reader_that_stalls_is_given_up_when_idle() {
    for settings in [Settings::default(), copying()] {
        let settings = Settings { idle_timeout: Duration::from_millis(200), ..settings };
        let mut rig = Rig::start(settings, Backend::Tcp, Early::default()).await;
        let sending = tokio::spawn(async move {
            let mut sent = 0u64;
            while rig.client.write_all(&[b'x'; 65536]).await.is_ok() {
                sent += 65536;
            }
            sent
        });
        let transfer = rig.relay.await.unwrap();
        assert_eq!(transfer.ended, How::Idle);
        assert!(transfer.up.total() > 0);
        // The client was held back: it could not send what nobody read.
        assert!(sending.await.unwrap() < 64 << 20);
        drop(rig.backend);
    }
}
