//! What goes in comes out, however it was cut, whoever waits for whom.

use prescreen::relay::{Early, How, Settings, Side, Transfer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use crate::rig::{Backend, Random, Rig, assert_same, copying, hear, say};

/// Both directions at once, random lengths, pieces and socket buffers.
async fn traffic(seed: u64, settings: Settings, backend: Backend) -> Transfer {
    let mut random = Random::seeded(seed);
    let mut length = || [0, 1, 5_000, 200_000, 2_000_000][random.below(5)];
    let (up, down) = (length(), length());
    let (early_up, early_down) = (random.below(3) * 40_000, random.below(3) * 40_000);
    let (up, down) = (random.bytes(up + early_up), random.bytes(down + early_down));
    let early = Early { to_backend: up[..early_up].to_vec(), to_client: down[..early_down].to_vec() };

    let rig = Rig::start(settings, backend, early).await;
    if random.below(2) == 0 {
        socket2::SockRef::from(&rig.client).set_send_buffer_size(4096).unwrap();
    }
    let (mut client_hears, mut client_says) = split(rig.client);
    let (mut backend_hears, mut backend_says) = split(rig.backend);
    let ((), (), heard_up, heard_down) = tokio::join!(
        say(&mut client_says, &up[early_up..], Random::seeded(seed + 1)),
        say(&mut backend_says, &down[early_down..], Random::seeded(seed + 2)),
        hear(&mut backend_hears, Random::seeded(seed + 3)),
        hear(&mut client_hears, Random::seeded(seed + 4)),
    );
    assert_same(&heard_up, &up, &format!("seed {seed}, to the backend"));
    assert_same(&heard_down, &down, &format!("seed {seed}, to the client"));
    let transfer = rig.relay.await.unwrap();
    assert!(matches!(transfer.ended, How::Finished { .. }), "seed {seed}: {transfer:?}");
    assert_eq!(transfer.up.total(), up.len() as u64);
    assert_eq!(transfer.down.total(), down.len() as u64);
    transfer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_traffic_through_pipes() {
    for seed in 0..12 {
        traffic(seed, Settings::default(), Backend::Tcp).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_traffic_to_a_unix_socket() {
    for seed in 100..112 {
        traffic(seed, Settings::default(), Backend::Unix).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_traffic_copied() {
    for (seed, backend) in (200..212).zip([Backend::Tcp, Backend::Unix].into_iter().cycle()) {
        let transfer = traffic(seed, copying(), backend).await;
        assert_eq!((transfer.up.spliced, transfer.down.spliced), (0, 0));
    }
}

/// Eight at a time through one small pipe: most of them find none and copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_traffic_with_too_few_pipes() {
    let settings = Settings { max_pipes: 1, pipe_size: 64 * 1024, ..Settings::default() };
    let tasks: Vec<_> =
        (300..308).map(|seed| tokio::spawn(traffic(seed, settings.clone(), Backend::Tcp))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn large_mail_is_spliced_and_its_replies_are_copied() {
    let mut rig = Rig::start(Settings::default(), Backend::Tcp, Early::default()).await;
    let mail = Random::seeded(7).bytes(8 << 20);
    let (said, heard) = tokio::join!(
        async {
            rig.client.write_all(&mail).await.unwrap();
            rig.client.shutdown().await.unwrap();
            hear(&mut rig.client, Random::seeded(8)).await
        },
        async {
            let heard = hear(&mut rig.backend, Random::seeded(9)).await;
            say(&mut rig.backend, b"250 2.0.0 Ok\r\n", Random::seeded(10)).await;
            heard
        },
    );
    assert_same(&heard, &mail, "mail");
    assert_eq!(said, b"250 2.0.0 Ok\r\n");
    let transfer = rig.relay.await.unwrap();
    assert_eq!(transfer.ended, How::Finished { first: Side::Client });
    assert!(transfer.up.spliced > transfer.up.copied, "{transfer:?}");
    assert_eq!((transfer.down.copied, transfer.down.spliced), (14, 0));
}

/// Chatter behind bulk arrives at once: nothing waits in a pipe for more.
#[tokio::test]
async fn a_dialogue_goes_on_behind_bulk() {
    let mut rig = Rig::start(Settings::default(), Backend::Tcp, Early::default()).await;
    let mail = Random::seeded(11).bytes(2 << 20);
    for _ in 0..3 {
        let mut heard = vec![0; mail.len()];
        let (wrote, read) = tokio::join!(rig.client.write_all(&mail), rig.backend.read_exact(&mut heard));
        wrote.unwrap();
        read.unwrap();
        assert_same(&heard, &mail, "mail");
        for word in ["250 ok", "RSET", "250 reset", "NOOP", "250 yes", "."] {
            let mut heard = vec![0; word.len()];
            rig.backend.write_all(word.as_bytes()).await.unwrap();
            rig.client.read_exact(&mut heard).await.unwrap();
            rig.client.write_all(&heard).await.unwrap();
            rig.backend.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, word.as_bytes());
        }
    }
}
