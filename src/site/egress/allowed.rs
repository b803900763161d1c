//! One entry of the list of hosts that data may choose.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use reqwest::Url;
use serde::Deserialize;

/// What an entry names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Allowed {
    /// This name and no other, in lower case and as name servers know it (RFC 5890).
    Name(String),
    /// Every name below this one.
    Below(String),
    /// The addresses whose first bits are those of this one.
    Network(IpAddr, u32),
}

/// Why an entry names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{entry}' is not a host that may be allowed: {why}")]
pub struct BadEntry {
    entry: String,
    why: String,
    /// What to write in its place.
    pub help: String,
}

impl Allowed {
    /// Whether an address, which carries no other, is one of these.
    pub(super) fn holds_address(&self, address: IpAddr) -> bool {
        matches!(self, Allowed::Network(start, bits) if within(address, *start, *bits))
    }

    /// Whether a name in lower case is one of these.
    pub(super) fn holds_name(&self, name: &str) -> bool {
        match self {
            Allowed::Name(allowed) => allowed == name,
            Allowed::Below(parent) => {
                name.strip_suffix(parent.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
            Allowed::Network(..) => false,
        }
    }
}

impl FromStr for Allowed {
    type Err = BadEntry;

    fn from_str(entry: &str) -> Result<Self, BadEntry> {
        if let Some(address) = literal(entry) {
            let address = plain(address);
            return Ok(Allowed::Network(address, bits_of(address)));
        }
        if let Some((start, bits)) = entry.split_once('/')
            && let Some(start) = literal(start)
        {
            return network(entry, start, bits);
        }
        match entry.strip_prefix("*.") {
            Some(parent) => name(entry, parent).map(Allowed::Below),
            None => name(entry, entry).map(Allowed::Name),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = BadEntry;

    fn try_from(entry: String) -> Result<Self, BadEntry> {
        entry.parse()
    }
}

fn bad(entry: &str, why: impl Into<String>, help: impl Into<String>) -> BadEntry {
    BadEntry { entry: entry.to_owned(), why: why.into(), help: help.into() }
}

fn network(entry: &str, start: IpAddr, bits: &str) -> Result<Allowed, BadEntry> {
    if plain(start) != start {
        let help = format!("write the network of its IPv4 address, such as {}/24", plain(start));
        return Err(bad(entry, "this IPv6 address only carries an IPv4 address", help));
    }
    let most = bits_of(start);
    match bits.parse() {
        Ok(bits) if bits <= most => Ok(Allowed::Network(start, bits)),
        _ => {
            let why = format!("what stands after '/' is not a number of bits from 0 to {most}");
            Err(bad(entry, why, format!("write a network such as {start}/{most}")))
        }
    }
}

/// The name in the form in which the host of a parsed address is compared with it.
fn name(entry: &str, text: &str) -> Result<String, BadEntry> {
    const EXAMPLES: &str = "write a name such as mirror.example.org, all names below one such as '*.example.org', an \
                            address, or a network such as 10.1.0.0/16";
    let url = Url::parse(text).ok().filter(|url| url.host_str().is_some());
    if let Some(host) = url.as_ref().and_then(Url::host_str) {
        return Err(bad(entry, "it is a whole address", format!("write only the host: '{host}'")));
    }
    if let Some((host, port)) = text.split_once(':')
        && port.parse::<u16>().is_ok()
    {
        return Err(bad(entry, "ports are not told apart", format!("write only the host: '{host}'")));
    }
    let is_part = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    if text.starts_with('.') || text.contains("..") || !text.chars().all(is_part) {
        return Err(bad(entry, "it is not a name", EXAMPLES));
    }
    let url = Url::parse(&format!("http://{text}/")).map_err(|error| bad(entry, error.to_string(), EXAMPLES))?;
    let host = url.host_str().unwrap_or_default();
    match literal(host) {
        Some(address) => Err(bad(entry, "it is an address in an unusual form", format!("write {address}"))),
        None => Ok(host.trim_end_matches('.').to_owned()),
    }
}

/// The address that a host is, without the brackets of RFC 3986.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The IPv4 address that an IPv6 address carries: mapped and compatible (RFC 4291), NAT64 (RFC 6052), 6to4
/// (RFC 3056). Any other address is itself.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let low = |first: u16, second: u16| Ipv4Addr::from(u32::from(first) << 16 | u32::from(second)).into();
    match six.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, first, second] | [0x64, 0xff9b, 0, 0, 0, 0, first, second] => low(first, second),
        [0x2002, first, second, ..] => low(first, second),
        _ => address,
    }
}

fn bits_of(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn within(address: IpAddr, start: IpAddr, bits: u32) -> bool {
    let same = match (address, start) {
        (IpAddr::V4(address), IpAddr::V4(start)) => (u32::from(address) ^ u32::from(start)).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(start)) => (u128::from(address) ^ u128::from(start)).leading_zeros(),
        _ => return false,
    };
    same >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_hosts() {
        let name = |text: &str| Ok(Allowed::Name(text.to_owned()));
        assert_eq!("Mirror.example.org.".parse(), name("mirror.example.org"));
        assert_eq!("bücher.example".parse(), name("xn--bcher-kva.example"));
        assert_eq!("model_store".parse(), name("model_store"));
        assert_eq!("*.Example.org".parse(), Ok(Allowed::Below("example.org".to_owned())));
        assert_eq!("10.1.0.0/16".parse(), Ok(Allowed::Network([10, 1, 0, 0].into(), 16)));
        assert_eq!("[::ffff:10.1.0.1]".parse(), Ok(Allowed::Network([10, 1, 0, 1].into(), 32)));
    }

    #[test]
    fn every_network_holds_its_own_addresses_only() {
        for (entry, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ] {
            let entry: Allowed = entry.parse().unwrap();
            assert!(entry.holds_address(inside.parse().unwrap()), "{entry:?}");
            assert!(!entry.holds_address(outside.parse().unwrap()), "{entry:?}");
        }
    }

    #[test]
    fn what_would_never_match_is_an_error_that_says_what_to_write() {
        for (entry, why, help) in [
            ("https://mirror.example.org/models", "whole address", "'mirror.example.org'"),
            ("mirror.example.org:8443", "ports", "'mirror.example.org'"),
            ("10.0.0.0/33", "from 0 to 32", "10.0.0.0/32"),
            ("10.0.0.0/x", "from 0 to 32", "10.0.0.0/32"),
            ("2001:db8::/129", "from 0 to 128", "2001:db8::/128"),
            ("::ffff:10.0.0.0/104", "carries an IPv4", "10.0.0.0/24"),
            ("10.0.0/8", "not a name", "10.1.0.0/16"),
            ("2130706433", "unusual form", "127.0.0.1"),
            ("*", "not a name", "*.example.org"),
            ("a.*.org", "not a name", "*.example.org"),
            ("*.", "", "*.example.org"),
            ("*.*.org", "not a name", "*.example.org"),
            ("", "", "*.example.org"),
            (" mirror", "not a name", "*.example.org"),
        ] {
            let problem = entry.parse::<Allowed>().unwrap_err();
            assert!(problem.to_string().contains(why), "{entry}: {problem}");
            assert!(problem.help.contains(help), "{entry}: {}", problem.help);
        }
    }
}
