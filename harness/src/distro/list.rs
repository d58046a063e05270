//! The distros there are.

use std::fmt;

use super::{ControlPlane, ControlPlaneContext, K0s, K3s, K8s};
use crate::{
    datastore::DatastoreKind,
    version::{KubernetesVersion, VersionRequest},
};

/// A flavour of control plane. Pure: it describes, others act.
pub trait Distro: fmt::Debug + Send + Sync {
    /// The name a user writes.
    fn name(&self) -> &'static str;

    /// The pod that is the control plane of a cluster.
    fn control_plane(
        &self,
        version: KubernetesVersion,
        cx: &ControlPlaneContext<'_>,
    ) -> ControlPlane;

    /// The stores that a user may choose from; the first is the one when the user names none. Without any
    /// there is no choice.
    fn stores(&self) -> &'static [DatastoreKind] {
        &[]
    }

    /// May its control plane be made of several pods?
    fn can_be_several(&self) -> bool {
        false
    }

    /// May its services have addresses of two families, where the host's have?
    fn can_be_dual_stack(&self) -> bool {
        false
    }

    /// The version when the user names none.
    fn default_version(&self) -> VersionRequest {
        VersionRequest::Minor(1, 34)
    }
}

/// The distro when the user names none.
pub const DEFAULT: &dyn Distro = &K8s;

const ALL: &[&dyn Distro] = &[&K8s, &K3s, &K0s];

/// A distro that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no distro `{name}`; did you mean `{nearest}`? (known: {})",
    known()
)]
pub struct UnknownDistro {
    /// What was asked for.
    pub name: String,
    /// The known name that reads most alike.
    pub nearest: &'static str,
}

/// Every distro.
pub fn all() -> &'static [&'static dyn Distro] {
    ALL
}

/// The distro called `name`.
///
/// # Errors
/// There is none; the error names the nearest.
pub fn find(name: &str) -> Result<&'static dyn Distro, UnknownDistro> {
    let found = ALL.iter().find(|distro| distro.name() == name);
    found.copied().ok_or_else(|| UnknownDistro {
        name: name.to_owned(),
        nearest: nearest(name),
    })
}

fn nearest(name: &str) -> &'static str {
    let name = name.to_lowercase();
    let similarity = |distro: &dyn Distro| strsim::jaro_winkler(&name, distro.name());
    let nearest = ALL
        .iter()
        .max_by(|a, b| similarity(**a).total_cmp(&similarity(**b)));
    nearest.map_or(DEFAULT.name(), |distro| distro.name())
}

fn known() -> String {
    let names: Vec<_> = ALL.iter().map(|distro| distro.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_distro_is_found_by_its_name() {
        for distro in all() {
            assert_eq!(find(distro.name()).unwrap().name(), distro.name());
        }
    }

    #[test]
    fn names_are_distinct() {
        let names: HashSet<_> = all().iter().map(|distro| distro.name()).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn an_unknown_distro_is_answered_with_the_nearest() {
        let error = find("K8S").unwrap_err();
        assert_eq!(error.nearest, "k8s");
        assert_eq!(
            error.to_string(),
            "there is no distro `K8S`; did you mean `k8s`? (known: k8s, k3s, k0s)"
        );
    }
}
