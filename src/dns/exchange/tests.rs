use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::super::Kind;
use super::super::record;
use super::super::reply;
use super::*;

/// A name server that says what the test has it say.
struct Server(UdpSocket);

impl Server {
    async fn bind() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Asks it, while it does as `script` says.
    async fn exchange<T>(&self, script: impl Future<Output = T>) -> (Result<Message, Trouble>, T) {
        exchange(&Udp::new(self.address()), script).await
    }

    /// The next query, and whose it is.
    async fn hear(&self) -> (Message, SocketAddr) {
        let mut datagram = [0; 512];
        let (length, client) = self.0.recv_from(&mut datagram).await.unwrap();
        (Message::from_vec(&datagram[..length]).unwrap(), client)
    }

    async fn say(&self, message: &Message, client: SocketAddr) {
        self.0.send_to(&message.to_vec().unwrap(), client).await.unwrap();
    }
}

/// Asks by `udp`, while the server does as `script` says.
async fn exchange<T>(udp: &Udp, script: impl Future<Output = T>) -> (Result<Message, Trouble>, T) {
    let question = question();
    tokio::join!(udp.exchange(&question, later()), script)
}

fn question() -> Question {
    Question::new("a.test", Kind::A).unwrap()
}

fn name(text: &str) -> Name {
    record::name(text).unwrap()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// The true answer to `query`: 192.0.2.7.
fn answer(query: &Message) -> Message {
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.add_queries(query.queries.iter().cloned());
    message.add_answer(Record::from_rdata(name("a.test"), 60, RData::A(A([192, 0, 2, 7].into()))));
    message
}

/// The same with another address, which no test may see.
fn forged(query: &Message) -> Message {
    let mut message = answer(query);
    message.answers[0].data = RData::A(A([192, 0, 2, 66].into()));
    message
}

fn assert_true(answer: Result<Message, Trouble>) {
    assert_eq!(answer.unwrap().answers[0].data, RData::A(A([192, 0, 2, 7].into())));
}

#[tokio::test]
async fn a_query_is_what_servers_expect_and_strangers_do_not() {
    let server = Server::bind().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        let heard = async {
            let (query, client) = server.hear().await;
            server.say(&answer(&query), client).await;
            query
        };
        let (answer, query) = server.exchange(heard).await;
        assert_true(answer);
        assert!(query.metadata.recursion_desired);
        assert_eq!(query.max_payload(), 1232);
        assert_eq!(query.queries, [Query::query(name("a.test"), RecordType::A)]);
        ids.push(query.metadata.id);
    }
    ids.dedup();
    assert!(ids.len() > 1, "an id can be foretold");
}

#[tokio::test]
async fn what_answers_something_else_is_passed_over() {
    let server = Server::bind().await;
    let script = async {
        let (query, client) = server.hear().await;
        for stray in [&b""[..], b"\x00", b"garbage that is longer than a header"] {
            server.0.send_to(stray, client).await.unwrap();
        }
        let other = |change: fn(&mut Message)| {
            let mut message = forged(&query);
            change(&mut message);
            message
        };
        for message in [
            other(|m| m.metadata.id ^= 1),
            other(|m| m.metadata.message_type = MessageType::Query),
            other(|m| m.metadata.op_code = OpCode::Notify),
            other(|m| m.queries = vec![Query::query(name("b.test"), RecordType::A)]),
            other(|m| m.queries = vec![Query::query(name("a.test"), RecordType::AAAA)]),
            other(|m| _ = m.queries[0].set_query_class(DNSClass::CH)),
            other(|m| m.queries.push(m.queries[0].clone())),
            other(|m| m.queries.clear()),
        ] {
            server.say(&message, client).await;
        }
        let mut message = answer(&query);
        message.queries = vec![Query::query(name("A.TEST"), RecordType::A)];
        server.say(&message, client).await;
    };
    assert_true(server.exchange(script).await.0);
}

#[tokio::test]
async fn nobody_but_the_server_is_heard() {
    let (server, stranger) = (Server::bind().await, Server::bind().await);
    let script = async {
        let (query, client) = server.hear().await;
        // The kernel may tell the stranger at once that nobody listens to him.
        let _ = stranger.0.send_to(&forged(&query).to_vec().unwrap(), client).await;
        server.say(&answer(&query), client).await;
    };
    assert_true(server.exchange(script).await.0);
}

#[tokio::test]
async fn a_query_that_was_lost_is_sent_again() {
    let server = Server::bind().await;
    let script = async {
        let lost = server.hear().await;
        let again = server.hear().await;
        assert_eq!(lost, again, "a second socket would double the chances of those who guess");
        server.say(&answer(&again.0), again.1).await;
    };
    assert_true(server.exchange(script).await.0);
}

#[tokio::test]
async fn a_socket_that_is_used_again_has_another_port() {
    let server = Server::bind().await;
    let udp = Udp::new(server.address());
    let mut ports = Vec::new();
    for _ in 0..8 {
        let script = async {
            let (query, client) = server.hear().await;
            server.say(&answer(&query), client).await;
            client.port()
        };
        let (answer, port) = exchange(&udp, script).await;
        assert_true(answer);
        assert_eq!(udp.idle.lock().len(), 1, "one is enough");
        ports.push(port);
    }
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 4, "{ports:?}");
}

#[tokio::test]
async fn a_socket_that_has_more_than_the_answer_is_not_used_again() {
    let server = Server::bind().await;
    let udp = Udp::new(server.address());
    let script = async {
        let (query, client) = server.hear().await;
        for message in [answer(&query), forged(&query)] {
            server.say(&message, client).await;
        }
    };
    assert_true(exchange(&udp, script).await.0);
    assert!(udp.idle.lock().is_empty());
}

#[tokio::test]
async fn silence_ends_with_the_time() {
    let server = Server::bind().await;
    let until = Instant::now() + Duration::from_millis(50);
    assert_eq!(Udp::new(server.address()).exchange(&question(), until).await, Err(Trouble::Timeout));
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let address = Server::bind().await.address();
    assert_eq!(Udp::new(address).exchange(&question(), later()).await, Err(Trouble::Unreachable));
}

#[tokio::test]
async fn a_server_that_is_lost_on_edns_is_asked_without() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let server = Server::bind().await;
        let script = async {
            let (query, client) = server.hear().await;
            assert!(query.edns.is_some());
            // The header alone, as one who could not read on.
            server.say(&Message::error_msg(query.metadata.id, OpCode::Query, code), client).await;
            let (query, client) = server.hear().await;
            assert_eq!(query.edns, None);
            server.say(&answer(&query), client).await;
        };
        assert_true(server.exchange(script).await.0);
    }
}

#[tokio::test]
async fn a_server_that_is_lost_without_edns_too_is_not_asked_forever() {
    let server = Server::bind().await;
    let script = async {
        for _ in 0..2 {
            let (query, client) = server.hear().await;
            let lost = Message::error_msg(query.metadata.id, OpCode::Query, ResponseCode::FormErr);
            server.say(&lost, client).await;
        }
    };
    assert_eq!(server.exchange(script).await.0.unwrap().metadata.response_code, ResponseCode::FormErr);
}

#[test]
fn what_cannot_be_read_is_trouble_unless_it_says_that_it_was_cut_off() {
    let question = question();
    let asked = Asked::new(&question, Dialect::Edns).unwrap();
    let mut message = answer(&Message::from_vec(&asked.query).unwrap());
    let whole = message.to_vec().unwrap();
    assert!(matches!(asked.hear(&whole), Some(Ok(_))));
    assert_eq!(asked.hear(&whole[..whole.len() - 1]), Some(Err(Trouble::Malformed)));
    message.metadata.truncation = true;
    let cut = message.to_vec().unwrap();
    for length in [12, 20, cut.len() - 1, cut.len()] {
        let heard = asked.hear(&cut[..length]).unwrap().unwrap();
        assert_eq!(reply::read(&question, &heard), None, "TCP has the rest");
    }
}

/// Up to `dns.in_flight_limit` of them wait at a time, and each client that waits in the greet wait has some.
#[tokio::test]
async fn an_exchange_is_small() {
    let (server, question) = (Udp::new("127.0.0.1:53".parse().unwrap()), question());
    let size = size_of_val(&server.exchange(&question, later()));
    let query = Asked::new(&question, Dialect::Edns).unwrap().query.len();
    println!("the future of an exchange has {size} bytes, its query {query}");
    assert!(size < 640);
}

proptest! {
    /// Whatever comes, nothing passes for an answer that does not repeat id and question.
    #[test]
    fn no_datagram_does_harm(
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
    ) {
        let question = question();
        let asked = Asked::new(&question, Dialect::Edns).unwrap();
        let mut datagram = answer(&Message::from_vec(&asked.query).unwrap()).to_vec().unwrap();
        for (at, octet) in hits {
            let at = at.index(datagram.len());
            datagram[at] = octet;
        }
        datagram.truncate(length.index(datagram.len() + 1));
        if let Some(Ok(message)) = asked.hear(&datagram) {
            prop_assert_eq!(&datagram[..2], &asked.query[..2]);
            prop_assert!(asked.is_repeated_in(&message));
            reply::read(&question, &message);
        }
    }
}
