//! A Chromium without a window, led by a pipe (Chrome DevTools Protocol): what it asked for, what it complained of, and
//! how large things have become.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PATIENCE;

/// The end of each message, either way.
const END: u8 = 0;

/// A browser with one page. It ends when its pipe does: when dropped, or with the test program.
pub struct Browser {
    process: Child,
    to: Option<PipeWriter>,
    from: Receiver<Value>,
    calls: Cell<u64>,
    page: String,
    events: Vec<Value>,
    _home: TempDir,
}

/// A screen, in CSS pixels.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    /// Whether it is held in a hand: then a page that does not say how wide it means to be is laid out for a desk.
    pub kind: Kind,
}

/// What a screen is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Desk,
    Telephone,
}

impl Browser {
    pub fn start() -> Self {
        let home = TempDir::with_prefix("prescreen-chromium-").unwrap();
        let (theirs, to) = pipe().unwrap();
        let (from, ours) = pipe().unwrap();
        let mut command = Command::new("chromium");
        // Root has no sandbox there, and a container no room in /dev/shm.
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--no-first-run", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mapping = |child_fd, parent_fd: OwnedFd| FdMapping { parent_fd, child_fd };
        command.fd_mappings(vec![mapping(3, theirs.into()), mapping(4, ours.into())]).unwrap();
        let process =
            command.spawn().unwrap_or_else(|error| panic!("chromium: {error}; tests/run installs it"));
        // Its ends of the pipes stay open in the command.
        drop(command);
        let (to, calls) = (Some(to), Cell::new(0));
        let from = messages(from);
        let mut browser =
            Self { process, to, from, calls, page: String::new(), events: Vec::new(), _home: home };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.page =
            browser.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Network", "Log", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Shows a page, and waits until everything that belongs to it is there.
    pub fn open(&mut self, address: &str, screen: Screen) {
        let Screen { width, height, kind } = screen;
        let mobile = kind == Kind::Telephone;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self.events.clear();
        let went = self.call("Page.navigate", json!({ "url": address }));
        assert!(went["errorText"].is_null(), "{address}: {went}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.hear();
            self.events.push(event);
        }
    }

    /// Whether it is day or night: `light` or `dark`.
    pub fn prefers(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What a JavaScript expression comes to on the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Everything the page has asked the network for.
    pub fn requests(&self) -> Vec<&str> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap()).collect()
    }

    /// What its console shows: errors, warnings, what was blocked.
    pub fn complaints(&self) -> Vec<&Value> {
        const KINDS: [&str; 3] = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"];
        let told = self.events.iter().filter(|event| KINDS.iter().any(|kind| event["method"] == *kind));
        told.map(|event| &event["params"]).collect()
    }

    /// Draws the whole page, as PNG, for whoever wants to look at it.
    pub fn picture(&mut self, file: &Path) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", whole);
        let mut decoder = Command::new("base64");
        decoder.arg("--decode").stdin(Stdio::piped()).stdout(File::create(file).unwrap());
        let mut decoding = decoder.spawn().unwrap();
        decoding.stdin.take().unwrap().write_all(picture["data"].as_str().unwrap().as_bytes()).unwrap();
        assert!(decoding.wait().unwrap().success());
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.calls.get() + 1;
        self.calls.set(id);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.page.is_empty() {
            message["sessionId"] = json!(self.page);
        }
        let mut octets = message.to_string().into_bytes();
        octets.push(END);
        self.to.as_mut().unwrap().write_all(&octets).unwrap();
        loop {
            let message = self.hear();
            if message["id"] != id {
                self.events.push(message);
                continue;
            }
            assert!(message["error"].is_null(), "{method}: {message}");
            return message["result"].clone();
        }
    }

    fn hear(&self) -> Value {
        self.from.recv_timeout(PATIENCE).expect("Chromium says something")
    }
}

/// Read by a thread, for a pipe knows no patience.
fn messages(from: PipeReader) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(END) {
            let Ok(message) = message else { return };
            let Ok(()) = sender.send(serde_json::from_slice(&message).unwrap()) else { return };
        }
    });
    receiver
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.process.wait();
    }
}
