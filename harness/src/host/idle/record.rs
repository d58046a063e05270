//! What a host says of its use, in annotations on its namespace `kube-system`, which ends with the host.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::debug;

const NAMESPACE: &str = "kube-system";

/// When somebody last began or ended to use it. RFC 3339, by this machine's clock.
const USED_AT: &str = "vcluster-test.dev/used-at";

/// Present on a host that stays until somebody deletes it.
const STANDING: &str = "vcluster-test.dev/standing";

/// What is written on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HostRecord {
    pub(super) used_at: Option<Timestamp>,
    pub(super) is_standing: bool,
}

/// Writes that the host is used now. A host on which this cannot be written is used all the same.
pub(crate) async fn mark_used(host: &Client) {
    if let Err(error) = annotate(host, USED_AT, &Timestamp::now().to_string()).await {
        debug!(%error, "the host does not know when it was used");
    }
}

/// Writes that the host stays, however long nobody uses it.
///
/// # Errors
/// The host refuses.
pub async fn stand(host: &Client) -> Result<(), kube::Error> {
    annotate(host, STANDING, "true").await
}

pub(super) async fn read(host: &Client) -> Result<HostRecord, kube::Error> {
    let namespace = Api::<Namespace>::all(host.clone()).get(NAMESPACE).await?;
    let annotations = namespace.metadata.annotations.unwrap_or_default();
    Ok(HostRecord {
        used_at: annotations.get(USED_AT).and_then(|text| text.parse().ok()),
        is_standing: annotations.contains_key(STANDING),
    })
}

async fn annotate(host: &Client, key: &str, value: &str) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    Api::<Namespace>::all(host.clone())
        .patch(NAMESPACE, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::fake_host::{self, FakeHost};

    #[test]
    fn what_is_written_is_read_back() {
        let host = FakeHost::start();
        host.add_of_session(NAMESPACE, "none");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = fake_host::client(&host.url()).await;
            assert_eq!(read(&client).await.unwrap(), HostRecord::default());
            let before = Timestamp::now();
            mark_used(&client).await;
            stand(&client).await.unwrap();
            let record = read(&client).await.unwrap();
            assert!(record.is_standing);
            assert!(record.used_at.unwrap() >= before);
        });
    }
}
