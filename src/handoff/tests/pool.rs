//! Which of several servers has a client, and how many each has.

use std::time::Duration;

use tokio::net::TcpListener;

use super::rig::{ends, id};
use crate::dns::{self, Resolver, Responder, Zone};
use crate::handoff::{Backend, Backends, Identity, Order, Proof, Settings, Trouble, Unavailable};
use crate::screen::Passed;

/// Servers that let anybody in.
struct Pool {
    servers: Vec<TcpListener>,
    backends: Backends,
}

impl Pool {
    async fn of_two(settings: Settings) -> Self {
        let servers = vec![
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let addresses =
            servers.iter().map(|server| server.local_addr().unwrap().to_string().parse().unwrap());
        let settings = Settings { servers: addresses.collect(), identity: Identity::None, ..settings };
        Self { servers, backends: Backends::new(&settings, "mx.example") }
    }

    async fn open(&self) -> Result<Box<Backend>, Unavailable> {
        let proof = Passed::for_test();
        self.backends.open(Proof::Passed(&proof), ends(), None, id()).await
    }

    /// Which server it is, counted from 0.
    #[track_caller]
    fn place_of(&self, backend: &Backend) -> usize {
        let is_it = |server: &TcpListener| *server.local_addr().unwrap().to_string() == **backend.server();
        self.servers.iter().position(is_it).unwrap()
    }
}

#[tokio::test]
async fn by_priority_the_first_has_all() {
    let pool = Pool::of_two(Settings::default()).await;
    let clients = [pool.open().await.unwrap(), pool.open().await.unwrap()];
    assert_eq!(clients.each_ref().map(|client| pool.place_of(client)), [0, 0]);
}

#[tokio::test]
async fn by_least_connections_all_have_as_many() {
    let settings = Settings { order: Order::LeastConnections, ..Settings::default() };
    let pool = Pool::of_two(settings).await;
    let one = pool.open().await.unwrap();
    let two = pool.open().await.unwrap();
    assert_eq!((pool.place_of(&one), pool.place_of(&two)), (0, 1));
    let three = pool.open().await.unwrap();
    assert_eq!(pool.place_of(&three), 0);
    // A client is there until its relay has ended, not only until it is handed over.
    let relayed = two.release();
    drop((one, three));
    assert_eq!(pool.place_of(&pool.open().await.unwrap()), 0);
    let (four, five) = (pool.open().await.unwrap(), pool.open().await.unwrap());
    assert_eq!((pool.place_of(&four), pool.place_of(&five)), (0, 0));
    drop(relayed);
    assert_eq!(pool.place_of(&pool.open().await.unwrap()), 1);
}

#[tokio::test]
async fn who_is_full_passes_a_client_on() {
    let pool = Pool::of_two(Settings { connection_limit: 1, ..Settings::default() }).await;
    let one = pool.open().await.unwrap();
    let two = pool.open().await.unwrap();
    assert_eq!((pool.place_of(&one), pool.place_of(&two)), (0, 1));
    let unavailable = pool.open().await.unwrap_err();
    assert_eq!((unavailable.server, unavailable.trouble), (None, Trouble::Exhausted));
    drop(one);
    assert_eq!(pool.place_of(&pool.open().await.unwrap()), 0);
    drop(two);
}

#[tokio::test]
async fn a_server_is_found_by_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody listens at the first of its addresses.
    let zone = Zone::parse("mta.example.org A 127.0.0.9\nmta.example.org A 127.0.0.1").unwrap();
    let server = format!("mta.example.org:{port}");
    let settings =
        Settings { servers: vec![server.parse().unwrap()], identity: Identity::None, ..Settings::default() };
    let backends = Backends::new(&settings, "mx.example").located_by(&Resolver::from_zone(zone));
    let proof = Passed::for_test();
    let backend = backends.open(Proof::Passed(&proof), ends(), None, id()).await.unwrap();
    assert_eq!(**backend.server(), *server);
}

#[tokio::test]
async fn a_server_that_has_moved_is_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let zone = |address| Zone::parse(&format!("mta.example.org 3600 A {address}")).unwrap();
    let dns = Responder::bind("127.0.0.1:0".parse().unwrap(), zone("127.0.0.9")).await.unwrap();
    let resolver = dns::Settings { servers: vec![dns.address()], ..dns::Settings::default() };
    let servers = vec![format!("mta.example.org:{port}").parse().unwrap()];
    let settings = Settings { servers, identity: Identity::None, ..Settings::default() };
    let backends = Backends::new(&settings, "mx.example").located_by(&Resolver::new(&resolver).unwrap());
    let proof = Passed::for_test();
    let open = || backends.open(Proof::Passed(&proof), ends(), None, id());
    assert_eq!(open().await.unwrap_err().trouble, Trouble::Refused);
    dns.serve(zone("127.0.0.1"));
    let found = async {
        while open().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is found at its new address");
}
