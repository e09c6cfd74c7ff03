//! DNS lists in restrictions: `reject_rbl_client`, `reject_rhsbl_*`, `permit_dnswl_client`, `permit_rhswl_client`.
//!
//! Trouble with a list refuses nobody. Where a list might have permitted, trouble puts a later refusal off.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use crate::dns::{Answer, Trouble};
use crate::screen::{ListFilter, Listing, Malfunction, list_query};
use crate::smtp::host::{has_numeric_tld, is_valid_hostname, to_ascii};

use super::codes::RejectCode;
use super::facts::Stage;
use super::judging::{Judging, Outcome};
use super::reply::{Rejection, Subject, split_status, status};
use super::template::{Attribute, Template};

/// A DNS list, and which of its answers count: `bl.example`, `bl.example=127.0.0.[2..4]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsList {
    domain: String,
    filter: Option<ListFilter>,
    text: String,
    /// What others may see in place of the domain: it may hold a customer's key.
    shown: String,
}

/// A name to ask a list for, and how it may be written down.
struct Question {
    asked: String,
    shown: String,
}

/// What a list says.
enum Entry {
    Listed,
    NotListed,
    Unknown(Trouble),
}

/// What of TXT records goes into a reply, in bytes.
const MAX_REASON: usize = 500;

impl FromStr for DnsList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, filter) = match text.split_once('=') {
            Some((domain, filter)) => (domain, Some(filter.parse()?)),
            None => (text, None),
        };
        if !is_valid_hostname(domain) {
            return Err(format!(
                "`{domain}` is no domain: write domain or domain=filter, such as bl.example=127.0.0.2"
            ));
        }
        Ok(Self {
            domain: domain.to_owned(),
            filter,
            text: text.to_owned(),
            shown: without_key(domain).into(),
        })
    }
}

impl DnsList {
    /// What is asked: `name` makes it of the list's domain.
    fn question(&self, name: impl Fn(&str) -> String) -> Question {
        Question { asked: name(&self.domain), shown: name(&self.shown) }
    }
}

/// A list, or its domain, without the label that looks like a customer's key. Spamhaus' have 26 digits and letters,
/// Abusix' 32 hexadecimal ones; no word of any language looks like that.
pub(crate) fn without_key(list: &str) -> Cow<'_, str> {
    let is_key = |label: &&str| {
        label.len() >= 16
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && label.bytes().filter(u8::is_ascii_digit).count() >= 2
    };
    if !list.split('.').any(|label| is_key(&label)) {
        return list.into();
    }
    list.split('.').filter(|label| !is_key(label)).collect::<Vec<_>>().join(".").into()
}

impl Judging<'_> {
    pub(super) async fn reject_listed_address(&mut self, list: &DnsList) -> Outcome {
        let address = self.client();
        let query = list.question(|domain| list_query(address, domain));
        self.reject_listed(list, &query, &address.to_string(), Subject::Client).await
    }

    pub(super) async fn permit_listed_address(&mut self, list: &DnsList) -> Outcome {
        let address = self.client();
        let query = list.question(|domain| list_query(address, domain));
        self.permit_listed(list, &query, &address.to_string()).await
    }

    pub(super) async fn reject_listed_name(&mut self, subject: Subject, list: &DnsList) -> Outcome {
        let Some((what, domain)) = self.listable(subject).await else { return Outcome::Dunno };
        let query = list.question(|list| format!("{domain}.{list}"));
        self.reject_listed(list, &query, &what, subject).await
    }

    pub(super) async fn permit_listed_name(&mut self, list: &DnsList) -> Outcome {
        let Some((what, domain)) = self.listable(Subject::Client).await else { return Outcome::Dunno };
        let query = list.question(|list| format!("{domain}.{list}"));
        self.permit_listed(list, &query, &what).await
    }

    /// What is looked for, as replies name it, and the domain under which a list would have it.
    ///
    /// Addresses and names that end in a number are left out: some lists answer an error to them.
    async fn listable(&mut self, subject: Subject) -> Option<(String, String)> {
        let (what, domain) = match subject {
            Subject::Client => self.names().await.name.clone().map(|name| (name.clone(), name))?,
            Subject::ReverseClient => self.names().await.reverse.clone().map(|name| (name.clone(), name))?,
            Subject::Helo => self.facts.helo.map(|helo| (helo.name.clone(), helo.name.clone()))?,
            Subject::Sender | Subject::Recipient => {
                let address = match subject {
                    Subject::Sender => self.facts.sender()?,
                    _ => self.facts.recipient(self.stage)?,
                };
                (address.unquoted(), address.domain()?.to_owned())
            }
            Subject::Data | Subject::Etrn => return None,
        };
        let domain = to_ascii(&domain)?.into_owned();
        (is_valid_hostname(&domain) && !has_numeric_tld(&domain)).then_some((what, domain))
    }

    async fn reject_listed(
        &mut self,
        list: &DnsList,
        query: &Question,
        what: &str,
        subject: Subject,
    ) -> Outcome {
        match self.entry(list, query).await {
            Entry::Listed => {
                let reason = self.reason(query).await;
                self.refusal(list, what, &reason, subject).await
            }
            Entry::NotListed => Outcome::Dunno,
            Entry::Unknown(trouble) => {
                self.trouble(format!("{}: {}; counts as not listed", query.shown, trouble.as_str()));
                Outcome::Dunno
            }
        }
    }

    async fn permit_listed(&mut self, list: &DnsList, query: &Question, what: &str) -> Outcome {
        // Being known does not make anybody's recipients ours.
        if let (Stage::Rcpt, Some(recipient)) = (self.stage, self.facts.recipient(self.stage))
            && self.policy.domains.any
        {
            match self.is_authorized(recipient) {
                Ok(true) => {}
                Ok(false) => return Outcome::Dunno,
                Err(error) => return self.domains_do_not_answer(&error, Subject::Recipient),
            }
        }
        match self.entry(list, query).await {
            Entry::Listed => Outcome::Ok,
            Entry::NotListed => Outcome::Dunno,
            Entry::Unknown(trouble) => {
                self.trouble(format!("{}: {}", query.shown, trouble.as_str()));
                // The name in brackets is what was looked for, not what a client restriction names.
                let text = format!("<{what}>: {} rejected: Service unavailable", Subject::Client.class());
                Outcome::DeferIfReject(Rejection::whole(RejectCode::TRY_AGAIN, status(7, 1), text))
            }
        }
    }

    async fn entry(&mut self, list: &DnsList, query: &Question) -> Entry {
        let codes = match self.a_shown_as(&query.asked, &query.shown).await {
            Answer::Found { records, .. } => records,
            Answer::NotFound { .. } => return Entry::NotListed,
            Answer::Temporary(trouble) => return Entry::Unknown(trouble),
        };
        let mut malfunctions: Vec<Malfunction> = Vec::new();
        let mut is_listed = false;
        for code in codes {
            let IpAddr::V4(code) = code else { continue };
            match Listing::of(code) {
                Listing::Listed => {
                    is_listed |= list.filter.as_ref().is_none_or(|filter| filter.matches(code));
                }
                Listing::Malfunction(malfunction) => malfunctions.push(malfunction),
            }
        }
        for malfunction in malfunctions {
            self.trouble(format!("{}: {}", list.shown, malfunction.meaning()));
        }
        if is_listed { Entry::Listed } else { Entry::NotListed }
    }

    /// What the list says of an entry in words.
    async fn reason(&mut self, query: &Question) -> String {
        let Answer::Found { records, .. } = self.txt(&query.asked, &query.shown).await else {
            return String::new();
        };
        let mut reason = records.join(" / ");
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        reason
    }

    /// The refusal, in the list's own words where `rbl_reply_maps` has some.
    async fn refusal(&mut self, list: &DnsList, what: &str, reason: &str, subject: Subject) -> Outcome {
        let template = match self.reply_template(list) {
            Ok(template) => template,
            Err(fault) => return fault,
        };
        let template = template.as_ref().unwrap_or(&self.policy.default_rbl_reply);
        if template.mentions(Attribute::is_client_name) {
            self.names().await;
        }
        let code = self.policy.settings.codes.maps_rbl_reject_code;
        let text = template.expand(|attribute| match attribute {
            Attribute::RblCode => Cow::Owned(code.to_string()),
            Attribute::RblDomain => Cow::Borrowed(&list.shown),
            Attribute::RblReason | Attribute::RblTxt => Cow::Borrowed(reason),
            Attribute::RblWhat => Cow::Borrowed(what),
            Attribute::RblClass => Cow::Borrowed(subject.class()),
            other => self.facts.attribute(other, self.stage, &self.policy.settings.hostname),
        });
        let split =
            text.split_once(' ').and_then(|(code, text)| Some((code.parse::<RejectCode>().ok()?, text)));
        let Some((code, text)) = split else {
            self.trouble(format!(
                "`{text}` is no reply: a template begins with a code from 400 to 599 and a blank"
            ));
            return Outcome::Reject(Rejection::whole(
                RejectCode::TRY_AGAIN,
                status(7, 1),
                "Service unavailable",
            ));
        };
        let (status, text) = split_status(text, status(7, 1), subject);
        let text = if text.is_empty() { "Service unavailable" } else { text };
        Outcome::Reject(Rejection::whole(code, status, text.to_owned()))
    }

    /// The template that `rbl_reply_maps` has for the list with its filter, or for its domain.
    fn reply_template(&mut self, list: &DnsList) -> Result<Option<Template>, Outcome> {
        let policy = self.policy;
        for key in [&list.text, &list.domain] {
            for table in &policy.rbl_reply_maps {
                let table = table.current();
                match table.lookup(key) {
                    Ok(None) => {}
                    Ok(Some(text)) => match text.parse() {
                        Ok(template) => return Ok(Some(template)),
                        Err(why) => {
                            self.trouble(format!("{}: {why}", table.name()));
                            return Ok(None);
                        }
                    },
                    Err(error) => {
                        self.trouble(error.to_string());
                        return Err(Outcome::Fault(Rejection::server_error()));
                    }
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_domain_with_an_optional_filter() {
        let list: DnsList = "bl.example=127.0.0.[2..4]".parse().unwrap();
        assert_eq!((list.domain.as_str(), list.filter.is_some()), ("bl.example", true));
        for wrong in ["", "bl..example", "bl.example=", "bl.example=127.0.0", "192.0.2.1"] {
            assert!(wrong.parse::<DnsList>().is_err(), "{wrong}");
        }
    }
}
