//! What a server offers behind EHLO (RFC 5321 §4.1.1.1).

use super::reply::Reply;

/// The keywords of one EHLO reply, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    offers: Vec<Offer>,
}

/// One keyword with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// In upper case: `SIZE`.
    pub keyword: String,
    /// What stands behind it, as written: `10240000`; empty if nothing does.
    pub parameters: String,
}

impl Capabilities {
    /// What every mail server of today takes: the set to go by until one has been asked.
    pub fn conservative() -> Self {
        Self { offers: vec![Offer { keyword: "8BITMIME".into(), parameters: String::new() }] }
    }

    /// Reads an EHLO reply; the first line greets and offers nothing. Lines that are no keyword are left out.
    pub fn from_reply(reply: &Reply) -> Self {
        let offers = reply.lines().skip(1).filter_map(Offer::parse).collect();
        Self { offers }
    }

    /// The parameters of `keyword`, where it is offered; case does not count.
    pub fn parameters(&self, keyword: &str) -> Option<&str> {
        self.find(keyword).map(|offer| offer.parameters.as_str())
    }

    /// Whether `keyword` is offered; case does not count.
    pub fn offers(&self, keyword: &str) -> bool {
        self.find(keyword).is_some()
    }

    /// Every offer, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Offer> {
        self.offers.iter()
    }

    /// What both offer: of SIZE the smaller, of lists such as AUTH what stands in both.
    pub fn common(&self, other: &Self) -> Self {
        let offers =
            self.offers.iter().filter_map(|offer| offer.common(other.find(&offer.keyword)?)).collect();
        Self { offers }
    }

    fn find(&self, keyword: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.keyword.eq_ignore_ascii_case(keyword))
    }
}

impl Offer {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim_ascii();
        let end = line.bytes().position(|byte| byte == b' ').unwrap_or(line.len());
        let (keyword, parameters) = line.split_at_checked(end)?;
        let is_keyword = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'='));
        let parameters = parameters.trim_ascii();
        is_keyword.then(|| Self { keyword: keyword.to_ascii_uppercase(), parameters: parameters.to_owned() })
    }

    fn common(&self, other: &Self) -> Option<Self> {
        if self.parameters == other.parameters {
            return Some(self.clone());
        }
        let parameters = if self.keyword == "SIZE" {
            match self.size().min(other.size()) {
                u64::MAX => String::new(),
                limit => limit.to_string(),
            }
        } else {
            let shared = |word: &&str| other.parameters.split(' ').any(|w| w.eq_ignore_ascii_case(word));
            self.parameters.split(' ').filter(shared).collect::<Vec<_>>().join(" ")
        };
        let bare = self.keyword == "SIZE" || self.parameters.is_empty() || other.parameters.is_empty();
        (bare || !parameters.is_empty()).then(|| Self { keyword: self.keyword.clone(), parameters })
    }

    /// The limit that SIZE declares; none, or 0, is no limit (RFC 1870 §4).
    fn size(&self) -> u64 {
        self.parameters.parse().ok().filter(|&size| size != 0).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        Capabilities::from_reply(&Reply::multiline(250, lines))
    }

    #[test]
    fn the_first_line_is_no_offer_and_nonsense_is_left_out() {
        let read =
            read(&["SIZE greets you", "size 1000", "", "<b>", "AUTH PLAIN LOGIN", "AUTH=PLAIN", "8BITMIME"]);
        let keywords: Vec<_> = read.iter().map(|offer| offer.keyword.as_str()).collect();
        assert_eq!(keywords, ["SIZE", "AUTH", "AUTH=PLAIN", "8BITMIME"]);
        assert_eq!(read.parameters("Size"), Some("1000"));
        assert_eq!(read.parameters("auth"), Some("PLAIN LOGIN"));
        assert!(!read.offers("CHUNKING"));
    }

    #[test]
    fn two_servers_share_the_smaller_size_and_the_mechanisms_of_both() {
        let one = read(&["one", "SIZE 1000", "AUTH PLAIN LOGIN", "DSN", "8BITMIME"]);
        let two = read(&["two", "8BITMIME", "SIZE 0", "AUTH login CRAM-MD5"]);
        assert_eq!(one.common(&two), read(&["both", "SIZE 1000", "AUTH LOGIN", "8BITMIME"]));
    }

    #[test]
    fn lists_with_nothing_in_common_are_not_offered() {
        let one = read(&["one", "AUTH PLAIN", "SIZE"]);
        let two = read(&["two", "AUTH CRAM-MD5", "SIZE 0"]);
        let both = one.common(&two);
        assert!(!both.offers("AUTH"));
        assert!(both.offers("SIZE"));
    }
}
