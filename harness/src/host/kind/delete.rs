//! Deletes kind clusters by label, with their anonymous volumes.

use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use futures::future::try_join_all;

use super::{
    super::{Error, node::is_not_found},
    find,
};
use crate::{deadline::Deadline, engine::Engine};

const REMOVAL: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(50);

/// Deletes the kind cluster called `name`; one that does not exist is deleted already.
///
/// The network `kind` stays, as with kind: other clusters use it.
///
/// # Errors
/// The engine does not answer or refuses.
pub async fn delete(engine: &Engine, name: &str) -> Result<(), Error> {
    let Some(cluster) = find::find(engine, name).await? else {
        return Ok(());
    };
    let removals = cluster
        .containers
        .iter()
        .map(|container| remove(engine, &container.name));
    try_join_all(removals).await.map(drop)
}

async fn remove(engine: &Engine, container: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    match engine
        .docker()
        .remove_container(container, Some(options))
        .await
    {
        Ok(()) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) if is_under_way(&error) => wait_until_gone(engine, container).await,
        Err(source) => Err(Error::engine("remove", container)(source)),
    }
}

/// Its name is free for a new container only when it is gone.
async fn wait_until_gone(engine: &Engine, container: &str) -> Result<(), Error> {
    let deadline = Deadline::after("removal by somebody else", REMOVAL);
    loop {
        match engine.docker().inspect_container(container, None).await {
            Ok(_) if deadline.is_over() => {
                return Err(Error::NotReady {
                    host: container.to_owned(),
                    awaited: deadline.name().to_owned(),
                    waited: deadline.limit(),
                    last_seen: "the container is still there".to_owned(),
                });
            }
            Ok(_) => tokio::time::sleep(AGAIN).await,
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(source) => return Err(Error::engine("inspect", container)(source)),
        }
    }
}

/// Somebody else is removing it.
fn is_under_way(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError { status_code: 409, message }
            if message.contains("already in progress")
    )
}
