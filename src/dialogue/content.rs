//! What becomes of a message where the session comes back behind it (`relay.inspect = "transaction"`).

use crate::allowlist::Test;
use crate::screen::Action;
use crate::smtp::reply::Reply;

use super::errors::Class;
use super::finding::Finding;
use super::session::Session;
use super::step::{ContentCommand, Step};

impl Session {
    /// The backend has answered the end of the message, and its reply is passed on. The session may go on with the
    /// next transaction; a message that was accepted clears the client's errors.
    pub fn delivered(&mut self, reply: Reply) -> Step {
        self.transaction = None;
        if reply.is_positive() {
            self.commands = 0;
            self.errors.forgive();
        }
        self.content_answered(reply)
    }

    /// The backend has answered a chunk that is not the last, or refused DATA: the transaction goes on. A message may
    /// come in any number of chunks (RFC 3030 §2), so that each one taken brings it nearer, if there is anything in it.
    pub fn continued(&mut self, command: ContentCommand, reply: Reply) -> Step {
        if reply.is_positive() && !matches!(command, ContentCommand::Bdat { size: 0, .. }) {
            self.commands = 0;
        }
        self.content_answered(reply)
    }

    fn content_answered(&mut self, reply: Reply) -> Step {
        let class = (!reply.is_positive()).then_some(Class::Recipient);
        self.pass_on(reply, class)
    }

    /// No backend would take the message; its transaction is lost. A chunk stands behind BDAT already, and cannot be
    /// told from commands.
    pub fn undeliverable(&mut self, command: ContentCommand) -> Step {
        let envelope = self.envelope(command.verb().as_str(), None, None);
        self.findings.push(Finding::Unavailable { envelope });
        match command {
            ContentCommand::Data => self.say(Reply::new(451, "4.3.0 Service temporarily unavailable")),
            ContentCommand::Bdat { .. } => {
                self.close(vec![Reply::new(421, "4.3.2 Service temporarily unavailable")])
            }
        }
    }

    /// Something in the message merely looked like its end: this is told, and nothing else comes of it.
    pub fn suspected(&mut self) {
        self.findings.push(Finding::BareNewline { line: b".".to_vec() });
    }

    /// Something in the message merely looked like its end, and was withheld from the backend. As in Postfix, the
    /// client is cut off; it has also failed the test. So it is where clients are merely observed: this shields the
    /// backend from mail that nobody has judged, and has a setting of its own.
    pub fn smuggled(&mut self) -> Step {
        self.suspected();
        self.findings.push(Finding::Failed { test: Test::BareNewline, action: Action::Drop });
        let reply = self.by_host(521, "5.5.2", "Error: bare <LF> received");
        self.standing.get_or_insert(reply.clone());
        self.close(vec![reply])
    }
}
