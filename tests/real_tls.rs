//! TLS with software that other people wrote: ended here, passed through, and with a backend across a network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;

use support::authority::{Authority, Signed};
use support::clients::{self, Ran, smtplib, swaks};
use support::daemon::Daemon;
use support::dns::Dns;
use support::message::{message, received};
use support::mta::Mta;
use support::postfix::Postfix;
use support::prescreen::{Config, Prescreen};
use support::talk::Talk;
use support::{client, eventually, free_address};
use tempfile::TempDir;

const SENDER: &str = "sender@example.com";
/// What prescreen's certificate bears.
const NAME: &str = "mx.example.org";
/// And the backend's.
const BACKEND: &str = "backend.example.org";

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);
/// Signed once: while it is written over for one test, another one's prescreen may read it.
static SIGNED: LazyLock<Signed> = LazyLock::new(|| AUTHORITY.sign(NAME));
static DNS: LazyLock<Dns> = LazyLock::new(|| Dns::start(&[]));

/// Offers STARTTLS, and tells in each Received field what came of it.
static POSTFIX: LazyLock<Postfix> = LazyLock::new(|| postfix_with(&[]));

/// What smtpd(8) asks for tickets and random numbers.
const TLSMGR: &str = "tlsmgr unix - - n 1000? 1 tlsmgr\n";

fn postfix_with(settings: &[&str]) -> Postfix {
    let signed = AUTHORITY.sign(BACKEND);
    let chain = format!("smtpd_tls_cert_file = {}", signed.chain.display());
    let key = format!("smtpd_tls_key_file = {}", signed.key.display());
    let tls = ["smtpd_tls_security_level = may", "smtpd_tls_received_header = yes", &chain, &key];
    Postfix::start_serving(TLSMGR, &[&tls[..], settings].concat())
}

/// Whose certificate a client meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Terminate,
    Passthrough,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Terminate, Self::Passthrough];

    fn certificate(self) -> &'static str {
        match self {
            Self::Terminate => NAME,
            Self::Passthrough => BACKEND,
        }
    }

    fn config(self) -> Config {
        let config = Config::before(&POSTFIX, &DNS);
        match self {
            Self::Terminate => terminating(config),
            Self::Passthrough => config.set("tls.starttls", "'passthrough'"),
        }
    }

    /// One for all tests.
    fn prescreen(self) -> &'static Prescreen {
        static TERMINATE: LazyLock<Prescreen> = LazyLock::new(|| Mode::Terminate.config().start());
        static PASSTHROUGH: LazyLock<Prescreen> = LazyLock::new(|| Mode::Passthrough.config().start());
        match self {
            Self::Terminate => &TERMINATE,
            Self::Passthrough => &PASSTHROUGH,
        }
    }
}

fn terminating(config: Config) -> Config {
    config.set("tls.starttls", "'terminate'").set("tls.certificates", &SIGNED.toml())
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Clear,
    Tls12,
    Tls13,
}

impl Speech {
    const ALL: [Self; 3] = [Self::Clear, Self::Tls12, Self::Tls13];

    fn version(self) -> Option<&'static str> {
        match self {
            Self::Clear => None,
            Self::Tls12 => Some("1.2"),
            Self::Tls13 => Some("1.3"),
        }
    }
}

/// Has one client send in every mode and speech, and looks at what has arrived.
#[track_caller]
fn delivers(name: &str, from: Ipv4Addr, send: impl Fn(Mode, SocketAddr, Speech, &str) -> Ran) {
    for mode in Mode::ALL {
        for speech in Speech::ALL {
            let user = format!("{name}-{mode:?}-{speech:?}").to_lowercase();
            send(mode, mode.prescreen().smtp, speech, &format!("{user}@example.org")).sent();
            let mail = POSTFIX.mailbox.await_messages(&user, 1).remove(0);
            let field = received(&mail);
            assert!(field.contains(&format!("[{from}]")), "{user}: {field}");
            // Where TLS ends here, the backend knows it in clear.
            let version = speech.version().filter(|_| mode == Mode::Passthrough);
            match version {
                Some(version) => assert!(field.contains(&format!("using TLSv{version}")), "{user}: {field}"),
                None => assert!(!field.contains("using TLS"), "{user}: {field}"),
            }
        }
    }
}

#[test]
fn swaks_delivers() {
    let from = client(130);
    delivers("swaks", from, |mode, to, speech, recipient| {
        let ca = AUTHORITY.ca().display().to_string();
        let protocol = speech.version().map(|version| format!("tlsv{}", version.replace('.', "_")));
        let mut options = vec!["--from", SENDER, "--to", recipient];
        if let Some(protocol) = &protocol {
            options.extend(["--tls", "--tls-verify", "--tls-ca-path", &ca, "--tls-sni", mode.certificate()]);
            options.extend(["--tls-protocol", protocol]);
        }
        swaks(from, to, &options, &message("swaks", "hello\r\n"))
    });
}

#[test]
fn smtplib_delivers() {
    let from = client(131);
    delivers("smtplib", from, |mode, to, speech, recipient| {
        let mut script = String::new();
        if let Some(version) = speech.version() {
            script = starttls(mode.certificate(), version);
        }
        write!(script, "smtp.sendmail('{SENDER}', ['{recipient}'], message)").unwrap();
        smtplib(from, to, &script, &message("smtplib", "hello\r\n"))
    });
}

/// Python that begins TLS of one version, and believes nobody but our authority.
fn starttls(certificate: &str, version: &str) -> String {
    format!(
        "import ssl\n\
         context = ssl.create_default_context(cafile='{}')\n\
         context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv{}\n\
         smtp._host = '{certificate}'\n\
         smtp.starttls(context=context)\n",
        AUTHORITY.ca().display(),
        version.replace('.', "_"),
    )
}

#[test]
fn curl_delivers() {
    let from = client(132);
    delivers("curl", from, |mode, to, speech, recipient| {
        let (ca, port) = (AUTHORITY.ca().display().to_string(), to.port());
        let url = format!("smtp://{}:{port}/mail.example.com", mode.certificate());
        let resolve = format!("{}:{port}:127.0.0.1", mode.certificate());
        let from = from.to_string();
        let mut options = vec!["--silent", "--show-error", "--url", &url, "--resolve", &resolve];
        options.extend(["--interface", &from, "--mail-from", SENDER, "--mail-rcpt", recipient]);
        options.extend(["--upload-file", "-"]);
        match speech {
            Speech::Clear => {}
            Speech::Tls12 => options.extend(["--ssl-reqd", "--cacert", &ca, "--tls-max", "1.2"]),
            Speech::Tls13 => options.extend(["--ssl-reqd", "--cacert", &ca, "--tlsv1.3"]),
        }
        clients::client("curl", &options, &message("curl", "hello\r\n"))
    });
}

#[test]
fn msmtp_delivers() {
    let from = client(133);
    delivers("msmtp", from, |mode, to, speech, recipient| {
        let file = TempDir::with_prefix("prescreen-msmtp-").unwrap();
        let mut config = format!(
            "account default\nhost 127.0.0.1\nport {}\nfrom {SENDER}\ndomain mail.example.com\nsource_ip {from}\n",
            to.port(),
        );
        if let Some(version) = speech.version() {
            let ca = AUTHORITY.ca();
            let (name, ca) = (mode.certificate(), ca.display());
            // GnuTLS's way to say which version.
            let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS{version}");
            writeln!(config, "tls on\ntls_starttls on\ntls_trust_file {ca}\ntls_host_override {name}")
                .unwrap();
            writeln!(config, "tls_priorities {priority}").unwrap();
        }
        let path = file.path().join("msmtprc");
        fs::write(&path, config).unwrap();
        let options = ["--file", path.to_str().unwrap(), "--", recipient];
        clients::client("msmtp", &options, &message("msmtp", "hello\r\n"))
    });
}

/// Its part of SMTP is played by hand, in lock-step.
const S_CLIENT: &str = r#"
    coproc S { openssl s_client -quiet -verify_quiet -crlf "$@"; }
    exec 5<&"${S[0]}" 6>&"${S[1]}"
    hears() { while IFS= read -r line <&5; do echo "$line"; [[ $line != "$1 "* ]] || return 0; done; exit 1; }
    says() { printf '%s\n' "$1" >&6; hears "$2"; }
    says "EHLO mail.example.com" 250
    says "MAIL FROM:<$SENDER>" 250
    says "RCPT TO:<$RECIPIENT>" 250
    says "DATA" 354
    says "$(cat)
." 250
    says "QUIT" 221
"#;

#[test]
fn openssl_s_client_delivers() {
    for mode in Mode::ALL {
        for version in ["-tls1_2", "-tls1_3"] {
            let user = format!("s_client-{mode:?}{version}").to_lowercase();
            let (ca, to) = (AUTHORITY.ca().display().to_string(), mode.prescreen().smtp.to_string());
            let sender = format!("SENDER={SENDER}");
            let recipient = format!("RECIPIENT={user}@example.org");
            let mut options = vec![&*sender, &recipient, "bash", "-c", S_CLIENT, "s_client", version];
            options.extend(["-starttls", "smtp", "-connect", &to, "-CAfile", &ca, "-verify_return_error"]);
            options.extend(["-verify_hostname", mode.certificate(), "-servername", mode.certificate()]);
            clients::client("env", &options, "Subject: s_client\n\nhello").sent();
            POSTFIX.mailbox.await_messages(&user, 1);
        }
    }
}

/// smtp(8), which takes mail on its own direct port and knows no other way than through prescreen: one for each mode
/// and speech.
#[test]
fn postfix_delivers() {
    let ways = || Mode::ALL.into_iter().flat_map(|mode| Speech::ALL.map(|speech| (mode, speech)));
    let way = |mode: Mode, speech: Speech| format!("postfix-{mode:?}-{speech:?}").to_lowercase();
    let (mut services, mut routes) = (TLSMGR.to_owned(), String::from("transport_maps = regexp:{"));
    for (mode, speech) in ways() {
        let (level, versions) = match speech {
            Speech::Clear => ("none", ">=TLSv1.2"),
            Speech::Tls12 => ("secure", "!TLSv1.3"),
            Speech::Tls13 => ("secure", ">=TLSv1.3"),
        };
        let (way, name, port) = (way(mode, speech), mode.certificate(), mode.prescreen().smtp.port());
        writeln!(
            services,
            "{way} unix - - n - - smtp -o smtp_tls_security_level={level} \
             -o smtp_tls_mandatory_protocols={versions} -o smtp_tls_secure_cert_match={name}"
        )
        .unwrap();
        write!(routes, " {{/^{way}@/ {way}:[127.0.0.1]:{port}}}").unwrap();
    }
    routes.push_str(" }");
    let ca = format!("smtp_tls_CAfile = {}", AUTHORITY.ca().display());
    let from = format!("smtp_bind_address = {}", client(134));
    let relay = ["mynetworks = 127.0.0.0/8", "virtual_mailbox_domains = nowhere.example"];
    let may = ["smtpd_relay_restrictions = permit_mynetworks, reject", "smtp_tls_loglevel = 1"];
    let sender = Postfix::start_serving(&services, &[&[&*routes, &ca, &from][..], &relay, &may].concat());
    for (mode, speech) in ways() {
        let user = way(mode, speech);
        let mut talk = Talk::greeted(client(1), sender.direct);
        assert_eq!(talk.envelope(SENDER, &format!("{user}@example.org")).code, 250);
        talk.ask("DATA", "354 ");
        talk.send(b"Subject: postfix\r\n\r\nhello\r\n.\r\n");
        talk.expect("250 ");
        talk.ask("QUIT", "221 ");
        POSTFIX.mailbox.await_messages(&user, 1);
        if let Some(version) = speech.version() {
            sender.await_log(&[
                "Verified TLS connection established",
                &format!(":{}:", mode.prescreen().smtp.port()),
                &format!("TLSv{version}"),
            ]);
        }
    }
}

#[test]
fn exim_delivers() {
    for mode in Mode::ALL {
        for speech in [Speech::Clear, Speech::Tls13] {
            let tls = if speech == Speech::Clear { "" } else { "*" };
            let Some(exim) = Mta::exim_towards(mode.prescreen().smtp, tls) else { return };
            let user = format!("exim-{mode:?}-{speech:?}").to_lowercase();
            let mut talk = Talk::greeted(client(1), exim.direct);
            assert_eq!(talk.envelope(SENDER, &format!("{user}@example.org")).code, 250);
            talk.ask("DATA", "354 ");
            talk.send(b"Subject: exim\r\n\r\nhello\r\n.\r\n");
            talk.expect("250 ");
            POSTFIX.mailbox.await_messages(&user, 1);
            let delivered = eventually("Exim to note the delivery", || {
                exim.log().lines().find(|line| line.contains(" => ")).map(str::to_owned)
            });
            assert_eq!(delivered.contains("X=TLS1.3"), speech == Speech::Tls13, "{delivered}");
        }
    }
}

/// Whatever stands behind STARTTLS, and however the network cuts it, nobody ever reads it: not here, not as if it stood
/// inside TLS, and not the backend.
#[test]
fn nothing_survives_that_is_injected_behind_starttls() {
    const INJECTED: &[u8] =
        b"STARTTLS\r\nRSET\r\nMAIL FROM:<attacker@example.com>\r\nRCPT TO:<injected@example.org>\r\n\
        DATA\r\nSubject: injected\r\n\r\ninjected\r\n.\r\nQUIT\r\n";
    for mode in Mode::ALL {
        // No other test shall catch what this one must.
        let prescreen = mode
            .config()
            .set("screen.greet_wait", "'1ms'")
            .set("screen.pipelining_enable", "'no'")
            .set("errors.hard_error_limit", "100")
            .set("limits.client_connection_rate_limit", "0")
            .start();
        let splits = 1..INJECTED.len();
        let count = splits.len() as u32;
        for split in splits {
            let mut talk = Talk::greeted(client(140), prescreen.smtp);
            let (first, second) = INJECTED.split_at(split);
            talk.send(first);
            // The moment behind the whole command: what follows is read as the handshake that it is not.
            if split == b"STARTTLS\r\n".len() {
                talk.expect("220 ");
            }
            let _ = talk.try_send(second);
            let said = String::from_utf8_lossy(&talk.rest()).into_owned();
            assert!(!said.contains("250 ") && !said.contains("354 "), "split {split}: {said}");
        }
        prescreen.await_connections(f64::from(count));
    }
    assert!(POSTFIX.mailbox.messages("injected").is_empty());
    assert!(!POSTFIX.log().contains("injected") && !POSTFIX.log().contains("attacker"));
}

/// Who is refused by a list, or listed, is not handed over.
#[test]
fn a_session_is_handed_over_only_if_the_lists_permit_its_client() {
    let prescreen = Mode::Passthrough
        .config()
        .set("restrictions.client", "'check_client_access inline:{ 127.0.0.141=REJECT }'")
        .set("restrictions.helo", "'check_helo_access inline:{ { zombie.example = 450 4.7.1 later } }'")
        .start();
    let mut talk = Talk::greeted(client(141), prescreen.smtp);
    talk.say("STARTTLS");
    assert_eq!(talk.closed()[0].code, 554);
    let mut talk = Talk::connect(client(142), prescreen.smtp);
    talk.expect("220 ");
    talk.ask("EHLO zombie.example", "250 ");
    talk.say("STARTTLS");
    assert_eq!(talk.closed()[0].text(), "450 4.7.1 <zombie.example>: Helo command rejected: later");
    assert!(!POSTFIX.log().contains("127.0.0.141") && !POSTFIX.log().contains("127.0.0.142"));
    let script = starttls(BACKEND, "1.3");
    smtplib(client(143), prescreen.smtp, &script, "").sent();
    prescreen.await_connections(3.0);
    assert_eq!(prescreen.connections(&["outcome=\"passed_through\""]), 1.0, "{}", prescreen.log());
}

#[test]
fn tls_can_be_required_of_clients_and_of_domains() {
    let prescreen = Mode::Terminate
        .config()
        .set("tls.required", "'cidr:{ {127.0.0.144/32 yes} }'")
        .set(
            "restrictions.sender",
            "'check_sender_access inline:{ secure.example=reject_plaintext_session }'",
        )
        .start();
    let mut talk = Talk::greeted(client(144), prescreen.smtp);
    talk.ask(&format!("MAIL FROM:<{SENDER}>"), "530 5.7.0 Must issue a STARTTLS command first");
    talk.ask("QUIT", "221 ");
    let send = |from: u8, sender: &str, script: &str| {
        let script = format!("{script}smtp.sendmail('{sender}', ['required@example.org'], message)");
        smtplib(client(from), prescreen.smtp, &script, &message("required", "hello\r\n"))
    };
    send(144, SENDER, &starttls(NAME, "1.3")).sent();
    send(145, SENDER, "").sent();
    let refused = send(146, "a@secure.example", "");
    assert!(refused.said.contains("Session encryption is required"), "{}", refused.said);
    send(147, "a@secure.example", &starttls(NAME, "1.2")).sent();
    POSTFIX.mailbox.await_messages("required", 3);
}

/// The name of 127.0.0.1 is `localhost`, and leads back to it.
#[test]
fn names_of_whom_tls_is_required_are_looked_up_only_where_names_are() {
    for (looked_up, reply) in [("yes", "530 5.7.0 "), ("no", "250 ")] {
        let config = Mode::Terminate.config().set("tls.required", "'localhost'");
        let prescreen = config.set("restrictions.peername_lookup", &format!("'{looked_up}'")).start();
        let mut talk = Talk::greeted(client(1), prescreen.smtp);
        talk.ask(&format!("MAIL FROM:<{SENDER}>"), reply);
        talk.ask("QUIT", "221 ");
    }
}

/// A new pair is served without a word to the program; a broken one is told of, and the old one goes on.
#[test]
fn a_renewed_certificate_is_served_at_once_and_a_broken_one_never() {
    let authority = Authority::new();
    let signed = authority.sign(NAME);
    let prescreen = Mode::Terminate.config().set("tls.certificates", &signed.toml()).start();
    let shown = || {
        let to = prescreen.smtp.to_string();
        let ca = authority.ca().display().to_string();
        let options =
            ["s_client", "-starttls", "smtp", "-connect", &to, "-CAfile", &ca, "-verify_return_error"];
        let said = clients::client("openssl", &options, "").sent().said;
        let pem = said.split_once("-----BEGIN CERTIFICATE-----").unwrap().1;
        pem.split_once("-----END CERTIFICATE-----").unwrap().0.trim().to_owned()
    };
    let is_in_file =
        |shown: &str| fs::read_to_string(&signed.chain).unwrap().replace("\r\n", "\n").contains(shown);
    let first = shown();
    assert!(is_in_file(&first));

    fs::write(&signed.key, "no key at all").unwrap();
    prescreen.signal("HUP");
    prescreen.await_log("reload refused");
    assert_eq!(shown(), first);

    authority.sign(NAME);
    let second = eventually("the new certificate", || Some(shown()).filter(|shown| is_in_file(shown)));
    assert_ne!(first, second);
    assert_eq!(prescreen.metric("prescreen_tls_certificate_last_reload_successful", &[]), 1.0);
}

/// TLS on both sides, and every transaction looked at in between.
#[test]
fn a_backend_across_a_network_is_spoken_with_in_tls() {
    let ca = format!("'{}'", AUTHORITY.ca().display());
    for (from, inspect) in [(150, "connection"), (151, "transaction")] {
        let prescreen = terminating(Config::before(&POSTFIX, &DNS))
            .set("backend.tls", "'starttls'")
            .set("backend.tls_ca", &ca)
            .set("backend.tls_name", &format!("'{BACKEND}'"))
            .set("relay.inspect", &format!("'{inspect}'"))
            .start();
        let user = format!("encrypted-{inspect}");
        let script = format!(
            "{}for _ in range(2): smtp.sendmail('{SENDER}', ['{user}@example.org'], message)",
            starttls(NAME, "1.3")
        );
        let message = message(&user, &support::message::long_body(200_000));
        smtplib(client(from), prescreen.smtp, &script, &message).sent();
        for mail in POSTFIX.mailbox.await_messages(&user, 2) {
            let field = received(&mail);
            assert!(
                field.contains("using TLSv1.3") && field.contains(&format!("[127.0.0.{from}]")),
                "{field}"
            );
        }
    }
}

/// Whatever is wrong with it, the client is told to come again, somebody is told why, and nothing goes in clear.
#[test]
fn a_backend_that_cannot_be_believed_is_told_nothing() {
    let other = Authority::new();
    for (from, ca, name, trouble) in
        [(152, other.ca(), BACKEND, "untrusted"), (153, AUTHORITY.ca(), "mail.example.net", "untrusted")]
    {
        let prescreen = Config::before(&POSTFIX, &DNS)
            .set("backend.tls", "'starttls'")
            .set("backend.tls_ca", &format!("'{}'", ca.display()))
            .set("backend.tls_name", &format!("'{name}'"))
            .launch();
        let mut talk = Talk::greeted(client(from), prescreen.smtp);
        assert_eq!(talk.envelope(SENDER, "unbelieved@example.org").code, 451);
        talk.ask("QUIT", "221 ");
        let labels = ["phase=\"tls\"", &format!("trouble=\"{trouble}\"")];
        prescreen.await_metric("prescreen_backend_failures_total", &labels, 1.0);
        prescreen.await_log("backend is down");
        assert_eq!(prescreen.fetch("/readyz").unwrap().0, 503);
        assert!(!POSTFIX.log().contains("unbelieved"));
    }
}

/// Brings sslyze from PyPI on first use, and lets it look at what is shown with Mozilla's eyes.
const SSLYZE: &str = r#"
    set -e
    folder=$1
    shift
    if [ ! -e "$folder" ]; then
        rm -rf "$folder.new"
        python3 -m venv --copies "$folder.new"
        "$folder.new/bin/python3" -m pip install --quiet --disable-pip-version-check sslyze==6.3.1
        mv "$folder.new" "$folder"
    fi
    exec "$folder/bin/python3" -m sslyze --starttls smtp --mozilla_config intermediate "$@"
"#;

#[test]
fn sslyze_finds_nothing_to_complain_of() {
    let prescreen = Mode::Terminate.config().set("screen.greet_wait", "'1ms'").start();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sslyze");
    let (ca, target) = (AUTHORITY.ca(), format!("{NAME}:{}{{127.0.0.1}}", prescreen.smtp.port()));
    let options =
        ["-c", SSLYZE, "sslyze", folder.to_str().unwrap(), "--certinfo_ca_file", ca.to_str().unwrap()];
    let ran = clients::client("bash", &[&options[..], &[&target]].concat(), "").sent();
    assert!(ran.said.contains("OK - Compliant"), "{}", ran.said);
}

/// HAProxy in front, which tells who the client is and knows nothing of STARTTLS.
#[test]
fn a_client_behind_haproxy_is_known_with_and_without_tls() {
    let (v1, v2) = (free_address(), free_address());
    let config = Mode::Terminate
        .config()
        .listener("proxy_protocol", "'required'")
        .listener("trusted", "['127.0.0.1']");
    let prescreen = config.start();
    let folder = TempDir::with_prefix("prescreen-haproxy-").unwrap();
    let file = folder.path().join("haproxy.cfg");
    let mut text =
        String::from("defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n");
    for (address, version) in [(v1, "send-proxy"), (v2, "send-proxy-v2")] {
        writeln!(text, "listen {version}\n bind {address}\n server it {} {version}", prescreen.smtp).unwrap();
    }
    fs::write(&file, text).unwrap();
    let mut haproxy =
        Daemon::start(&["haproxy", "-db", "-f", file.to_str().unwrap()], &folder.path().join("log"));
    haproxy.await_ready("HAProxy", || std::net::TcpStream::connect(v2).is_ok());

    for (number, (to, script)) in
        [(v1, String::new()), (v1, starttls(NAME, "1.2")), (v2, String::new()), (v2, starttls(NAME, "1.3"))]
            .into_iter()
            .enumerate()
    {
        let (from, user) = (client(160 + number as u8), format!("haproxy-{number}"));
        let script = format!("{script}smtp.sendmail('{SENDER}', ['{user}@example.org'], message)");
        smtplib(from, to, &script, &message("haproxy", "hello\r\n")).sent();
        let mail = POSTFIX.mailbox.await_messages(&user, 1).remove(0);
        assert!(received(&mail).contains(&format!("[{from}]")), "{}", received(&mail));
    }
}
