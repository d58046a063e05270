//! The end of a use: a cluster that is as it was at first waits for its next test, any other one is
//! deleted.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use tracing::{debug, info, warn};

use super::{
    DeleteError, VirtualCluster, backstage,
    error::Cause,
    membership::Membership,
    reset::{ResetError, Sides, StateFile},
};
use crate::{
    deadline::Deadline,
    pool,
    timeline::{self, Event, Kind},
};

/// Why a cluster is not for others.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Reason(String),
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
        match self.membership() {
            Some(membership) => self.put_away(membership).await,
            None => self.delete().await,
        }
    }

    /// The same behind the caller's back, if that can be: what the host is told at once is that it is not in use any
    /// more, so that the next test waits for it. Should this process end before, its reaper deletes it.
    pub(crate) async fn give_back_later(&self) -> Result<(), DeleteError> {
        let may_go_on = self.membership().is_some() && self.not_for_others_because().is_none();
        if !may_go_on {
            return self.delete().await;
        }
        if let Err(error) = self.mark_resetting(&self.on_host()).await {
            let error = &error as &dyn std::error::Error;
            warn!(cluster = self.name(), error, "not for others");
            return self.delete().await;
        }
        let (cluster, test) = (self.clone(), timeline::current_test());
        let is_begun = backstage::run(move || async move {
            let given = async {
                if let Err(error) = cluster.give_back().await {
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

    async fn put_away(&self, membership: &Membership) -> Result<(), DeleteError> {
        let began = Instant::now();
        let limit = membership.pool.reset;
        let kept = tokio::time::timeout(limit, Box::pin(self.shelve(membership))).await;
        let kept = kept.unwrap_or(Err(Refused::Slow(limit)));
        timeline::record(Event::span(Kind::Pool, "reset", began).outcome(kept.is_ok()));
        let refused = match kept {
            Ok(()) => return Ok(()),
            Err(Refused::Reason(reason)) => {
                info!(cluster = self.name(), reason, "not for others");
                return self.delete().await;
            }
            Err(refused) => refused,
        };
        let error = &refused as &dyn std::error::Error;
        warn!(cluster = self.name(), error, "not for others");
        self.delete().await
    }

    async fn shelve(&self, membership: &Membership) -> Result<(), Refused> {
        if let Some(reason) = self.not_for_others_because() {
            return Err(Refused::Reason(reason));
        }
        self.connection().close().await;
        let host = self.on_host();
        let (is_whole, root, ()) = tokio::try_join!(
            async { Ok::<_, Refused>(membership.is_whole(&host, self.names()).await?) },
            async { Ok(membership.root(self.on(), &host, self.names()).await?) },
            async { Ok(self.mark_resetting(&host).await?) },
        )?;
        debug!(cluster = self.name(), "resetting");
        if !is_whole {
            return Err(Refused::Restarted);
        }
        let sides = Sides {
            on_host: &host,
            on_virtual: &root.client(),
            names: self.names(),
            file: StateFile::OfPool,
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

    async fn mark_resetting(&self, host: &Client) -> Result<(), kube::Error> {
        let namespaces: Api<Namespace> = Api::all(host.clone());
        let patch = Patch::Merge(pool::resetting());
        namespaces
            .patch_metadata(self.namespace(), &PatchParams::default(), &patch)
            .await
            .map(drop)
    }
}
