//! The end of a use: a cluster that is as it was at first waits for its next test, any other one is
//! deleted.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::{
    DeleteError, VirtualCluster, backstage,
    error::Cause,
    membership::Membership,
    reset::{Programs, ResetError, Sides, StateFile},
};
use crate::{
    deadline::Deadline,
    pool,
    timeline::{self, Event, Kind},
};

/// Why a cluster is not for others.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("containers of its control plane were started again")]
    Restarted,
    #[error("it cannot be reached")]
    Reach(#[from] Cause),
    #[error("it was not put back")]
    Reset(#[from] ResetError),
    #[error("the host does not answer")]
    Host(#[from] kube::Error),
    #[error("it was not put back within {:.0} s", .0.as_secs_f64())]
    Slow(Duration),
}

impl VirtualCluster {
    /// Ends its use: if it is one that goes from test to test, it is put back into its first state and waits
    /// for the next one. Whatever is in the way of that, and any other cluster, is deleted.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn give_back(&self) -> Result<(), DeleteError> {
        match self.withdraw().await {
            Some(membership) => self.put_away(membership, None).await,
            None => self.delete().await,
        }
    }

    /// The same behind the caller's back, if that can be: what the host is told at once is that it is not in use any
    /// more, so that the next test waits for it. Should this process end before, its reaper deletes it.
    pub(crate) async fn give_back_later(&self) -> Result<(), DeleteError> {
        let Some(membership) = self.withdraw().await.cloned() else {
            return self.delete().await;
        };
        let (cluster, test) = (self.clone(), timeline::current_test());
        let is_begun = backstage::run(move |programs| async move {
            let given = async {
                let put_away = cluster.put_away(&membership, Some(&programs));
                if let Err(error) = put_away.await {
                    let error = &error as &dyn std::error::Error;
                    warn!(cluster = cluster.name(), error, "left to the reaper");
                }
            };
            timeline::of_test(test.unwrap_or_default(), given).await;
        });
        if is_begun {
            Ok(())
        } else {
            self.give_back().await
        }
    }

    /// Tells the host that no test has it any more; `None` for one that is not for others.
    async fn withdraw(&self) -> Option<&Membership> {
        let membership = self.membership()?;
        if let Some(reason) = self.not_for_others_because() {
            info!(cluster = self.name(), reason, "not for others");
            return None;
        }
        if let Err(error) = pool::take_back(&self.on_host(), self.namespace()).await {
            let error = &error as &dyn std::error::Error;
            warn!(cluster = self.name(), error, "not for others");
            return None;
        }
        Some(membership)
    }

    async fn put_away(
        &self,
        membership: &Membership,
        programs: Option<&Programs>,
    ) -> Result<(), DeleteError> {
        let began = Instant::now();
        let limit = membership.pool.reset;
        let shelved = Box::pin(self.shelve(membership, programs));
        let kept = tokio::time::timeout(limit, shelved).await;
        let kept = kept.unwrap_or(Err(Refused::Slow(limit)));
        timeline::record(Event::span(Kind::Pool, "reset", began).outcome(kept.is_ok()));
        let Err(refused) = kept else { return Ok(()) };
        let error = &refused as &dyn std::error::Error;
        warn!(cluster = self.name(), error, "not for others");
        self.delete().await
    }

    async fn shelve(
        &self,
        membership: &Membership,
        programs: Option<&Programs>,
    ) -> Result<(), Refused> {
        self.connection().close().await;
        let host = self.on_host();
        let (is_whole, root) = tokio::try_join!(
            async { Ok::<_, Refused>(membership.is_whole(&host, self.names()).await?) },
            async { Ok(membership.root(self.on(), &host, self.names()).await?) },
        )?;
        debug!(cluster = self.name(), "resetting");
        if !is_whole {
            return Err(Refused::Restarted);
        }
        let sides = Sides {
            on_host: &host,
            on_virtual: &root.own_client()?,
            names: self.names(),
            file: StateFile::OfPool,
            programs,
        };
        let deadline = Deadline::after("a reset", membership.pool.reset);
        sides.put_back(deadline).await?;
        debug!(cluster = self.name(), "as it was");
        // From here on a signal to this process is nothing to the cluster.
        self.let_go();
        let (pool, owner) = (membership.pool, self.owner());
        pool::shelve(&host, self.namespace(), owner, membership.pulse(), pool).await?;
        debug!(cluster = self.name(), "left to the next test");
        if let Err(error) = pool::make_room(&host, pool).await {
            let error = &error as &dyn std::error::Error;
            warn!(error, "more clusters wait than may");
        }
        Ok(())
    }
}
