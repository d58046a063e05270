//! Slices of the host's service range: each virtual cluster allocates its addresses from one.
//!
//! Computes only. A slice is claimed by creating the control plane's Service with the first
//! address: the host refuses the second claimant.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

/// The part of the host's service range that belongs to one virtual cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slice {
    network: IpNet,
}

/// The ranges that a cluster gives service addresses from: one, or of two address families one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceRanges {
    /// The range of the family that a service has unless it says otherwise.
    pub first: IpNet,
    /// The range of the other family.
    pub second: Option<IpNet>,
}

/// How a virtual cluster's service addresses relate to the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// The cluster owns a slice, or one of each family; a service has the same addresses on both sides.
    Slice(Slice, Option<Slice>),
    /// The host's range is too small for slices. Both sides use all of it, the host decides on every
    /// address, and a virtual service is made anew with the address that its twin got. It is of one family.
    Shared(IpNet),
}

/// The slices a cluster may try, in an order of its own.
#[derive(Debug, Clone)]
pub struct Candidates {
    range: IpNet,
    prefix: u8,
    count: u128,
    next: u128,
    stride: u128,
    left: u128,
    reserved: Vec<IpAddr>,
}

/// The bits a slice leaves to its addresses. 256 addresses: `.1` is the API server, `.10` DNS.
pub const DEFAULT_BITS: u8 = 8;
/// 16 addresses are the least that hold both `.1` and `.10`.
const LEAST_BITS: u8 = 4;
/// Fewer slices than this would be exhausted by a handful of parallel tests.
const LEAST_SLICES: u128 = 8;
/// More than 65,536 slices are never needed; an IPv6 range has room for far more.
const MOST_SLICES_BITS: u32 = 16;
/// Where the API server is, counted from the start of the slice.
const API: u32 = 1;
/// Where DNS is, as kubeadm counts.
const DNS: u32 = 10;

impl Slice {
    /// A slice known from a record.
    pub fn new(network: IpNet) -> Self {
        Self {
            network: network.trunc(),
        }
    }

    /// Its addresses as a range.
    pub fn network(&self) -> IpNet {
        self.network
    }

    /// The address of `default/kubernetes`, and of the control plane's Service on the host.
    pub fn api_address(&self) -> IpAddr {
        offset(self.network, API.into())
    }

    /// The address of the cluster's DNS.
    pub fn dns_address(&self) -> IpAddr {
        offset(self.network, DNS.into())
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

impl ServiceRanges {
    /// The same without the other family.
    #[must_use]
    pub fn of_one_family(self) -> Self {
        self.first.into()
    }
}

impl From<IpNet> for ServiceRanges {
    fn from(first: IpNet) -> Self {
        Self {
            first,
            second: None,
        }
    }
}

impl fmt::Display for ServiceRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            Some(second) => write!(f, "{},{second}", self.first),
            None => self.first.fmt(f),
        }
    }
}

impl Addressing {
    /// The ranges for `--service-cluster-ip-range`.
    pub fn ranges(&self) -> ServiceRanges {
        match self {
            Self::Slice(first, second) => ServiceRanges {
                first: first.network,
                second: second.map(|slice| slice.network),
            },
            Self::Shared(range) => (*range).into(),
        }
    }
}

impl Candidates {
    /// The slices of `range`, each with `bits` bits of addresses, in an order that `identity` alone
    /// decides. Slices that hold one of the `reserved` addresses and the first one, where every host
    /// keeps `kubernetes` and its DNS, are left out.
    ///
    /// `None` when the range is too small to be shared out; see [`Addressing::Shared`].
    pub fn new(range: IpNet, bits: u8, identity: &str, reserved: &[IpAddr]) -> Option<Self> {
        let range = range.trunc();
        let prefix = range.max_prefix_len().checked_sub(bits.max(LEAST_BITS))?;
        let slices = u32::from(prefix.checked_sub(range.prefix_len())?);
        let count = 1_u128 << slices.min(MOST_SLICES_BITS);
        if count < LEAST_SLICES {
            return None;
        }
        let digest = Sha256::digest(identity.as_bytes());
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte))
        };
        Some(Self {
            range,
            prefix,
            next: number(&digest[..8]) % count,
            // An odd stride visits every slice once, as their count is a power of two.
            stride: number(&digest[8..16]) | 1,
            count,
            left: count,
            reserved: reserved.to_vec(),
        })
    }
}

impl Iterator for Candidates {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        while self.left > 0 {
            let index = self.next;
            self.left -= 1;
            self.next = (self.next + self.stride) % self.count;
            let host_bits = self.range.max_prefix_len() - self.prefix;
            let first = offset(self.range, index << host_bits);
            let network = IpNet::new(first, self.prefix).ok()?;
            let is_reserved = index == 0
                || self
                    .reserved
                    .iter()
                    .any(|address| network.contains(address));
            if !is_reserved {
                return Some(Slice { network });
            }
        }
        None
    }
}

fn offset(network: IpNet, by: u128) -> IpAddr {
    match network.network() {
        IpAddr::V4(address) => {
            let by = u32::try_from(by).unwrap_or(u32::MAX);
            IpAddr::V4(u32::from(address).saturating_add(by).into())
        }
        IpAddr::V6(address) => IpAddr::V6(u128::from(address).saturating_add(by).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::{prop_assert, prop_assert_eq, proptest};
    use rstest::rstest;

    use super::*;

    fn candidates(range: &str, bits: u8, identity: &str) -> Option<Candidates> {
        Candidates::new(range.parse().unwrap(), bits, identity, &[])
    }

    #[test]
    fn ranges_are_written_as_api_servers_take_them() {
        let one = ServiceRanges::from("10.96.17.0/24".parse::<IpNet>().unwrap());
        assert_eq!(one.to_string(), "10.96.17.0/24");
        let two = ServiceRanges {
            second: "fd00:10:96::1700/120".parse().ok(),
            ..one
        };
        assert_eq!(two.to_string(), "10.96.17.0/24,fd00:10:96::1700/120");
        assert_eq!(two.of_one_family(), one);
    }

    #[test]
    fn addresses_are_counted_from_the_start() {
        let slice = Slice::new("10.96.17.0/24".parse().unwrap());
        assert_eq!(slice.api_address().to_string(), "10.96.17.1");
        assert_eq!(slice.dns_address().to_string(), "10.96.17.10");
        assert_eq!(slice.to_string(), "10.96.17.0/24");
    }

    #[rstest]
    #[case::kubeadm("10.96.0.0/12", 8, 4095)]
    #[case::kind("10.96.0.0/16", 8, 255)]
    #[case::larger_slices("10.96.0.0/16", 12, 15)]
    #[case::smaller_slices("10.96.0.0/20", 4, 255)]
    #[case::ipv6("fd00:10:96::/112", 8, 255)]
    #[case::a_huge_range("fd00:10:96::/64", 8, 65_535)]
    fn every_slice_but_the_hosts_own_is_tried_once(
        #[case] range: &str,
        #[case] bits: u8,
        #[case] expected: usize,
    ) {
        let all: Vec<_> = candidates(range, bits, "web").unwrap().collect();
        assert_eq!(all.len(), expected);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), expected);
    }

    #[rstest]
    #[case::one_slice("10.96.0.0/24", 8)]
    #[case::four_slices("10.96.0.0/22", 8)]
    #[case::smaller_than_a_slice("10.96.0.0/28", 8)]
    #[case::slices_beyond_the_family("10.96.0.0/12", 40)]
    fn a_small_range_has_no_slices(#[case] range: &str, #[case] bits: u8) {
        assert!(candidates(range, bits, "web").is_none());
    }

    #[test]
    fn the_order_depends_on_the_identity_alone() {
        let first = |identity| candidates("10.96.0.0/12", 8, identity).unwrap().next();
        assert_eq!(first("web"), first("web"));
        assert_ne!(first("web"), first("db"));
    }

    #[test]
    fn reserved_addresses_keep_their_slice() {
        let range = "10.96.0.0/16".parse().unwrap();
        let reserved = "10.96.3.77".parse().unwrap();
        let candidates = Candidates::new(range, 8, "web", &[reserved]).unwrap();
        assert!(
            candidates
                .into_iter()
                .all(|slice| !slice.network().contains(&reserved))
        );
    }

    proptest! {
        #[test]
        fn slices_lie_in_the_range_and_never_overlap(identity in ".{0,20}", bits in 4_u8..10) {
            let range: IpNet = "10.96.0.0/16".parse().unwrap();
            let all: Vec<_> = Candidates::new(range, bits, &identity, &[]).unwrap().collect();
            let starts: HashSet<_> = all.iter().map(|slice| slice.network().network()).collect();
            prop_assert_eq!(starts.len(), all.len());
            for slice in all {
                prop_assert!(range.contains(&slice.network()));
                prop_assert_eq!(slice.network().prefix_len(), 32 - bits);
                prop_assert!(slice.network().contains(&slice.dns_address()));
            }
        }
    }
}
