//! Starts a cluster and, when that fails, undoes what is there.

use std::{pin::pin, sync::Arc, time::Duration};

use kube::Client;
use tracing::{debug, warn};

use super::{
    OnFailure, VirtualCluster, VirtualClusterBuilder,
    connection::Connection,
    error::{Failure, Step},
    known::Known,
    launch::Launch,
    membership::Membership,
    phases::{Phase, Phases},
    pooled::Seat,
};
use crate::{
    admission::Room,
    asset::{Assets, Image},
    host::HostCluster,
    live::{self, Live, Registration},
    pool::{self, Standing},
};

/// How often a test that waits for room looks for a cluster that was left meanwhile.
const LOOK: Duration = Duration::from_millis(200);
/// After how many looks a cluster that waits for another test goes.
const GIVE_WAY: u32 = 10;

pub(super) async fn start(
    options: &VirtualClusterBuilder,
    host: &HostCluster,
    assets: &Assets,
    phases: &mut Phases,
) -> Result<VirtualCluster, Failure> {
    let known = Known::of(options, host, assets).await?;
    debug!(images = known.archives.len(), "knows its images");
    let standing = known.standing().await;
    let seat = known.pool.map(|pool| known.seat(pool));
    let seat_of = |standing: Option<Standing>| {
        let is_member = standing == Some(Standing::Member);
        seat.as_ref().filter(|_| is_member)
    };
    if let Some(seat) = seat_of(standing)
        && let Some(cluster) = seat.take(phases).await
    {
        return Ok(cluster);
    }

    // Not counted against the limit of the start.
    if let Some(room) = &options.room {
        if let Some(cluster) = enter(room, &known.client, seat_of(standing), phases).await? {
            return Ok(cluster);
        }
        phases.pass(Phase::Room);
    }
    let bootstrap = known.bootstrap().await;
    let launch = known.launch(standing, &bootstrap);
    let host_config = host.config().await.map_err(Failure::at(Step::Host))?;
    let registration = register(options, host, known.names.namespace());
    let started = async {
        let connection = run(&launch, &known.archives, phases).await?;
        let standing = match standing {
            Some(Standing::Alone) if known.is_opened().await => Some(Standing::Member),
            standing => standing,
        };
        open(seat_of(standing), &launch, connection, phases).await
    };
    match started.await {
        Ok((connection, membership)) => Ok(VirtualCluster::new(
            known.origin(known.names.clone(), host_config, phases),
            connection,
            registration,
            membership,
        )),
        Err(failure) => {
            if let Some(registration) = registration {
                registration.deleted();
            }
            Err(failure)
        }
    }
}

/// Opens a new cluster to the tests after this one, if it may go to them.
async fn open(
    seat: Option<&Seat<'_>>,
    launch: &Launch<'_>,
    connection: Connection,
    phases: &mut Phases,
) -> Result<(Connection, Option<Membership>), Failure> {
    let Some(seat) = seat else {
        return Ok((connection, None));
    };
    let opened = Box::pin(seat.open_to_others(connection, launch.names, phases)).await;
    if opened.is_err() && launch.options.on_failure == OnFailure::Undo {
        launch.undo().await;
    }
    opened
}

/// Waits until there is room, or somebody leaves such a cluster. What waits for its next test is no reason for this
/// one to wait as well.
async fn enter(
    room: &Room,
    host: &Client,
    seat: Option<&Seat<'_>>,
    phases: &mut Phases,
) -> Result<Option<VirtualCluster>, Failure> {
    let mut entered = pin!(room.enter());
    let mut looks = 0;
    loop {
        if let Ok(entered) = tokio::time::timeout(LOOK, &mut entered).await {
            return entered.map(|()| None).map_err(Failure::at(Step::Room));
        }
        looks += 1;
        if let Some(seat) = seat
            && let Some(cluster) = seat.take_idle(phases).await
        {
            return Ok(Some(cluster));
        }
        if looks % GIVE_WAY == 0
            && let Err(error) = pool::give_way(host).await
        {
            let error = &error as &dyn std::error::Error;
            warn!(error, "idle clusters stay");
        }
    }
}

/// The images come to the host while the objects are made.
pub(super) async fn run(
    launch: &Launch<'_>,
    archives: &[Image],
    phases: &mut Phases,
) -> Result<Connection, Failure> {
    launch.check_storage().await?;
    let namespace = launch.namespace().await?;
    phases.pass(Phase::Namespace);
    let clock = phases.clock();
    let load = async {
        let loaded = launch.host.load(archives).await;
        loaded.map_err(Failure::at(Step::Images))?;
        Ok(clock.elapsed())
    };
    let made = async {
        let (loaded, made) = tokio::try_join!(load, launch.make(&namespace, phases))?;
        phases.pass_after(Phase::Images, loaded);
        let connection = Box::pin(launch.run(made, phases)).await?;
        Box::pin(launch.furnish(&connection, phases)).await?;
        Ok(connection)
    };
    let connection = Box::pin(made).await;
    if connection.is_err() && launch.options.on_failure == OnFailure::Undo {
        launch.undo().await;
    }
    connection
}

/// Only a cluster that ends with a process is that process's business when a signal comes.
pub(super) fn register(
    options: &VirtualClusterBuilder,
    host: &HostCluster,
    namespace: &str,
) -> Option<Registration> {
    options.owner.process.as_ref()?;
    Some(live::register(Live {
        name: options.name.clone(),
        namespace: namespace.to_owned(),
        host: Arc::new(host.kubeconfig().clone()),
    }))
}
