//! Where a message ends. Pure.
//!
//! RFC 5321 §4.1.1.4 knows one end: CR LF, a dot, CR LF. Servers there have been that take a bare LF, a bare CR, or
//! NULs in between for it, and believe what stands behind to be the next commands (SMTP smuggling, CVE-2023-51764 and
//! its kin). So what merely looks like an end can be refused: then its last byte is never sent, and no server, however
//! lenient, sees an end that the client's own server did not mean.

use crate::spelling::spelled;

/// What becomes of a message with a dot alone on what only some servers take for a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForbidBareNewline {
    /// It is cut off there, and the client with it: `reject`.
    #[default]
    Reject,
    /// It is forwarded, and told in the log: `note`.
    Note,
    /// It is forwarded: `no`.
    No,
}

spelled!(ForbidBareNewline { Reject = "reject", Note = "note", No = "no" });

/// Follows a message to its end.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Up to the dot.
    Dotted(Dotted),
    /// This many bytes more, whatever they are.
    Counted(u64),
}

/// What some bytes of a client's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Sent before them: what was held back of the bytes before.
    pub(super) released: &'static [u8],
    /// How many of them are sent.
    pub(super) sent: usize,
    /// How the message stands behind them.
    pub(super) state: State,
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It goes on.
    Open,
    /// It ends behind the bytes that are sent; what follows is commands.
    Ended,
    /// It is cut off.
    Refused,
}

impl Content {
    pub(super) fn dotted(forbid: ForbidBareNewline) -> Self {
        // The CR LF behind DATA is the first one.
        Self::Dotted(Dotted { forbid, place: Place::Start(Exact::Yes), noted: false })
    }

    pub(super) fn counted(size: u64) -> Self {
        Self::Counted(size)
    }

    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        match self {
            Self::Dotted(dotted) => dotted.scan(bytes),
            Self::Counted(left) => {
                let sent = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= sent as u64;
                let state = if *left == 0 { State::Ended } else { State::Open };
                Scanned { released: b"", sent, state }
            }
        }
    }

    /// Whether something merely looked like an end.
    pub(super) fn noted(&self) -> bool {
        matches!(self, Self::Dotted(Dotted { noted: true, .. }))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Dotted {
    forbid: ForbidBareNewline,
    place: Place,
    noted: bool,
}

/// Whether what stands before is CR LF to the letter, or only something that some server might take for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exact {
    Yes,
    No,
}

/// Where in a message the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a line.
    Text,
    /// Behind a CR.
    Cr,
    /// At the start of a line.
    Start(Exact),
    /// Behind a dot at the start of a line.
    Dot(Exact),
    /// Behind a dot and a CR. The CR is held back: whether it may be sent shows in the next byte.
    DotCr(Exact),
}

/// What a byte leads to.
enum Move {
    To(Place),
    End,
    /// It looks like an end and is none.
    Lone,
}

impl Place {
    fn behind(self, byte: u8) -> Move {
        use Exact::{No, Yes};
        Move::To(match (self, byte) {
            (Self::Cr, b'\n') => Self::Start(Yes),
            (Self::DotCr(Yes), b'\n') => return Move::End,
            (Self::DotCr(_), _) | (Self::Dot(_), b'\n') => return Move::Lone,
            (Self::Text | Self::Start(_), b'\n') => Self::Start(No),
            (Self::Dot(exact), b'\r') => Self::DotCr(exact),
            (_, b'\r') => Self::Cr,
            (Self::Start(exact), b'.') => Self::Dot(exact),
            // The CR was bare, and ends a line for some.
            (Self::Cr, b'.') => Self::Dot(No),
            (Self::Cr | Self::Start(_), b'\0') => Self::Start(No),
            (Self::Dot(_), b'\0') => Self::Dot(No),
            _ => Self::Text,
        })
    }

    /// Where the byte stands that looked like an end and was none, once it is taken for what it is.
    fn behind_lone(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::DotCr(_), b'\n') => Self::Start(Exact::Yes),
            (Self::DotCr(_), byte) => match Self::Cr.behind(byte) {
                Move::To(place) => place,
                Move::End | Move::Lone => Self::Text,
            },
            _ => Self::Start(Exact::No),
        }
    }
}

impl Dotted {
    fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let held = matches!(self.place, Place::DotCr(_));
        let released: &[u8] = if held && !bytes.is_empty() { b"\r" } else { b"" };
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.place == Place::Text {
                match memchr::memchr2(b'\r', b'\n', rest) {
                    Some(skipped) => at += skipped,
                    None => break,
                }
            }
            let Some(&byte) = bytes.get(at) else { break };
            match self.place.behind(byte) {
                Move::To(place) => self.place = place,
                Move::End => return Scanned { released, sent: at + 1, state: State::Ended },
                Move::Lone if self.forbid == ForbidBareNewline::Reject => return self.refuse(released, at),
                Move::Lone => {
                    self.noted = true;
                    self.place = self.place.behind_lone(byte);
                }
            }
            at += 1;
        }
        // A CR behind a dot waits for what follows it.
        let waits = usize::from(matches!(self.place, Place::DotCr(_)) && !bytes.is_empty());
        Scanned { released, sent: bytes.len() - waits, state: State::Open }
    }

    /// Nothing of what looks like an end's last line end is sent: neither this byte, nor the CR before it.
    fn refuse(&mut self, released: &'static [u8], at: usize) -> Scanned {
        self.noted = true;
        let state = State::Refused;
        match (self.place, at) {
            (Place::DotCr(_), 0) => Scanned { released: b"", sent: 0, state },
            (Place::DotCr(_), at) => Scanned { released, sent: at - 1, state },
            (_, at) => Scanned { released, sent: at, state },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is sent of `pieces` in a row, how many bytes it took, and how the message stands then.
    fn follow(mut content: Content, pieces: &[&[u8]]) -> (Vec<u8>, usize, State) {
        let (mut sent, mut taken) = (Vec::new(), 0);
        for piece in pieces {
            let scanned = content.scan(piece);
            sent.extend_from_slice(scanned.released);
            sent.extend_from_slice(&piece[..scanned.sent]);
            if scanned.state != State::Open {
                return (sent, taken + scanned.sent, scanned.state);
            }
            taken += piece.len();
        }
        (sent, taken, State::Open)
    }

    fn dotted(forbid: ForbidBareNewline, text: &[u8]) -> (Vec<u8>, usize, State) {
        follow(Content::dotted(forbid), &[text])
    }

    #[test]
    fn the_one_end() {
        for (text, end) in [
            ("Hi\r\n.\r\nQUIT\r\n", 7),
            (".\r\nMAIL", 3),
            ("\r\n.\r\n", 5),
            ("..\r\n.\r\n.\r\n", 7),
            ("a\r\r\n.\r\n", 7),
            (".x\r\n. \r\n.\r\n", 11),
        ] {
            let (sent, taken, state) = dotted(ForbidBareNewline::Reject, text.as_bytes());
            assert_eq!((taken, state), (end, State::Ended), "{text:?}");
            assert_eq!(sent, &text.as_bytes()[..end]);
        }
    }

    /// Every form that some server has been seen to take for an end.
    const LONE: [&str; 11] = [
        "\n.\n",
        "\r.\r",
        "\r.\n",
        "\n.\r",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r\n",
        "\r\n.\r",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n.\r\r\n",
    ];

    #[test]
    fn what_only_looks_like_an_end_is_never_sent_whole() {
        for form in LONE {
            let text = format!("Hi{form}MAIL FROM:<evil@example>\r\n.\r\n");
            for cut in 0..text.len() {
                let (one, two) = text.as_bytes().split_at(cut);
                let (sent, _, state) = follow(Content::dotted(ForbidBareNewline::Reject), &[one, two]);
                assert_eq!(state, State::Refused, "{form:?} cut at {cut}");
                let shown = String::from_utf8_lossy(&sent).replace('\0', "");
                assert!(shown.starts_with("Hi") && shown.ends_with('.'), "{form:?} cut at {cut}: {shown:?}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_an_end_can_be_let_through() {
        for form in LONE {
            let text = format!("Hi{form}MAIL FROM:<evil@example>\r\n.\r\nQUIT\r\n");
            for forbid in [ForbidBareNewline::Note, ForbidBareNewline::No] {
                let (sent, taken, state) = dotted(forbid, text.as_bytes());
                assert_eq!((taken, state), (text.len() - 6, State::Ended), "{form:?}");
                assert_eq!(sent, &text.as_bytes()[..taken]);
                let mut content = Content::dotted(forbid);
                content.scan(text.as_bytes());
                assert!(content.noted());
            }
        }
    }

    #[test]
    fn bare_newlines_elsewhere_are_the_servers_business() {
        let text = b"a\nb\rc\n\n. d\n..\n.e\n\r\n.\r\n";
        assert_eq!(dotted(ForbidBareNewline::Reject, text), (text.to_vec(), text.len(), State::Ended));
    }

    #[test]
    fn chunks_are_counted() {
        let counted = |size, pieces: &[&[u8]]| follow(Content::counted(size), pieces);
        assert_eq!(counted(0, &[b"RSET"]), (vec![], 0, State::Ended));
        assert_eq!(counted(5, &[b"\n.\n", b"abRSET"]), (b"\n.\nab".to_vec(), 5, State::Ended));
        assert_eq!(counted(u64::MAX, &[b"abc"]), (b"abc".to_vec(), 3, State::Open));
    }

    #[test]
    fn settings_print_as_they_are_written() {
        for text in ["reject", "note", "no"] {
            assert_eq!(text.parse::<ForbidBareNewline>().unwrap().to_string(), text);
        }
        assert!("yes".parse::<ForbidBareNewline>().unwrap_err().contains("write reject, note or no"));
    }

    proptest! {
        #[test]
        fn the_end_is_where_the_specification_has_it(
            text in prop::collection::vec(prop::sample::select(b"\r\n.\0x".to_vec()), 0..40),
        ) {
            let framed = [b"\r\n", &text[..]].concat();
            let end = framed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3);
            let (sent, taken, state) = dotted(ForbidBareNewline::No, &text);
            match end {
                Some(end) => prop_assert_eq!((taken, state), (end, State::Ended)),
                None => prop_assert_eq!(state, State::Open),
            }
            prop_assert!(text.starts_with(&sent));
        }

        #[test]
        fn any_split_gives_the_same(
            text in prop::collection::vec(prop::sample::select(b"\r\n.\0x".to_vec()), 0..40),
            cuts in prop::collection::vec(0usize..40, 0..4),
            forbid in prop::sample::select(vec![ForbidBareNewline::Reject, ForbidBareNewline::No]),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let (whole, parts) = (dotted(forbid, &text), follow(Content::dotted(forbid), &pieces));
            prop_assert_eq!(&whole.0, &parts.0);
            prop_assert_eq!(whole.2, parts.2);
        }
    }
}
