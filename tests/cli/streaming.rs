//! `explain --batch` as a filter: answers as soon as it can, in order, however much there is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::transcript::PROGRAM;

/// One who answers from an empty zone.
fn explainer(arguments: &[&str]) -> (Child, tempfile::NamedTempFile) {
    let zone = tempfile::NamedTempFile::new().unwrap();
    let child = Command::new(PROGRAM)
        .args(["explain", "--batch", "--no-trace", "--set", "hostname=mx.test", "--zone"])
        .arg(zone.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    (child, zone)
}

fn case(recipient: usize) -> String {
    format!(r#"{{"client": "192.0.2.7", "helo": "a.test", "from": "", "to": "{recipient}@b.test"}}"#)
}

#[test]
fn a_line_is_answered_before_the_next_is_waited_for() {
    let (mut child, _zone) = explainer(&[]);
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        writeln!(input, "{}", case(1)).unwrap();
        assert!(answers.next().unwrap().unwrap().contains(r#""verdict":"permit""#));
    }
    drop(input);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn answers_keep_the_order_of_the_cases() {
    const CASES: usize = 5000;
    let (mut child, _zone) = explainer(&["--set", "restrictions.recipient=reject"]);
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        (0..CASES).for_each(|recipient| writeln!(input, "{}", case(recipient)).unwrap());
    });
    let mut answers = 0;
    for answer in BufReader::new(child.stdout.take().unwrap()).lines() {
        let wanted = format!("554 5.7.1 <{answers}@b.test>: Recipient address rejected: Access denied");
        let answer = answer.unwrap();
        assert!(answer.contains(&wanted), "{answer}");
        answers += 1;
    }
    writer.join().unwrap();
    assert_eq!(answers, CASES);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_line_that_never_ends_costs_no_memory_and_no_other_case() {
    let (mut child, _zone) = explainer(&[]);
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let long = vec![b'x'; 1 << 20];
        (0..3).for_each(|_| input.write_all(&long).unwrap());
        write!(input, "\n{}", case(1)).unwrap();
    });
    let answers: Vec<_> =
        BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap()).collect();
    writer.join().unwrap();
    assert_eq!(answers[0], r#"{"line":1,"error":"longer than 1 MiB; split the list of recipients"}"#);
    assert!(answers[1].contains(r#""verdict":"permit""#), "the last line needs no end");
    assert_eq!(answers.len(), 2);
    assert_eq!(child.wait().unwrap().code(), Some(65));
}

#[test]
fn a_reader_that_has_read_enough_is_no_fault() {
    let (mut child, _zone) = explainer(&[]);
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    // Either of the two may find the other gone.
    while writeln!(input, "{}", case(1)).is_ok() {}
    assert!(child.wait().unwrap().success());
}
