//! The dashboard, the alerts and the documentation say nothing that the metrics do not.

#![allow(clippy::unwrap_used)] // a panic here is a failed test

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs};

use prescreen::metrics::{Metrics, Snapshot};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The metrics that are documented, with their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = Metrics::documentation();
    let rows = text.lines().skip(2).map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let bare = |text: &str| text.trim_matches('`').to_owned();
    rows.map(|row| {
        let labels = row[3].split(", ").filter(|label| !label.is_empty()).map(bare);
        (bare(row[1]), labels.collect())
    })
    .collect()
}

#[test]
fn the_documentation_is_the_table() {
    let expected = format!(
        "# Metrics\n\nWhat `/metrics` shows, all in Prometheus' text format. Values of labels come from closed \
         sets or from the configuration; no client adds a series.\n\n{}",
        Metrics::documentation()
    );
    let file = folder().join("metrics.md");
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    assert!(read("metrics.md") == expected, "dashboards/metrics.md is old; run this test with UPDATE=1");
}

#[test]
fn every_query_asks_for_a_metric_that_exists() {
    let documented = documented();
    let mut queries = expressions(&dashboard());
    queries.extend(
        read("alerts.yml")
            .split("expr:")
            .skip(1)
            .map(|text| text.split("\n        for:").next().unwrap_or_default().to_owned()),
    );
    assert!(queries.len() > 80, "{} queries", queries.len());
    for query in queries {
        for (name, labels) in selectors(&query) {
            let family = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|stem| documented.contains_key(*stem)))
                .unwrap_or(&name);
            let known = documented.get(family).unwrap_or_else(|| panic!("no metric {name}, in {query}"));
            for label in labels {
                let of_prometheus = ["job", "instance", "le"].contains(&label.as_str());
                assert!(of_prometheus || known.contains(&label), "{name} has no {label}, in {query}");
            }
        }
    }
}

#[test]
fn every_metric_is_shown_or_alerted_on() {
    let all = read("prescreen.json") + &read("alerts.yml");
    let unseen: Vec<_> = documented().into_keys().filter(|name| !all.contains(name)).collect();
    // The number of threads, and what clients have reached, are for whoever wants to set a limit.
    assert_eq!(unseen, ["prescreen_rate_clients", "prescreen_rate_peak", "prescreen_threads"]);
}

#[test]
fn panels_are_complete_and_do_not_overlap() {
    let dashboard = dashboard();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id twice");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && cells.insert((x, y)), "{title}: overlaps at {x}, {y}");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title}: description"
        );
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string(), "{title}: unit");
        assert!(defaults["thresholds"]["steps"].is_array(), "{title}: thresholds");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for query in expressions(panel) {
            assert!(query.contains("job=~\"$job\",instance=~\"$instance\""), "{title}: {query}");
        }
    }
}

#[test]
fn every_alert_has_a_page_in_the_runbook() {
    let (alerts, runbook) = (read("alerts.yml"), read("runbook.md"));
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 10);
    for name in names {
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name} is not in runbook.md");
        let anchor = format!("runbook: \"runbook.md#{}\"", name.to_lowercase());
        assert!(alerts.contains(&anchor), "{name} does not point to the runbook");
    }
}

#[test]
fn promtool_agrees() {
    let page = Metrics::new(SystemTime::now()).render(&Snapshot::default());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), page).unwrap();
    let promtool = |arguments: &[&str]| {
        let input = fs::File::open(file.path()).unwrap();
        Command::new("promtool").args(arguments).current_dir(folder()).stdin(input).output()
    };
    if promtool(&["--version"]).is_err() {
        eprintln!("skipped: no promtool (Debian: prometheus)");
        return;
    }
    for arguments in [
        ["check", "metrics"].as_slice(),
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts_test.yml", "alerts_days_test.yml"],
    ] {
        let output = promtool(arguments).unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&read("prescreen.json")).unwrap()
}

/// Every `expr` anywhere below.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(text) if name == "expr" => vec![text.to_owned()],
                _ => expressions(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// Each metric of ours in a query, with the labels that are matched.
fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let starts = query.match_indices("prescreen_").map(|(start, _)| &query[start..]);
    let starts = starts.filter(|text| !text.starts_with("prescreen_.*"));
    starts
        .map(|text| {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            let labels = matchers.split("\",").filter_map(|matcher| matcher.split(['=', '!']).next());
            let labels = labels.map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned);
            (name.to_owned(), labels.collect())
        })
        .collect()
}
