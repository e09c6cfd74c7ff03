//! What a template's attributes come to in a session.

use std::borrow::Cow;
use std::time::SystemTime;

use super::facts::{Facts, Stage};
use super::names::Names;
use super::template::Attribute;

impl Facts<'_> {
    /// The value of `attribute` at `stage`, on a server called `hostname`. Client names that nobody has looked up are
    /// unknown.
    pub fn attribute<'f>(&'f self, attribute: Attribute, stage: Stage, hostname: &'f str) -> Cow<'f, str> {
        let facts = self;
        let names = facts.names.found();
        let client = facts.client.ip().to_canonical();
        let name = || names.map_or("unknown", Names::name);
        match attribute {
            Attribute::Client => Cow::Owned(format!("{}[{client}]", name())),
            Attribute::ClientAddress => Cow::Owned(client.to_string()),
            Attribute::ClientName => Cow::Borrowed(name()),
            Attribute::ClientPort => Cow::Owned(facts.client.port().to_string()),
            Attribute::ReverseClientName => Cow::Borrowed(names.map_or("unknown", Names::reverse)),
            Attribute::HeloName => Cow::Borrowed(facts.helo.map_or("", |helo| &helo.name)),
            Attribute::Sender | Attribute::SenderName if facts.has_null_sender() => Cow::Borrowed("<>"),
            Attribute::Sender => {
                facts.sender().map_or(Cow::Borrowed(""), |address| Cow::Owned(address.unquoted()))
            }
            Attribute::SenderName => Cow::Borrowed(facts.sender().map_or("", |address| address.local())),
            Attribute::SenderDomain => {
                Cow::Borrowed(facts.sender().and_then(|address| address.domain()).unwrap_or(""))
            }
            Attribute::Recipient => {
                facts.recipient(stage).map_or(Cow::Borrowed(""), |address| Cow::Owned(address.unquoted()))
            }
            Attribute::RecipientName => {
                Cow::Borrowed(facts.recipient(stage).map_or("", |address| address.local()))
            }
            Attribute::RecipientDomain => {
                Cow::Borrowed(facts.recipient(stage).and_then(|address| address.domain()).unwrap_or(""))
            }
            Attribute::ServerName => Cow::Borrowed(hostname),
            Attribute::Id => Cow::Owned(facts.id.to_string()),
            Attribute::Localtime => Cow::Owned(utc(SystemTime::now())),
            // Filled in by whom they concern.
            Attribute::RblCode
            | Attribute::RblDomain
            | Attribute::RblReason
            | Attribute::RblTxt
            | Attribute::RblWhat
            | Attribute::RblClass => Cow::Borrowed(""),
        }
    }
}

/// `Nov 22 03:00:18`, in UTC: the one zone in which a stranger's administrator and ours mean the same moment.
fn utc(at: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let is_leap =
        |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = "Dec";
    for (name, length) in MONTHS.iter().zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if days < length {
            month = name;
            break;
        }
        days -= length;
    }
    format!("{month} {:02} {:02}:{:02}:{:02}", days + 1, time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_told_as_logs_tell_them() {
        let at = |seconds| utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Jan 01 00:00:00");
        assert_eq!(at(951_782_400), "Feb 29 00:00:00");
        assert_eq!(at(1_795_319_999), "Nov 22 03:59:59");
        assert_eq!(at(1_798_761_599), "Dec 31 23:59:59");
    }
}
