//! What is shipped for operators is what their tools take: units, manifests, images, configurations, documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_prescreen");
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files of a folder of ours, with their names from the root on.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.filter(|path| path.is_file()).map(|path| path.file_name().unwrap().to_owned());
    let mut names: Vec<_> = names.map(|name| format!("{folder}/{}", name.to_str().unwrap())).collect();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    assert!(!names.is_empty(), "nothing in {folder}");
    names
}

fn run(command: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(command);
    command.args(arguments).current_dir(root());
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"))
}

#[track_caller]
fn succeeds(command: &str, arguments: &[&str]) -> String {
    let output = run(command, arguments);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {arguments:?}: {said}");
    said.into_owned()
}

/// `systemd-analyze verify` wants the programs that a unit starts, so ours stands where the unit has it. With what the
/// documents add to the service.
#[test]
fn systemd_takes_the_units_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let routes = root().join("deploy/transparent.sh");
    let here = |text: &str| {
        text.replace("/usr/bin/prescreen", PROGRAM)
            .replace("/usr/share/prescreen/transparent.sh", routes.to_str().unwrap())
    };
    let mut arguments = vec!["verify".to_owned(), "--man=no".to_owned()];
    for unit in ["prescreen.service", "prescreen.socket"] {
        let file = folder.path().join(unit);
        fs::write(&file, here(&read(&format!("deploy/systemd/{unit}")))).unwrap();
        arguments.push(file.to_str().unwrap().to_owned());
    }
    let additions = folder.path().join("prescreen.service.d");
    fs::create_dir(&additions).unwrap();
    for (number, text) in blocks(&read("deploy/docs/identity.md"), "ini").iter().enumerate() {
        fs::write(additions.join(format!("{number}.conf")), here(text)).unwrap();
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let said = succeeds("systemd-analyze", &arguments);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("prescreen")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

/// From 0, which no network service reaches, to 10; most of Debian's have 9.
#[test]
fn the_service_is_exposed_to_less_than_two() {
    let unit = "deploy/systemd/prescreen.service";
    succeeds("systemd-analyze", &["security", "--offline=true", "--threshold=20", unit]);
}

#[test]
fn user_and_folders_come_into_being() {
    let home = tempfile::tempdir().unwrap();
    let root = format!("--root={}", home.path().display());
    fs::create_dir(home.path().join("etc")).unwrap();
    let file = |name: &str| self::root().join("deploy/systemd").join(name).to_str().unwrap().to_owned();
    succeeds("systemd-sysusers", &[&root, &file("prescreen.sysusers")]);
    let users = fs::read_to_string(home.path().join("etc/passwd")).unwrap();
    assert!(users.lines().any(|line| line.starts_with("prescreen:x:")), "{users}");
    succeeds("systemd-tmpfiles", &[&root, "--create", &file("prescreen.tmpfiles")]);
    assert!(home.path().join("var/lib/prescreen").is_dir());
}

#[test]
fn scripts_are_shell() {
    for folder in ["deploy", "deploy/docker", "deploy/debian", "deploy/debian/scripts", "deploy/systemd"] {
        for file in files(folder, "") {
            let text = read(&file);
            let Some(shell) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else { continue };
            succeeds(if shell.ends_with("bash") { "bash" } else { "sh" }, &["-n", &file]);
        }
    }
}

/// A second `up` adds nothing, so one `down` leaves nothing.
#[test]
fn transparent_routes_stand_once() {
    if !run("unshare", &["-n", "ip", "rule"]).status.success() {
        println!("skipped: no network namespace to be had (it takes root, unshare and ip)");
        return;
    }
    for (family, address) in [("-4", "127.0.0.1"), ("-6", "::1")] {
        let script = format!(
            "ip link set lo up
            for turn in 1 2; do deploy/transparent.sh up {address} 10025; done
            ip {family} rule list | grep -c 10025
            for turn in 1 2; do deploy/transparent.sh down {address} 10025; done
            ip {family} rule list | grep -c 10025 || true"
        );
        assert_eq!(succeeds("unshare", &["-n", "sh", "-ec", &script]), "1\n0\n", "{address}");
    }
}

/// Kubernetes' own schemas, strictly: an unknown field is an error. They have no PodMonitor, which is Prometheus
/// operator's; that has a schema of its own.
#[test]
fn kubernetes_takes_the_manifests() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemas");
    succeeds("tests/schemas", &[folder.to_str().unwrap()]);
    let manifests = files("deploy/kubernetes", ".yaml");
    let mut arguments = vec!["--strict"];
    arguments.extend(manifests.iter().map(String::as_str));
    let said = succeeds(folder.join("bin/kubernetes-validate").to_str().unwrap(), &arguments);
    let complaints: Vec<_> = said.lines().filter(|line| line.starts_with("WARN")).collect();
    assert_eq!(complaints.len(), manifests.len(), "{said}");
    assert!(complaints.iter().all(|line| line.contains("kind PodMonitor")), "{said}");
    assert!(said.lines().filter(|line| line.starts_with("INFO")).count() >= 10, "{said}");

    let said = succeeds("sh", &["-c", PODMONITORS, "sh", folder.to_str().unwrap()]);
    assert_eq!(
        said.lines().filter(|line| line.ends_with("is a PodMonitor")).count(),
        manifests.len(),
        "{said}"
    );
}

/// From the manifests, as JSON, to the validator.
const PODMONITORS: &str = r#"
    set -eu
    "$1/bin/python" -c '
import json, sys, yaml
for file in sys.argv[1:]:
    for document in yaml.safe_load_all(open(file)):
        if document["kind"] == "PodMonitor": print(json.dumps(document))
' deploy/kubernetes/*.yaml | node tests/podmonitors.mjs "$1" 2>&1
"#;

/// The configurations in the manifests, in the image and in the package, and every complete one in the documents.
#[test]
fn every_configuration_is_a_good_one() {
    let mut configurations: Vec<(String, String)> = Vec::new();
    for file in ["deploy/prescreen.toml", "deploy/docker/prescreen.toml", "deploy/debian/prescreen.toml"] {
        configurations.push((file.to_owned(), read(file)));
    }
    for file in files("deploy/kubernetes", ".yaml") {
        let text = read(&file);
        let (_, rest) = text.split_once("  prescreen.toml: |\n").unwrap();
        let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
        configurations.push((file, lines.map(|line| format!("{}\n", line.trim())).collect()));
    }
    let mut documents = files("deploy/docs", ".md");
    documents.push("README.md".to_owned());
    for file in documents {
        configurations.extend(blocks(&read(&file), "toml").into_iter().map(|text| (file.clone(), text)));
    }
    assert!(configurations.len() > 10, "{}", configurations.len());
    for (file, text) in configurations {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prescreen.toml");
        fs::write(&path, &text).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["check", "--config"]).arg(&path).env("PRESCREEN_HOSTNAME", "mx.example.org");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // What a page shows may name files that only its reader has.
        let wrong: Vec<_> = said
            .lines()
            .filter(|line| line.contains("prescreen.toml:") && !line.contains("No such file"))
            .collect();
        let wrong: Vec<_> = wrong.into_iter().filter(|line| !line.starts_with("warning")).collect();
        assert!(wrong.is_empty(), "{file}:\n{text}\n{wrong:#?}");
    }
}

/// The variables in the compose file and in those of the documents, with their values.
#[test]
fn every_environment_is_a_good_one() {
    for file in ["deploy/compose/compose.yaml", "deploy/docs/docker-mailserver.md", "deploy/docs/mailcow.md"]
    {
        let text = read(file);
        let lines = text.lines().filter_map(|line| line.trim().split_once(": "));
        let variables: Vec<_> = lines
            .filter(|(name, _)| name.starts_with("PRESCREEN_"))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        assert!(variables.len() > 3, "{file}: {variables:?}");
        let output = Command::new(PROGRAM).arg("check").envs(variables).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("PRESCREEN_"), "{file}: {said}");
    }
}

/// Blocks of a language in a Markdown text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (&mut block, line.trim_start().strip_prefix("```")) {
            (None, Some(found)) if found.trim() == language => block = Some(String::new()),
            (Some(_), Some(_)) => blocks.extend(block.take()),
            (Some(lines), None) => lines.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    blocks
}

#[test]
fn the_version_is_one() {
    for (file, words) in [
        ("deploy/docker/Dockerfile", format!("ARG VERSION={VERSION}\n")),
        ("deploy/kubernetes/sidecar.yaml", format!("image: prescreen:{VERSION}\n")),
        ("deploy/kubernetes/proxied.yaml", format!("image: prescreen:{VERSION}\n")),
    ] {
        assert!(read(file).contains(&words), "{file}: {words}");
    }
}

/// What the package takes in is there, or made by its script.
#[test]
fn the_package_takes_in_what_is_there() {
    let manifest = read("Cargo.toml");
    let (_, assets) = manifest.split_once("\nassets = [\n").unwrap();
    let (assets, _) = assets.split_once("\n]").unwrap();
    for asset in assets.lines() {
        let source = asset.split('"').nth(1).unwrap();
        if !source.starts_with("target/package/") {
            let source = source.rsplit_once("/*").map_or(source, |(folder, _)| folder);
            assert!(root().join(source).exists(), "{source}");
        }
    }
}

/// What the documents say of the package's files.
#[test]
fn the_package_has_what_the_documents_name() {
    let manifest = read("Cargo.toml");
    for document in files("deploy/docs", ".md") {
        for rest in read(&document).split("/usr/share/").skip(1) {
            let name = rest.split(|c: char| c.is_whitespace() || "`)\"".contains(c)).next().unwrap();
            let is_there = manifest.contains(&format!("\"usr/share/{name}\""));
            assert!(is_there, "{document}: /usr/share/{name}");
        }
    }
}

/// Links between our own pages.
#[test]
fn every_link_leads_somewhere() {
    let mut documents: Vec<PathBuf> = files("deploy/docs", ".md").into_iter().map(PathBuf::from).collect();
    documents.extend(["README.md", "dashboards/runbook.md"].map(PathBuf::from));
    let mut broken = BTreeSet::new();
    for document in documents {
        let text = read(document.to_str().unwrap());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains(':') {
                continue;
            }
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let Ok(text) = fs::read_to_string(root().join(&target)) else {
                if !root().join(&target).exists() {
                    broken.insert(format!("{}: {link}", document.display()));
                }
                continue;
            };
            let anchors: Vec<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
            if !anchor.is_empty() && !anchors.iter().any(|known| known == anchor) {
                broken.insert(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// As GitHub makes them of headings.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The Postfix of the compose file, as Postfix reads it.
#[test]
fn postfix_takes_its_configuration() {
    let said = succeeds("postconf", &["-c", "deploy/compose/postfix", "-n"]);
    assert!(!said.contains("warning"), "{said}");
    let services = succeeds("postconf", &["-c", "deploy/compose/postfix", "-M"]);
    assert!(services.contains("smtpd_upstream_proxy_protocol=haproxy"), "{services}");
}
