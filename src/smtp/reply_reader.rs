//! Reading a server's replies: bounded, and strict about their form.
//!
//! The backend is trusted for what it decides, not for how it writes it. Whatever is no reply by RFC 5321 §4.2 is
//! [`BadReply`], after which nothing that this server says can be told from noise: close it.

use std::mem;

use super::line::is_plain;
use super::reply::Reply;

/// How many bytes one reply may have.
pub const MAX_BYTES: usize = 64 * 1024;
/// How many lines one reply may have.
pub const MAX_LINES: usize = 512;

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// More than [`MAX_BYTES`] or [`MAX_LINES`].
    #[error("a reply of more than 64 KiB or 512 lines")]
    TooLong,
    /// A line without a code between 200 and 599, or with neither blank nor `-` behind it.
    #[error("a reply without a valid code")]
    Code,
    /// The lines of one reply have different codes.
    #[error("a reply whose lines have different codes")]
    MixedCodes,
    /// A bare CR or LF, a NUL, or another control character.
    #[error("a reply with a control character or a bare line end")]
    Control,
}

/// Puts replies together from the bytes of a server.
#[derive(Clone, Debug, Default)]
pub struct ReplyReader {
    bytes: Vec<u8>,
    /// Where the first line begins that has not been seen whole.
    line: usize,
    /// Whole lines before it, all of them with `-` behind the code.
    lines: usize,
    /// Their texts, LF behind each.
    texts: String,
    /// Their code.
    code: Option<u16>,
}

impl ReplyReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next reply, if a whole one has arrived. After an error the bytes are unchanged and the error stays.
    pub fn next_reply(&mut self) -> Option<Result<Reply, BadReply>> {
        loop {
            let unseen = self.bytes.get(self.line..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', unseen) else {
                return (self.bytes.len() > MAX_BYTES).then_some(Err(BadReply::TooLong));
            };
            let line = unseen.get(..end).unwrap_or_default();
            if self.line + end >= MAX_BYTES || self.lines >= MAX_LINES {
                return Some(Err(BadReply::TooLong));
            }
            let line = match ReplyLine::parse(line) {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if self.code.is_some_and(|code| code != line.code) {
                return Some(Err(BadReply::MixedCodes));
            }
            if self.texts.is_empty() {
                self.texts.reserve_exact(unseen.len());
            }
            line.put_text(&mut self.texts);
            if line.is_last {
                let reply = Reply::joined(line.code, mem::take(&mut self.texts));
                self.bytes.drain(..=self.line + end);
                (self.line, self.lines, self.code) = (0, 0, None);
                return Some(Ok(reply));
            }
            self.texts.push('\n');
            self.code = Some(line.code);
            self.line += end + 1;
            self.lines += 1;
        }
    }

    /// Whether nothing waits: bytes behind a reply that nobody asked for are out of turn.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes behind the last reply.
    pub fn into_rest(self) -> Vec<u8> {
        self.bytes
    }
}

/// One line of a reply.
struct ReplyLine<'a> {
    code: u16,
    is_last: bool,
    text: &'a [u8],
}

impl<'a> ReplyLine<'a> {
    /// Reads a line whose LF is taken off.
    fn parse(line: &'a [u8]) -> Result<Self, BadReply> {
        let line = line.strip_suffix(b"\r").ok_or(BadReply::Control)?;
        let is_strange = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        if !is_plain(line) && line.iter().any(is_strange) {
            return Err(BadReply::Control);
        }
        let (digits, rest) = line.split_at_checked(3).ok_or(BadReply::Code)?;
        let (is_last, text) = match rest.split_first() {
            // A code alone is a whole reply (RFC 5321 §4.2).
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(BadReply::Code),
        };
        Ok(Self { code: code(digits).ok_or(BadReply::Code)?, is_last, text })
    }

    /// Puts the text behind what `texts` holds; bytes that are no UTF-8 are not passed on.
    fn put_text(&self, texts: &mut String) {
        match std::str::from_utf8(self.text) {
            Ok(text) => texts.push_str(text),
            Err(_) => {
                let ascii =
                    self.text.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' });
                texts.extend(ascii);
            }
        }
    }
}

fn code(digits: &[u8]) -> Option<u16> {
    let code = digits
        .iter()
        .try_fold(0, |code, digit| digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')))?;
    (200..600).contains(&code).then_some(code)
}

/// Any bytes are replies, the beginning of one, or refused; what is read can be written and read again.
#[cfg(any(test, fuzzing))]
pub fn fuzz_replies(data: &[u8]) {
    let mut reader = ReplyReader::new();
    reader.push(data);
    while let Some(Ok(reply)) = reader.next_reply() {
        let _ = (reply.status(), reply.clone().soften().with_footer("\\c x\\ny"));
        let mut again = ReplyReader::new();
        again.push(&reply.to_wire());
        assert_eq!(again.next_reply().map(|read| read.map(|read| read.code())), Some(Ok(reply.code())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Option<Result<Reply, BadReply>> {
        let mut reader = ReplyReader::new();
        reader.push(bytes);
        reader.next_reply()
    }

    #[test]
    fn replies_of_every_form() {
        assert_eq!(read(b"250 2.1.0 Ok\r\n"), Some(Ok(Reply::new(250, "2.1.0 Ok"))));
        assert_eq!(read(b"250\r\n"), Some(Ok(Reply::new(250, ""))));
        assert_eq!(read(b"550 5.7.2\r\n"), Some(Ok(Reply::new(550, "5.7.2"))));
        let ehlo = Reply::multiline(250, ["mx", "", "SIZE 10"]);
        assert_eq!(read(b"250-mx\r\n250-\r\n250 SIZE 10\r\n"), Some(Ok(ehlo)));
        assert_eq!(read(b"220 caf\xe9 \t.\r\n"), Some(Ok(Reply::new(220, "caf? \t."))));
    }

    #[test]
    fn a_reply_without_its_end_is_awaited() {
        for bytes in ["", "2", "250", "250 Ok", "250 Ok\r", "250-", "250-mx\r\n", "250-mx\r\n250"] {
            assert_eq!(read(bytes.as_bytes()), None, "{bytes:?}");
        }
    }

    #[test]
    fn hostile_replies() {
        for (bytes, error) in [
            ("5.7.2\r\n", BadReply::Code),
            ("25O Ok\r\n", BadReply::Code),
            ("999 Ok\r\n", BadReply::Code),
            ("150 Ok\r\n", BadReply::Code),
            ("2500 Ok\r\n", BadReply::Code),
            ("25\r\n", BadReply::Code),
            ("\r\n", BadReply::Code),
            ("+25 Ok\r\n", BadReply::Code),
            ("250 Ok\n", BadReply::Control),
            ("250 O\rk\r\n", BadReply::Control),
            ("250 O\0k\r\n", BadReply::Control),
            ("250-a\r\n550 b\r\n", BadReply::MixedCodes),
            ("250-a\r\nb\r\n", BadReply::Code),
        ] {
            assert_eq!(read(bytes.as_bytes()), Some(Err(error)), "{bytes:?}");
        }
    }

    #[test]
    fn endless_replies_are_cut() {
        assert_eq!(read(&b"250-x\r\n".repeat(100_000)), Some(Err(BadReply::TooLong)));
        assert_eq!(read(&[b'2'; 1 << 20]), Some(Err(BadReply::TooLong)));
        let long = [b"250 ".as_slice(), &[b'x'; MAX_BYTES], b"\r\n"].concat();
        assert_eq!(read(&long), Some(Err(BadReply::TooLong)));
    }

    #[test]
    fn what_stands_behind_a_reply_is_kept() {
        let mut reader = ReplyReader::new();
        reader.push(b"354 go\r\n250 x\r\nrest");
        assert_eq!(reader.next_reply(), Some(Ok(Reply::new(354, "go"))));
        assert!(!reader.is_empty());
        assert_eq!(reader.next_reply(), Some(Ok(Reply::new(250, "x"))));
        assert_eq!(reader.next_reply(), None);
        assert_eq!(reader.into_rest(), b"rest");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            code in 200u16..600,
            lines in prop::collection::vec("[ -~é]{0,20}", 1..5),
            cut in 0usize..40,
        ) {
            let reply = Reply::multiline(code, lines);
            let wire = reply.to_wire();
            let mut reader = ReplyReader::new();
            let (first, second) = wire.split_at(cut.min(wire.len() - 1));
            reader.push(first);
            prop_assert_eq!(reader.next_reply(), None);
            reader.push(second);
            prop_assert_eq!(reader.next_reply(), Some(Ok(reply)));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_a_reply_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            fuzz_replies(&bytes);
        }
    }
}
