//! A Prometheus of our own scrapes a prescreen that has clients, and knows the answer to every query of every panel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::clients::smtplib;
use support::daemon::Daemon;
use support::dns::{Dns, LIST};
use support::message::message;
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::redis::{Redis, servers};
use support::talk::Talk;
use support::{PATIENCE, client, eventually, free_address};
use tempfile::TempDir;

const LISTED: Ipv4Addr = client(66);

/// A Prometheus. Ends when dropped, or with the test program.
struct Prometheus {
    address: SocketAddr,
    daemon: Daemon,
    _home: TempDir,
}

impl Prometheus {
    fn scraping(target: SocketAddr) -> Self {
        let home = TempDir::with_prefix("prescreen-prometheus-").unwrap();
        let address = free_address();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/alerts.yml");
        let file = home.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 500ms, evaluation_interval: 500ms }}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{ job_name: prescreen, static_configs: [{{ targets: ['{target}'] }}] }}]\n",
            rules.display()
        );
        fs::write(&file, text).unwrap();
        let options = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", home.path().join("series").display()),
            format!("--web.listen-address={address}"),
        ];
        let mut command = vec!["prometheus"];
        command.extend(options.iter().map(String::as_str));
        let daemon = Daemon::start(&command, &home.path().join("log"));
        Self { address, daemon, _home: home }
    }

    /// What a query answers at this moment: the numbers of all series.
    fn ask(&self, query: &str) -> Result<Vec<f64>, String> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(query))).ok_or("no answer")?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let series = answer["data"]["result"].as_array().unwrap();
        Ok(series.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect())
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }
}

/// As it may stand in an address (RFC 3986).
fn encoded(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(octet).collect()
}

/// A certificate for the panel that shows how long it is valid.
fn certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["mx.example.org".to_owned()]).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    format!("['{} {}']", chain.display(), key.display())
}

/// One of each kind, so that everything has something to count.
fn visits(prescreen: &Prescreen) {
    let script = "smtp.sendmail('sender@example.com', ['dashboard@example.org'], message)";
    smtplib(client(80), prescreen.smtp, script, &message("dashboard", "hello\r\n")).sent();
    let mut listed = Talk::greeted(LISTED, prescreen.smtp);
    listed.envelope("sender@example.com", "user@example.org");
    listed.ask("QUIT", "221 ");
    let mut relay = Talk::greeted(client(81), prescreen.smtp);
    relay.envelope("sender@example.com", "user@elsewhere.example");
    relay.closed();
    let mut hasty = Talk::connect(client(82), prescreen.smtp);
    hasty.send(b"EHLO client.example.com\r\n");
    hasty.expect("220 ");
    hasty.half_close();
    hasty.closed();
}

/// The queries of a panel, or of the whole dashboard, as Grafana would send them.
fn queries(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let expressions = targets.iter().filter_map(|target| target["expr"].as_str());
    expressions
        .map(|expression| {
            expression.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
        })
        .collect()
}

#[test]
fn every_query_of_every_panel_has_an_answer() {
    let (postfix, dns) = (Postfix::start(), Dns::start(&[LISTED]));
    let redis = Redis::start(servers()[0], &[]);
    let folder = tempfile::tempdir().unwrap();
    let prescreen = Config::before(&postfix, &dns)
        .set("dnsbl.sites", &format!("['{LIST}']"))
        // What would have been refused is a query of its own.
        .set("restrictions.sender", "'warn_if_reject reject'")
        .set("allowlist.shared", &format!("'redis://{}'", redis.address))
        .set("tls.starttls", "'terminate'")
        .set("tls.certificates", &certificate(folder.path()))
        .start();
    let prometheus = Prometheus::scraping(prescreen.admin());
    // Rates are made of two scrapes: what was counted before the first would not show.
    eventually("Prometheus to scrape", || {
        prometheus.ask("up{job='prescreen'} == 1").ok().filter(|up| !up.is_empty())
    });
    visits(&prescreen);

    let dashboard =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/prescreen.json"));
    let dashboard: Value = serde_json::from_str(&dashboard.unwrap()).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for query in queries(panel) {
            asked += 1;
            // A number, not "not a number": 0 of 0 answers nothing.
            eventually(&format!("an answer to {title}: {query}"), || {
                let numbers = prometheus.ask(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
                numbers.iter().any(|number| number.is_finite()).then_some(())
            });
        }
    }
    assert!(asked > 60, "{asked} queries");
    // Of the alerts, none has anything to say of this.
    let firing = prometheus.ask("ALERTS{alertstate='firing'}").unwrap();
    assert!(firing.is_empty(), "{}", prometheus.daemon.log());

    let (_, page) = prescreen.fetch("/metrics").unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut checking = promtool.spawn().unwrap();
    checking.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let checked = checking.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}
