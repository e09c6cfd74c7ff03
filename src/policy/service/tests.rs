use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::*;

fn service(text: &str) -> Service {
    Service::parse(text, &Options::default(), Path::new("/var/spool")).unwrap()
}

fn wrong(text: &str) -> String {
    Service::parse(text, &Options::default(), Path::new("/")).unwrap_err()
}

#[test]
fn endpoints_are_read_as_postfix_reads_them() {
    let endpoint = |text| service(text).endpoint.to_string();
    assert_eq!(endpoint("inet:127.0.0.1:10023"), "inet:127.0.0.1:10023");
    assert_eq!(endpoint("inet:[::1]:10023"), "inet:::1:10023");
    assert_eq!(endpoint("inet::10023"), "inet:localhost:10023");
    assert_eq!(endpoint("unix:private/policy"), "unix:/var/spool/private/policy");
    assert_eq!(endpoint("{ unix:/run/x }"), "unix:/run/x");
}

#[test]
fn options_override_the_defaults_of_all_services() {
    let options = service(
        "{ inet:localhost:10040, timeout = 10s, max_idle=1m max_ttl= 2m, request_limit =5, try_limit=3
           retry_delay=250ms, policy_context=in, { default_action = DUNNO please } }",
    )
    .options;
    let wanted = Options {
        timeout: Duration::from_secs(10),
        max_idle: Duration::from_secs(60),
        max_ttl: Duration::from_secs(120),
        request_limit: 5,
        try_limit: 3,
        retry_delay: Duration::from_millis(250),
        default_action: "DUNNO please".into(),
        policy_context: "in".into(),
    };
    assert_eq!(options, wanted);
    assert_eq!(service("inet:localhost:1").options, Options::default());
    let empty =
        service("{ inet:localhost:1, policy_context=, timeout=5s default_action =, max_idle = 1m }").options;
    assert_eq!((&*empty.policy_context, &*empty.default_action), ("", ""));
    assert_eq!((empty.timeout, empty.max_idle), (Duration::from_secs(5), Duration::from_secs(60)));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(wrong("{ }"), "`{ }` names no endpoint: write inet:host:port or unix:path");
    assert!(wrong("inet:localhost").contains("has no port"));
    assert!(wrong("inet:localhost:0").contains("has no port number"));
    assert!(wrong("unix:").contains("is no endpoint"));
    assert!(wrong("tcp:localhost:1").contains("is no endpoint"));
    assert!(wrong("{ inet:localhost:1, tiemout=1s }").starts_with("`tiemout` is no option"));
    assert!(wrong("{ inet:localhost:1, timeout=soon }").starts_with("`timeout=soon`: not a time"));
    assert!(wrong("{ inet:localhost:1, try_limit=x }").contains("whole number"));
    assert!(wrong("{ inet:localhost:1, timeout }").contains("write name=value"));
    assert!(
        wrong("{ inet:localhost:1, default_action=550 no, timeout=5s }").starts_with("`no` is no option")
    );
    for option in ["timeout=0", "max_idle=0s", "max_ttl=1ms"] {
        let wrong = wrong(&format!("{{ inet:localhost:1, {option} }}"));
        assert!(wrong.starts_with(&format!("`{option}`: too short")), "{wrong}");
    }
    assert_eq!(service("{ inet:localhost:1, retry_delay=0 }").options.retry_delay, Duration::ZERO);
}

/// Reads requests up to their empty line.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\n\n") {
        let byte = stream.read_u8().await.ok()?;
        text.push(byte);
    }
    String::from_utf8(text).ok()
}

/// A server that answers each connection's requests with the next of `answers`, and hangs up when they are used up.
async fn server(answers: Vec<Vec<&'static str>>) -> (String, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!("inet:{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut served = 0;
        for answers in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                if request(&mut stream).await.is_none() {
                    break;
                }
                served += 1;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        served
    });
    (text, task)
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (text, task) = server(vec![vec!["action=DUNNO\n\n", "x=y\naction=550 5.7.1 no\n\n"]]).await;
    let service = service(&text);
    assert_eq!(service.ask("a=b\n\n").await.as_deref(), Ok("DUNNO"));
    assert_eq!(service.ask("a=b\n\n").await.as_deref(), Ok("550 5.7.1 no"));
    assert_eq!(task.await.unwrap(), 2);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_costs_no_try() {
    let (text, task) = server(vec![vec!["action=OK\n\n"], vec!["action=DUNNO\n\n"]]).await;
    let service = service(&format!("{{ {text}, try_limit=1 }}"));
    assert_eq!(service.ask("a=b\n\n").await.as_deref(), Ok("OK"));
    assert_eq!(service.ask("a=b\n\n").await.as_deref(), Ok("DUNNO"));
    assert_eq!(task.await.unwrap(), 2);
}

#[tokio::test]
async fn connections_are_not_used_beyond_their_limits() {
    let (text, _task) = server(vec![vec!["action=1\n\n", "action=2\n\n"], vec!["action=3\n\n"]]).await;
    let service = service(&format!("{{ {text}, request_limit=2 }}"));
    for wanted in ["1", "2", "3"] {
        assert_eq!(service.ask("a=b\n\n").await.as_deref(), Ok(wanted));
    }
    assert_eq!(service.idle.lock().len(), 1);
}

#[tokio::test]
async fn answers_that_make_no_sense_are_failures() {
    for (answer, why) in [
        ("hello\n\n", "no action"),
        ("action=OK\n\naction=OK\n\n", "something follows"),
        ("", "closed the connection"),
        ("action=OK\n", "in the middle"),
        ("action=\u{fffd}\n\n", ""),
    ] {
        let (text, _task) = server(vec![vec![answer]]).await;
        let service = service(&format!("{{ {text}, try_limit=1 }}"));
        match service.ask("a=b\n\n").await {
            Ok(action) => assert_eq!((why, action.as_str()), ("", "\u{fffd}")),
            Err(error) => assert!(!why.is_empty() && error.contains(why), "{answer:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_second_try_may_succeed() {
    let (text, _task) = server(vec![vec![""], vec!["action=OK\n\n"]]).await;
    let service = service(&format!("{{ {text}, retry_delay=1ms }}"));
    assert_eq!(service.ask("a=b\n\n").await.as_deref(), Ok("OK"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let service = service(&format!("{{ unix:{}, timeout=10s }}", path.display()));
    let before = Instant::now();
    assert_eq!(service.ask("a=b\n\n").await, Err("no answer within 10s".to_owned()));
    // Two tries of ten seconds with one second between them.
    assert_eq!(before.elapsed().as_secs(), 21);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure() {
    let service = service("{ unix:/nonexistent/socket, try_limit=1 }");
    assert!(
        service.ask("a=b\n\n").await.unwrap_err().starts_with("cannot connect to unix:/nonexistent/socket: ")
    );
}
