//! Asks an API server which version it is. An image is taken for what its name says; here it says for
//! itself.

use kube::Client;

use crate::{
    cluster::error::{Cause, request},
    version::KubernetesVersion,
};

/// Makes sure that the API server is of this version. `images` names what it was started from.
pub(in crate::cluster) async fn check_version(
    cluster: &Client,
    asked: KubernetesVersion,
    images: impl FnOnce() -> String,
) -> Result<(), Cause> {
    let answer = cluster.apiserver_version().await;
    let answer = answer.map_err(request("ask the API server for its version"))?;
    if KubernetesVersion::of_build(&answer.git_version) == Some(asked) {
        return Ok(());
    }
    Err(Cause::OtherVersion {
        asked,
        found: answer.git_version,
        images: images(),
    })
}
