//! A report as one sentence: what it came to, who it was, and why.

use std::borrow::Cow;
use std::fmt::{self, Display};

use super::Report;
use super::line::{self, Bracketed, Client};
use super::text::{Delay, printable};
use crate::screen::History;

/// Findings that a sentence tells.
const REASONS: usize = 6;

/// `01KC… relayed [192.0.2.1]:4711 after 6.3 s, new; helo=<a> from=<b> to=<c>; to 127.0.0.1:25 in 0.02 s; …`
pub(super) struct Sentence<'a>(pub(super) &'a Report);

impl Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let outcome = report.outcome().map_or("", |outcome| outcome.as_str());
        let after = Delay(report.duration().unwrap_or_default());
        write!(f, "{} {outcome} {} after {after} s", report.id(), Bracketed(report.ends().client))?;
        match report.history {
            Some(History::New) => f.write_str(", new")?,
            Some(History::Old) => f.write_str(", old")?,
            None => {}
        }
        if let Some(would) = report.would_have() {
            write!(f, ", would have been {}", would.as_str())?;
        }
        self.who(f)?;
        self.why(f)?;
        self.handed_over(f)?;
        self.relayed(f)?;
        match report.tls() {
            Some(tls) => write!(f, "; {} {}", tls.protocol, tls.cipher),
            None => Ok(()),
        }
    }
}

impl Sentence<'_> {
    fn who(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(talk) = &self.0.talk else { return Ok(()) };
        let Some(envelope) = &talk.envelope else { return Ok(()) };
        let refused = || envelope.recipient.as_deref().map(printable);
        let words = [
            ("helo", envelope.helo.as_deref().map(printable)),
            ("from", envelope.sender.as_deref().map(printable)),
            ("to", talk.recipients.first().map(|first| Cow::from(&**first)).or_else(refused)),
        ];
        let mut before = "; ";
        for (name, word) in words {
            if let Some(word) = word {
                write!(f, "{before}{name}=<{word}>")?;
                before = " ";
            }
        }
        match talk.accepted {
            0 | 1 => Ok(()),
            accepted => write!(f, "{before}and {} more", accepted - 1),
        }
    }

    fn why(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut untold = self.0.untold as usize;
        let told = self.0.findings.iter().flat_map(|(_, finding)| line::lines(finding, Client::Understood));
        for (at, line) in told.enumerate() {
            if at < REASONS {
                write!(f, "; {}", line.text)?;
            } else {
                untold += 1;
            }
        }
        if untold > 0 {
            write!(f, "; and {untold} more")?;
        }
        Ok(())
    }

    fn handed_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(handoff) = self.0.handoff() else { return Ok(()) };
        let took = Delay(handoff.took);
        match &handoff.server {
            Some(server) => write!(f, "; to {server} in {took} s"),
            None => write!(f, "; no backend in {took} s"),
        }
    }

    fn relayed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(transfer) = self.0.transfer() else { return Ok(()) };
        let (up, down) = (transfer.up, transfer.down);
        write!(
            f,
            "; {} bytes to the backend, {} back, {} of them spliced",
            up.copied + up.spliced,
            down.copied + down.spliced,
            up.spliced + down.spliced
        )
    }
}
