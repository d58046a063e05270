//! Hosts: kind clusters made, found, used, repaired and deleted through the Docker API.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt as _};

use anyhow::{Context as _, ensure};
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};
use e2e::{output_of, start};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use vcluster_fixtures::pods;
use vcluster_harness::{
    asset::{Component, Image, Origin},
    cluster::VirtualCluster,
    host::{
        self, Error, HostCluster,
        kind::{self, KindOptions, Port},
    },
    prune,
    settings::Settings,
    vcluster_test,
    version::VersionRequest,
};

use crate::{
    child::{CLUSTER, Inner, Runner, announce, is_inner},
    kind_cli::KindCommand,
    own_host::{OwnHost, with_own_host},
    stores::runs_a_pod,
};

mod inner {
    use super::*;

    /// Two pods that will not share a node.
    #[vcluster_test(nodes = 2)]
    #[ignore = "run by another test"]
    async fn one_tenant_is_on_two_nodes(
        cluster: VirtualCluster,
        client: Client,
    ) -> anyhow::Result<()> {
        if !is_inner() {
            return Ok(());
        }
        announce(&cluster)?;
        let image = cluster.image(Component::Shell).await?;
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let mut nodes = BTreeSet::new();
        for name in ["one", "other"] {
            let mut pod = pods::sleeper(name, &image);
            pod.metadata.labels = Some([("app".to_owned(), "lonely".to_owned())].into());
            pod.spec.get_or_insert_default().affinity = serde_json::from_value(json!({
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": "lonely"}},
                }]},
            }))?;
            let pod = start(&pods, &pod).await?;
            nodes.extend(pod.spec.and_then(|spec| spec.node_name));
        }
        let known = Api::<Node>::all(client)
            .list(&ListParams::default())
            .await?;
        let known = known
            .items
            .into_iter()
            .filter_map(|node| node.metadata.name);
        assert_eq!(known.collect::<BTreeSet<_>>(), nodes);
        assert_eq!(nodes.len(), 2);
        Ok(())
    }
}

/// One host for all that is true of a host from its first minute to its last.
#[tokio::test]
async fn a_host_of_two_nodes_is_used_stopped_resumed_and_deleted_by_kind() -> anyhow::Result<()> {
    with_own_host(async |own| {
        it_is_made_for_a_test_that_wants_two_nodes(own).await?;
        let host = own.shared().await?;
        every_node_is_ready_and_known(own, &host).await?;
        it_is_found_and_not_made_twice(own).await?;
        let shell = images_are_loaded_where_they_lack(own, &host).await?;
        pods_of_both_nodes_talk(own, &host.client().await?, &shell).await?;

        let ids = own.container_ids().await?;
        it_goes_on_after_a_pause(own, &host, &ids).await?;
        stop(own, &ids).await?;
        // Its nodes come back although somebody else has got their addresses.
        take_addresses(own, host.node_addresses().len()).await?;
        let stopped = host.check().await;
        assert!(
            matches!(stopped, Err(Error::NotRunning { .. })),
            "{stopped:?}"
        );
        let resumed = own.shared().await?;
        assert_eq!(own.container_ids().await?, ids, "it was replaced");
        assert_ne!(resumed.node_addresses(), host.node_addresses());
        pods_of_both_nodes_talk(own, &resumed.client().await?, &shell).await?;

        let volumes = own.volumes().await?;
        ensure!(!volumes.is_empty());
        kind_lists_exports_and_deletes(own).await?;
        for volume in volumes {
            let left = own.engine.docker().inspect_volume(&volume).await;
            assert!(left.is_err(), "{left:?}");
        }
        let gone = host.check().await.expect_err("its containers were removed");
        assert!(gone.to_string().contains("somebody deleted it"), "{gone}");
        Ok(())
    })
    .await
}

/// A host of another version beside the shared one, with tenants older and newer than it.
#[tokio::test]
#[ignore = "needs a node of 1.33, which takes minutes to build where no registry has it"]
async fn hosts_of_two_versions_stand_side_by_side() -> anyhow::Result<()> {
    with_own_host(async |own| {
        let of = |minor| VersionRequest::Minor(1, minor);
        let settings = Settings {
            host_version: of(34),
            ..Settings::from_process()?
        };
        let shared = host::shared(&settings, &own.assets, &own.progress).await?;
        let settings = Settings {
            host_version: of(33),
            ..own.settings.clone()
        };
        let older = host::shared(&settings, &own.assets, &own.progress).await?;
        for (host, minor) in [(&older, "v1.33."), (&shared, "v1.34.")] {
            let says = host.client().await?.apiserver_version().await?.git_version;
            ensure!(says.starts_with(minor), "{says}");
        }
        for tenant in ["1.33", "1.34"] {
            // They go with their host.
            let name = format!("{}-{}", own.name, tenant.replace('.', "-"));
            let cluster = VirtualCluster::builder(&name)
                .version(tenant.parse()?)
                .start(&older, &own.assets)
                .await?;
            let ran = runs_a_pod(&cluster, cluster.client(), "web").await;
            ran.with_context(|| format!("a tenant of {tenant}"))?;
        }
        Ok(())
    })
    .await
}

/// The user's kubeconfig is rubbish meanwhile, which nobody notices who does not read it.
async fn it_is_made_for_a_test_that_wants_two_nodes(own: &OwnHost) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("config");
    std::fs::write(&kubeconfig, "no: kubeconfig")?;
    let inner = start_inner(
        "hosts::inner::one_tenant_is_on_two_nodes",
        own,
        &[("KUBECONFIG", &kubeconfig.display().to_string())],
    )?;
    let ended = tokio::task::spawn_blocking(|| inner.end()).await?;
    ensure!(ended.status.success(), "{}", ended.output);
    ensure!(ended.word_after(CLUSTER).is_some(), "{}", ended.output);
    assert_eq!(std::fs::read_to_string(kubeconfig)?, "no: kubeconfig");
    Ok(())
}

fn start_inner(test: &str, own: &OwnHost, more: &[(&str, &str)]) -> anyhow::Result<Inner> {
    let host = format!("kind:{}", own.name);
    let mut environment = vec![("VCLUSTER_TEST_HOST", host.as_str())];
    environment.extend(more);
    Runner::Nextest.start(test, &environment)
}

async fn every_node_is_ready_and_known(own: &OwnHost, host: &HostCluster) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(host.client().await?);
    let nodes = nodes.list(&ListParams::default()).await?.items;
    let mut names: Vec<_> = nodes
        .iter()
        .filter_map(|node| node.metadata.name.clone())
        .collect();
    names.sort();
    let expected = ["control-plane", "worker"].map(|role| format!("{}-{role}", own.name));
    assert_eq!(names, expected);
    assert!(nodes.iter().all(is_ready));
    assert_eq!(host.node_addresses().len(), 2);
    for address in host.node_addresses() {
        assert!(host.addresses_for_sans().contains(address));
    }
    assert_eq!(host.service_ranges().await?.to_string(), "10.96.0.0/12");
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn it_is_found_and_not_made_twice(own: &OwnHost) -> anyhow::Result<()> {
    let found = kind::find(&own.engine, &own.name).await?;
    let found = found.context("not found")?;
    assert!(found.is_ours && found.is_running());
    let again = kind::create(&own.engine, &own.options(), &own.progress).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    Ok(())
}

async fn images_are_loaded_where_they_lack(
    own: &OwnHost,
    host: &HostCluster,
) -> anyhow::Result<Image> {
    let version = own.assets.resolve(own.settings.host_version).await?;
    let shell = own.assets.image(Component::Shell, version).await?;
    let nowhere = Image {
        reference: "localhost/vcluster-test/nowhere:1".to_owned(),
        archive: None,
        origin: Origin::Engine,
    };
    let error = host.load(&[nowhere]).await.expect_err("it is nowhere");
    assert!(matches!(error, Error::NoArchive { .. }), "{error:?}");

    let directory = tempfile::tempdir()?;
    let damaged = directory.path().join("damaged.tar");
    std::fs::write(&damaged, "not an archive")?;
    let damaged = Image {
        archive: Some(damaged),
        ..shell.clone()
    };
    let error = host.load(&[damaged]).await.expect_err("it is damaged");
    assert!(matches!(error, Error::Archive { .. }), "{error:?}");

    host.load(std::slice::from_ref(&shell)).await?;
    host.load(std::slice::from_ref(&shell)).await?;
    Ok(shell)
}

/// A pod on the worker fetches a page from a pod on the control plane by its address.
async fn pods_of_both_nodes_talk(
    own: &OwnHost,
    client: &Client,
    shell: &Image,
) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let on = |role: &str, mut pod: Pod| {
        pod.spec.get_or_insert_default().node_name = Some(format!("{}-{role}", own.name));
        pod
    };
    let script = "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp";
    let server = pods::shell("server", &shell.reference, script);
    let server = start(&pods, &on("control-plane", server)).await?;
    let address = server
        .status
        .and_then(|status| status.pod_ip)
        .context("the server has no address")?;
    let url = format!("http://{address}:8080/");
    let visitor = pods::visitor("visitor", &shell.reference, &url);
    assert_eq!(output_of(&pods, &on("worker", visitor)).await?, "hello\n");
    for name in ["server", "visitor"] {
        let now = DeleteParams::default().grace_period(0);
        pods.delete(name, &now).await?;
        e2e::gone(&pods, name).await?;
    }
    Ok(())
}

async fn it_goes_on_after_a_pause(
    own: &OwnHost,
    host: &HostCluster,
    ids: &[String],
) -> anyhow::Result<()> {
    for id in ids {
        own.engine.docker().pause_container(id).await?;
    }
    let paused = host.check().await;
    assert!(
        matches!(&paused, Err(Error::NotRunning { state, .. }) if state == "paused"),
        "{paused:?}"
    );
    let again = own.shared().await?;
    assert_eq!(own.container_ids().await?, ids, "it was replaced");
    assert_eq!(again.node_addresses(), host.node_addresses());
    Ok(())
}

async fn stop(own: &OwnHost, ids: &[String]) -> anyhow::Result<()> {
    let now = StopContainerOptionsBuilder::default().t(0).build();
    for id in ids {
        let stopped = own.engine.docker().stop_container(id, Some(now.clone()));
        stopped.await?;
    }
    Ok(())
}

/// The engine gives the least address that is free.
async fn take_addresses(own: &OwnHost, count: usize) -> anyhow::Result<()> {
    for number in 0..count {
        own.start_beside(&format!("{}-bystander-{number}", own.name))
            .await?;
    }
    Ok(())
}

async fn kind_lists_exports_and_deletes(own: &OwnHost) -> anyhow::Result<()> {
    let kind = KindCommand::installed(&own.settings).await?;
    let listed = kind.run(["get", "clusters"]).await?;
    assert!(listed.lines().any(|line| line == own.name), "{listed}");
    let listed = kind.run(["get", "nodes", "--name", &own.name]).await?;
    let mut nodes: Vec<_> = listed.lines().collect();
    nodes.sort_unstable();
    let expected = ["control-plane", "worker"].map(|role| format!("{}-{role}", own.name));
    assert_eq!(nodes, expected);

    let nodes = Api::<Node>::all(kind.client(&own.name).await?);
    assert_eq!(nodes.list(&ListParams::default()).await?.items.len(), 2);

    kind.run(["delete", "cluster", "--name", &own.name]).await?;
    assert_eq!(kind::find(&own.engine, &own.name).await?, None);
    Ok(())
}

/// What the maker of a host says as it goes on, and at which it is killed.
const MOMENTS: [&str; 3] = [
    r#"step="containers""#,
    r#"step="kubeadm init""#,
    r#"step="nodes, network and storage""#,
];

#[tokio::test]
async fn a_half_made_host_of_a_killed_process_is_replaced_once() -> anyhow::Result<()> {
    with_own_host(async |own| {
        let mut half_made = BTreeSet::new();
        for (number, moment) in MOMENTS.into_iter().enumerate() {
            killed_at(moment, own).await?;
            // Each replaces what the one before has left.
            half_made.extend(own.container_ids().await?);
            assert_eq!(half_made.len(), number + 1, "after {moment}");
        }

        // Two at once, of which the second has locks of its own, as another user has them.
        let elsewhere = tempfile::tempdir()?;
        let other = Settings {
            cache: elsewhere.path().to_owned(),
            ..own.settings.clone()
        };
        let (one, two) = tokio::join!(
            own.shared(),
            host::shared(&other, &own.assets, &own.progress),
        );
        assert_eq!(one?.node_addresses(), two?.node_addresses());
        let ids = own.container_ids().await?;
        assert_eq!(ids.len(), 1);
        ensure!(!half_made.contains(&ids[0]));

        // Half an image is no obstacle either.
        killed_at("loading image=", own).await?;
        let next = start_inner("life::inner::passes", own, &[])?;
        let next = tokio::task::spawn_blocking(|| next.end()).await?;
        ensure!(next.status.success(), "{}", next.output);
        assert_eq!(own.container_ids().await?, ids, "it was replaced");

        a_volume_without_its_node_is_pruned(own).await?;
        kind::delete(&own.engine, &own.name).await?;
        kind::delete(&own.engine, &own.name).await?;
        assert_eq!(own.container_ids().await?, [""; 0]);
        Ok(())
    })
    .await
}

/// Runs a test on the host, which is made for it, and kills it when it says this.
async fn killed_at(moment: &'static str, own: &OwnHost) -> anyhow::Result<()> {
    let loud = [("VCLUSTER_TEST_LOG", "vcluster_harness=debug")];
    let mut inner = start_inner("life::inner::passes", own, &loud)?;
    let ended = tokio::task::spawn_blocking(move || {
        inner.after(moment);
        inner.kill_group();
        inner.end()
    });
    let ended = ended.await?;
    assert_eq!(ended.status.signal(), Some(9), "{}", ended.output);
    Ok(())
}

/// Somebody removes a node, but not its volume: that has a label, and so is found.
async fn a_volume_without_its_node_is_pruned(own: &OwnHost) -> anyhow::Result<()> {
    let volumes = own.volumes_of_name().await?;
    assert_eq!(volumes, own.volumes().await?);
    for id in own.container_ids().await? {
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        let removed = own.engine.docker().remove_container(&id, Some(force));
        removed.await?;
    }
    let items = prune::of_engine(&own.settings, &own.engine).await?;
    let found: Vec<_> = items
        .iter()
        .filter(|item| volumes.contains(&item.name))
        .collect();
    assert_eq!(found.len(), volumes.len(), "{items:?}");
    for volume in found {
        ensure!(volume.remove().await?, "{volume:?}");
    }
    assert_eq!(own.volumes_of_name().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_told_and_nothing_is_left() -> anyhow::Result<()> {
    with_own_host(async |own| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = taken.local_addr()?.port();
        let options = KindOptions {
            ports: vec![Port {
                node: 80,
                host: Some(port),
            }],
            ..own.options()
        };
        let made = kind::create(&own.engine, &options, &own.progress).await;
        let chain = format!("{:#}", anyhow::Error::from(made.unwrap_err()));
        assert!(chain.contains(&port.to_string()), "{chain}");
        assert_eq!(own.container_ids().await?, [""; 0]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_container_of_somebody_else_with_the_name_of_a_node_is_told() -> anyhow::Result<()> {
    with_own_host(async |own| {
        own.start_beside(&format!("{}-control-plane", own.name))
            .await?;
        let made = own.shared().await;
        let error = made.expect_err("its name is taken");
        assert!(matches!(error, Error::NameTaken { .. }), "{error:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_image_that_is_missing_is_named() -> anyhow::Result<()> {
    with_own_host(async |own| {
        let options = KindOptions {
            image: "localhost/vcluster-test/nothing:1".to_owned(),
            ..own.options()
        };
        let made = kind::create(&own.engine, &options, &own.progress).await;
        let error = made.unwrap_err();
        assert!(matches!(&error, Error::NodeImage { image, .. } if *image == options.image));
        Ok(())
    })
    .await
}
