//! DNS lists that are closed, and what to know about some that are not.
//!
//! A closed list costs a timeout for every client, or lists the whole Internet when its domain changes hands. Keep
//! this table current: the name below which all is closed, when, and what became of it.

/// A list that is closed, with everything below its name.
struct Closed {
    domain: &'static str,
    fate: &'static str,
}

const fn closed(domain: &'static str, fate: &'static str) -> Closed {
    Closed { domain, fate }
}

#[rustfmt::skip]
const CLOSED: &[Closed] = &[
    closed("abuse.ch", "its DNS lists are closed since 2014"),
    closed("ahbl.org", "closed in January 2015; listed the whole Internet afterwards"),
    closed("bl.csma.biz", "gone"),
    closed("bl.spamcannibal.org", "closed in 2018; its domain listed the whole Internet when it expired"),
    closed("blackhole.securitysage.com", "gone since the 2000s"),
    closed("blackholes.five-ten-sg.com", "gone"),
    closed("blitzed.org", "its open proxy monitor opm.blitzed.org is closed since May 2006"),
    closed("bondedsender.org", "gone; its name is not used any more"),
    closed("cbl.abuseat.org", "merged into Spamhaus XBL: zen.spamhaus.org has it"),
    closed("cyberlogic.net", "gone"),
    closed("db.wpbl.info", "closed"),
    closed("dsbl.org", "closed in May 2008"),
    closed("dul.ru", "gone since the 2000s"),
    closed("easynet.nl", "its DNS lists are closed since December 2003"),
    closed("emailbasura.org", "gone"),
    closed("inps.de", "closed on 25 May 2020"),
    closed("ix.dnsbl.manitu.net", "NiX Spam, closed on 16 January 2025"),
    closed("mail-abuse.org", "MAPS, sold: its free zones are closed"),
    closed("maps.vix.com", "MAPS, the first of all lists: gone since 2000"),
    closed("msrbl.net", "gone"),
    closed("njabl.org", "closed in March 2013"),
    closed("no-more-funn.moensted.dk", "gone"),
    closed("orbs.org", "closed in 2001"),
    closed("orbz.org", "closed in 2002"),
    closed("ordb.org", "closed in December 2006; listed the whole Internet in March 2008"),
    closed("osirusoft.com", "closed in August 2003; listed the whole Internet"),
    closed("relays.visi.com", "gone"),
    closed("rfc-ignorant.org", "closed in November 2012"),
    closed("sbl-xbl.spamhaus.org", "replaced by zen.spamhaus.org"),
    closed("sectoor.de", "its list of Tor exits is closed"),
    closed("securitysage.com", "gone since the 2000s"),
    closed("sorbs.net", "SORBS, closed on 5 June 2024"),
    closed("spambag.org", "gone"),
    closed("spamrbl.imp.ch", "moved: spamrbl.swinog.ch"),
    closed("tqmcube.com", "gone"),
    closed("ubl.unsubscore.com", "LashBack's list, off line"),
    closed("virbl.dnsbl.bit.nl", "closed in January 2017"),
    closed("wirehub.net", "its lists (dynablock, blackholes) moved to easynet.nl and njabl.org, which are closed, too"),
    closed("wormrbl.imp.ch", "gone"),
];

/// Names that are no lists, though they look like it.
const MISTAKEN: &[(&str, &str)] =
    &[("spamcop.net", "is no list; bl.spamcop.net is"), ("spamhaus.org", "is no list; zen.spamhaus.org is")];

/// Lists that answer, but not to everybody.
const CONDITIONS: &[(&str, &str)] = &[
    (
        "barracudacentral.org",
        "answers only to resolvers that are registered with Barracuda: https://www.barracudacentral.org/rbl",
    ),
    (
        "spamhaus.org",
        "does not answer to public resolvers (127.255.255.254 then, which prescreen never takes for a listing): \
         use a resolver of your own, or a Data Query Service key",
    ),
    (
        "dnswl.org",
        "stops answering beyond 100,000 lookups a day: use a resolver of your own, and mirror the list above that",
    ),
];

/// What became of the list `domain`, if it is closed.
pub(in crate::config) fn fate(domain: &str) -> Option<&'static str> {
    let mistaken = MISTAKEN.iter().find(|(name, _)| name.eq_ignore_ascii_case(domain)).map(|(_, fate)| *fate);
    mistaken.or_else(|| CLOSED.iter().find(|list| is_below(domain, list.domain)).map(|list| list.fate))
}

/// What must be known about the list `domain`, which answers.
pub(super) fn condition(domain: &str) -> Option<&'static str> {
    CONDITIONS.iter().find(|(list, _)| is_below(domain, list)).map(|(_, condition)| *condition)
}

fn is_below(domain: &str, list: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    domain.strip_suffix(list).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_lists_are_found_with_everything_below_them() {
        for dead in ["relays.ordb.org", "list.dsbl.org", "DNSBL.sorbs.net", "dynablock.wirehub.net", "dul.ru"]
        {
            assert!(fate(dead).is_some(), "{dead}");
        }
        for alive in ["zen.spamhaus.org", "bl.spamcop.net", "notordb.org", "b.barracudacentral.org"] {
            assert_eq!(fate(alive), None, "{alive}");
        }
        assert!(condition("zen.spamhaus.org").is_some_and(|text| text.contains("resolver of your own")));
    }

    #[test]
    fn the_table_is_sorted_and_without_twins() {
        assert!(CLOSED.is_sorted_by(|a, b| a.domain < b.domain));
    }
}
