//! What becomes of sessions when the server is anything but well: a server of our own that says what it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{Address, LinkState, Operation, Outcome, Settings};
use crate::allowlist::{self, Allowlist, Key, Record, Test};

/// What the server says to a command other than PING: bytes, or nothing at all, or good-bye.
#[derive(Clone, Copy, Debug)]
enum Says {
    Bytes(&'static str),
    Nothing,
    GoodBye,
}

/// A server on loopback, with all that it was told.
struct Server {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Vec<String>>>>,
    connections: Arc<Mutex<u32>>,
    says: Arc<Mutex<Says>>,
}

impl Server {
    async fn start(says: Says) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), says)
    }

    fn on(listener: TcpListener, says: Says) -> Self {
        let server = Self {
            address: listener.local_addr().unwrap(),
            told: Arc::default(),
            connections: Arc::default(),
            says: Arc::new(Mutex::new(says)),
        };
        let (told, connections) = (Arc::clone(&server.told), Arc::clone(&server.connections));
        let says = Arc::clone(&server.says);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock() += 1;
                tokio::spawn(serve(stream, Arc::clone(&told), Arc::clone(&says)));
            }
        });
        server
    }

    fn says(&self, says: Says) {
        *self.says.lock() = says;
    }

    /// An allowlist that is connected to it.
    async fn allowlist(&self) -> Arc<Allowlist> {
        let list = allowlist_at(self.address);
        until("the server is up", || list.totals().shared.state == LinkState::Up).await;
        list
    }
}

async fn serve(stream: TcpStream, told: Arc<Mutex<Vec<Vec<String>>>>, says: Arc<Mutex<Says>>) {
    let mut stream = BufReader::new(stream);
    while let Some(command) = command(&mut stream).await {
        if command[0] == "PING" {
            let _ = stream.write_all(b"+PONG\r\n").await;
            continue;
        }
        told.lock().push(command);
        let says = *says.lock();
        match says {
            Says::Bytes(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
            }
            Says::Nothing => {}
            Says::GoodBye => return,
        }
    }
}

/// An array of bulk strings.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut line = String::new();
    let mut number = async |stream: &mut BufReader<TcpStream>| {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..number(stream).await? {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Some(words)
}

fn allowlist_at(address: SocketAddr) -> Arc<Allowlist> {
    let server: Address = format!("redis://{address}").parse().unwrap();
    let shared = Settings { address: Some(server), ..Settings::default() };
    let list = Arc::new(Allowlist::open(&allowlist::Settings { shared, ..Default::default() }));
    let run = Arc::clone(&list);
    tokio::spawn(async move { run.run_shared().await });
    list
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}

fn client(list: &Allowlist, last: u8) -> Key {
    list.key([192, 0, 2, last].into())
}

fn pass() -> Record {
    let mut record = Record::default();
    record.pass(Test::Pregreet, SystemTime::now(), Duration::from_secs(86_400));
    record
}

fn count(list: &Allowlist, operation: Operation, outcome: Outcome) -> u64 {
    list.totals().shared.operations[operation as usize][outcome as usize]
}

const EMPTY: Says = Says::Bytes("*0\r\n");

#[tokio::test]
async fn a_server_that_lies_or_is_ill_costs_nobody_a_pass_and_gives_nobody_one() {
    for (says, outcome) in [
        (Says::Nothing, Outcome::Timeout),
        (Says::GoodBye, Outcome::Failed),
        (Says::Bytes("-LOADING Redis is loading the dataset in memory\r\n"), Outcome::Failed),
        (Says::Bytes("-MASTERDOWN Link with MASTER is down\r\n"), Outcome::Failed),
        (Says::Bytes("-NOAUTH Authentication required.\r\n"), Outcome::Failed),
        (Says::Bytes("-NOPERM this user has no permissions\r\n"), Outcome::Refused),
        (Says::Bytes("-WRONGTYPE Operation against a key holding the wrong kind\r\n"), Outcome::Foreign),
        (Says::Bytes("-ERR what\r\n"), Outcome::Failed),
        (Says::Bytes("HTTP/1.1 400 Bad Request\r\n\r\n"), Outcome::Failed),
        (Says::Bytes(":1\r\n"), Outcome::Foreign),
        (Says::Bytes("$4\r\npass\r\n"), Outcome::Foreign),
        (Says::Bytes("*1\r\n$1\r\nv\r\n"), Outcome::Foreign),
        (Says::Bytes("*2\r\n$8\r\npregreet\r\n$10\r\n9999999999\r\n"), Outcome::Foreign),
        (Says::Bytes("*2\r\n*0\r\n*0\r\n"), Outcome::Foreign),
        (Says::Bytes("$536870912\r\nand never what was promised"), Outcome::Timeout),
        // Another client's record.
        (
            Says::Bytes(
                "*6\r\n$1\r\nv\r\n$1\r\n1\r\n$6\r\nclient\r\n$9\r\n192.0.2.9\r\n$8\r\npregreet\r\n$10\r\n9999999999\r\n",
            ),
            Outcome::Foreign,
        ),
    ] {
        let server = Server::start(says).await;
        let list = server.allowlist().await;
        let (known, unknown) = (client(&list, 1), client(&list, 2));
        list.hot.insert(known, pass());
        assert!(list.recall(known).await.is_some(), "{says:?}");
        assert_eq!(list.recall(unknown).await, None, "{says:?}");
        assert!(count(&list, Operation::Lookup, outcome) > 0, "{says:?}: {:?}", list.totals().shared);
        assert!(list.recall(known).await.is_some(), "{says:?}");
    }
}

#[tokio::test]
async fn a_stamp_far_ahead_counts_for_the_longest_ttl() {
    let says = "*6\r\n$1\r\nv\r\n$1\r\n1\r\n$6\r\nclient\r\n$9\r\n192.0.2.1\r\n$8\r\npregreet\r\n$20\r\n18446744073709551615\r\n";
    let server = Server::start(Says::Bytes(says)).await;
    let list = server.allowlist().await;
    let record = list.recall(client(&list, 1)).await.unwrap();
    let days = |days: u64| SystemTime::now() + Duration::from_secs(days * 86_400);
    assert!(record.passed(Test::Pregreet, days(29)) && !record.passed(Test::Pregreet, days(31)));
}

#[tokio::test]
async fn three_answers_missing_and_nobody_asks_until_the_server_is_back() {
    let server = Server::start(Says::Nothing).await;
    let list = server.allowlist().await;
    for last in 0..100 {
        list.recall(client(&list, last)).await;
    }
    assert_eq!(count(&list, Operation::Lookup, Outcome::Timeout), 3, "97 waited for nothing");
    until("it is called down", || list.totals().shared.state == LinkState::Down).await;
    server.says(EMPTY);
    until("the server is up", || list.totals().shared.state == LinkState::Up).await;
    list.recall(client(&list, 1)).await;
    assert_eq!(count(&list, Operation::Lookup, Outcome::Missing), 1);
}

#[tokio::test]
async fn a_server_that_flaps_is_not_stormed() {
    let server = Server::start(Says::GoodBye).await;
    let list = server.allowlist().await;
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        list.recall(client(&list, 1)).await;
        sleep(Duration::from_millis(5)).await;
    }
    // With pauses of half a second at least, then one, two …
    let connections = *server.connections.lock();
    assert!((2..=4).contains(&connections), "{connections}");
}

#[tokio::test]
async fn an_answer_that_comes_late_answers_no_other_question() {
    // To the first question nothing, and to the second two answers: one too many from there on.
    let server = Server::start(Says::Nothing).await;
    let list = server.allowlist().await;
    assert_eq!(list.recall(client(&list, 1)).await, None);
    server.says(Says::Bytes(
        "*6\r\n$1\r\nv\r\n$1\r\n1\r\n$6\r\nclient\r\n$9\r\n192.0.2.1\r\n$8\r\npregreet\r\n$10\r\n9999999999\r\n",
    ));
    assert_eq!(list.recall(client(&list, 2)).await, None, "the first client's answer");
    assert_eq!(list.recall(client(&list, 3)).await, None, "the first client's answer");
}

#[tokio::test]
async fn what_was_learnt_while_the_server_was_away_is_told_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let list = allowlist_at(address);
    until("it is called down", || list.totals().shared.state == LinkState::Down).await;
    list.store(client(&list, 1), pass());
    list.store(client(&list, 2), pass());
    list.remove(client(&list, 2));
    list.remove(client(&list, 3));
    assert_eq!(list.totals().shared.pending, 2, "a client that nobody knows is not told of");
    // This one the server may know, and what it knows of that one counts no longer.
    list.recall(client(&list, 4)).await;
    list.remove(client(&list, 4));
    list.store(client(&list, 5), pass());
    list.remove(client(&list, 5));
    list.store(client(&list, 5), pass());
    let server = Server::on(TcpListener::bind(address).await.unwrap(), Says::Bytes("$-1\r\n"));
    let told = |words: &[&str]| {
        let said = |command: &Vec<String>| words.iter().all(|word| command.iter().any(|said| said == word));
        server.told.lock().iter().any(said)
    };
    until("all are told of", || {
        (told(&["HSET", "prescreen:192.0.2.1", "pregreet"]) || told(&["HGET", "prescreen:192.0.2.1"]))
            && told(&["DEL", "prescreen:192.0.2.2"])
            && told(&["HSET", "prescreen:192.0.2.4", "revoked"])
            && told(&["DEL", "prescreen:192.0.2.5"])
            && told(&["HSET", "prescreen:192.0.2.5", "pregreet"])
    })
    .await;
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_read_and_told_later() {
    let server =
        Server::start(Says::Bytes("-OOM command not allowed when used memory > 'maxmemory'.\r\n")).await;
    let list = server.allowlist().await;
    list.store(client(&list, 1), pass());
    until("it refuses", || list.totals().shared.state == LinkState::Refusing).await;
    assert!(list.recall(client(&list, 1)).await.is_some());
    assert_eq!(list.totals().shared.pending, 1, "kept for better times");
}

#[tokio::test]
async fn counts_that_cannot_be_believed_are_not_known() {
    for (says, outcome) in [
        (Says::Nothing, Outcome::Timeout),
        (Says::GoodBye, Outcome::Failed),
        (Says::Bytes("-OOM command not allowed when used memory > 'maxmemory'.\r\n"), Outcome::Refused),
        (Says::Bytes("-NOPERM this user has no permissions\r\n"), Outcome::Refused),
    ] {
        let server = Server::start(says).await;
        let list = server.allowlist().await;
        // On a machine under load an answer may be too late; then the next one tells.
        for _ in 0..100 {
            let counted = list.count("message_rate", client(&list, 1), Duration::from_secs(60)).await;
            assert_eq!(counted, None, "{says:?}");
            if count(&list, Operation::Count, outcome) > 0 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert!(count(&list, Operation::Count, outcome) > 0, "{says:?}: {:?}", list.totals().shared);
    }
}

#[tokio::test]
async fn nobody_counts_with_a_server_that_is_given_up() {
    let server = Server::start(Says::Nothing).await;
    let list = server.allowlist().await;
    for last in 0..100 {
        list.count("message_rate", client(&list, last), Duration::from_secs(60)).await;
    }
    assert_eq!(count(&list, Operation::Count, Outcome::Timeout), 3, "97 waited for nothing");
    let alone = Allowlist::open(&allowlist::Settings::default());
    assert_eq!(alone.count("message_rate", client(&alone, 1), Duration::from_secs(60)).await, None);
}
