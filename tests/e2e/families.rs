//! A host of two address families, and a tenant that has them as well: what a cluster of its own would show.

use std::{net::IpAddr, path::Path};

use anyhow::{Context as _, ensure};
use e2e::{output_of, soon, start};
use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
    networking::v1::ServiceCIDR,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use vcluster_fixtures::pods::visitor;
use vcluster_harness::{
    asset::Component,
    cluster::VirtualCluster,
    host::{HostCluster, kind},
    wait,
};

use crate::{
    own_host::with_own_host,
    services::{server, service},
    versions::comes_to_rest,
};

/// What the kernel lists its addresses of the second family in.
const IPV6: &str = "/proc/net/if_inet6";

#[tokio::test]
async fn a_tenant_has_the_two_families_of_its_host() -> anyhow::Result<()> {
    if !Path::new(IPV6).exists() {
        println!("SKIPPED: this machine has no IPv6");
        return Ok(());
    }
    with_own_host(async |own| {
        let options = own.options().dual_stack();
        let host = kind::create(&own.engine, &options, &own.progress).await?;
        // It goes with its host.
        let cluster = VirtualCluster::builder(&own.name)
            .start(&host, &own.assets)
            .await?;
        let client = cluster.client();
        let image = cluster.image(Component::Shell).await?;
        ranges_are_slices_of_the_hosts(&host, &client).await?;
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let pod = start(&pods, &server("web", &image)?).await?;
        ensure!(families(&addresses_of(&pod)?) == ["IPv4", "IPv6"]);
        for (name, asked, expected) in SERVICES {
            let spec: Value = serde_json::from_str(asked)?;
            has_families(&cluster, name, &spec, expected)
                .await
                .with_context(|| format!("service {name}"))?;
        }
        services_answer_by_every_address(&cluster, &image).await?;
        endpoints_are_those_of_the_family(&client, &pod).await?;
        comes_to_rest(&cluster).await
    })
    .await
}

/// What a service asks for, and the families that it has then.
const SERVICES: [(&str, &str, &[&str]); 5] = [
    ("plain", "{}", &["IPv4"]),
    (
        "prefers",
        r#"{"ipFamilyPolicy": "PreferDualStack"}"#,
        &["IPv4", "IPv6"],
    ),
    (
        "requires",
        r#"{"ipFamilyPolicy": "RequireDualStack"}"#,
        &["IPv4", "IPv6"],
    ),
    (
        "other-first",
        r#"{"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}"#,
        &["IPv6", "IPv4"],
    ),
    ("other-only", r#"{"ipFamilies": ["IPv6"]}"#, &["IPv6"]),
];

/// The API server says what it was started with, and the host has room for it.
async fn ranges_are_slices_of_the_hosts(host: &HostCluster, client: &Client) -> anyhow::Result<()> {
    let hosts = host.service_ranges().await?;
    ensure!(
        hosts.to_string() == "10.96.0.0/12,fd00:10:96::/112",
        "{hosts}"
    );
    let ranges = Api::<ServiceCIDR>::all(client.clone());
    let ranges = ranges.get("kubernetes").await?.spec.context("no range")?;
    let ranges = ranges.cidrs.unwrap_or_default();
    let [first, second] = &ranges[..] else {
        anyhow::bail!("{ranges:?}");
    };
    ensure!(hosts.first.contains(&first.parse::<IpNet>()?), "{first}");
    let of_the_other = hosts.second.context("the host has one")?;
    ensure!(of_the_other.contains(&second.parse::<IpNet>()?), "{second}");
    Ok(())
}

fn addresses_of(pod: &Pod) -> anyhow::Result<Vec<String>> {
    let status = pod.status.as_ref().context("no status")?;
    let addresses = status.pod_ips.iter().flatten();
    Ok(addresses.map(|address| address.ip.clone()).collect())
}

fn families(addresses: &[String]) -> Vec<&'static str> {
    let family = |address: &String| match address.parse() {
        Ok(IpAddr::V4(_)) => "IPv4",
        Ok(IpAddr::V6(_)) => "IPv6",
        Err(_) => "no address",
    };
    addresses.iter().map(family).collect()
}

/// The virtual API server gives the addresses, and the host's service has the same.
async fn has_families(
    cluster: &VirtualCluster,
    name: &str,
    asked: &Value,
    expected: &[&str],
) -> anyhow::Result<()> {
    let mut spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    let fields = spec.as_object_mut().context("it is an object")?;
    fields.extend(asked.as_object().cloned().unwrap_or_default());
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let made = service(name, &spec)?;
    let made = services.create(&PostParams::default(), &made).await?;
    let spec = made.spec.context("no spec")?;
    let addresses = spec.cluster_ips.clone().unwrap_or_default();
    ensure!(families(&addresses) == expected, "{addresses:?}");
    let on_host: Api<Service> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let twin = cluster.host_key("default", name).name;
    let exists = |service: Option<&Service>| service.is_some();
    let twin = wait::until(&on_host, &twin, exists, soon("synced")).await?;
    let twin = twin.and_then(|twin| twin.spec).context("no twin")?;
    ensure!(
        twin.cluster_ips == spec.cluster_ips,
        "{:?}",
        twin.cluster_ips
    );
    ensure!(
        twin.ip_families == spec.ip_families,
        "{:?}",
        twin.ip_families
    );
    Ok(())
}

async fn services_answer_by_every_address(
    cluster: &VirtualCluster,
    image: &str,
) -> anyhow::Result<()> {
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    for (name, ..) in SERVICES {
        let spec = services.get(name).await?.spec.context("no spec")?;
        for address in spec.cluster_ips.iter().flatten() {
            let (url, family) = match address.parse()? {
                IpAddr::V4(address) => (format!("http://{address}"), "4"),
                IpAddr::V6(address) => (format!("http://[{address}]"), "6"),
            };
            let asking = visitor(&format!("{name}-{family}"), image, &url);
            let answer = output_of(&pods, &asking).await?;
            ensure!(
                answer.trim() == "web",
                "{url} of {name} answered {answer:?}"
            );
        }
        let url = format!("http://{name}.default.svc");
        let answer = output_of(&pods, &visitor(&format!("{name}-by-name"), image, &url)).await?;
        ensure!(answer.trim() == "web", "{name} answered {answer:?}");
    }
    Ok(())
}

/// The tenant's own controllers write a slice for each family, and the API server's is of the first.
async fn endpoints_are_those_of_the_family(client: &Client, pod: &Pod) -> anyhow::Result<()> {
    let slices: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    let of = async |service: &str| {
        let label = format!("kubernetes.io/service-name={service}");
        let slices = slices.list(&ListParams::default().labels(&label)).await?;
        let found = slices.items.into_iter().map(|slice| {
            let endpoints = slice.endpoints.into_iter().flatten();
            let addresses = endpoints.flat_map(|endpoint| endpoint.addresses);
            (slice.address_type, addresses.collect::<Vec<_>>())
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        anyhow::Ok(found)
    };
    let [first, second] = &addresses_of(pod)?[..] else {
        anyhow::bail!("a pod of two families has two addresses");
    };
    let both = [("IPv4", first), ("IPv6", second)];
    let both = both.map(|(family, address)| (family.to_owned(), vec![address.clone()]));
    assert_eq!(of("requires").await?, both);
    assert_eq!(of("other-only").await?, both[1..]);
    let servers = of("kubernetes").await?;
    ensure!(servers.len() == 1 && servers[0].0 == "IPv4", "{servers:?}");
    Ok(())
}
