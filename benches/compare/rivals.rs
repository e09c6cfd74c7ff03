//! Who is compared: each a process of its own on a port of its own, in front of the same backend.
//!
//! All of them tell the backend who the client is, as prescreen must.

use std::env;
use std::fs;
use std::net::SocketAddr;

use crate::clients::{self, LIST};
use crate::clock::Clock;
use crate::support::daemon::Daemon;
use crate::support::free_address;
use crate::support::postfix::Postfix;
use crate::support::prescreen::Config;

/// Somebody to connect to.
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) at: SocketAddr,
    /// What stands in front of the backend; empty for the backend itself.
    pub(crate) front: Vec<Clock>,
    /// The backend's part, where that is a server of its own.
    pub(crate) behind: Vec<Clock>,
    _process: Option<Process>,
}

/// A server that ends when the contender is dropped.
struct Process {
    _daemon: Daemon,
    _folder: tempfile::TempDir,
}

impl Contender {
    /// Processor time of what stands in front, and of everything but the clients.
    pub(crate) fn time(&self) -> f64 {
        self.front.iter().map(|clock| clock.time().as_secs_f64()).sum()
    }

    /// The same of the backend.
    pub(crate) fn time_behind(&self) -> f64 {
        self.behind.iter().map(|clock| clock.time().as_secs_f64()).sum()
    }

    /// With a backend whose time shall be counted.
    pub(crate) fn with(mut self, behind: &[Clock]) -> Self {
        self.behind = behind.to_vec();
        self
    }
}

/// What prescreen is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Every test and restriction, with this greet wait in seconds.
    Screen { greet_wait: u32 },
    /// Everybody is permitted: nothing but the relay.
    Relay,
}

/// A prescreen among the contenders.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ours {
    /// The build that is measured, by this name.
    This(&'static str),
    /// The same again, which tells what the noise is; with `PRESCREEN_BEFORE` another build, to be compared with.
    Other,
}

impl Ours {
    /// Its name, and the program: what ships, not what tests are built with, for their features are in it, too.
    fn build(self) -> (&'static str, String) {
        let this = || env::var("PRESCREEN_COMPARE").expect("the program to measure");
        match (self, env::var("PRESCREEN_BEFORE")) {
            (Self::This(name), _) => (name, this()),
            (Self::Other, Ok(before)) => ("prescreen before", before),
            (Self::Other, Err(_)) => ("prescreen again", this()),
        }
    }
}

/// Starts a prescreen. `backend` is an address or `unix:/path`.
pub(crate) fn prescreen(which: Ours, duty: Duty, backend: &str, resolver: SocketAddr) -> Contender {
    let config = clients::expected(Config::before_address(([127, 0, 0, 1], 1).into(), resolver))
        .set("backend.servers", &format!("['{backend}']"));
    // Of 20,000 descriptors, as many as are needed go to where the clients are.
    let (config, [screened, relayed]) = match duty {
        Duty::Screen { greet_wait } => {
            (config.set("screen.greet_wait", &format!("'{greet_wait}s'")), ["15500", "500"])
        }
        Duty::Relay => (config.set("screen.access_list", "'permit'"), ["400", "9000"]),
    };
    let config = config.set("limits.pre_queue_limit", screened).set("limits.post_queue_limit", relayed);
    let (name, program) = which.build();
    rival(name, config.smtp, &config.toml(), |file| vec![program, "run".into(), "--config".into(), file])
}

/// How HAProxy forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haproxy {
    /// `option splice-auto`, the default advice.
    Auto,
    /// The same with a log line for each connection, as prescreen writes one and as an operator wants it.
    Logging,
    /// Always splices, through pipes of 1 MiB.
    Forced,
    /// Its idiom against early talkers: waits, and drops who speaks.
    InspectDelay { seconds: u32 },
}

/// Starts an HAProxy.
pub(crate) fn haproxy(name: &str, mode: Haproxy, backend: SocketAddr) -> Contender {
    let at = free_address();
    let (global, options, listen) = match mode {
        Haproxy::Auto => ("", "option splice-auto", String::new()),
        Haproxy::Logging => (
            "log stdout format iso local0",
            "option splice-auto\n    log global\n    option tcplog",
            String::new(),
        ),
        Haproxy::Forced => (
            "tune.pipesize 1048576\n    maxpipes 64",
            "option splice-request\n    option splice-response",
            String::new(),
        ),
        Haproxy::InspectDelay { seconds } => (
            "",
            "option splice-auto",
            format!(
                "tcp-request inspect-delay {seconds}s
    tcp-request content reject if {{ req.len gt 0 }}
    tcp-request content accept if WAIT_END"
            ),
        ),
    };
    let config = format!(
        "global
    maxconn 7000
    nbthread 1
    {global}
defaults
    mode tcp
    timeout connect 5s
    timeout client 900s
    timeout server 900s
    {options}
listen smtp
    bind {at} backlog 65535
    {listen}
    server backend {backend} send-proxy-v2
"
    );
    rival(name, at, &config, |file| vec!["haproxy".into(), "-db".into(), "-f".into(), file])
}

/// Starts an nginx that forwards streams.
pub(crate) fn nginx(name: &str, backend: SocketAddr) -> Contender {
    let at = free_address();
    let config = format!(
        "daemon off;
master_process off;
pid pid;
error_log stderr crit;
worker_rlimit_nofile 20000;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {{ worker_connections 19900; }}
stream {{
    server {{
        listen {at} backlog=65535;
        proxy_pass {backend};
        proxy_protocol on;
        proxy_half_close on;
        proxy_timeout 900s;
    }}
}}
"
    );
    rival(name, at, &config, |file| {
        // It removes its pid file when it ends, so that must be one of its own.
        let folder = file.trim_end_matches("config").to_owned();
        vec!["nginx".into(), "-p".into(), folder, "-c".into(), file, "-e".into(), "stderr".into()]
    })
}

fn rival(name: &str, at: SocketAddr, config: &str, command: impl FnOnce(String) -> Vec<String>) -> Contender {
    let folder = tempfile::TempDir::with_prefix("prescreen-compare-").expect("a scratch folder");
    let file = folder.path().join("config");
    fs::write(&file, config).expect("a configuration file");
    let command = command(file.display().to_string());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut daemon = Daemon::start(&command, &folder.path().join("log"));
    daemon.await_ready(name, || std::net::TcpStream::connect(at).is_ok());
    let front = vec![Clock::Process(daemon.pid())];
    Contender {
        name: name.to_owned(),
        at,
        front,
        behind: Vec::new(),
        _process: Some(Process { _daemon: daemon, _folder: folder }),
    }
}

/// The backend itself.
pub(crate) fn direct(at: SocketAddr) -> Contender {
    Contender { name: "direct".to_owned(), at, front: Vec::new(), behind: Vec::new(), _process: None }
}

/// A Postfix with an smtpd that wants to hear of the client, one that does not, and a postscreen in front of a third.
pub(crate) struct Mta {
    pub(crate) postfix: Postfix,
    pub(crate) postscreen: SocketAddr,
}

/// The part of Postfix that stands in front of its smtpd.
const POSTSCREEN: &[&str] = &["postscreen", "dnsblog", "tlsproxy"];

impl Mta {
    /// Starts it. With `greet_wait` in seconds; all deep tests are on, as they are in prescreen.
    pub(crate) fn start(greet_wait: u32) -> Self {
        let postscreen = free_address();
        let services = format!(
            "{postscreen} inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
prescreen unix n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"
        );
        let greet_wait = format!("postscreen_greet_wait = {greet_wait}s");
        let sites = format!("postscreen_dnsbl_sites = {LIST}");
        let settings = [
            &*greet_wait,
            &*sites,
            "postscreen_greet_action = enforce",
            "postscreen_dnsbl_action = enforce",
            "postscreen_pipelining_enable = yes",
            "postscreen_non_smtp_command_enable = yes",
            "postscreen_bare_newline_enable = yes",
            "postscreen_bare_newline_action = enforce",
            "postscreen_pre_queue_limit = 16000",
            "postscreen_post_queue_limit = 16000",
            // Processes that end take their clocks with them.
            "max_use = 1000000",
            "max_idle = 3600s",
        ];
        let postfix = Postfix::start_serving(&services, &settings);
        Self { postfix, postscreen }
    }

    /// All of Postfix but what stands in front: smtpd, the queue and delivery, and also who starts processes and writes
    /// log lines for all of them, postscreen included. prescreen does the like itself.
    pub(crate) fn rest(&self) -> Vec<Clock> {
        vec![Clock::Family { of: self.postfix.pid(), but: POSTSCREEN }]
    }

    /// postscreen, and what it asks.
    pub(crate) fn postscreen(&self) -> Contender {
        Contender {
            name: "postscreen".to_owned(),
            at: self.postscreen,
            front: vec![Clock::Children { of: self.postfix.pid(), names: POSTSCREEN }],
            behind: self.rest(),
            _process: None,
        }
    }
}
