//! The operator's loop.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Service},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{
        controller::{self, Action, Controller},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tracing::{debug, warn};

use super::{Guestbook, GuestbookStatus, config_map, deployment, service};

const FIELD_MANAGER: &str = "guestbook-operator";

/// How long a guestbook rests after its reconciliation failed.
const REST: Duration = Duration::from_millis(500);

/// Why a guestbook could not be brought to its state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An object could not be applied.
    #[error("could not apply {kind} {name}")]
    Apply {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What the API server says.
        #[source]
        source: kube::Error,
    },
    /// The status could not be written.
    #[error("could not write the status of guestbook {name}")]
    Status {
        /// The guestbook's name.
        name: String,
        /// What the API server says.
        #[source]
        source: kube::Error,
    },
}

/// Runs the operator for all namespaces until `shutdown` ends.
pub async fn run(client: Client, shutdown: impl Future<Output = ()> + Send + Sync + 'static) {
    let guestbooks: Api<Guestbook> = Api::all(client.clone());
    let deployments: Api<Deployment> = Api::all(client.clone());
    Controller::new(guestbooks, watcher::Config::default())
        .owns(deployments, watcher::Config::default())
        .graceful_shutdown_on(shutdown)
        .run(reconcile, on_error, Arc::new(client))
        .for_each(|result| async move {
            match result {
                Ok((guestbook, _)) => debug!(%guestbook, "reconciled"),
                // One that was deleted meanwhile, whose Deployment is on its way out.
                Err(controller::Error::ObjectNotFound(guestbook)) => debug!(%guestbook, "gone"),
                Err(error) => warn!(%error, "not reconciled"),
            }
        })
        .await;
}

async fn reconcile(guestbook: Arc<Guestbook>, client: Arc<Client>) -> Result<Action, Error> {
    let namespace = guestbook.namespace().unwrap_or_default();
    apply::<ConfigMap>(&client, &namespace, &config_map(&guestbook)).await?;
    let made = apply::<Deployment>(&client, &namespace, &deployment(&guestbook)).await?;
    apply::<Service>(&client, &namespace, &service(&guestbook)).await?;

    let status = GuestbookStatus {
        ready_replicas: made
            .status
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0),
        observed_generation: guestbook.metadata.generation,
    };
    if guestbook.status.as_ref() != Some(&status) {
        let name = guestbook.name_any();
        Api::<Guestbook>::namespaced(Client::clone(&client), &namespace)
            .patch_status(
                &name,
                &PatchParams::default(),
                &Patch::Merge(json!({"status": status})),
            )
            .await
            .map_err(|source| Error::Status { name, source })?;
    }
    Ok(Action::await_change())
}

async fn apply<K>(client: &Client, namespace: &str, object: &K) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let name = object.name_any();
    Api::<K>::namespaced(client.clone(), namespace)
        .patch(
            &name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(object),
        )
        .await
        .map_err(|source| Error::Apply {
            kind: K::kind(&()).to_lowercase(),
            name,
            source,
        })
}

fn on_error(_: Arc<Guestbook>, error: &Error, _: Arc<Client>) -> Action {
    debug!(%error, "trying again");
    Action::requeue(REST)
}
