//! A control plane of several pods, of which any one may be lost.

use anyhow::ensure;
use e2e::soon;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Endpoints, Pod},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
    runtime::wait::Condition as _,
};
use vcluster_harness::{
    cluster::{ResetError, VirtualCluster},
    command, vcluster_test,
    wait::{self, conditions::is_pod_ready},
};

use crate::stores::{answered, runs_a_pod};

const COUNT: usize = 3;

#[vcluster_test(replicas = 3, timeout = "10m")]
async fn any_pod_of_a_control_plane_may_be_lost(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    knows_all_servers(&client).await?;
    runs_a_pod(&cluster, client.clone(), "before").await?;
    for index in 0..COUNT {
        let lost = lose(&cluster, index).await?;
        write(&client, &format!("without-{index}")).await?;
        runs_a_pod(&cluster, client.clone(), &format!("without-{index}")).await?;
        lost.is_back().await?;
        knows_all_servers(&client).await?;
    }
    for index in 0..COUNT {
        read(&client, &format!("without-{index}")).await?;
    }

    any_dns_server_may_be_lost(&client).await?;
    let refused = cluster.save_state().await;
    ensure!(
        matches!(refused, Err(ResetError::Replicas { replicas: 3 })),
        "{refused:?}"
    );
    Ok(())
}

/// Whoever asks is answered by the one that is left.
async fn any_dns_server_may_be_lost(client: &Client) -> anyhow::Result<()> {
    let servers: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let of_dns = ListParams::default().labels("k8s-app=kube-dns");
    let ready = async || {
        let found = servers.list(&of_dns).await?.items.into_iter();
        let ready = found.filter(|pod| is_pod_ready().matches_object(Some(pod)));
        anyhow::Ok(ready.map(|pod| pod.name_any()).collect::<Vec<_>>())
    };
    answered(async || Ok(ready().await?.len() == 2)).await?;
    for lost in ready().await? {
        let now = DeleteParams::default().grace_period(0);
        servers.delete(&lost, &now).await?;
        answered(async || {
            let asked = ["nslookup", "kubernetes.default.svc.cluster.local"];
            let said = command::output(&pods, "before", asked).await?;
            Ok(said.contains("Name:"))
        })
        .await?;
        answered(async || {
            let ready = ready().await?;
            Ok(ready.len() == 2 && !ready.contains(&lost))
        })
        .await?;
    }
    Ok(())
}

/// What a tenant's programs are told of its API server.
async fn knows_all_servers(client: &Client) -> anyhow::Result<()> {
    let endpoints: Api<Endpoints> = Api::default_namespaced(client.clone());
    let slices: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    answered(async || {
        let subsets = endpoints
            .get("kubernetes")
            .await?
            .subsets
            .unwrap_or_default();
        let addresses = subsets
            .iter()
            .flat_map(|subset| subset.addresses.iter().flatten());
        let slice = slices.get("kubernetes").await?;
        let of_slice = slice.endpoints.map_or(0, |endpoints| endpoints.len());
        Ok((addresses.count(), of_slice) == (COUNT, COUNT))
    })
    .await
}

/// A pod that was killed.
struct Lost {
    pods: Api<Pod>,
    name: String,
    uid: Option<String>,
}

async fn lose(cluster: &VirtualCluster, index: usize) -> anyhow::Result<Lost> {
    let pods: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let name = format!("{}-{index}", cluster.name());
    let uid = pods.get(&name).await?.uid();
    pods.delete(&name, &DeleteParams::default().grace_period(0))
        .await?;
    Ok(Lost { pods, name, uid })
}

impl Lost {
    /// Another one with its data is in its place.
    async fn is_back(&self) -> anyhow::Result<()> {
        let is_another = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != self.uid);
        wait::until(&self.pods, &self.name, is_another, soon("another pod")).await?;
        let ready = is_pod_ready();
        wait::until(&self.pods, &self.name, ready, soon("ready")).await?;
        Ok(())
    }
}

async fn write(client: &Client, name: &str) -> anyhow::Result<()> {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    answered(async || {
        // An answer that got lost may have been a good one.
        match maps.create(&PostParams::default(), &map).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(true),
            created => Ok(created.is_ok()),
        }
    })
    .await
}

async fn read(client: &Client, name: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    answered(async || Ok(maps.get_opt(name).await?.is_some())).await
}
