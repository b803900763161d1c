//! Where requests may go. Addresses that hand out credentials of the machine are refused wherever they come from;
//! a host that data has chosen must be one of a list.

mod allowed;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::Deserialize;

pub use allowed::{Allowed, BadEntry};
use allowed::{literal, plain};

/// Metadata services outside the link-local range: Alibaba Cloud, Oracle Cloud and Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// Metadata services of AWS and Google Cloud in unique local addresses.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Names of metadata services, for a proxy that resolves what name servers here do not know.
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];
/// What they all lead to.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Where requests of steps may go.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Hosts that data may choose: names such as `mirror.example.org`, everything below a name such as
    /// `*.example.org`, addresses, and networks such as `10.1.0.0/16`. What the text of a playbook or the inputs of
    /// the person who starts it name needs no entry. Link-local addresses and metadata services of clouds are
    /// refused everywhere unless their address is listed.
    #[schemars(with = "Vec<String>", extend("default" = []))]
    pub allow: Vec<Allowed>,
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
        let name = host.trim_end_matches('.');
        let known = METADATA_NAMES.iter().any(|metadata| metadata.eq_ignore_ascii_case(name));
        literal(host).or(known.then_some(METADATA)).map_or(Ok(()), |address| self.check_address(address))
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
        self.allow.iter().any(|entry| entry.holds_address(address))
    }

    fn names(&self, name: &str) -> bool {
        // The dot at the end only says that the name is complete.
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.allow.iter().any(|entry| entry.holds_name(&name))
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => address.is_unicast_link_local() || METADATA_V6.contains(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(entries: &[&str]) -> Egress {
        Egress { allow: entries.iter().map(|entry| entry.parse().unwrap()).collect() }
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
            "Metadata.google.internal.",
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
