//! Where requests may go. Addresses that hand out credentials of the machine are refused wherever they come from;
//! a host that data has chosen must be one of a list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::Deserialize;

/// Metadata services outside the link-local range: Alibaba Cloud, Oracle Cloud and Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// Metadata services of AWS and Google Cloud in unique local addresses.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Where requests of steps may go.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Hosts that data may choose: names such as `mirror.example.org`, everything below a name such as
    /// `*.example.org`, addresses, and networks such as `10.1.0.0/16`. What the text of a playbook or the inputs of
    /// the person who starts it name needs no entry. Link-local addresses and metadata services of clouds are
    /// refused everywhere unless their address is listed.
    pub allow: Vec<String>,
}

/// Why a request does not go there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} is a link-local address or a metadata service, which hands out credentials of this machine")]
    Metadata(IpAddr),
    #[error("the allowed name leads to {0}, an address of this machine")]
    Rebound(IpAddr),
    #[error("data chose the host '{0}', which the site file does not allow")]
    NotAllowed(String),
}

impl Refused {
    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            Refused::Metadata(address) | Refused::Rebound(address) => {
                format!("if that is meant, write `egress: {{allow: ['{address}']}}` in the site file")
            }
            Refused::NotAllowed(host) => format!(
                "write the host into the playbook, or `egress: {{allow: ['{host}']}}` in the site file if data may choose it"
            ),
        }
    }
}

impl Egress {
    /// Whether a connection to this address may be made.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        if is_metadata(address) && !self.lists(address) {
            return Err(Refused::Metadata(plain(address)));
        }
        Ok(())
    }

    /// Whether an address may be used that a name was resolved to. Whoever runs the name servers of a listed name
    /// could lead it here; names that only text names are believed.
    pub fn check_resolved(&self, name: &str, address: IpAddr) -> Result<(), Refused> {
        self.check_address(address)?;
        let local = plain(address).is_loopback() || address.is_unspecified();
        if local && self.names(name) && !self.lists(address) {
            return Err(Refused::Rebound(plain(address)));
        }
        Ok(())
    }

    /// Whether the host of an address, as a URL parser gives it, may be asked. Names are checked when they are resolved.
    pub fn check_host(&self, host: &str) -> Result<(), Refused> {
        literal(host).map_or(Ok(()), |address| self.check_address(address))
    }

    /// Whether data may choose this host.
    pub fn check_chosen(&self, host: &str) -> Result<(), Refused> {
        let allowed = match literal(host) {
            Some(address) => self.lists(address),
            None => self.names(host),
        };
        if allowed { Ok(()) } else { Err(Refused::NotAllowed(host.to_owned())) }
    }

    fn lists(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.allow.iter().filter_map(|entry| network(entry)).any(|(start, bits)| within(address, start, bits))
    }

    fn names(&self, name: &str) -> bool {
        // The dot at the end only says that the name is complete.
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.allow.iter().map(|entry| entry.to_ascii_lowercase()).any(|entry| match entry.strip_prefix("*.") {
            Some(parent) => name.strip_suffix(parent).is_some_and(|front| front.len() > 1 && front.ends_with('.')),
            None => entry == name,
        })
    }
}

/// The address that a host is, without the brackets of RFC 3986.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_metadata(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => address.is_unicast_link_local() || METADATA_V6.contains(&address),
    }
}

/// The IPv4 address that an IPv6 address carries: mapped and compatible (RFC 4291), NAT64 (RFC 6052), 6to4
/// (RFC 3056). Any other address is itself.
fn plain(address: IpAddr) -> IpAddr {
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

/// The first address and the fixed bits of an entry that is an address or a network.
fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = entry.split_once('/').unwrap_or((entry, "128"));
    Some((plain(literal(address)?), bits.parse().ok()?))
}

fn within(address: IpAddr, start: IpAddr, bits: u32) -> bool {
    match (address, start) {
        (IpAddr::V4(address), IpAddr::V4(start)) => {
            let differing = u32::from(address) ^ u32::from(start);
            differing.leading_zeros() >= bits.min(32)
        }
        (IpAddr::V6(address), IpAddr::V6(start)) => {
            let differing = u128::from(address) ^ u128::from(start);
            differing.leading_zeros() >= bits.min(128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(entries: &[&str]) -> Egress {
        Egress { allow: entries.iter().map(|entry| (*entry).to_owned()).collect() }
    }

    #[test]
    fn t60_metadata_services_are_refused_in_every_form() {
        for host in [
            "169.254.169.254",
            "169.254.170.2",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[fd20:ce::254]",
        ] {
            assert!(matches!(Egress::default().check_host(host), Err(Refused::Metadata(_))), "{host}");
        }
        for host in ["127.0.0.1", "[::1]", "10.0.0.1", "example.org", "169.253.0.1"] {
            assert_eq!(Egress::default().check_host(host), Ok(()), "{host}");
        }
        assert_eq!(allowing(&["169.254.169.254"]).check_host("[::ffff:169.254.169.254]"), Ok(()));
        assert!(allowing(&["169.254.169.254"]).check_host("169.254.169.253").is_err());
    }

    #[test]
    fn t60_data_chooses_among_listed_hosts_only() {
        let egress = allowing(&["mirror.example.org", "*.internal", "10.1.0.0/16"]);
        for host in ["mirror.example.org", "MIRROR.example.org.", "a.b.internal", "10.1.255.3", "[::ffff:10.1.0.1]"] {
            assert_eq!(egress.check_chosen(host), Ok(()), "{host}");
        }
        for host in ["example.org", "xmirror.example.org", "internal", ".internal", "10.2.0.1", "127.0.0.1", "[::1]"] {
            assert!(egress.check_chosen(host).is_err(), "{host}");
        }
    }

    #[test]
    fn t60_a_listed_name_does_not_lead_to_this_machine() {
        let egress = allowing(&["mirror.example.org"]);
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"] {
            let address = address.parse().unwrap();
            assert!(egress.check_resolved("mirror.example.org", address).is_err(), "{address}");
            assert_eq!(egress.check_resolved("localhost", address), Ok(()), "{address}");
        }
        let metadata = "169.254.169.254".parse().unwrap();
        assert!(egress.check_resolved("metadata.example", metadata).is_err());
    }
}
