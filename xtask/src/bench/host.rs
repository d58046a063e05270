//! The start of a host: a kind cluster made for this and deleted again. The shared host is left alone.

use std::time::Instant;

use vcluster_harness::{
    engine::Engine,
    host::kind::{self, KindOptions},
    progress::Progress,
};

use super::measurement::{Figures, Unit};

const NAME: &str = "vcluster-test-bench";

/// Measures from the call until nodes are ready and pods can be created.
pub(crate) async fn measure(
    engine: &Engine,
    image: &str,
    progress: &Progress,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    // What an interrupted run left behind.
    kind::delete(engine, NAME).await?;
    let options = KindOptions {
        name: NAME.to_owned(),
        image: image.to_owned(),
        ..KindOptions::default()
    };
    let started = Instant::now();
    let created = kind::create(engine, &options, progress).await;
    let took = started.elapsed();
    kind::delete(engine, NAME).await?;
    created?;
    figures.add("host.ready", Unit::Seconds, took.as_secs_f64());
    Ok(())
}
