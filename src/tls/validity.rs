//! Until when a certificate is valid: the one thing about it that an operator must be told in time.
//!
//! rustls keeps this to itself, so the few octets on the way there are walked here (RFC 5280 §4.1). Nothing is
//! trusted because of it: a certificate that cannot be walked has no date, and serves all the same.

use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, the version, which only certificates of version 1 lack.
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER.
pub(super) fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut to_be_signed, _) = element(certificate, SEQUENCE)?;
    if to_be_signed.first() == Some(&VERSION) {
        to_be_signed = skip(to_be_signed)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        to_be_signed = skip(to_be_signed)?;
    }
    let (validity, _) = element(to_be_signed, SEQUENCE)?;
    time(skip(validity)?)
}

/// The content of the first element, which must bear `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = split(der)?;
    (found == tag).then_some((content, rest))
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    split(der).map(|(_, _, rest)| rest)
}

/// Tag, content and what follows (X.690 §8.1): a length below 128 stands for itself, else for the octets of the
/// length.
fn split(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 128 {
        (usize::from(first), rest)
    } else {
        let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if octets.len() > 4 {
            return None;
        }
        (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` behind it (RFC 5280 §4.1.2.5).
fn time(der: &[u8]) -> Option<SystemTime> {
    let (tag, text, _) = split(der)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |place: usize| rest[2 * place..2 * place + 2].parse::<i64>().ok();
    let [month, day, hour, minute, second] = [part(0)?, part(1)?, part(2)?, part(3)?, part(4)?];
    if !(1..=12).contains(&month) {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Days from the epoch to a day of the Gregorian calendar, counted in years that begin in March, so that the leap
/// day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    fn seconds(time: SystemTime) -> u64 {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn dates_of_both_forms_are_read() {
        assert_eq!(not_after(&certificate(2027, 3, 1)).map(seconds), Some(1_803_859_200));
        assert_eq!(not_after(&certificate(2028, 2, 29)).map(seconds), Some(1_835_395_200));
        assert_eq!(not_after(&certificate(2100, 3, 1)).map(seconds), Some(4_107_542_400));
    }

    #[test]
    fn a_damaged_certificate_has_no_date() {
        let whole = certificate(2027, 3, 1);
        for length in 0..whole.len().min(200) {
            let _ = not_after(&whole[..length]);
        }
        assert_eq!(not_after(&whole[..60]), None);
        assert_eq!(not_after(b""), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    proptest! {
        #[test]
        fn no_octets_stop_the_walk(octets: Vec<u8>) {
            let _ = not_after(&octets);
            let _ = time(&octets);
        }
    }
}
