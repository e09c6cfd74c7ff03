use super::*;

fn load(text: &str) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
    load_with(text, &[], &[])
}

fn load_with(
    text: &str,
    overrides: &[&str],
    environment: &[(&str, &str)],
) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
    let source = Source::Text { name: "p.toml".to_owned(), text: text.to_owned(), base: PathBuf::new() };
    let overrides: Vec<Override> = overrides.iter().map(|set| set.parse().unwrap()).collect();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&source, &overrides, environment)
}

fn problems(text: &str) -> Vec<String> {
    load(text).unwrap_err().iter().map(Problem::to_string).collect()
}

#[test]
fn the_last_of_default_file_environment_and_command_line_wins() {
    let file = "[limits]\npre_queue_limit = 50";
    let environment = [("PRESCREEN_LIMITS_PRE_QUEUE_LIMIT", "60")];
    let limit = |loaded: Result<(Config, _), _>| loaded.unwrap().0.limits.pre_queue_limit;
    assert_eq!(limit(load("")), 10_000);
    assert_eq!(limit(load(file)), 50);
    assert_eq!(limit(load_with(file, &[], &environment)), 60);
    assert_eq!(limit(load_with(file, &["limits.pre_queue_limit=70"], &environment)), 70);
}

#[test]
fn every_error_is_named_at_once_with_its_line() {
    let text = "hostnam = \"mx\"\n[limits]\npre_queue_limit = 5\ncommand_time_limit = \"6 parsecs\"\n\n[listne]\na = 1\n";
    assert_eq!(
        problems(text),
        [
            "p.toml:1: hostnam: no such key; did you mean hostname?",
            "p.toml:3: limits.pre_queue_limit = 5: out of range; write a number from 10",
            "p.toml:4: limits.command_time_limit = \"6 parsecs\": not a time; write a number with s, m, h, d or w, such as 6s",
            "p.toml:6: listne: no such key; did you mean listen?",
        ]
    );
}

#[test]
fn syntax_errors_do_not_hide_each_other() {
    let found =
        problems("hostname = \n[limits]\npre_queue_limit = 50\npre_queue_limit = 60\ndrain_time_limit = [");
    assert!(found.iter().any(|problem| problem.starts_with("p.toml:1: ")), "{found:?}");
    assert!(found.contains(&"p.toml:4: given twice; remove one".to_owned()), "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("p.toml:5: ")), "{found:?}");
}

#[test]
fn a_wrong_type_is_explained() {
    assert_eq!(
        problems("hostname = [\"a\"]\nlimits = 5\nlisten = 25"),
        [
            "p.toml:1: hostname = [\"a\"]: a list; write one value, without brackets",
            "p.toml:2: limits = 5: a section, not a key; write [limits] and its keys below",
            "p.toml:3: listen = 25: a list of sections; write [[listen]] for each",
        ]
    );
}

#[test]
fn listeners_come_as_sections_as_a_list_and_from_outside() {
    let sections = "[[listen]]\naddress = \"127.0.0.1:25\"\n[[listen]]\naddress = \"[::1]:25\"\nproxy_protocol = \"required\"\ntrusted = \"10.0.0.0/8\"";
    let (config, _) = load(sections).unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.listen[1].proxy_protocol, ProxyProtocol::Required);
    let (config, _) = load("[[listen]]\n[[listen]]\naddress = \"127.0.0.1:2525\"").unwrap();
    let addresses: Vec<_> = config.listen.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["0.0.0.0:25", "127.0.0.1:2525"]);
    let (config, _) = load("listen = [\"127.0.0.1:25\", \"[::1]:25\"]").unwrap();
    assert_eq!(config.listen[1].address.to_string(), "[::1]:25");
    let (config, _) = load_with(sections, &["listen=127.0.0.1:2525"], &[]).unwrap();
    assert_eq!(config.listen.len(), 1);
    let environment =
        [("PRESCREEN_LISTEN_0_ADDRESS", "127.0.0.2:25"), ("PRESCREEN_LISTEN_PROXY_TIMEOUT", "9")];
    let (config, _) = load_with(sections, &[], &environment).unwrap();
    assert_eq!(config.listen[0].address.to_string(), "127.0.0.2:25");
    assert!(config.listen.iter().all(|listener| listener.proxy_timeout.as_secs() == 9));
}

#[test]
fn a_listener_that_could_not_work_is_refused() {
    let text = "[[listen]]\naddress = \"0.0.0.0:25\"\n[[listen]]\naddress = \"127.0.0.1:25\"\nproxy_protocol = \"required\"\ntrusted = \"0.0.0.0/0\"";
    assert_eq!(
        problems(text),
        [
            "p.toml:4: listen.1.address = \"127.0.0.1:25\": overlaps 0.0.0.0:25 of listen.0; keep one of the two",
            "p.toml:6: listen.1.trusted = \"0.0.0.0/0\": lets the whole Internet name any address as its own; name the proxies' networks",
        ]
    );
}

#[test]
fn secrets_come_from_files_and_foreign_variables_are_only_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("name");
    fs::write(&secret, "mx.example.org\n").unwrap();
    let environment = [
        ("PRESCREEN_HOSTNAME_FILE", secret.to_str().unwrap()),
        ("PRESCREEN_PORT_25_TCP_ADDR", "10.0.0.1"),
        ("PRESCREEN_LIMITS_PREQUEUE_LIMIT", "60"),
        ("HOME", "/root"),
    ];
    let (config, warnings) = load_with("domains.local = \"example.org\"", &[], &environment).unwrap();
    assert_eq!(config.hostname, "mx.example.org");
    let warnings: Vec<_> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        warnings,
        [
            "environment PRESCREEN_LIMITS_PREQUEUE_LIMIT: names no key and is ignored; did you mean PRESCREEN_LIMITS_PRE_QUEUE_LIMIT?"
        ]
    );
    let missing = load_with("", &[], &[("PRESCREEN_HOSTNAME_FILE", "/nonexistent")]).unwrap_err();
    assert_eq!(
        missing[0].to_string(),
        "environment PRESCREEN_HOSTNAME_FILE: hostname: cannot read the file \"/nonexistent\": No such file or \
         directory (os error 2); mount it, or unset the variable"
    );
    let both =
        [("PRESCREEN_HOSTNAME_FILE", secret.to_str().unwrap()), ("PRESCREEN_HOSTNAME", "mx.example.org")];
    let both = load_with("", &[], &both).unwrap_err();
    assert_eq!(
        both[0].to_string(),
        "environment PRESCREEN_HOSTNAME_FILE: hostname: PRESCREEN_HOSTNAME is set, too; unset one of the two"
    );
}

#[test]
fn a_secret_shows_in_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for (key, content) in [
        ("dnsbl.sites", "bl.example, s3cret.zen.example*x"),
        ("dnsbl.sites", "s3cret.zen.example=300"),
        ("screen.greet_wait", "s3cret"),
        ("backend.servers", "s3cret"),
        ("restrictions.classes", "{ a = \"s3cret\" }"),
        ("restrictions.client", "s3cret"),
        ("restrictions.client", "permit_mynetworks, reject_rbl_client s3cret..zen.example=127.0.0.2, reject"),
        ("restrictions.client", "reject_rbl_client bl.example, s3cret, reject, static:s3cret_"),
        ("mynetworks", "10.0.0.0/8, s3cret@example"),
        ("log.format", "s3cret"),
        ("listen", "s3cret"),
    ] {
        fs::write(&file, content).unwrap();
        let variable = format!("{}_FILE", variable(key));
        let wrong = load_with("", &[], &[(&variable, file.to_str().unwrap())]).unwrap_err();
        let told: String = wrong.iter().map(|problem| format!("{problem}\n")).collect();
        assert!(told.contains(&variable) && told.contains(key), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn every_key_can_be_set_by_the_environment_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, mut listen) = (Config::default(), Listener::default());
    let mut all = keys::sections(&mut config);
    all.push(keys::listener(&mut listen));
    let keys = all.iter().flat_map(|section| {
        section.keys.iter().map(|key| (apply::path(section.name, key.name), key.slot.show()))
    });
    let (mut environment, mut files) = (Vec::new(), Vec::new());
    for (key, shown) in keys {
        let Some(shown) = shown else { continue };
        // As a container's environment has it: without TOML's quotes, brackets and escapes.
        let plain = shown.trim_matches(['"', '[', ']']).replace("\", \"", ", ").replace(r"\\", r"\");
        let file = folder.path().join(&key);
        fs::write(&file, format!("{plain}\n")).unwrap();
        files.push((format!("{}_FILE", variable(&key)), file.to_str().unwrap().to_owned()));
        environment.push((variable(&key), plain));
    }
    assert!(environment.len() > 80, "{} keys", environment.len());
    let load = |variables| {
        let loaded = Config::load(&Source::Defaults, &[], variables);
        loaded.map(|(config, _)| format!("{config:?}"))
    };
    let defaults = load(Vec::new()).unwrap();
    assert_eq!(load(environment).unwrap(), defaults);
    assert_eq!(load(files).unwrap(), defaults);
}

#[test]
fn an_error_in_the_environment_names_variable_value_and_remedy() {
    let environment = [
        ("PRESCREEN_LISTEN_1_ADDRESS", "127.0.0.1"),
        ("PRESCREEN_LISTEN", "127.0.0.1:2525, 127.0.0.1:2526"),
        ("PRESCREEN_SCREEN_GREET_WAIT", "6 parsecs"),
    ];
    let wrong = load_with("", &[], &environment).unwrap_err();
    assert_eq!(
        wrong.iter().map(Problem::to_string).collect::<Vec<_>>(),
        [
            "environment PRESCREEN_LISTEN_1_ADDRESS: listen.1.address = \"127.0.0.1\": an address without a port; \
             write one such as 192.0.2.1:25",
            "environment PRESCREEN_SCREEN_GREET_WAIT: screen.greet_wait = \"6 parsecs\": not a time; write a number \
             with s, m, h, d or w, such as 6s",
        ]
    );
}

#[test]
fn the_example_is_the_commented_default() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prescreen.toml");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, example()).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap(), example(), "UPDATE=1 cargo test writes it anew");
}

#[test]
fn the_example_loads_with_and_without_its_comment_signs() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', '#']) => key.to_owned(),
        _ if line == "# [[listen]]" => "[[listen]]".to_owned(),
        _ => line.to_owned(),
    };
    let all: Vec<_> = example().lines().map(uncommented).collect();
    let strip = |config: Config| format!("{config:?}");
    let commented = strip(load(&example()).unwrap().0);
    assert_eq!(commented, strip(load("").unwrap().0));
    assert_eq!(commented, strip(load(&all.join("\n")).unwrap().0));
}

fn warnings(text: &str) -> Vec<String> {
    let text = format!("hostname = \"mx.example.org\"\n[domains]\nlocal = \"example.org\"\n{text}");
    load(&text).unwrap().1.iter().map(Warning::to_string).collect()
}

#[test]
fn the_default_works_and_says_what_it_lacks() {
    let (_, warnings) = load_with("", &["hostname=mx.example.org"], &[]).unwrap();
    let warnings: Vec<_> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        warnings,
        ["default: domains.local: no domains are given, so relay control is the backend's alone"]
    );
}

#[test]
fn postfix_names_are_known_by_their_new_ones() {
    assert_eq!(
        problems("smtpd_hard_error_limit = 1\n[screen]\npostscreen_greet_wait = 6\nhard_error_limit = 1"),
        [
            "p.toml:1: smtpd_hard_error_limit: Postfix's name; here it is errors.hard_error_limit",
            "p.toml:3: screen.postscreen_greet_wait: Postfix's name; here it is screen.greet_wait",
            "p.toml:4: screen.hard_error_limit: no such key; did you mean errors.hard_error_limit?",
        ]
    );
}

#[test]
fn lists_come_as_text_and_as_arrays_and_a_wrong_item_is_blamed_on_its_line() {
    let (config, _) =
        load("[restrictions]\nclient = [\n  \"permit_mynetworks\",\n  \"sleep 1, reject\",\n]").unwrap();
    assert_eq!(config.policy.client, "permit_mynetworks, sleep 1, reject");
    let found = problems("[dnsbl]\nsites = [\n  \"bl.example\",\n  \"bl.example*x\",\n]");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("p.toml:4: dnsbl.sites = \"bl.example*x\": "), "{found:?}");
}

#[test]
fn a_restriction_that_nobody_knows_is_named_with_its_list() {
    let found =
        problems("[restrictions]\nhelo = \"reject_unknown_helo_hostnam\"\nclasses.a = \"permit_mynetwork\"");
    assert_eq!(
        found,
        [
            "p.toml:2: restrictions.helo = \"reject_unknown_helo_hostnam\": `reject_unknown_helo_hostnam` is no restriction and \
             no restriction class; did you mean `reject_unknown_helo_hostname`?",
            "p.toml:3: restrictions.classes.a = \"permit_mynetwork\": `permit_mynetwork` is no restriction and no restriction \
             class; did you mean `permit_mynetworks`?",
        ]
    );
}

#[test]
fn tables_that_cannot_be_read_are_named() {
    let found = problems(
        "mynetworks = \"cidr:/nonexistent/a\"\n[screen]\naccess_list = \"cidr:/nonexistent/b\"\n[domains]\nrelay = \
         \"/nonexistent/c\"\n[restrictions]\nclient = \"check_client_access texthash:/nonexistent/d\"",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    for (line, (key, file)) in [
        ("1", ("mynetworks", "a")),
        ("3", ("screen.access_list", "b")),
        ("5", ("domains.relay", "c")),
        ("7", ("restrictions.client", "d")),
    ] {
        let names = |text: &&String| {
            text.starts_with(&format!("p.toml:{line}: {key} = "))
                && text.contains(&format!("/nonexistent/{file}: "))
                && text.contains("No such file")
        };
        assert!(found.iter().any(|text| names(&text)), "{key}: {found:#?}");
    }
}

#[test]
fn a_broken_table_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clients"), "10.0.0.0/8 permit\n10.1.2.3/8 reject\n").unwrap();
    let source = Source::Text {
        name: "p.toml".to_owned(),
        text: "screen.access_list = \"cidr:clients\"".to_owned(),
        base: folder.path().to_owned(),
    };
    let found = Config::load(&source, &[], []).unwrap_err();
    assert!(found[0].to_string().contains("clients:2: "), "{found:?}");
}

#[test]
fn a_doubtful_table_is_named_by_its_key_and_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("aliases"), "root: reject\n").unwrap();
    for (key, table) in
        [("recipients.local_recipient_maps", ""), ("restrictions.recipient", "check_recipient_access ")]
    {
        let source = Source::Text {
            name: "p.toml".to_owned(),
            text: format!("{key} = \"{table}hash:aliases\""),
            base: folder.path().to_owned(),
        };
        let told = match Config::load(&source, &[], []) {
            Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            Err(problems) => panic!("{problems:?}"),
        };
        let of = |warning: &&String| warning.starts_with(&format!("p.toml:1: {key} = "));
        let told_of = told.iter().find(of).unwrap_or_else(|| panic!("{told:?}"));
        assert!(told_of.contains("aliases:1: the key is `root:` with its colon"), "{told_of}");
    }
}

#[test]
fn names_of_the_users_choice_come_from_all_sources() {
    let greylist =
        |loaded: Result<(Config, Vec<Warning>), _>| loaded.unwrap().0.policy.classes["greylist"].clone();
    assert_eq!(
        greylist(load("[restrictions.classes]\ngreylist = [\"permit\", \"reject\"]")),
        "permit, reject"
    );
    assert_eq!(greylist(load_with("", &["restrictions.classes.greylist=reject"], &[])), "reject");
    let environment = [("PRESCREEN_RESTRICTIONS_CLASSES", "{ greylist = \"defer\" }")];
    assert_eq!(greylist(load_with("", &[], &environment)), "defer");
}

#[test]
fn the_reference_has_every_key() {
    let reference = reference();
    let rows = reference.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, apply::Names::new().count());
    assert!(
        reference.contains("| `greet_wait` | time (s) | `\"6s\"` | How long a new client waits"),
        "{reference}"
    );
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let names = apply::Names::new();
    let variables = names.variables();
    assert_eq!(variables.len(), names.count() + 1, "two keys share a variable");
    for variable in variables.keys() {
        assert!(!variables.contains_key(&format!("{variable}_FILE")), "{variable}_FILE means two things");
    }
    assert_eq!(variables["PRESCREEN_BACKEND_SERVERS"], "backend.servers");
}

#[test]
fn what_would_open_a_hole_is_refused() {
    let refused = |text: &str, key: &str| {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(&format!(": {key} = "))), "{text}: {found:?}");
    };
    refused("backend.identity = \"none\"", "backend.identity");
    // A proxy of this host brings clients from everywhere.
    let proxied = "[[listen]]\naddress = \"127.0.0.1:2525\"\nproxy_protocol = \"required\"\n\
                   trusted = [\"127.0.0.1\"]\n[backend]\nidentity = \"none\"";
    refused(proxied, "backend.identity");
    let alone = "backend.identity = \"none\"\nrelay.inspect = \"transaction\"";
    refused(&format!("{alone}\ntls.starttls = \"passthrough\""), "tls.starttls");
    refused(&format!("{alone}\nsmtp.auth = \"handoff\""), "smtp.auth");
    refused("backend.identity = \"transparent\"\nbackend.servers = [\"unix:/run/mta\"]", "backend.servers");
    refused("mynetworks = \"10.0.0.0/8, 0.0.0.0/0\"", "mynetworks");
    refused("backend.servers = [\"127.0.0.1:25\"]", "backend.servers");
    refused("metrics.listen = \"127.0.0.1:25\"", "metrics.listen");
    refused("dnsbl.threshold = 0", "dnsbl.threshold");
    refused("dnsbl.min_ttl = \"2h\"", "dnsbl.min_ttl");
    refused("[tls]\nstarttls = \"terminate\"\ncertificates = [\"/nonexistent.pem\"]", "tls.certificates");
    let relay = problems("[restrictions]\nrelay = \"reject_unauth_destination\"");
    assert!(relay[0].contains("restrictions.relay"), "{relay:?}");
    // A demo on loopback addresses harms nobody.
    load("listen = \"127.0.0.1:2525\"\nbackend.identity = \"none\"").unwrap();
    load("backend.identity = \"none\"\nrelay.inspect = \"transaction\"").unwrap();
}

#[test]
fn what_is_hardly_meant_is_warned_about() {
    let warned = |text: &str, what: &str| {
        let found = warnings(text);
        assert!(found.iter().any(|warning| warning.contains(what)), "{text}: {found:?}");
    };
    warned("[screen]\ngreet_wait = \"10m\"", "good clients may hang up");
    warned("[dnsbl]\nsites = [\"bl.example*2\", \"wl.example*-2\"]\nthreshold = 3", "no client can fail");
    warned("[dnsbl]\nsites = [\"bl.example\", \"wl.example*-2\"]\nallowlist_threshold = -3", "at best");
    warned("[dnsbl]\nsites = [\"dnsbl.sorbs.net\"]", "closed on 5 June 2024; remove it");
    warned("[restrictions]\nclient = \"reject_rbl_client relays.ordb.org\"", "restrictions.client");
    warned("[dnsbl]\nsites = [\"bl.example\"]\n[dns]\nservers = [\"8.8.8.8\"]", "resolver of your own");
    for starttls in ["off", "passthrough"] {
        let unused = format!("[tls]\nstarttls = \"{starttls}\"\ncertificates = [\"/etc/mx.pem\"]");
        warned(&unused, "tls.certificates = [\"/etc/mx.pem\"]: has no effect");
    }
    assert_eq!(warnings(""), [""; 0]);
}

#[test]
fn a_key_in_the_name_of_a_list_is_warned_about_and_not_shown() {
    const KEY: &str = "a1b2c3d4e5f6g7h8i9j0k1l2m3";
    let warned = |reply_map: &str| {
        let text = format!(
            "domains.local = 'example.com'\nhostname = 'mx.example.com'\n[dnsbl]\nreply_map = '{reply_map}'\n\
             sites = ['{KEY}.zen.dq.spamhaus.net=127.0.0.[2..11]*3', '{KEY}.zen.dq.spamhaus.net*1', \
             'transactionalmailservers.example.net', '{KEY}.combined.mail.example']"
        );
        let source = Source::Text { name: "x.toml".into(), text, base: PathBuf::new() };
        let (_, warnings) = Config::load(&source, &[], []).unwrap();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let warnings = warned("");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("x.toml:5: dnsbl.sites: zen.dq.spamhaus.net seems"), "{warnings:?}");
    assert!(warnings.iter().all(|warning| !warning.contains(KEY) && warning.contains("dnsbl.reply_map")));
    let named = warned(&format!("inline:{{ {KEY}.zen.dq.spamhaus.net=zen.spamhaus.org }}"));
    assert_eq!(named.len(), 1, "{named:?}");
}

#[test]
fn hosts_count_together_through_a_server_or_not_at_all() {
    let load = |more: &str| {
        let text = format!(
            "domains.local = 'example.com'\nhostname = 'mx.example.com'\nlimits.shared_rates = 'yes'\n{more}"
        );
        let source = Source::Text { name: "x.toml".into(), text, base: PathBuf::new() };
        Config::load(&source, &[], []).map(drop)
    };
    let problems = load("").unwrap_err();
    let told = problems[0].to_string();
    assert!(
        told.starts_with("x.toml:3: limits.shared_rates = ") && told.contains("allowlist.shared"),
        "{told}"
    );
    assert_eq!(load("allowlist.shared = 'redis://127.0.0.1'"), Ok(()));
}
