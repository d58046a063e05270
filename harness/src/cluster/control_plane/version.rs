//! Asks an API server which version it is. An image is taken for what its name says; here it says for
//! itself.

use k8s_openapi::apimachinery::pkg::version::Info;
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
    let answer = answer.map_err(request(ASK))?;
    compare(answer, asked, images)
}

/// The same for one of several, which the host's API server asks at `path`.
pub(in crate::cluster) async fn check_version_at(
    host: &Client,
    path: &str,
    asked: KubernetesVersion,
    images: impl FnOnce() -> String,
) -> Result<(), Cause> {
    let question = http::Request::get(path).body(Vec::new());
    let question = question.expect("names of pods are parts of a path");
    let answer: Info = host.request(question).await.map_err(request(ASK))?;
    compare(answer, asked, images)
}

const ASK: &str = "ask the API server for its version";

fn compare(
    answer: Info,
    asked: KubernetesVersion,
    images: impl FnOnce() -> String,
) -> Result<(), Cause> {
    if KubernetesVersion::of_build(&answer.git_version) == Some(asked) {
        return Ok(());
    }
    Err(Cause::OtherVersion {
        asked,
        found: answer.git_version,
        images: images(),
    })
}
