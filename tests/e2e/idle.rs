//! A host that nobody uses any more goes by itself.

use std::time::Duration;

use anyhow::ensure;
use e2e::soon;
use vcluster_harness::host::kind;

use crate::{child::Runner, own_host::with_own_host};

#[tokio::test]
async fn a_host_that_nobody_uses_is_deleted_by_the_last_who_did() -> anyhow::Result<()> {
    with_own_host(async |own| {
        let host = format!("kind:{}", own.name);
        let inner = Runner::Nextest.start(
            "life::inner::passes",
            &[
                ("VCLUSTER_TEST_HOST", host.as_str()),
                ("VCLUSTER_TEST_HOST_IDLE", "2s"),
            ],
        )?;
        let ended = tokio::task::spawn_blocking(|| inner.end()).await?;
        ensure!(ended.status.success(), "{}", ended.output);
        let deadline = soon("the end of the idle host");
        while kind::find(&own.engine, &own.name).await?.is_some() {
            ensure!(!deadline.is_over(), "the host is still there");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let volumes = own.volumes_of_name().await?;
        ensure!(volumes.is_empty(), "its volumes are left: {volumes:?}");
        Ok(())
    })
    .await
}
