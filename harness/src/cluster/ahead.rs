//! Clusters that are made before a test asks for them, while others run.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tracing::{debug, info, warn};

use super::{
    VirtualClusterBuilder, backstage,
    error::{Cause, Failure},
    known::Known,
    membership::Facts,
    names::new_name,
    phases::Phases,
    reset::ResetError,
    start::{register, run},
};
use crate::{
    asset::Assets,
    host::HostCluster,
    owner::Owner,
    pool::{self, Pool, Standing},
};

/// A process makes one at a time: tests need the processors, too.
static IS_AT_IT: AtomicBool = AtomicBool::new(false);

/// Room that is not there at once is for tests.
const ROOM: Duration = Duration::from_millis(100);

/// Why none was made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it did not start")]
    Start(#[source] Cause),
    #[error("its first state was not saved")]
    Save(#[from] ResetError),
    #[error("it cannot be reached")]
    Reach(#[from] Cause),
    #[error("the host does not answer")]
    Host(#[from] kube::Error),
}

/// Has a cluster made for whoever asks for one like this next.
pub(super) fn make_one(like: &Known<'_>, pool: Pool) {
    if IS_AT_IT.swap(true, Ordering::SeqCst) {
        return;
    }
    let options = like.options;
    let name = new_name();
    let options = VirtualClusterBuilder {
        name: name.clone(),
        namespace: name,
        owner: Owner {
            test: None,
            ..options.owner.clone()
        },
        room: options
            .room
            .as_ref()
            .map(|room| room.another("the next test")),
        ..options.clone()
    };
    let (host, assets) = (like.host.clone(), like.assets.clone());
    let is_begun = backstage::run(move |_| async move {
        let name = &options.name;
        match Box::pin(make(&options, pool, &host, &assets)).await {
            Ok(true) => info!(cluster = name, "made ahead"),
            Ok(false) => debug!(cluster = name, "there is no room to make one ahead"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(cluster = name, error, "not made ahead");
            }
        }
        IS_AT_IT.store(false, Ordering::SeqCst);
    });
    if !is_begun {
        IS_AT_IT.store(false, Ordering::SeqCst);
    }
}

/// Makes one and leaves it to the next test; not if there is no room for it now.
async fn make(
    options: &VirtualClusterBuilder,
    pool: Pool,
    host: &HostCluster,
    assets: &Assets,
) -> Result<bool, Error> {
    if let Some(room) = &options.room
        && !matches!(tokio::time::timeout(ROOM, room.enter()).await, Ok(Ok(())))
    {
        return Ok(false);
    }
    let start = |failure: Failure| Error::Start(failure.cause);
    let known = Known::of(options, host, assets).await.map_err(start)?;
    let bootstrap = known.bootstrap().await;
    let launch = known.launch(Some(Standing::Ahead), &bootstrap);
    let registration = register(options, host, &options.namespace);
    let made = async {
        let mut phases = Phases::start();
        let connection = run(&launch, &known.archives, &mut phases)
            .await
            .map_err(start)?;
        if let Some(room) = &options.room {
            room.start_is_over().await;
        }
        known.seat(pool).save(&connection, &known.names).await?;
        let facts = Facts::of_new(&known.client, &known.names).await?;
        let (host, namespace) = (&known.client, known.names.namespace());
        pool::shelve(host, namespace, &options.owner, &facts.pulse, pool).await?;
        Ok(true)
    };
    let made = Box::pin(made).await;
    if made.is_err() {
        launch.undo().await;
    }
    if let Some(registration) = registration {
        registration.deleted();
    }
    made
}
