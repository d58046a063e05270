//! The Docker network `kind`, which all kind clusters of an engine share. One in total: engines run out
//! of address pools after some thirty.

use std::collections::HashMap;

use bollard::{
    errors::Error as DockerError,
    models::{Ipam, IpamConfig, NetworkCreateRequest},
    query_parameters::ListNetworksOptionsBuilder,
};
use sha2::{Digest as _, Sha256};

use super::{
    super::{Error, node::is_not_found},
    labels,
};
use crate::engine::Engine;

/// The network's name.
pub(super) const NAME: &str = "kind";

/// How many IPv6 subnets are tried.
const ATTEMPTS: u32 = 5;

/// Makes sure that there is exactly one network `kind`.
///
/// The engine accepts two networks of one name from clients that ask at the same time, so after making
/// one, all are listed, everybody picks the same one, and the others are removed.
pub(super) async fn ensure(engine: &Engine) -> Result<(), Error> {
    if pick(engine).await? {
        return Ok(());
    }
    let mtu = default_mtu(engine).await;
    let mut attempt = 0;
    let mut subnet = Some(ipv6_subnet(attempt));
    loop {
        let result = engine
            .docker()
            .create_network(request(subnet.as_deref(), mtu.as_deref()))
            .await;
        match result.map_err(|error| (refusal(&error), error)) {
            Ok(_) | Err((Refusal::Exists, _)) => break,
            Err((Refusal::NoIpv6, _)) if subnet.is_some() => subnet = None,
            Err((Refusal::Overlap, error)) => {
                // Another process may have just made it, with the same subnet.
                if pick(engine).await? {
                    return Ok(());
                }
                attempt += 1;
                if attempt == ATTEMPTS {
                    return Err(Error::engine("create network", NAME)(error));
                }
                subnet = Some(ipv6_subnet(attempt));
            }
            Err((_, error)) => return Err(Error::engine("create network", NAME)(error)),
        }
    }
    pick(engine).await.map(drop)
}

/// Removes all networks `kind` but one; whether there is one.
async fn pick(engine: &Engine) -> Result<bool, Error> {
    let docker = engine.docker();
    let filters = HashMap::from([("name", vec![format!("^{NAME}$")])]);
    let options = ListNetworksOptionsBuilder::default()
        .filters(&filters)
        .build();
    let listed = docker
        .list_networks(Some(options))
        .await
        .map_err(Error::engine("list networks", NAME))?;
    let ids: Vec<String> = listed
        .into_iter()
        .filter(|network| network.name.as_deref() == Some(NAME))
        .filter_map(|network| network.id)
        .collect();
    if ids.len() < 2 {
        return Ok(!ids.is_empty());
    }
    let mut ranked = Vec::new();
    for id in ids {
        match docker.inspect_network(&id, None).await {
            Ok(network) => ranked.push((network.containers.map_or(0, |all| all.len()), id)),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(Error::engine("inspect network", NAME)(error)),
        }
    }
    // The one with the most containers, then the least id: the order that kind uses.
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (_, id) in ranked.iter().skip(1) {
        match docker.remove_network(id).await {
            Ok(()) => {}
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(Error::engine("remove the second network", NAME)(error)),
        }
    }
    Ok(!ranked.is_empty())
}

fn request(ipv6_subnet: Option<&str>, mtu: Option<&str>) -> NetworkCreateRequest {
    let mut options = HashMap::from([(
        "com.docker.network.bridge.enable_ip_masquerade".to_owned(),
        "true".to_owned(),
    )]);
    if let Some(mtu) = mtu {
        options.insert("com.docker.network.driver.mtu".to_owned(), mtu.to_owned());
    }
    let (key, value) = labels::MADE_BY_US;
    NetworkCreateRequest {
        name: NAME.to_owned(),
        driver: Some("bridge".to_owned()),
        options: Some(options),
        // kind's own has none: so it is known whose this is.
        labels: Some([(key.to_owned(), value.to_owned())].into()),
        enable_ipv6: Some(ipv6_subnet.is_some()),
        ipam: ipv6_subnet.map(|subnet| Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_owned()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

/// The default bridge's packet size, which the administrator may have set for a reason.
async fn default_mtu(engine: &Engine) -> Option<String> {
    let bridge = engine.docker().inspect_network("bridge", None).await.ok()?;
    bridge.options?.remove("com.docker.network.driver.mtu")
}

/// A private subnet that every process computes alike.
fn ipv6_subnet(attempt: u32) -> String {
    let hash = Sha256::digest(format!("{NAME}{attempt}"));
    format!(
        "fc00:{:02x}{:02x}:{:02x}{:02x}:{:02x}{:02x}::/64",
        hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]
    )
}

/// Why the engine did not make the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Exists,
    NoIpv6,
    Overlap,
    Other,
}

/// The engine has no codes for these, only texts.
fn refusal(error: &DockerError) -> Refusal {
    let DockerError::DockerResponseServerError { message, .. } = error else {
        return Refusal::Other;
    };
    let says = |text: &str| message.contains(text);
    if says("already exists") {
        Refusal::Exists
    } else if says("Pool overlaps") || says("networks have overlapping") {
        Refusal::Overlap
    } else if says("IPv6") || says("ip6tables") {
        Refusal::NoIpv6
    } else {
        Refusal::Other
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::exists("network with name kind already exists", Refusal::Exists)]
    #[case::overlap("Pool overlaps with other one on this address space", Refusal::Overlap)]
    #[case::no_ipv6("Cannot read IPv6 setup for bridge br-1", Refusal::NoIpv6)]
    #[case::no_ip6tables(
        "Failed to Setup IP tables: Unable to enable NAT rule: (iptables failed: ip6tables --wait",
        Refusal::NoIpv6
    )]
    #[case::pools(
        "could not find an available, non-overlapping IPv4 address pool",
        Refusal::Other
    )]
    fn a_refusal_is_understood(#[case] message: &str, #[case] expected: Refusal) {
        let error = DockerError::DockerResponseServerError {
            status_code: 403,
            message: message.to_owned(),
        };
        assert_eq!(refusal(&error), expected);
    }

    #[test]
    fn subnets_differ_by_attempt_and_are_private() {
        let subnets: Vec<String> = (0..ATTEMPTS).map(ipv6_subnet).collect();
        assert!(subnets.iter().all(|subnet| subnet.starts_with("fc00:")));
        assert_ne!(subnets[0], subnets[1]);
    }
}
