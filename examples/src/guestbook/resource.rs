//! The custom resource.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page with a greeting, served by a number of pods.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "example.vcluster-test.dev",
    version = "v1",
    kind = "Guestbook",
    namespaced,
    status = "GuestbookStatus",
    printcolumn = r#"{"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct GuestbookSpec {
    /// What visitors read.
    pub greeting: String,
    /// How many pods serve it.
    pub replicas: i32,
    /// The image of the pods: any with `sh` and busybox's `httpd`.
    pub image: String,
}

/// How far the operator has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestbookStatus {
    /// How many pods serve the greeting now.
    pub ready_replicas: i32,
    /// The generation of the resource that this is about.
    pub observed_generation: Option<i64>,
}
