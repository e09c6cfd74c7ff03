//! Mail clients that other people wrote.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};

/// How a client ended, and all it said.
#[derive(Debug)]
pub struct Ran {
    /// Whether it exited with 0.
    pub succeeded: bool,
    /// Standard output and standard error.
    pub said: String,
}

impl Ran {
    /// Fails the test with the client's own words if the client failed.
    #[track_caller]
    pub fn sent(self) -> Self {
        assert!(self.succeeded, "the client could not send:\n{}", self.said);
        self
    }
}

/// swaks, from a loopback address, with a message on its standard input: `Net::SMTP`'s way of speaking, and PIPELINING
/// with `--pipeline`.
pub fn swaks(from: Ipv4Addr, to: SocketAddr, options: &[&str], message: &str) -> Ran {
    let mut command = Command::new("swaks");
    command
        .args(["--server", &to.ip().to_string(), "--port", &to.port().to_string()])
        .args(["--local-interface", &from.to_string(), "--helo", "mail.example.com"])
        .args(["--no-hints", "--suppress-data", "--timeout", "60", "--data", "-"])
        .args(options);
    run(command, message)
}

/// smtp-source of Postfix; it speaks from 127.0.0.1.
pub fn smtp_source(to: SocketAddr, options: &[&str]) -> Ran {
    let mut command = Command::new("smtp-source");
    command.args(["-M", "mail.example.com"]).args(options).arg(to.to_string());
    run(command, "")
}

/// Python's smtplib: `script` finds a connected `smtp`, the `message` as bytes, and `sys`.
pub fn smtplib(from: Ipv4Addr, to: SocketAddr, script: &str, message: &str) -> Ran {
    let (ip, port) = (to.ip(), to.port());
    let program = format!(
        "import smtplib, sys\n\
         message = sys.stdin.buffer.read()\n\
         smtp = smtplib.SMTP('{ip}', {port}, 'mail.example.com', timeout=60, source_address=('{from}', 0))\n\
         {script}\n\
         smtp.quit()\n"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &program]);
    run(command, message)
}

/// Any other, with its arguments and what it reads.
pub fn client(program: &str, options: &[&str], input: &str) -> Ran {
    let mut command = Command::new(program);
    command.args(options);
    run(command, input)
}

fn run(mut command: Command, input: &str) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A client that does not want its input says so in its own words.
        let _ = stdin.write_all(input.as_bytes());
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    Ran { succeeded: status.success(), said }
}
