//! Cases as JSON lines in, answers as JSON lines out, in the same order.
//!
//! What has arrived is answered before more is waited for, so it can serve a pipe as well as a file. Several cases are
//! judged at once: with DNS on the network most of the time of each is waiting.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinHandle;

use super::json::answer;
use super::{Case, Detail, Explainer};

/// Cases that one task judges.
const SHARE: usize = 16;

/// Cases that are read before any is answered.
const ROUND: usize = 1024;

/// The longest line, in bytes; a mail to ten thousand recipients fits.
const LONGEST: u64 = 1 << 20;

/// What is read at once.
const BUFFER: usize = 1 << 18;

/// How a batch went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that were answered.
    pub answered: usize,
    /// Lines that were no case.
    pub bad: usize,
}

/// What is printed for a line that is no case.
#[derive(Serialize)]
struct Bad<'a> {
    /// Counted from 1.
    line: usize,
    error: &'a str,
}

/// A line and its number, or why it cannot be had.
type Numbered = (usize, Result<Vec<u8>, &'static str>);

/// Answers every line of `input` until it ends. Blank lines are passed over.
///
/// Blocks on `input` and `output`: call it where nothing else has to go on.
pub async fn batch(
    explainer: &Arc<Explainer>,
    detail: Detail,
    input: impl Read,
    mut output: impl Write,
) -> io::Result<Tally> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut tally = Tally::default();
    let mut number = 0;
    loop {
        let round = read_round(&mut input, &mut number)?;
        if round.is_empty() {
            return Ok(tally);
        }
        for share in shares(round, explainer, detail) {
            let (text, share) = share.await.map_err(io::Error::other)?;
            output.write_all(&text)?;
            tally.answered += share.answered;
            tally.bad += share.bad;
        }
        output.flush()?;
    }
}

/// The lines that have arrived; waits for the first of them. None: the input has ended.
fn read_round(input: &mut BufReader<impl Read>, number: &mut usize) -> io::Result<Vec<Numbered>> {
    let mut round = Vec::new();
    while round.len() < ROUND {
        let has_arrived = memchr::memchr(b'\n', input.buffer()).is_some();
        if !has_arrived && !round.is_empty() {
            break;
        }
        let Some(line) = read_line(input)? else { break };
        *number += 1;
        if !line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
            round.push((*number, line));
        }
    }
    Ok(round)
}

/// The next line, or none at the end of the input; of one that is too long nothing is kept.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, &'static str>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
        return Ok(Some(Err("longer than 1 MiB; split the list of recipients")));
    }
    Ok(Some(Ok(line)))
}

/// Puts a round to work, and gives back its parts in order.
fn shares(
    round: Vec<Numbered>,
    explainer: &Arc<Explainer>,
    detail: Detail,
) -> Vec<JoinHandle<(Vec<u8>, Tally)>> {
    let mut shares = Vec::with_capacity(round.len().div_ceil(SHARE));
    let mut round = round.into_iter();
    loop {
        let share: Vec<_> = round.by_ref().take(SHARE).collect();
        if share.is_empty() {
            return shares;
        }
        let explainer = Arc::clone(explainer);
        shares.push(tokio::spawn(async move { answer_all(&share, &explainer, detail).await }));
    }
}

async fn answer_all(share: &[Numbered], explainer: &Explainer, detail: Detail) -> (Vec<u8>, Tally) {
    let mut text = Vec::with_capacity(share.len() * 256);
    let mut tally = Tally::default();
    for (number, line) in share {
        let case = match line {
            Ok(line) => Case::parse(line).map_err(|error| error.to_string()),
            Err(what) => Err((*what).to_owned()),
        };
        match case {
            Ok(case) => {
                let course = explainer.explain(&case, detail).await;
                put(&mut text, &answer(&case, &course, detail));
                tally.answered += 1;
            }
            Err(error) => {
                put(&mut text, &Bad { line: *number, error: &error });
                tally.bad += 1;
            }
        }
    }
    (text, tally)
}

fn put(text: &mut Vec<u8>, object: &impl Serialize) {
    // Writing into memory cannot fail, and nothing that is written here has keys that are no strings.
    if serde_json::to_writer(&mut *text, object).is_ok() {
        text.push(b'\n');
    }
}
