//! What is told when a test fails, and what its bundle holds.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use e2e::soon;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};
use serde_json::json;
use vcluster_fixtures::pods::shell;
use vcluster_harness::{asset::Component, cluster::VirtualCluster, vcluster_test, wait};

use crate::child::{CLUSTER, Ended, Runner, announce, is_inner};

/// The value of a secret, which must appear nowhere.
const HUSH: &str = "correct-horse-battery-staple";

mod inner {
    use super::*;

    /// Three pods in trouble; the test fails when all three troubles can be seen.
    #[vcluster_test]
    #[ignore = "run by another test"]
    async fn has_pods_in_trouble(cluster: VirtualCluster, client: Client) -> anyhow::Result<()> {
        if !is_inner() {
            return Ok(());
        }
        announce(&cluster)?;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("password".to_owned()),
                ..ObjectMeta::default()
            },
            string_data: Some([("password".to_owned(), HUSH.to_owned())].into()),
            ..Secret::default()
        };
        let secrets = Api::<Secret>::default_namespaced(client.clone());
        secrets.create(&PostParams::default(), &secret).await?;

        let imageless = serde_json::from_value(json!({
            "metadata": {"name": "imageless"},
            "spec": {"containers": [{
                "name": "app",
                "image": "example.invalid/nope:1",
                "imagePullPolicy": "Never",
                "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "password", "key": "password"}}}],
            }]},
        }))?;
        let image = cluster.image(Component::Shell).await?;
        let crashing = shell("crashing", &image, "echo cannot find the answer; exit 3");
        let mut homeless = shell("homeless", &image, "sleep 3600");
        if let Some(spec) = &mut homeless.spec {
            spec.node_selector = Some([("no-such".to_owned(), "label".to_owned())].into());
        }
        let pods = Api::<Pod>::default_namespaced(client);
        for pod in [imageless, crashing, homeless] {
            let name = pods.create(&PostParams::default(), &pod).await?.name_any();
            wait::until(&pods, &name, is_in_trouble, soon("in trouble")).await?;
        }
        anyhow::bail!("the pods are in trouble")
    }

    fn is_in_trouble(pod: Option<&Pod>) -> bool {
        let Some(status) = pod.and_then(|pod| pod.status.as_ref()) else {
            return false;
        };
        let mut conditions = status.conditions.iter().flatten();
        let mut containers = status.container_statuses.iter().flatten();
        conditions.any(|condition| condition.reason.as_deref() == Some("Unschedulable"))
            || containers.any(|container| {
                let state = container.state.as_ref();
                let waiting = state.and_then(|state| state.waiting.as_ref());
                let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
                let ended = state.and_then(|state| state.terminated.as_ref());
                ended.is_some() || reason == Some("ErrImageNeverPull")
            })
    }
}

/// Runs an inner test that fails, with its bundles in a directory of their own.
fn fail(test: &str, environment: &[(&str, &str)]) -> anyhow::Result<(Ended, tempfile::TempDir)> {
    let artifacts = tempfile::tempdir()?;
    let root = artifacts.path().to_str().expect("a plain path").to_owned();
    let mut all = vec![("VCLUSTER_TEST_ARTIFACTS", root.as_str())];
    all.extend(environment);
    let ended = Runner::Nextest.start(test, &all)?.end();
    assert!(!ended.status.success(), "{}", ended.output);
    Ok((ended, artifacts))
}

#[test]
fn every_cause_is_told_and_the_bundle_holds_both_sides_and_no_secret() -> anyhow::Result<()> {
    let test = "failure::inner::has_pods_in_trouble";
    let (ended, artifacts) = fail(test, &[("RUST_LIB_BACKTRACE", "1")])?;
    let latest = artifacts.path().join("latest");
    let bundle = latest
        .canonicalize()?
        .join("failure.inner.has_pods_in_trouble");
    for told in [
        "image example.invalid/nope:1 of container app of pod default/imageless is not on the host",
        "cluster.load_image(\"example.invalid/nope:1\")",
        "ended with exit code 3",
        "cannot find the answer",
        "pod default/homeless is pending",
        "no node can take it",
        &bundle.display().to_string(),
    ] {
        assert!(
            ended.output.contains(told),
            "no `{told}`:\n{}",
            ended.output
        );
    }
    let summary = std::fs::read_to_string(bundle.join("summary.txt"))?;
    assert!(summary.contains("the pods are in trouble"), "{summary}");
    assert!(!summary.to_lowercase().contains("backtrace"), "{summary}");
    let cluster = ended.word_after(CLUSTER).expect("it had a cluster");
    holds_both_sides(&bundle, &cluster)?;
    holds_no_secret(&bundle)
}

fn holds_both_sides(bundle: &Path, cluster: &str) -> anyhow::Result<()> {
    let containers = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "syncer",
    ];
    let logs = containers.map(|container| format!("logs/{cluster}-0/{container}.log"));
    let files = [
        "versions.yaml",
        "events-host.txt",
        "objects/host/pods.yaml",
        "objects/host/secrets.yaml",
        "objects/host/nodes.yaml",
        "objects/virtual/pods.yaml",
        "objects/virtual/secrets.yaml",
        "objects/virtual/namespaces.yaml",
    ];
    for file in files.map(str::to_owned).into_iter().chain(logs) {
        let length = bundle.join(&file).metadata().context(file.clone())?.len();
        assert!(length > 0, "{file} is empty");
    }
    Ok(())
}

fn holds_no_secret(bundle: &Path) -> anyhow::Result<()> {
    let forbidden = [
        HUSH,
        // The same as the API gives it.
        "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==",
        "PRIVATE KEY-----\n",
        // A private key in base64.
        "LS0tLS1CRUdJTiBFQyBQUklW",
        "LS0tLS1CRUdJTiBQUklWQVRF",
    ];
    for (path, content) in files(bundle)? {
        for forbidden in forbidden {
            let is_there = content.contains(forbidden);
            assert!(!is_there, "{} holds {forbidden}", path.display());
        }
    }
    Ok(())
}

#[test]
fn an_engine_that_does_not_answer_is_named_with_what_to_do() -> anyhow::Result<()> {
    let nowhere = [("DOCKER_HOST", "unix:///nonexistent/docker.sock")];
    let (ended, _artifacts) = fail("life::inner::passes", &nowhere)?;
    for part in ["vcluster set-up failed", "/nonexistent/docker.sock"] {
        assert!(ended.output.contains(part), "no `{part}`: {}", ended.output);
    }
    Ok(())
}

#[test]
fn a_control_plane_without_an_image_is_a_set_up_failure_with_the_image() -> anyhow::Result<()> {
    let missing = [
        (
            "VCLUSTER_TEST_SYNCER_IMAGE",
            "localhost/vcluster-test/nope:1",
        ),
        ("VCLUSTER_TEST_START_TIMEOUT", "20s"),
    ];
    let (ended, _artifacts) = fail("life::inner::passes", &missing)?;
    for part in ["vcluster set-up failed", "localhost/vcluster-test/nope:1"] {
        assert!(ended.output.contains(part), "no `{part}`: {}", ended.output);
    }
    Ok(())
}

fn files(directory: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            let content = std::fs::read_to_string(&path)?;
            found.push((path, content));
        }
    }
    Ok(found)
}
