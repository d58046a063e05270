//! What a `CONNECT` request asks for. Names are never resolved: a name is either known to the
//! directory or refused, so that nobody can aim at an address by owning its DNS entry.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// An address or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address; an IPv4 address in IPv6 clothes is the IPv4 address.
    Address(IpAddr),
    /// A DNS name in lower case.
    Name(String),
}

/// The request names no host and port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{authority}` is not a host and a port")]
pub struct ParseError {
    authority: String,
}

impl Target {
    /// Reads `10.0.0.7:80`, `[fd00::7]:80` or `node-1:10250`.
    ///
    /// # Errors
    ///
    /// Everything else: no port, port 0, user names, IPv6 zones, characters that no name has.
    pub fn parse(authority: &str) -> Result<Self, ParseError> {
        let parsed = || {
            let (host, port) = authority.rsplit_once(':')?;
            let port = port
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| port.parse().ok().filter(|&port| port != 0))??;
            let host = match host.strip_prefix('[') {
                Some(rest) => Host::from(IpAddr::from(
                    rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?,
                )),
                None => Host::parse(host)?,
            };
            Some(Self { host, port })
        };
        parsed().ok_or_else(|| ParseError {
            authority: authority.escape_default().take(300).collect(),
        })
    }
}

impl Host {
    /// Reads a name, or an IPv4 address; IPv6 needs no brackets here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(address.into());
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        (text.len() <= 253 && text.split('.').all(is_label))
            .then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::address("10.0.0.7:80", "10.0.0.7:80")]
    #[case::ipv6("[fd00::7]:80", "[fd00::7]:80")]
    #[case::ipv4_in_ipv6_clothes("[::ffff:127.0.0.1]:80", "127.0.0.1:80")]
    #[case::name("Node-1.example:10250", "node-1.example:10250")]
    // Not addresses to us, whatever an old resolver makes of them; and names are not resolved.
    #[case::hexadecimal("0x7f000001:80", "0x7f000001:80")]
    #[case::short_form("127.1:80", "127.1:80")]
    fn hosts_and_ports_are_read(#[case] authority: &str, #[case] expected: &str) {
        assert_eq!(Target::parse(authority).unwrap().to_string(), expected);
    }

    #[rstest]
    #[case::no_port("10.0.0.7")]
    #[case::empty("")]
    #[case::no_host(":80")]
    #[case::port_zero("10.0.0.7:0")]
    #[case::port_too_large("10.0.0.7:65536")]
    #[case::signed_port("10.0.0.7:+80")]
    #[case::user("root@10.0.0.7:80")]
    #[case::zone("[fe80::1%eth0]:80")]
    #[case::bare_ipv6_with_path("[fd00::7]:80/x")]
    #[case::line_break("10.0.0.7\r\n:80")]
    #[case::dots("..:80")]
    fn everything_else_is_refused(#[case] authority: &str) {
        assert!(Target::parse(authority).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics_and_what_is_read_reads_back(authority in ".{0,80}") {
            crate::relay::properties::target(&authority);
        }

        #[test]
        fn mapped_addresses_are_their_ipv4_selves(address: std::net::Ipv4Addr, port in 1u16..) {
            let mapped = Target::parse(&format!("[{}]:{port}", address.to_ipv6_mapped())).unwrap();
            prop_assert_eq!(mapped.host, Host::Address(address.into()));
        }
    }
}
