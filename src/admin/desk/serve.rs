//! The server's side: who comes is heard, line by line.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::{LONGEST_REQUEST, Line, Request};

/// Operators at once.
const PLACES: usize = 32;
/// Between two requests of one.
const IDLE_TIME: Duration = Duration::from_secs(300);
/// For taking an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// After an accept that failed: trying again at once would only burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
pub enum Answer {
    /// All at once.
    One(Value),
    /// One after the other.
    Many(Box<dyn Iterator<Item = Value> + Send>),
    /// As they come about.
    Follow(Follow),
}

/// An answer that comes about while it is heard.
pub struct Follow {
    /// Its lines; the last is no [`Line::Item`].
    pub lines: mpsc::Receiver<Line>,
    /// Whoever hears it has enough. Dropped when nobody hears it any longer.
    pub enough: DropGuard,
}

/// Whoever answers.
pub trait Desk: Send + Sync + 'static {
    /// Does what is asked for, and answers. The error is a sentence.
    fn answer(self: &Arc<Self>, request: Request) -> impl Future<Output = Result<Answer, String>> + Send;
}

/// Hears whoever comes to `listener`, for ever. `busy` knows of answers under way.
pub async fn serve(listener: UnixListener, desk: Arc<impl Desk>, busy: TaskTracker) {
    let places = Arc::new(Semaphore::new(PLACES));
    loop {
        // Never closed, so there is always one to wait for.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (desk, busy) = (Arc::clone(&desk), busy.clone());
                tokio::spawn(async move {
                    // Whoever goes away in the middle does not want the rest.
                    let _ = hear(stream, &desk, &busy).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(?error, "admin socket");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn hear(stream: UnixStream, desk: &Arc<impl Desk>, busy: &TaskTracker) -> io::Result<()> {
    let (from, to) = stream.into_split();
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    loop {
        let mut line = Vec::new();
        // One octet more, to tell a line that is too long from one that is not.
        let mut bounded = (&mut from).take(LONGEST_REQUEST as u64 + 1);
        let read = timeout(IDLE_TIME, bounded.read_until(b'\n', &mut line)).await??;
        if read == 0 {
            return Ok(());
        }
        let _answering = busy.token();
        let answer = if line.len() > LONGEST_REQUEST {
            Err(format!("the request has more than {LONGEST_REQUEST} octets"))
        } else {
            match serde_json::from_slice(&line) {
                Ok(request) => desk.answer(request).await,
                Err(error) => Err(format!("no request: {error}")),
            }
        };
        match answer {
            Ok(Answer::Follow(follow)) => tell(&mut from, &mut to, follow).await?,
            Ok(Answer::One(value)) => timeout(ANSWER_TIME, put(&mut to, &Line::Ok(value))).await??,
            Ok(Answer::Many(items)) => timeout(ANSWER_TIME, put_all(&mut to, items)).await??,
            Err(sentence) => timeout(ANSWER_TIME, put(&mut to, &Line::Error(sentence))).await??,
        }
        if line.len() > LONGEST_REQUEST {
            return Ok(());
        }
    }
}

/// Tells what comes about, until all is told. Whoever closes its side, or asks for something else, has enough of it and
/// hears how it ends.
async fn tell(
    from: &mut (impl AsyncBufReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    follow: Follow,
) -> io::Result<()> {
    let Follow { mut lines, enough } = follow;
    let mut enough = Some(enough);
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            heard = from.fill_buf(), if enough.is_some() => {
                heard?;
                enough = None;
                continue;
            }
        };
        let Some(line) = line else { return Ok(()) };
        timeout(ANSWER_TIME, put(to, &line)).await??;
    }
}

async fn put_all(
    to: &mut (impl AsyncWriteExt + Unpin),
    items: impl Iterator<Item = Value>,
) -> io::Result<()> {
    for item in items {
        to.write_all(&text(&Line::Item(item))).await?;
    }
    put(to, &Line::Ok(Value::Null)).await
}

async fn put(to: &mut (impl AsyncWriteExt + Unpin), line: &Line) -> io::Result<()> {
    to.write_all(&text(line)).await?;
    to.flush().await
}

fn text(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::admin::desk;

    struct Echo;

    impl Desk for Echo {
        async fn answer(self: &Arc<Self>, request: Request) -> Result<Answer, String> {
            match request {
                Request::Kill { id } => Err(format!("no {id}")),
                Request::Status => Ok(Answer::One(Value::from(7))),
                _ => Ok(Answer::Many(Box::new((0..2).map(Value::from)))),
            }
        }
    }

    async fn ask(requests: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = desk::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let listener = UnixListener::from_std(socket.listener().unwrap()).unwrap();
        tokio::spawn(serve(listener, Arc::new(Echo), TaskTracker::new()));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(requests).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn requests_are_answered_one_after_the_other() {
        let requests = b"{\"do\":\"status\"}\n{\"do\":\"sessions\"}\n{\"do\":\"kill\",\"id\":\"X\"}\n";
        let answers = "{\"ok\":7}\n{\"item\":0}\n{\"item\":1}\n{\"ok\":null}\n{\"error\":\"no X\"}\n";
        assert_eq!(ask(requests).await, answers);
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_so_and_harms_nobody() {
        for nonsense in ["EHLO there\n", "{}\n", "{\"do\":\"dance\"}\n", "{\"do\":\"kill\"}\n"] {
            let answer = ask(format!("{nonsense}{{\"do\":\"status\"}}\n").as_bytes()).await;
            assert!(answer.starts_with("{\"error\":\"no request: "), "{answer}");
            assert!(answer.ends_with("{\"ok\":7}\n"), "{answer}");
        }
    }
}
