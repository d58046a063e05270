//! Takes a cluster that waits for its next test.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tracing::warn;

use super::{
    VirtualCluster, ahead,
    connection::Connection,
    delete,
    error::{Cause, Failure, Step},
    known::Known,
    membership::{Facts, Membership},
    names::Names,
    phases::{Phase, Phases},
    reset::{ResetError, Sides, StateFile},
    start::register,
};
use crate::{
    admission::{Room, Spare},
    deadline::Deadline,
    pool::{self, Lack, Pool, Stock},
    timeline::{self, Event, Kind},
};

/// How long a cluster that waited may take to answer. A new one is there in not much more.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a new cluster may take to come to rest. What it does in it longer than that, it does for ever.
const REST: Duration = Duration::from_secs(30);

/// How long a test waits for a cluster that is put back or made by others before it starts one of its own.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a look lasts when nothing happens.
const LOOK: Duration = Duration::from_secs(1);

/// Who wants which cluster.
pub(super) struct Seat<'a> {
    pub(super) known: &'a Known<'a>,
    pub(super) pool: Pool,
}

impl Seat<'_> {
    /// A cluster that waits, ready for its next test; `None` when there is none. What waits and does not
    /// work is deleted. A pool that fails is no reason for a start to fail.
    pub(super) async fn take(&self, phases: &mut Phases) -> Option<VirtualCluster> {
        let began = Instant::now();
        let taken = self
            .look(
                phases,
                Deadline::after("a cluster that comes back", PATIENCE),
            )
            .await;
        let outcome = if taken.is_some() { "hit" } else { "miss" };
        timeline::record(Event::span(Kind::Pool, outcome, began));
        taken
    }

    /// The same, but waits for none.
    pub(super) async fn take_idle(&self, phases: &mut Phases) -> Option<VirtualCluster> {
        let began = Instant::now();
        let at_once = Deadline::after("a cluster that waits", Duration::ZERO);
        let taken = self.look(phases, at_once).await?;
        timeline::record(Event::span(Kind::Pool, "hit", began));
        Some(taken)
    }

    async fn look(&self, phases: &mut Phases, patience: Deadline) -> Option<VirtualCluster> {
        let spare = self.known.options.room.as_ref().map(Room::spare);
        loop {
            let claimed = match tokio::time::timeout(ANSWER, self.claim()).await {
                Ok(Ok(Ok(claimed))) => claimed,
                Ok(Ok(Err((_, Lack::Start)))) => return None,
                Ok(Ok(Err((stock, Lack::Wait { make })))) => {
                    if patience.is_over() {
                        return None;
                    }
                    let look = LOOK.min(patience.remaining());
                    stock
                        .wait_for_change(&self.known.client, &self.known.key, look)
                        .await;
                    if make && spare.as_ref().is_none_or(Spare::is_there) {
                        ahead::make_one(self.known, self.pool);
                    }
                    continue;
                }
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "the pool is left alone");
                    return None;
                }
                Err(_) => {
                    warn!("the pool is left alone: the host does not answer");
                    return None;
                }
            };
            let namespace = claimed.name.clone().unwrap_or_default();
            let open = self.open(&claimed, phases);
            match tokio::time::timeout(ANSWER, Box::pin(open)).await {
                Ok(Ok(cluster)) => return Some(cluster),
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(namespace, error, "a cluster that waited is of no use");
                }
                Err(_) => warn!(namespace, "a cluster that waited does not answer"),
            }
            if let Err(error) = delete(&self.known.client, &namespace).await {
                let error = &error as &dyn std::error::Error;
                warn!(namespace, error, "left to the reaper");
                return None;
            }
        }
    }

    /// One that waits, or what to do without.
    async fn claim(&self) -> Result<Result<ObjectMeta, (Stock, Lack)>, kube::Error> {
        let stock = Stock::read(&self.known.client, &self.known.key).await?;
        let claimed = pool::claim(&self.known.client, &stock, &self.known.options.owner).await?;
        Ok(claimed.ok_or_else(|| {
            let lack = stock.lack(self.pool.most());
            (stock, lack)
        }))
    }

    /// Saves the state of a new one, to which it is put back after each test.
    pub(super) async fn save(
        &self,
        connection: &Connection,
        names: &Names,
    ) -> Result<(), ResetError> {
        let sides = Sides {
            on_host: &self.known.client,
            on_virtual: &connection.client(),
            names,
            file: StateFile::OfPool,
            programs: None,
        };
        let deadline = Deadline::after("a saved state", REST);
        sides.save(deadline).await.map(drop)
    }

    /// Saves the state in which every test is to find a new cluster, and gives the first one its rights. One
    /// that cannot be saved is for its first test alone.
    pub(super) async fn open_to_others(
        &self,
        connection: Connection,
        names: &Names,
        phases: &mut Phases,
    ) -> Result<(Connection, Option<Membership>), Failure> {
        if let Err(error) = self.save(&connection, names).await {
            let error = &error as &dyn std::error::Error;
            warn!(cluster = names.cluster(), error, "for one test alone");
            return Ok((connection, None));
        }
        phases.pass(Phase::Saved);
        let begun = async {
            let facts = Facts::of_new(&self.known.client, names).await?;
            Membership::begin(self.known.host, &self.known.client, names, self.pool, facts).await
        };
        let (connection, membership) = begun.await.map_err(Failure::at(Step::Connect))?;
        Ok((connection, Some(membership)))
    }

    async fn open(
        &self,
        claimed: &ObjectMeta,
        phases: &mut Phases,
    ) -> Result<VirtualCluster, Cause> {
        let known = self.known;
        let namespace = claimed.name.as_deref().unwrap_or_default();
        let names = Names::new(namespace, namespace)?;
        let registration = register(known.options, known.host, namespace);
        let opened = async {
            let facts = Facts::read(&known.client, &names).await?;
            if pool::pulse(claimed) != Some(&facts.pulse) {
                return Err(Cause::Restarted);
            }
            Membership::begin(known.host, &known.client, &names, self.pool, facts).await
        };
        let (connection, membership) = match opened.await {
            Ok(opened) => opened,
            Err(cause) => {
                if let Some(registration) = registration {
                    registration.deleted();
                }
                return Err(cause);
            }
        };
        phases.pass(Phase::Taken);
        let host_config = known.host.config().await?;
        let origin = known.origin(names, host_config, phases);
        let cluster = VirtualCluster::new(origin, connection, registration, Some(membership));
        Ok(cluster)
    }
}
