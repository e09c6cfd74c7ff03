//! How our refusals go out: `soft_bounce`, then the footer that a refused sender may quote when it asks for help.

use std::borrow::Cow;

use crate::policy::template::{Attribute, Template};
use crate::policy::{Facts, Stage};
use crate::smtp::reply::Reply;

use super::session::Session;
use super::settings::Settings;

impl Session {
    /// A reply of ours as it goes out. The backend's replies are left alone.
    pub(super) fn dress(&self, reply: Reply) -> Reply {
        let reply = if self.settings.soft_bounce { reply.soften() } else { reply };
        if reply.is_positive() {
            return reply;
        }
        let special = self.settings.tables.footer(&reply);
        match special.as_ref().or(self.settings.reject_footer.as_ref()) {
            Some(footer) => reply.with_footer(&self.filled_in(footer)),
            None => reply,
        }
    }

    fn filled_in(&self, footer: &Template) -> String {
        let facts = Facts { rcpt: self.at_hand.as_deref(), ..self.facts() };
        let hostname = &self.settings.hostname;
        footer.expand(|attribute| match facts.attribute(attribute, Stage::Rcpt, hostname) {
            // Known before the first transaction.
            _ if attribute == Attribute::Id => Cow::Borrowed(&self.peer.id),
            // What a client says must not begin a line of ours: `\n` is the footer's own.
            value if value.contains('\\') => Cow::Owned(value.replace('\\', "_")),
            value => value,
        })
    }
}

impl Settings {
    /// Whether replies may name the client, so that DNS has to be asked for its name at once.
    pub fn wants_names(&self) -> bool {
        let names_client = |footer: &Template| footer.mentions(Attribute::is_client_name);
        self.reject_footer.as_ref().is_some_and(names_client) || self.tables.have_footers()
    }
}
