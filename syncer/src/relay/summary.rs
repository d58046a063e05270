//! A node's summary of what pods use, read from the host: only this cluster's pods, under the tenant's
//! names.

use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::{
    host_api::{self, HostApi},
    shared::SharedDirectory,
    stats,
    usage::Summary,
};

/// A summary of a full node has a few hundred kilobytes.
const LIMIT: usize = 16 << 20;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Host(#[from] host_api::Error),
    #[error("could not read the node's summary")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the node's summary is none")]
    Json(#[from] serde_json::Error),
}

/// Reads the summary of `node`.
pub(super) async fn read(
    host: &HostApi,
    directory: &SharedDirectory,
    node: &str,
) -> Result<Value, Error> {
    let response = host.of_node(node, "stats/summary").await?;
    let body = Limited::new(response.into_body(), LIMIT);
    let bytes = body.collect().await.map_err(Error::Body)?.to_bytes();
    let mut summary = serde_json::from_slice(&bytes)?;
    directory.read(|directory| stats::keep_tenants(&mut summary, directory));
    Ok(summary)
}

/// What a summary says in figures.
pub(super) fn figures(summary: Value) -> Result<Summary, Error> {
    Ok(serde_json::from_value(summary)?)
}
