//! Labels on node containers: kind's own, by which its command line finds them, and ours.

/// The cluster that a container belongs to.
pub(super) const CLUSTER: &str = "io.x-k8s.kind.cluster";
/// What the container is in it.
pub(super) const ROLE: &str = "io.x-k8s.kind.role";
/// The label and its value on what we made: only that may be replaced without asking.
pub(crate) const MADE_BY_US: (&str, &str) = ("vcluster-test.dev/made-by", "vcluster-test");
/// Who makes it, while it is being made.
pub(super) const MAKER: &str = "vcluster-test.dev/maker";
/// How many nodes the cluster has when it is complete.
pub(super) const NODES: &str = "vcluster-test.dev/nodes";
/// A file in the control-plane node, written last: a cluster of ours without it is half-made.
pub(super) const READY_FILE: &str = "/kind/vcluster-test-ready";
