//! Mints the service-account tokens that pods ask for: in the virtual cluster, bound to the virtual
//! pod, kept in a host secret that the host pod mounts, and renewed before they end.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{
            BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus,
        },
        core::v1::{Pod, Secret, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, ResourceExt, api::PostParams};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    chain::Chain,
    clusters::Clusters,
    labels,
    object_key::ObjectKey,
    optional::given,
    plan,
    queue::{Outcome, Queue},
    resources::pod::tokens,
    worker, write,
};

/// A pod and its uid: tokens die with the pod, not with its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Holder {
    pod: ObjectKey,
    uid: String,
}

/// Keeps the token secrets of all pods.
#[derive(Debug)]
pub(crate) struct Tokens {
    clusters: Arc<Clusters>,
    queue: Queue<Holder>,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("could not mint a token for service account {account} of pod {pod}")]
    Mint {
        account: String,
        pod: ObjectKey,
        source: Box<kube::Error>,
    },
    #[error("could not keep the tokens of pod {pod}")]
    Keep {
        pod: ObjectKey,
        source: Box<write::Error>,
    },
}

impl Tokens {
    /// Hears of virtual pods and of the secrets on the host.
    pub(crate) fn new(clusters: &Arc<Clusters>) -> Arc<Self> {
        let tokens = Arc::new(Self {
            clusters: Arc::clone(clusters),
            queue: Queue::default(),
        });
        // Weak, as the caches live as long as the clusters do, and the controller holds those.
        let weak = Arc::downgrade(&tokens);
        clusters.caches.pods.on_virtual.subscribe(move |change| {
            let Some(tokens) = weak.upgrade() else { return };
            let holder = |pod: &Arc<Pod>| Holder {
                pod: change.key.clone(),
                uid: pod.uid().unwrap_or_default(),
            };
            let before = change.before.as_ref().map(holder);
            let after = change.after.as_ref().map(holder);
            // A pod's tokens do not depend on its status; only its coming and going count.
            if before != after {
                for holder in before.into_iter().chain(after) {
                    tokens.queue.add(holder);
                }
            }
        });
        let weak = Arc::downgrade(&tokens);
        clusters.caches.secrets.on_host.subscribe(move |change| {
            let holder = change.newest().and_then(|secret| holder_of(secret));
            if let (Some(tokens), Some(holder)) = (weak.upgrade(), holder) {
                tokens.queue.add(holder);
            }
        });
        tokens
    }

    /// Works until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        worker::work(&self.queue, &stop, |holder| {
            let tokens = Arc::clone(&self);
            async move { tokens.turn(&holder).await }
        })
        .await;
    }

    async fn turn(&self, holder: &Holder) -> Outcome {
        let start = Instant::now();
        let result = self.reconcile(holder).await;
        self.clusters
            .metrics
            .turn("Token", start.elapsed(), result.is_err(), self.queue.len());
        result.unwrap_or_else(|error| {
            warn!(object = %holder.pod, error = %Chain(&error), "no token yet");
            Outcome::Failed {
                first: Duration::from_millis(50),
                longest: Duration::from_secs(10),
            }
        })
    }

    async fn reconcile(&self, holder: &Holder) -> Result<Outcome, Error> {
        let caches = &self.clusters.caches;
        let name = tokens::secret_name(&holder.uid, &self.clusters.names);
        let key = ObjectKey::namespaced(self.clusters.names.host_namespace(), name);
        let secret = caches.secrets.on_host.get(&key);
        let pod = caches
            .pods
            .on_virtual
            .get(&holder.pod)
            .filter(|pod| pod.uid().as_deref() == Some(holder.uid.as_str()));
        let Some(pod) = pod else {
            if let Some(secret) = secret {
                debug!(object = %holder.pod, "the pod is gone, and so go its tokens");
                self.delete(holder, &key, &secret).await?;
            }
            return Ok(Outcome::Done);
        };
        let requests = tokens::requests(&pod);
        if requests.is_empty() || plan::is_deleting(pod.as_ref()) || is_finished(&pod) {
            return Ok(Outcome::Done);
        }
        let renew_in = secret
            .as_deref()
            .map_or(Duration::ZERO, |secret| renew_in(secret, Timestamp::now()));
        if !renew_in.is_zero() {
            return Ok(Outcome::After(renew_in));
        }
        let is_new = secret.is_none();
        let secret = self.mint(holder, &pod, &key, requests).await?;
        let on_host = &self.clusters.on_host;
        // Its keys are the same for as long as the pod lives, so nobody ever has to take one away, and
        // a plain request costs the host much less.
        let kept = if is_new {
            match on_host.create_plainly(&secret).await {
                Err(error) if error.is(StatusCode::CONFLICT) => on_host.own(&secret).await,
                result => result,
            }
        } else {
            on_host.own(&secret).await
        };
        kept.map_err(|source| Error::Keep {
            pod: holder.pod.clone(),
            source: Box::new(source),
        })?;
        Ok(Outcome::Done)
    }

    async fn delete(&self, holder: &Holder, key: &ObjectKey, secret: &Secret) -> Result<(), Error> {
        let uid = secret.uid().unwrap_or_default();
        self.clusters
            .on_host
            .delete::<Secret>(key, &uid, None)
            .await
            .map_err(|source| Error::Keep {
                pod: holder.pod.clone(),
                source: Box::new(source),
            })
    }

    async fn mint(
        &self,
        holder: &Holder,
        pod: &Pod,
        key: &ObjectKey,
        requests: Vec<tokens::TokenRequest>,
    ) -> Result<Secret, Error> {
        let client = self.clusters.on_virtual.client().clone();
        let namespace = pod.namespace().unwrap_or_default();
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &namespace);
        let account = tokens::account(pod);
        let mut data = BTreeMap::new();
        let mut renew_at = Timestamp::MAX;
        for request in requests {
            let body = TokenRequest {
                spec: TokenRequestSpec {
                    audiences: Vec::from_iter(request.audience).into(),
                    bound_object_ref: Some(BoundObjectReference {
                        api_version: Some("v1".to_owned()),
                        kind: Some("Pod".to_owned()),
                        name: Some(holder.pod.name.clone()),
                        uid: Some(holder.uid.clone()),
                    }),
                    expiration_seconds: Some(request.expiration_seconds),
                }
                .into(),
                ..TokenRequest::default()
            };
            let minted = accounts
                .create_token_request(account, &PostParams::default(), &body)
                .await
                .map_err(|source| Error::Mint {
                    account: account.to_owned(),
                    pod: holder.pod.clone(),
                    source: Box::new(source),
                })?;
            let now = Timestamp::now();
            let status = given::<TokenRequestStatus>(minted.status);
            let (token, end) = status.map_or((None, None), |status| {
                (
                    given::<String>(status.token),
                    given::<Time>(status.expiration_timestamp),
                )
            });
            renew_at = renew_at.min(four_fifths(now, end.map_or(now, |end| end.0)));
            let token = token.unwrap_or_default();
            data.insert(request.key, ByteString(token.into_bytes()));
        }
        let names = &self.clusters.names;
        let strings = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            )
        };
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: key.namespace.clone(),
                labels: strings(&[
                    (labels::MANAGED_BY, names.managed_by()),
                    (labels::NAMESPACE, &namespace),
                    (labels::TOKENS, "true"),
                ]),
                annotations: strings(&[
                    (labels::POD_NAME, &holder.pod.name),
                    (labels::POD_NAMESPACE, &namespace),
                    (labels::POD_UID, &holder.uid),
                    (labels::RENEW_AT, &renew_at.to_string()),
                ]),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(data),
            ..Secret::default()
        })
    }
}

/// The pod whose tokens are in `secret`, if it is a secret of tokens.
fn holder_of(secret: &Secret) -> Option<Holder> {
    secret.labels().get(labels::TOKENS)?;
    let annotations = secret.annotations();
    Some(Holder {
        pod: ObjectKey::namespaced(
            annotations.get(labels::POD_NAMESPACE)?,
            annotations.get(labels::POD_NAME)?,
        ),
        uid: annotations.get(labels::POD_UID)?.clone(),
    })
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// How long the tokens in `secret` are good for; nought when they must be renewed now.
fn renew_in(secret: &Secret, now: Timestamp) -> Duration {
    let renew_at = secret
        .annotations()
        .get(labels::RENEW_AT)
        .and_then(|at| at.parse::<Timestamp>().ok());
    renew_at
        .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
        .unwrap_or_default()
}

/// When a token that lives from `now` to `end` is renewed.
fn four_fifths(now: Timestamp, end: Timestamp) -> Timestamp {
    let life = end.duration_since(now).max(SignedDuration::ZERO);
    now + life * 4 / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_its_life() {
        assert_eq!(four_fifths(at(1000), at(2000)), at(1800));
        assert_eq!(four_fifths(at(1000), at(500)), at(1000));
    }

    #[test]
    fn a_secret_says_when_and_for_whom() {
        let mut secret = Secret::default();
        assert_eq!(holder_of(&secret), None);
        assert_eq!(renew_in(&secret, at(0)), Duration::ZERO);
        secret
            .labels_mut()
            .insert(labels::TOKENS.to_owned(), "true".to_owned());
        for (key, value) in [
            (labels::POD_NAME, "web"),
            (labels::POD_NAMESPACE, "default"),
            (labels::POD_UID, "1234"),
            (labels::RENEW_AT, "1970-01-01T00:01:00Z"),
        ] {
            secret
                .annotations_mut()
                .insert(key.to_owned(), value.to_owned());
        }
        let holder = Holder {
            pod: ObjectKey::namespaced("default", "web"),
            uid: "1234".to_owned(),
        };
        assert_eq!(holder_of(&secret), Some(holder));
        assert_eq!(renew_in(&secret, at(20)), Duration::from_secs(40));
        assert_eq!(renew_in(&secret, at(61)), Duration::ZERO);
    }
}
