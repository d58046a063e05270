//! Makes and starts the containers of a kind cluster, and finds those that run.

use bollard::{errors::Error as DockerError, query_parameters::CreateContainerOptionsBuilder};
use futures::future::try_join_all;

use super::{
    super::{
        Error,
        node::{Node, is_not_found},
    },
    container::{self, Machine},
    find::{KindCluster, NodeRole, wiring},
    labels, network,
    options::KindOptions,
};
use crate::engine::Engine;

/// Makes the containers of all nodes; their ids go into `made`, so that they can be undone.
pub(super) async fn make(
    engine: &Engine,
    options: &KindOptions,
    machine: &Machine,
    made: &mut Vec<String>,
) -> Result<(), Error> {
    for (position, name) in options.node_names().iter().enumerate() {
        let role = role(position);
        let body = container::body(name, role, options, network::NAME, machine);
        let parameters = CreateContainerOptionsBuilder::default().name(name).build();
        let created = engine
            .docker()
            .create_container(Some(parameters), body)
            .await;
        match created {
            Ok(created) => made.push(created.id),
            Err(source) => return Err(refused(engine, options, name, source).await),
        }
    }
    Ok(())
}

/// Starts the containers with these names, all at once.
pub(super) async fn start(
    engine: &Engine,
    names: impl IntoIterator<Item = &str>,
) -> Result<(), Error> {
    let starts = names.into_iter().map(|name| async move {
        match engine.docker().start_container(name, None).await {
            Ok(()) => Ok(()),
            Err(source) if was_running(&source) => Ok(()),
            Err(source) if lacks_privileges(&source) => Err(Error::Privileges {
                node: name.to_owned(),
                source,
            }),
            Err(source) => Err(Error::engine("start container", name)(source)),
        }
    });
    try_join_all(starts).await.map(drop)
}

/// Lets the containers with these names, which are paused, go on.
pub(super) async fn go_on(
    engine: &Engine,
    names: impl IntoIterator<Item = &str>,
) -> Result<(), Error> {
    let docker = engine.docker();
    let gone_on = names.into_iter().map(|name| async move {
        let gone_on = docker.unpause_container(name).await;
        gone_on.map_err(Error::engine("let go on container", name))
    });
    try_join_all(gone_on).await.map(drop)
}

/// The nodes just made from `options`, the control plane first.
pub(super) async fn of_options(engine: &Engine, options: &KindOptions) -> Result<Vec<Node>, Error> {
    let names = options.node_names();
    try_join_all(names.iter().map(|name| node(engine, name))).await
}

/// The nodes of a running cluster, control planes first.
pub(super) async fn of_cluster(engine: &Engine, cluster: &KindCluster) -> Result<Vec<Node>, Error> {
    try_join_all(cluster.nodes().map(|found| node(engine, &found.name))).await
}

/// The role of the node at `position` among those of the options.
pub(super) fn role(position: usize) -> NodeRole {
    if position == 0 {
        NodeRole::ControlPlane
    } else {
        NodeRole::Worker
    }
}

async fn node(engine: &Engine, name: &str) -> Result<Node, Error> {
    let wiring = wiring(engine, name).await?;
    Ok(Node {
        engine: engine.clone(),
        name: name.to_owned(),
        address: wiring.address,
        second_address: wiring.second_address,
        started: wiring.started,
    })
}

async fn refused(engine: &Engine, options: &KindOptions, node: &str, source: DockerError) -> Error {
    match source {
        source if is_not_found(&source) => Error::NodeImage {
            image: options.image.clone(),
            source,
        },
        DockerError::DockerResponseServerError {
            status_code: 409, ..
        } if is_of_no_cluster(engine, node).await => Error::NameTaken {
            container: node.to_owned(),
        },
        DockerError::DockerResponseServerError {
            status_code: 409, ..
        } => Error::Exists {
            name: options.name.clone(),
        },
        source => Error::engine("create container", node)(source),
    }
}

/// Is there a container of this name that kind has nothing to do with? One that is being made or removed
/// cannot be seen.
async fn is_of_no_cluster(engine: &Engine, container: &str) -> bool {
    let Ok(found) = engine.docker().inspect_container(container, None).await else {
        return false;
    };
    let labels = found.config.and_then(|config| config.labels);
    labels.is_none_or(|labels| !labels.contains_key(labels::CLUSTER))
}

/// Somebody else was quicker.
fn was_running(error: &DockerError) -> bool {
    matches!(
        error,
        DockerError::DockerResponseServerError {
            status_code: 304,
            ..
        }
    )
}

/// The engine has no code for this, only texts of the layers below it.
fn lacks_privileges(error: &DockerError) -> bool {
    let DockerError::DockerResponseServerError { message, .. } = error else {
        return false;
    };
    message.contains("operation not permitted") || message.contains("permission denied")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::{self, Answer};

    #[tokio::test]
    async fn an_engine_that_may_not_start_a_node_is_told_what_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let address = fake::start(directory.path(), |path| {
            if path.ends_with("/version") {
                return Answer::Says(200, r#"{"ApiVersion":"1.45"}"#);
            }
            let refusal = r#"{"message":"runc create failed: mount: operation not permitted"}"#;
            Answer::Says(500, refusal)
        });
        let environment = [("DOCKER_HOST", address.as_str())];
        let engine = Engine::connect_with(&environment).await.unwrap();
        let error = start(&engine, ["web-control-plane"]).await.unwrap_err();
        assert!(matches!(error, Error::Privileges { .. }), "{error}");
        assert!(error.to_string().contains("capabilities"), "{error}");
    }
}
