//! How our refusals go out: `soft_bounce`, then the footer that a refused sender may quote when it asks for help.
//!
//! Findings have a refusal without its footer, as Postfix logs it: the footer may differ from one connection to the
//! next, and log tools add up refusals by their words.

use std::borrow::Cow;

use crate::id::Id;
use crate::policy::template::{Attribute, Template};
use crate::policy::{ClientNames, Facts, Stage};
use crate::proxy_protocol::Endpoints;
use crate::smtp::reply::Reply;

use super::session::Session;
use super::settings::Settings;

impl Session {
    /// A reply of ours as it goes out. The backend's replies are left alone.
    pub(super) fn dress(&self, reply: Reply) -> Reply {
        let facts = Facts { rcpt: self.at_hand.as_deref(), ..self.facts() };
        self.settings.with_footer(self.soften(reply), &facts)
    }

    /// A reply of ours as findings have it.
    pub(super) fn soften(&self, reply: Reply) -> Reply {
        self.settings.soften(reply)
    }
}

impl Settings {
    /// A refusal outside of any session, as it goes out.
    pub fn dress(&self, refusal: Reply, ends: Endpoints, id: Id) -> Reply {
        let facts = Facts {
            client: ends.client,
            server: ends.server,
            names: &ClientNames::default(),
            helo: None,
            mail: None,
            rcpt: None,
            etrn: None,
            accepted: 0,
            tls: None,
            pipelined: false,
            id,
            transaction: 0,
        };
        self.with_footer(self.soften(refusal), &facts)
    }

    /// Whether replies may name the client, so that DNS has to be asked for its name at once.
    pub fn wants_names(&self) -> bool {
        let names_client = |footer: &Template| footer.mentions(Attribute::is_client_name);
        self.reject_footer.as_ref().is_some_and(names_client) || self.tables.have_footers()
    }

    fn soften(&self, reply: Reply) -> Reply {
        if self.soft_bounce { reply.soften() } else { reply }
    }

    fn with_footer(&self, reply: Reply, facts: &Facts<'_>) -> Reply {
        if reply.is_positive() {
            return reply;
        }
        let special = self.tables.footer(&reply);
        let Some(footer) = special.as_ref().or(self.reject_footer.as_ref()) else { return reply };
        let text = footer.expand(|attribute| match facts.attribute(attribute, Stage::Rcpt, &self.hostname) {
            // What a client says must not begin a line of ours: `\n` is the footer's own.
            value if value.contains('\\') => Cow::Owned(value.replace('\\', "_")),
            value => value,
        });
        reply.with_footer(&text)
    }
}
