//! The HTTP endpoint: `/metrics`, `/healthz`, `/readyz`, and a status page at `/`.
//!
//! It stands on a port of its own and may be asked by anybody who reaches that, so it is bounded like the front
//! door: few connections at once, little time for a request, no body read. It changes nothing: there is no path here
//! by which an operator, or whoever found the port, could do something.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::page::{self as status_page, Status};

/// Connections at once; a Prometheus needs one, a probe another.
const CONNECTIONS: usize = 32;
/// For the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// For a connection as a whole, however many requests it brings; and for the answer under way when it is up.
const CONNECTION_TIME: Duration = Duration::from_secs(120);
const LAST_ANSWER_TIME: Duration = Duration::from_secs(5);
/// For the head of a request, in octets; hyper takes no less.
const HEAD_SIZE: usize = 8_192;
/// After an accept that failed for want of descriptors or memory: trying again at once would only burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Prometheus' text format.
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const HTML_TYPE: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Whatever came into the page, a browser would load and run nothing.
const NOTHING_ELSE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What the endpoint is asked for.
pub trait Answers: Send + Sync + 'static {
    /// All metrics in Prometheus' text format. May read files.
    fn metrics(&self) -> String;

    /// Whether mail can come in.
    fn readiness(&self) -> Readiness;

    /// What the status page shows.
    fn status(&self) -> Status;
}

/// Whether mail can come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Listening, and a backend answers.
    Ready,
    /// Not, and why: `no backend answers`.
    NotReady(String),
}

/// Answers whoever connects to `listener`, for ever.
pub async fn serve(listener: TcpListener, answers: Arc<impl Answers>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed, so there is always one to wait for.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    converse(stream, answers).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::debug!(?error, "metrics endpoint");
                if !is_one_connections(&error) {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether the next accept may well succeed, since only this connection went wrong.
fn is_one_connections(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn converse(stream: TcpStream, answers: Arc<impl Answers>) {
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answer(&request, answers).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if timeout(CONNECTION_TIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        // Whoever does not take the answer by then does not want it.
        let _ = timeout(LAST_ANSWER_TIME, connection).await;
    }
}

async fn answer(request: &Request<Incoming>, answers: Arc<impl Answers>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT_TYPE, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => {
            let mut response = page(StatusCode::OK, HTML_TYPE, status_page::html(&answers.status()));
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, NOTHING_ELSE);
            response
        }
        "/metrics" => match tokio::task::spawn_blocking(move || answers.metrics()).await {
            Ok(text) => page(StatusCode::OK, METRICS_TYPE, text),
            Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT_TYPE, "no metrics\n".to_owned()),
        },
        "/healthz" => page(StatusCode::OK, TEXT_TYPE, "alive\n".to_owned()),
        "/readyz" => match answers.readiness() {
            Readiness::Ready => page(StatusCode::OK, TEXT_TYPE, "ready\n".to_owned()),
            Readiness::NotReady(why) => {
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT_TYPE, format!("not ready: {why}\n"))
            }
        },
        _ => {
            page(StatusCode::NOT_FOUND, TEXT_TYPE, "there are /, /metrics, /healthz and /readyz\n".to_owned())
        }
    }
}

fn page(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::metrics::{Hour, Snapshot};

    struct Fixed(Readiness);

    impl Answers for Fixed {
        fn metrics(&self) -> String {
            "prescreen_up 1\n".to_owned()
        }

        fn readiness(&self) -> Readiness {
            self.0.clone()
        }

        fn status(&self) -> Status {
            Status {
                hostname: "mx.example.org".to_owned(),
                uptime: Duration::ZERO,
                readiness: self.readiness(),
                snapshot: Snapshot::default(),
                hour: Hour::default(),
                busiest: 0.0,
            }
        }
    }

    async fn endpoint(readiness: Readiness) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(Fixed(readiness))));
        address
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }

    #[tokio::test]
    async fn the_four_pages_are_there_and_nothing_else() {
        let address = endpoint(Readiness::Ready).await;
        let metrics = get(address, "/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200") && metrics.ends_with("prescreen_up 1\n"), "{metrics}");
        assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
        assert!(get(address, "/healthz").await.ends_with("alive\n"));
        assert!(get(address, "/readyz").await.ends_with("ready\n"));
        let status = get(address, "/").await;
        assert!(
            status.starts_with("HTTP/1.1 200") && status.contains("text/html; charset=utf-8"),
            "{status}"
        );
        assert!(status.contains("default-src 'none'") && status.contains("mx.example.org"), "{status}");
        assert!(get(address, "/index.html").await.starts_with("HTTP/1.1 404"));
        assert!(get(address, "/metrics/../etc/passwd").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn one_that_is_not_ready_says_why() {
        let address = endpoint(Readiness::NotReady("no backend answers".to_owned())).await;
        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("no backend answers\n"), "{answer}");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        let address = endpoint(Readiness::Ready).await;
        let request = "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let answer = ask(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("GET, HEAD"), "{answer}");
        let head = ask(address, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test]
    async fn what_is_no_http_is_turned_away() {
        let address = endpoint(Readiness::Ready).await;
        let answer = ask(address, "EHLO there\r\n\r\n").await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        let endless = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(endless.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"), "it lives on");
    }

    #[tokio::test]
    async fn silent_connections_leave_room_for_others_once_their_time_is_up() {
        let address = endpoint(Readiness::Ready).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        // Served only when one of the silent ones has been closed.
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    }
}
