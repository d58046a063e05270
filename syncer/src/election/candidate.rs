//! Stands for election, and works while elected.

use std::{env, time::Duration};

use http::StatusCode;
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    decision::{Decision, Observation, Times, claimed, released},
    mandate::Mandate,
};
use crate::{chain::Chain, config::SyncConfig};

/// One of several syncers.
#[derive(Debug)]
pub struct Candidate {
    leases: Api<Lease>,
    namespace: String,
    lease: String,
    /// Another one after every start, so that nobody takes an earlier process's lease for its own.
    identity: String,
    times: Times,
}

/// A lease that was won or renewed.
struct Held {
    lease: Lease,
    /// When the right to write ends if nothing else happens. Counted from before the request, and
    /// everybody else counts from after it.
    until: Instant,
}

/// Why a lease was not won or renewed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{holder} holds the lease")]
    Held { holder: String },
    #[error("could not {action} the lease")]
    Request {
        action: &'static str,
        source: kube::Error,
    },
    #[error("no answer about the lease within {} s", within.as_secs())]
    Silence { within: Duration },
}

impl Candidate {
    /// One of the syncers of the cluster that `config` describes.
    pub fn new(host: Client, config: &SyncConfig) -> Self {
        let host_name = env::var("HOSTNAME").unwrap_or_else(|_| config.cluster.clone());
        Self {
            leases: Api::namespaced(host, &config.host_namespace),
            namespace: config.host_namespace.clone(),
            lease: config.lease(),
            identity: format!("{host_name}_{}", Uuid::new_v4()),
            times: Times::from(config.leader_election),
        }
    }

    /// Does `work` whenever elected, until `stop`. The work is asked to finish by the token that it
    /// gets; when the lease is lost it is dropped where it stands.
    pub(crate) async fn run<F>(
        self,
        mandate: &Mandate,
        stop: &CancellationToken,
        work: impl Fn(CancellationToken) -> F,
    ) where
        F: Future<Output = ()>,
    {
        // Nothing that was not answered counts as won, so the wait may be dropped half-way.
        while let Some(held) = stop.run_until_cancelled(self.win()).await {
            info!(lease = %self.lease, identity = %self.identity, "leading");
            mandate.extend(held.until);
            // Dropping the work is what ends it when the lease is lost; the other way round, work
            // that ended needs no lease.
            tokio::select! {
                biased;
                () = self.keep(held, mandate) => {
                    mandate.end();
                    warn!(lease = %self.lease, identity = %self.identity, "no longer leading");
                }
                () = work(stop.child_token()) => {
                    mandate.end();
                    if let Err(refusal) = self.within(self.times.pause, self.resign()).await {
                        // It ends by itself.
                        debug!(error = %Chain(&refusal), "lease not given back");
                    }
                    return;
                }
            }
        }
    }

    /// Waits until elected.
    async fn win(&self) -> Held {
        let mut seen = None;
        loop {
            match self.within(self.times.mandate, self.stand(&mut seen)).await {
                Ok(held) => return held,
                Err(refusal) => debug!(error = %Chain(&refusal), "not leading"),
            }
            sleep(self.times.pause).await;
        }
    }

    /// Renews the lease until that fails for too long.
    async fn keep(&self, mut held: Held, mandate: &Mandate) {
        // Its own is claimed whatever else it says.
        let mut seen = None;
        loop {
            sleep(self.times.pause).await;
            // A request that got lost leaves time for another one.
            let renewal = self.within(self.times.pause * 2, async {
                match self.claim(Some(held.lease.clone())).await {
                    // Somebody wrote in between, perhaps we ourselves without hearing the answer.
                    Err(refusal) if refusal.is_outdated() => self.stand(&mut seen).await,
                    result => result,
                }
            });
            match timeout_at(held.until, renewal).await {
                Ok(Ok(renewed)) => {
                    mandate.extend(renewed.until);
                    held = renewed;
                }
                Ok(Err(refusal @ Refusal::Held { .. })) => {
                    debug!(error = %Chain(&refusal), "lease lost");
                    return;
                }
                Ok(Err(refusal)) => debug!(error = %Chain(&refusal), "lease not renewed"),
                Err(_) => return,
            }
            if Instant::now() >= held.until {
                return;
            }
        }
    }

    /// Looks at the lease and takes it if it may be taken.
    async fn stand(&self, seen: &mut Option<Observation>) -> Result<Held, Refusal> {
        let lease = self.read().await?;
        let now = Instant::now();
        let observation = Observation::after(seen.take(), lease.as_ref(), now);
        let decision = observation.decide(&self.identity, now);
        let holder = observation.holder().unwrap_or_default().to_owned();
        *seen = Some(observation);
        match decision {
            Decision::Claim => self.claim(lease).await,
            Decision::Wait => Err(Refusal::Held { holder }),
        }
    }

    /// Writes oneself into the lease as it was read.
    async fn claim(&self, read: Option<Lease>) -> Result<Held, Refusal> {
        let until = Instant::now() + self.times.mandate;
        let is_new = read.is_none();
        let place = (self.namespace.as_str(), self.lease.as_str());
        let now = Timestamp::now();
        let lease = claimed(read, place, &self.identity, self.times, now);
        let lease = if is_new {
            let made = self.leases.create(&PostParams::default(), &lease).await;
            made.map_err(|source| Refusal::Request {
                action: "make",
                source,
            })?
        } else {
            self.replace("renew", &lease).await?
        };
        Ok(Held { lease, until })
    }

    /// Gives the lease back.
    async fn resign(&self) -> Result<(), Refusal> {
        // A renewal may have been under way, so what was held last says nothing.
        let Some(lease) = self.read().await? else {
            return Ok(());
        };
        let seen = Observation::after(None, Some(&lease), Instant::now());
        if seen.holder() == Some(&self.identity) {
            let lease = released(lease, Timestamp::now());
            self.replace("give back", &lease).await?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Option<Lease>, Refusal> {
        let found = self.leases.get_opt(&self.lease).await;
        found.map_err(|source| Refusal::Request {
            action: "read",
            source,
        })
    }

    async fn replace(&self, action: &'static str, lease: &Lease) -> Result<Lease, Refusal> {
        let parameters = PostParams::default();
        let replaced = self.leases.replace(&self.lease, &parameters, lease).await;
        replaced.map_err(|source| Refusal::Request { action, source })
    }

    async fn within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let result = timeout(limit, request).await;
        result.unwrap_or(Err(Refusal::Silence { within: limit }))
    }
}

impl Refusal {
    /// Was the lease not what it was read as?
    fn is_outdated(&self) -> bool {
        let Self::Request {
            source: kube::Error::Api(status),
            ..
        } = self
        else {
            return false;
        };
        let codes = [StatusCode::CONFLICT, StatusCode::NOT_FOUND];
        codes.iter().any(|code| status.code == code.as_u16())
    }
}
