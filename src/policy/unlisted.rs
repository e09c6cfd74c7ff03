//! `reject_unlisted_recipient` and `reject_unlisted_sender`: addresses in our own domains that do not exist.

use std::sync::Arc;

use crate::table::{Key, Live, Locality, LookupError, Table, recipient_keys};

use super::codes::RejectCode;
use super::destination::{Class, Destination};
use super::judging::{Judging, Outcome};
use super::reply::{Rejection, status};
use super::restriction::Party;

/// Tables that are asked one after the other.
pub(super) type Tables = Vec<Arc<Live<Table>>>;

/// Tables of addresses that exist; a class whose tables are not given is not checked.
#[derive(Debug, Default)]
pub(super) struct RecipientTables {
    pub(super) local: Tables,
    pub(super) relay: Tables,
    pub(super) virtual_mailbox: Tables,
    pub(super) virtual_alias: Tables,
    pub(super) canonical: Tables,
    pub(super) recipient_canonical: Tables,
    pub(super) sender_canonical: Tables,
}

impl Judging<'_> {
    pub(super) fn reject_unlisted(&mut self, party: Party) -> Outcome {
        let Some(address) = self.address_of(party) else { return Outcome::Dunno };
        if !self.look_for(party) {
            self.trace.because(|| "it has been looked for before".to_owned());
            return Outcome::Dunno;
        }
        let missing =
            self.destination(address).and_then(|destination| self.missing_from(party, &destination));
        match missing {
            Ok(None) => Outcome::Dunno,
            Ok(Some((table, code))) => {
                let status = match party {
                    Party::Sender => status(1, 0),
                    Party::Recipient => status(1, 1),
                };
                let why = match self.policy.settings.show_user_unknown_table_name {
                    true => format!("User unknown in {table} table"),
                    false => "User unknown".to_owned(),
                };
                Outcome::Reject(Rejection::of(party.into(), code, status, why))
            }
            Err(error) => self.domains_do_not_answer(&error, party.into()),
        }
    }

    /// The kind of table in which the address should stand and does not, with the code to say so.
    fn missing_from(
        &self,
        party: Party,
        destination: &Destination<'_>,
    ) -> Result<Option<(&'static str, RejectCode)>, LookupError> {
        let policy = self.policy;
        let (tables, codes) = (&policy.recipients, &policy.settings.codes);
        let (wanted, name, code) = match destination.class {
            Class::Local => (&tables.local, "local recipient", codes.unknown_local_recipient_reject_code),
            Class::Relay => (&tables.relay, "relay recipient", codes.unknown_relay_recipient_reject_code),
            Class::VirtualMailbox => {
                (&tables.virtual_mailbox, "virtual mailbox", codes.unknown_virtual_mailbox_reject_code)
            }
            Class::VirtualAlias => {
                (&tables.virtual_alias, "virtual alias", codes.unknown_virtual_alias_reject_code)
            }
            Class::Elsewhere => return Ok(None),
        };
        if wanted.is_empty() || (destination.class == Class::Local && is_always_there(&destination.local)) {
            return Ok(None);
        }
        let delimiter = &policy.settings.recipient_delimiter;
        let locality = if destination.class == Class::Local { Locality::Local } else { Locality::Elsewhere };
        let keys = recipient_keys(&destination.local, &destination.domain, delimiter, locality);
        // Who is rewritten or aliased exists, whatever becomes of it.
        let mut sought = vec![wanted, &tables.recipient_canonical, &tables.canonical, &tables.virtual_alias];
        if party == Party::Sender {
            sought.push(&tables.sender_canonical);
        }
        for tables in sought {
            if has(tables, &keys)? {
                return Ok(None);
            }
        }
        Ok(Some((name, code)))
    }
}

/// Addresses that the mail system itself answers to.
fn is_always_there(local: &str) -> bool {
    ["postmaster", "mailer-daemon", "double-bounce"].iter().any(|name| name.eq_ignore_ascii_case(local))
}

fn has(tables: &Tables, keys: &[Key<'static>]) -> Result<bool, LookupError> {
    for table in tables {
        if table.current().find(keys.iter().cloned())?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
