//! From bytes to lines: bounded, and honest about how a line ended.

use std::mem;

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// CR LF, as RFC 5321 §2.3.8 demands.
    CrLf,
    /// A bare LF: what the bare newline test looks for.
    BareLf,
}

/// One line, taken off the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The bytes in front of the ending. A CR that no LF follows is data, and makes the command invalid later.
    pub text: Vec<u8>,
    /// How the line ended.
    pub ending: Ending,
}

/// A line that went past its limit; its bytes are dropped up to the LF that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Bytes received and not yet consumed. Owns no memory while empty, so that a connection that waits costs nothing.
///
/// What it yields depends on the bytes alone, never on how the network cut them into pieces.
#[derive(Clone, Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the unconsumed bytes begin.
    start: usize,
    /// How many of the unconsumed bytes are known to hold no LF.
    scanned: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    InLine,
    /// Behind a [`TooLong`]: everything up to the next LF belongs to the line that was refused.
    Skipping,
}

impl LineBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = match self.state {
            State::InLine => bytes,
            State::Skipping => match memchr::memchr(b'\n', bytes) {
                Some(end) => {
                    self.state = State::InLine;
                    bytes.get(end + 1..).unwrap_or_default()
                }
                None => return,
            },
        };
        if bytes.is_empty() {
            return;
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, if a whole one has arrived. `limit` counts bytes with the ending, as `line_length_limit` does;
    /// a line is refused as soon as it cannot end within it.
    pub fn next_line(&mut self, limit: usize) -> Option<Result<Line, TooLong>> {
        let waiting = self.bytes.get(self.start..).unwrap_or_default();
        let window = waiting.get(..limit).unwrap_or(waiting);
        let unseen = window.get(self.scanned..).unwrap_or_default();
        match memchr::memchr(b'\n', unseen) {
            Some(found) => {
                let line = self.consume(self.scanned + found + 1);
                Some(Ok(line_ending_in_lf(line)))
            }
            None if waiting.len() >= limit => {
                self.skip_line();
                Some(Err(TooLong))
            }
            None => {
                self.scanned = window.len();
                None
            }
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The bytes that wait.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Takes everything that waits, and leaves the buffer empty.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = mem::take(self).bytes_from_start();
        bytes.shrink_to_fit();
        bytes
    }

    fn bytes_from_start(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes
    }

    fn skip_line(&mut self) {
        match memchr::memchr(b'\n', self.as_slice()) {
            Some(end) => self.skip(end + 1),
            None => {
                self.skip(self.len());
                self.state = State::Skipping;
            }
        }
    }

    /// The next `count` bytes. They keep the buffer's memory, if they are all that waits.
    fn consume(&mut self, count: usize) -> Vec<u8> {
        if count >= self.len() {
            return mem::take(self).bytes_from_start();
        }
        let bytes = self.as_slice().get(..count).unwrap_or_default().to_vec();
        self.skip(count);
        bytes
    }

    fn skip(&mut self, count: usize) {
        if count >= self.len() {
            *self = Self::new();
            return;
        }
        self.start += count;
        self.scanned = 0;
    }
}

fn line_ending_in_lf(mut text: Vec<u8>) -> Line {
    text.pop();
    let ending = if text.ends_with(b"\r") { Ending::CrLf } else { Ending::BareLf };
    if ending == Ending::CrLf {
        text.pop();
    }
    Line { text, ending }
}

/// Whether all of it is printable ASCII, as nearly everything is: what has to look closer need not look at that.
///
/// In chunks, each of them as a whole: so the compiler looks at many octets at once.
pub(crate) fn is_plain(octets: &[u8]) -> bool {
    octets
        .chunks(64)
        .all(|chunk| chunk.iter().fold(true, |plain, octet| plain & (b' '..=b'~').contains(octet)))
}

/// Any bytes, cut where their first byte says, give the same lines as in one piece.
#[cfg(any(test, fuzzing))]
pub fn fuzz_lines(data: &[u8]) {
    const LIMIT: usize = 32;
    let Some((&cut, bytes)) = data.split_first() else { return };
    let mut whole = LineBuffer::new();
    whole.push(bytes);
    let expected: Vec<_> = std::iter::from_fn(|| whole.next_line(LIMIT)).collect();
    let mut pieces = LineBuffer::new();
    let mut lines = Vec::new();
    for piece in bytes.chunks(usize::from(cut).max(1)) {
        pieces.push(piece);
        lines.extend(std::iter::from_fn(|| pieces.next_line(LIMIT)));
        assert!(pieces.len() < LIMIT);
    }
    assert_eq!(lines, expected);
    assert_eq!(pieces.as_slice(), whole.as_slice());
}

/// The first word of a line and what stands behind it.
pub fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    (word, rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 16;

    fn drain(buffer: &mut LineBuffer) -> Vec<Result<Line, TooLong>> {
        std::iter::from_fn(|| buffer.next_line(LIMIT)).collect()
    }

    fn line(text: &[u8], ending: Ending) -> Result<Line, TooLong> {
        Ok(Line { text: text.to_vec(), ending })
    }

    #[test]
    fn endings_are_told_apart_and_a_lone_cr_is_data() {
        let mut buffer = LineBuffer::new();
        buffer.push(b"NOOP\r\nRSET\nA\rB\r\n\r\r\n\n");
        assert_eq!(
            drain(&mut buffer),
            [
                line(b"NOOP", Ending::CrLf),
                line(b"RSET", Ending::BareLf),
                line(b"A\rB", Ending::CrLf),
                line(b"\r", Ending::CrLf),
                line(b"", Ending::BareLf),
            ]
        );
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_limit_counts_the_ending() {
        let mut buffer = LineBuffer::new();
        buffer.push(
            &[b"12345678901234".as_slice(), b"\r\n", b"123456789012345", b"\r\n", b"QUIT\r\n"].concat(),
        );
        assert_eq!(
            drain(&mut buffer),
            [line(b"12345678901234", Ending::CrLf), Err(TooLong), line(b"QUIT", Ending::CrLf)]
        );
    }

    #[test]
    fn an_endless_line_is_refused_once_and_never_kept() {
        let mut buffer = LineBuffer::new();
        let mut refused = 0;
        for _ in 0..1000 {
            buffer.push(&[b'x'; 100]);
            refused += drain(&mut buffer).len();
            assert!(buffer.is_empty());
            assert_eq!(buffer.bytes.capacity(), 0);
        }
        assert_eq!(refused, 1);
        buffer.push(b"\nQUIT\r\n");
        assert_eq!(drain(&mut buffer), [line(b"QUIT", Ending::CrLf)]);
    }

    #[test]
    fn an_empty_buffer_owns_no_memory() {
        let mut buffer = LineBuffer::new();
        buffer.push(b"NOOP\r\n");
        drain(&mut buffer);
        assert_eq!(buffer.bytes.capacity(), 0);
        buffer.push(b"body");
        assert_eq!(buffer.as_slice(), b"body");
        assert_eq!(buffer.len(), 4);
        assert_eq!(buffer.take(), b"body");
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn what_waits_behind_a_line_is_left_alone() {
        let mut buffer = LineBuffer::new();
        buffer.push(b"DATA\r\nbody\r\n.\r\n");
        assert_eq!(buffer.next_line(LIMIT), Some(line(b"DATA", Ending::CrLf)));
        assert_eq!(buffer.as_slice(), b"body\r\n.\r\n");
        assert_eq!(buffer.take(), b"body\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_lines(
            stream in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..120),
            piece in 0u8..120,
        ) {
            fuzz_lines(&[&[piece], stream.as_slice()].concat());
        }
    }
}
