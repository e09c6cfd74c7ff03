//! Messages to send, and what is left of one when it has been delivered.

/// A message with a subject and a body, CRLF throughout.
pub fn message(subject: &str, body: &str) -> String {
    format!(
        "From: Sender <sender@example.com>\r\n\
         To: Recipient <recipient@example.org>\r\n\
         Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <{subject}@mail.example.com>\r\n\
         Subject: {subject}\r\n\
         \r\n\
         {body}"
    )
}

/// A body of at least `size` bytes in lines of every length up to 900, dots at line starts among them.
pub fn long_body(size: usize) -> String {
    let mut every_length = String::new();
    for length in 0..900 {
        if length % 7 == 0 {
            every_length.push('.');
        }
        every_length.extend((0..length).map(|at| char::from(b'!' + ((at * 31 + length) % 90) as u8)));
        every_length.push_str("\r\n");
    }
    every_length.repeat(size / every_length.len() + 1)
}

/// The message as it goes over the wire behind DATA: dots doubled at line starts, the final dot (RFC 5321 §4.5.2).
pub fn dotted(message: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 1024);
    for line in message.split_inclusive("\r\n") {
        if line.starts_with('.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line.as_bytes());
    }
    assert!(wire.ends_with(b"\r\n"), "a message ends with a line end");
    wire.extend_from_slice(b".\r\n");
    wire
}

/// A delivered message without the fields in which two deliveries of the same message differ: each hop's Received.
pub fn without_received(delivered: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(delivered.len());
    let mut lines = delivered.split_inclusive(|byte| *byte == b'\n');
    let mut dropping = false;
    for line in lines.by_ref() {
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        dropping = if continues { dropping } else { line.starts_with(b"Received:") };
        if !dropping {
            kept.extend_from_slice(line);
        }
        if line == b"\n" {
            break;
        }
    }
    lines.for_each(|line| kept.extend_from_slice(line));
    kept
}

/// What is below the header of a message, with LF or CRLF line ends.
pub fn body(mail: &[u8]) -> Vec<u8> {
    let mut lines = mail.split_inclusive(|byte| *byte == b'\n');
    lines.by_ref().find(|line| line.trim_ascii().is_empty());
    lines.flatten().copied().collect()
}

/// The first Received field of a delivered message, unfolded: what the last server says of its client.
pub fn received(delivered: &[u8]) -> String {
    let text = String::from_utf8_lossy(delivered);
    let start = text.find("Received:").expect("a delivered message has a Received field");
    let mut lines = text[start..].lines();
    let mut field = lines.next().unwrap_or_default().to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        field.push(' ');
        field.push_str(line.trim_start());
    }
    field
}

/// Fails at the first byte in which two delivered messages differ.
#[track_caller]
pub fn assert_same(left: &[u8], right: &[u8]) {
    if left == right {
        return;
    }
    let Some(at) = left.iter().zip(right).position(|(l, r)| l != r) else {
        assert_eq!(left.len(), right.len(), "one message goes on where the other ends");
        return;
    };
    let around =
        |mail: &[u8]| mail[at.saturating_sub(40)..mail.len().min(at + 40)].escape_ascii().to_string();
    panic!("messages differ at byte {at}:\n{}\n{}", around(left), around(right));
}
