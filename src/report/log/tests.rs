use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::*;
use crate::report::text::is_printable;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that the log would show of `events`.
pub(crate) fn logged(format: Format, level: Level, events: impl FnOnce()) -> Vec<String> {
    let (sink, settings) = (Sink::default(), Settings { format, level, ..Settings::default() });
    let writer = sink.clone();
    tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()).0, events);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// As [`logged`], towards a log daemon.
fn framed(output: &str, format: Format) -> String {
    let (sink, output) = (Sink::default(), output.parse().unwrap());
    let (settings, writer) = (Settings { format, output, ..Settings::default() }, sink.clone());
    tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()).0, || {
        tracing::warn!("trouble\nof two lines");
    });
    String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_daemon_gets_the_frame_that_it_knows() {
    let (pid, text) = (std::process::id(), "trouble?of two lines");
    assert_eq!(
        framed("syslog", Format::Postscreen),
        format!("<20>postfix/postscreen[{pid}]: warning: {text}\n")
    );
    let line = framed("syslog:udp:127.0.0.1:514", Format::Text);
    let fields: Vec<_> = line.splitn(8, ' ').collect();
    let [head, time, host, rest @ ..] = &fields[..] else { panic!("{line}") };
    assert_eq!((*head, host.is_empty()), ("<20>1", false));
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    assert_eq!(rest, ["prescreen", &pid.to_string(), "-", "-", &format!("{text}\n")]);
    let entry = framed("journald", Format::Json);
    let entry = entry.strip_suffix('\n').unwrap();
    assert!(entry.ends_with("}\n"), "the journal ignores a field that does not end: {entry:?}");
    let fields: Vec<_> = entry.lines().map(|line| line.split_once('=').unwrap()).collect();
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "MESSAGE"]);
    assert_eq!((fields[0].1, fields[2].1), ("4", "prescreen"));
    assert!(fields[4].1.starts_with('{'), "{entry}");
}

#[test]
fn a_postscreen_line_has_the_header_that_log_tools_expect() {
    let lines = logged(Format::Postscreen, Level::Info, || {
        tracing::info!(target: Format::Postscreen.target(), "PASS NEW [192.0.2.1]:25");
        tracing::info!(target: Format::Postscreen.target(), program = "smtpd", "NOQUEUE");
        tracing::warn!(list = "zen.example", "list suspended");
    });
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    let (_, rest) = rest.split_once(' ').unwrap();
    let pid = std::process::id();
    assert_eq!(rest, format!("postfix/postscreen[{pid}]: PASS NEW [192.0.2.1]:25"));
    assert!(lines[1].ends_with(&format!(" postfix/smtpd[{pid}]: NOQUEUE")), "{}", lines[1]);
    assert!(lines[2].ends_with("]: warning: list suspended list=\"zen.example\""), "{}", lines[2]);
}

#[test]
fn only_the_chosen_format_is_written() {
    let say = || {
        tracing::info!(target: Format::Text.target(), "sentence");
        tracing::info!(target: Format::Json.target(), "{{\"id\":1}}");
        tracing::info!(target: Format::Postscreen.target(), "line");
    };
    assert!(
        matches!(&logged(Format::Text, Level::Info, say)[..], [line] if line.ends_with("INFO  sentence"))
    );
    assert!(matches!(&logged(Format::Json, Level::Info, say)[..], [line] if line.ends_with("\"id\":1}")));
    assert!(matches!(&logged(Format::Postscreen, Level::Info, say)[..], [line] if line.ends_with(": line")));
    assert!(logged(Format::Text, Level::Warn, say).is_empty());
}

#[test]
fn format_and_level_change_while_it_runs() {
    let (sink, first) = (Sink::default(), Settings::default());
    let writer = sink.clone();
    let (subscriber, dials) = subscriber(&first, move || writer.clone());
    tracing::subscriber::with_default(subscriber, || {
        let say = || {
            tracing::info!(target: Format::Text.target(), "sentence");
            tracing::info!(target: Format::Json.target(), "{{\"id\":1}}");
            tracing::warn!("trouble");
        };
        say();
        let control = |format, level| {
            let settings = Settings { format, level, ..Settings::default() };
            dials.style.store(Arc::new(Style::new(&settings)));
            dials.filter.reload(targets(&settings)).unwrap();
        };
        control(Format::Json, Level::Info);
        say();
        control(Format::Text, Level::Error);
        say();
    });
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let [sentence, _, object, trouble] = lines[..] else { panic!("{lines:?}") };
    assert!(sentence.ends_with("INFO  sentence"), "{sentence}");
    assert!(object.ends_with(r#""id":1}"#) && trouble.starts_with('{'), "{object} {trouble}");
}

#[test]
fn libraries_are_heard_when_something_is_wrong() {
    let say = || {
        tracing::info!(target: "library", "chatter");
        tracing::warn!(target: "library", "trouble");
    };
    assert!(matches!(&logged(Format::Text, Level::Debug, say)[..], [line] if line.contains("trouble")));
    assert!(logged(Format::Text, Level::Error, say).is_empty());
}

#[test]
fn one_event_is_one_line_whatever_is_in_it() {
    let nasty = "a\r\nb\u{1b}[31m\u{202e}c\u{9b}\"";
    for format in [Format::Text, Format::Json, Format::Postscreen] {
        let lines = logged(format, Level::Info, || {
            tracing::warn!(quoted = nasty, shown = ?nasty, raw = %nasty, "{nasty}");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].chars().all(is_printable), "{lines:?}");
    }
}

#[test]
fn an_event_in_json_carries_its_fields_as_they_are() {
    let lines = logged(Format::Json, Level::Info, || {
        tracing::warn!(n = 7, up = true, why = "so", path = ?Path::new("/a b"), "text");
    });
    let object: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(object["level"], "warn");
    assert_eq!((&object["n"], &object["up"], &object["why"]), (&7.into(), &true.into(), &"so".into()));
    assert_eq!((&object["message"], &object["path"]), (&"text".into(), &"/a b".into()));
}

/// A reader that takes nothing until it is told to.
struct Stuck(Receiver<()>);

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_reader_costs_lines_and_no_time() {
    let (go, wait) = channel();
    let (writer, _guard) = writer(Stuck(wait));
    let dropped = writer.error_counter();
    tracing::subscriber::with_default(subscriber(&Settings::default(), writer).0, || {
        (0..3 * LINES_IN_FLIGHT).for_each(|n| tracing::warn!(n, "line"));
    });
    let expected = 2 * LINES_IN_FLIGHT;
    let dropped = dropped.dropped_lines();
    assert!((expected - 2..=expected).contains(&dropped), "{dropped}");
    drop(go);
}

#[test]
fn names_of_formats_and_levels_are_told_when_wrong() {
    assert_eq!("postscreen".parse(), Ok(Format::Postscreen));
    assert_eq!("debug".parse(), Ok(Level::Debug));
    assert!("syslog".parse::<Format>().unwrap_err().contains("text, json or postscreen"));
    assert!("verbose".parse::<Level>().unwrap_err().contains("error, warn, info, debug or trace"));
}
