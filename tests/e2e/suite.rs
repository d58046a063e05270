//! Two suites of a hundred tests each, which the benchmark runs: tests that use the API alone, and tests
//! whose pods really run.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use rstest::rstest;
use serde_json::json;
use vcluster_harness::{
    self as vcluster,
    asset::Component,
    cluster::VirtualCluster,
    deadline::Deadline,
    wait::{self, conditions},
};

/// How long a pod may take on a machine that is busy with this suite.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes an object, changes it, lists it and deletes it.
#[rstest]
#[vcluster::test]
#[ignore = "run by the benchmark"]
async fn api(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u8,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u8,
    #[ignore] client: Client,
) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let name = format!("map-{tens}{ones}");
    let map = serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}}))?;
    maps.create(&PostParams::default(), &map).await?;
    let change = Patch::Merge(json!({"data": {"a": "2"}}));
    maps.patch(&name, &PatchParams::default(), &change).await?;
    let found = maps.list(&ListParams::default()).await?;
    // The cluster's own certificate comes by itself, sooner or later; of other tests there is none.
    let others = found
        .iter()
        .filter(|map| map.name_any() != "kube-root-ca.crt");
    let values: Vec<_> = others.map(|map| map.data.clone()).collect();
    let changed = [("a".to_owned(), "2".to_owned())].into();
    anyhow::ensure!(values == [Some(changed)], "{values:?}");
    maps.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}

/// Makes a deployment, waits until its pod runs, and deletes it.
#[rstest]
#[vcluster::test]
#[ignore = "run by the benchmark"]
async fn deployment(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u8,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u8,
    #[ignore] cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    let name = format!("web-{tens}{ones}");
    let web = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "main", "image": image, "command": ["sh", "-c", "exec sleep 1000000"],
                    }],
                },
            },
        },
    }))?;
    deployments.create(&PostParams::default(), &web).await?;
    let deadline = Deadline::after("the deployment", PATIENCE);
    let is_available = conditions::is_deployment_available();
    wait::until(&deployments, &name, is_available, deadline).await?;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    anyhow::ensure!(pods.list(&ListParams::default()).await?.items.len() == 1);
    deployments.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}
