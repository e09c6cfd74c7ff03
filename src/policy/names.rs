//! What DNS says that a client is called, and whether to believe it.

use std::net::IpAddr;

use tokio::sync::OnceCell;

use crate::dns::{Answer, Resolver};
use crate::smtp::host::is_valid_hostname;

/// The names of one client, asked of DNS at most once in its session, and not before a restriction needs them.
#[derive(Debug, Default)]
pub struct ClientNames(OnceCell<Names>);

/// What DNS says that a client is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The name that its address claims, if that name leads back to the address.
    pub name: Option<String>,
    /// The name that its address claims, confirmed or not.
    pub reverse: Option<String>,
    /// How the confirmed name was found, or why there is none.
    pub status: NameStatus,
    /// How the claimed name was found, or why there is none; never [`NameStatus::Forged`].
    pub reverse_status: NameStatus,
}

/// How a client's name was found, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameStatus {
    /// Found.
    Ok,
    /// DNS gave no answer: says nothing about the client.
    Temporary,
    /// There is no such name.
    Permanent,
    /// The name exists, but does not lead back to the client's address.
    Forged,
}

/// What stands for a name that is not known.
const UNKNOWN: &str = "unknown";

impl ClientNames {
    /// Names that are known beforehand (`explain`, XCLIENT) and will not be looked up.
    pub fn known(names: Names) -> Self {
        Self(OnceCell::new_with(Some(names)))
    }

    /// The names, if somebody has asked for them; never asks DNS.
    pub fn found(&self) -> Option<&Names> {
        self.0.get()
    }

    /// The names of `address`, looked up the first time; none without anybody to ask (`peername_lookup = no`).
    pub(super) async fn of(&self, address: IpAddr, resolver: Option<&Resolver>) -> &Names {
        let look_up = async || match resolver {
            Some(resolver) => look_up(address.to_canonical(), resolver).await,
            None => Names::unknown(NameStatus::Permanent),
        };
        match self.found() {
            Some(names) => names,
            // Boxed: who has them already need not make room for two lookups.
            None => Box::pin(self.0.get_or_init(look_up)).await,
        }
    }
}

impl Names {
    /// No name, for the reason `status`.
    pub fn unknown(status: NameStatus) -> Self {
        Self { name: None, reverse: None, status, reverse_status: status }
    }

    /// The confirmed name, or `unknown`.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(UNKNOWN)
    }

    /// The claimed name, or `unknown`.
    pub fn reverse(&self) -> &str {
        self.reverse.as_deref().unwrap_or(UNKNOWN)
    }
}

/// Address to name to addresses, where the client's own must be among the last. As in Postfix only the first name
/// counts: who owns an address can give it a thousand.
async fn look_up(address: IpAddr, resolver: &Resolver) -> Names {
    let claimed = match resolver.ptr(address).await {
        Answer::Found { records, .. } => records.into_iter().next().filter(|name| is_valid_hostname(name)),
        Answer::NotFound { .. } => None,
        Answer::Temporary(_) => return Names::unknown(NameStatus::Temporary),
    };
    let Some(claimed) = claimed else { return Names::unknown(NameStatus::Permanent) };
    let status = match address {
        IpAddr::V4(v4) => leads_back(resolver.a(&claimed).await, v4),
        IpAddr::V6(v6) => leads_back(resolver.aaaa(&claimed).await, v6),
    };
    Names {
        name: (status == NameStatus::Ok).then(|| claimed.clone()),
        reverse: Some(claimed),
        status,
        reverse_status: NameStatus::Ok,
    }
}

fn leads_back<A: PartialEq>(answer: Answer<A>, address: A) -> NameStatus {
    match answer {
        Answer::Found { records, .. } if records.contains(&address) => NameStatus::Ok,
        Answer::Found { .. } | Answer::NotFound { .. } => NameStatus::Forged,
        Answer::Temporary(_) => NameStatus::Temporary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Zone;

    async fn names(address: &str) -> (String, String, NameStatus, NameStatus) {
        let zone = "192.0.2.1 PTR mail.example\nmail.example A 192.0.2.9\nmail.example A 192.0.2.1\n\
                    192.0.2.2 PTR forged.example\nforged.example A 192.0.2.9\n\
                    192.0.2.3 PTR nowhere.example\n\
                    192.0.2.4 PTR broken.example\nbroken.example A SERVFAIL\n\
                    192.0.2.5 PTR TIMEOUT\n\
                    192.0.2.7 PTR 1.2.3.4\n\
                    2001:db8::1 PTR six.example\nsix.example AAAA 2001:db8::1\nsix.example A 192.0.2.1\n";
        let resolver = Resolver::from_zone(Zone::parse(zone).unwrap());
        let cell = ClientNames::default();
        assert_eq!(cell.found(), None);
        let names = cell.of(address.parse().unwrap(), Some(&resolver)).await.clone();
        assert_eq!(cell.found(), Some(&names));
        (names.name().to_owned(), names.reverse().to_owned(), names.status, names.reverse_status)
    }

    #[tokio::test]
    async fn a_name_counts_if_it_leads_back() {
        use NameStatus::{Forged, Ok, Permanent, Temporary};
        for (address, name, reverse, status, reverse_status) in [
            ("192.0.2.1", "mail.example", "mail.example", Ok, Ok),
            ("::ffff:192.0.2.1", "mail.example", "mail.example", Ok, Ok),
            ("2001:db8::1", "six.example", "six.example", Ok, Ok),
            ("192.0.2.2", "unknown", "forged.example", Forged, Ok),
            ("192.0.2.3", "unknown", "nowhere.example", Forged, Ok),
            ("192.0.2.4", "unknown", "broken.example", Temporary, Ok),
            ("192.0.2.5", "unknown", "unknown", Temporary, Temporary),
            ("192.0.2.7", "unknown", "unknown", Permanent, Permanent),
            ("192.0.2.8", "unknown", "unknown", Permanent, Permanent),
        ] {
            let wanted = (name.to_owned(), reverse.to_owned(), status, reverse_status);
            assert_eq!(names(address).await, wanted, "{address}");
        }
    }
}
