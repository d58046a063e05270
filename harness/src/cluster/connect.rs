//! Finds a cluster that runs already.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};

use super::{
    ClusterRecord, VirtualCluster,
    connection::Connection,
    endpoint::{API_PORT, Endpoint},
    error::{Cause, Error, Step, request},
    list,
    names::Names,
    phases::Phases,
    virtual_cluster::Origin,
};
use crate::{host::HostCluster, owner::Owner, pki::Access};

/// Connects to the cluster called `name`. It stays as it is when the result is dropped.
///
/// # Errors
/// The host has no such cluster (the error names those it has), or it is half-made.
pub async fn connect(host: &HostCluster, name: &str) -> Result<VirtualCluster, Error> {
    let phases = Phases::start();
    find(host, name, &phases).await.map_err(|source| Error {
        cluster: name.to_owned(),
        step: Step::Connect,
        elapsed: phases.elapsed(),
        source,
    })
}

async fn find(host: &HostCluster, name: &str, phases: &Phases) -> Result<VirtualCluster, Cause> {
    let client = host.client().await?;
    let record = record(&client, name).await?;
    let names = Names::new(&record.name, &record.namespace)?;
    let namespace = names.namespace();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let (secret_name, service_name) = (names.kubeconfig_secret(), names.control_plane());
    let read = |kind, name: &str| request(format!("read {kind} {namespace}/{name} on host"));
    let (secret, service) = tokio::try_join!(
        async {
            let secret = secrets.get(&secret_name).await;
            secret.map_err(read("secret", &secret_name))
        },
        async {
            let service = services.get(service_name).await;
            service.map_err(read("service", service_name))
        },
    )?;
    let access = Access::from_secret(&secret)?;
    let node = host.endpoint_address();
    let endpoint = Endpoint::open(node, &service, &names, &client, API_PORT).await?;
    let connection = Connection::new(names.cluster(), &access, endpoint).await?;
    let origin = Origin {
        names,
        distro: record.distro,
        version: record.version,
        owner: record.owner.unwrap_or_else(Owner::standing),
        host: host.clone(),
        host_config: host.config().await?,
        started: None,
        phases: phases.clone(),
    };
    Ok(VirtualCluster::connected(origin, connection))
}

async fn record(host: &Client, name: &str) -> Result<ClusterRecord, Cause> {
    let records = list(host).await?;
    let known = records.iter().map(|record| record.name.clone()).collect();
    records
        .into_iter()
        .find(|record| record.name == name && !record.is_deleting)
        .ok_or(Cause::NotFound { known })
}
