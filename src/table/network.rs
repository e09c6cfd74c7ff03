//! One network as tables and lists write it: `10.0.0.0/8`, `192.0.2.1`, `[2001:db8::]/32`.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads a network; a bare address is a network of one.
///
/// Brackets may stand around the address or the whole. Host bits must be zero: `10.1.2.3/8` is refused, since
/// nobody can tell the network that was meant from the one that would match.
pub fn network(text: &str) -> Result<IpNet, String> {
    let (address, length) = take_apart(text)?;
    let address: IpAddr = address.parse().map_err(|_| not_an_address(address))?;
    let Some(length) = length else { return Ok(address.into()) };
    let net = prefix(address, length)?;
    if net.trunc() != net {
        let meant = net.trunc();
        return Err(format!(
            "`{text}` has address bits behind its /{length}: write {meant}, or {address} alone"
        ));
    }
    Ok(net)
}

/// Address and prefix length of `a/n`, `[a]/n` and `[a/n]`.
fn take_apart(text: &str) -> Result<(&str, Option<&str>), String> {
    let split = |text| match str::split_once(text, '/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Some(opened) = text.strip_prefix('[') else { return Ok(split(text)) };
    match opened.split_once(']') {
        None => Err(format!("`{text}` has no closing `]`")),
        Some((inner, "")) => Ok(split(inner)),
        Some((address, tail)) => match tail.strip_prefix('/') {
            Some(length) => Ok((address, Some(length))),
            None => Err(format!("`{tail}` stands behind the `]` of `{text}`: write [address]/length")),
        },
    }
}

fn prefix(address: IpAddr, length: &str) -> Result<IpNet, String> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.bytes().all(|octet| octet.is_ascii_digit());
    match length.parse().ok().filter(|_| digits).map(|length: u8| IpNet::new(address, length)) {
        Some(Ok(net)) => Ok(net),
        _ if length.contains('.') => {
            Err(format!("`/{length}` is a netmask: write the number of its leading one bits, such as /24"))
        }
        _ => Err(format!("`/{length}` is no prefix length: write a number from 0 to {most}")),
    }
}

fn not_an_address(text: &str) -> String {
    let looks_short = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    if !looks_short {
        return format!("`{text}` is no address: write one such as 192.0.2.1 or 2001:db8::1");
    }
    if text.split('.').any(|octet| octet.len() > 1 && octet.starts_with('0')) {
        return format!("`{text}` is no address: octets are decimal, without leading zeros");
    }
    if text.split('.').filter(|octet| !octet.is_empty()).count() < 4 {
        return format!("`{text}` is no address: write all four octets, such as 10.0.0.0/8");
    }
    format!("`{text}` is no address: four octets from 0 to 255")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_in_all_their_spellings() {
        for (text, wanted) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.0.0.0/08", "10.0.0.0/8"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("[2001:db8::]/32", "2001:db8::/32"),
            ("[2001:db8::/32]", "2001:db8::/32"),
            ("[::1]", "::1/128"),
            ("[10.0.0.0]/8", "10.0.0.0/8"),
        ] {
            assert_eq!(network(text).map(|net| net.to_string()), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_names_what_would_be_right() {
        for (text, remedy) in [
            ("10.1.2.3/8", "write 10.0.0.0/8, or 10.1.2.3 alone"),
            ("2001:db8::1/32", "write 2001:db8::/32"),
            ("10/8", "all four octets"),
            ("192.168.", "all four octets"),
            ("010.0.0.0/8", "without leading zeros"),
            ("256.0.0.0/8", "from 0 to 255"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.0/+8", "from 0 to 32"),
            ("10.0.0.0/255.0.0.0", "netmask"),
            ("[::1", "closing"),
            ("[::1]x", "[address]/length"),
            ("example.com", "no address"),
            ("", "no address"),
        ] {
            let what = network(text).unwrap_err();
            assert!(what.contains(remedy), "{text}: {what}");
        }
    }
}
