//! Which version a running cluster can go to. Pure.

use std::{cmp::Ordering, fmt};

use crate::{
    asset::Catalogue,
    distro::ControlPlane,
    version::{KubernetesVersion, VersionRequest},
};

/// Why a cluster cannot go to a version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is older.
    Older,
    /// It is more than one minor away.
    SkipsMinors,
    /// Its control plane has several pods.
    SeveralPods,
    /// Its programs are started in another way, and a pod that runs cannot be told so.
    StartsDifferently {
        /// The container or file that would have to differ.
        part: String,
    },
}

/// What an upgrade would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Nothing: it is there.
    Stay,
    /// Exchange the programs.
    Up,
}

/// Is there a way from the one version to the other, going by their numbers?
pub(super) fn between(from: KubernetesVersion, to: KubernetesVersion) -> Result<Route, Refusal> {
    match to.cmp(&from) {
        Ordering::Equal => Ok(Route::Stay),
        Ordering::Less => Err(Refusal::Older),
        Ordering::Greater if to.major == from.major && to.minor <= from.minor + 1 => Ok(Route::Up),
        Ordering::Greater => Err(Refusal::SkipsMinors),
    }
}

/// Do both descriptions start the same programs in the same way? Then only their images differ.
pub(super) fn compare(from: &ControlPlane, to: &ControlPlane) -> Result<(), Refusal> {
    if to.is_several() {
        return Err(Refusal::SeveralPods);
    }
    if from == to {
        return Ok(());
    }
    let containers = from.containers.iter().zip(&to.containers);
    let container = containers
        .filter(|(from, to)| from != to)
        .map(|(from, _)| format!("container {}", from.name))
        .next();
    let file = || {
        let differing = from
            .files
            .iter()
            .find(|(name, text)| to.files.get(*name) != Some(text));
        differing.map(|(name, _)| format!("file {name}"))
    };
    let part = container
        .or_else(file)
        .unwrap_or_else(|| "the pod".to_owned());
    Err(Refusal::StartsDifferently { part })
}

/// The version that comes next, if there is one.
pub(super) fn next(from: KubernetesVersion, catalogue: &Catalogue) -> Option<KubernetesVersion> {
    let next = VersionRequest::Minor(from.major, from.minor + 1);
    catalogue.resolve(next).ok().map(|release| release.version)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older => f.write_str("Kubernetes does not read what a newer one has stored"),
            Self::SkipsMinors => f.write_str("an upgrade goes one minor at a time"),
            Self::SeveralPods => f.write_str("only a control plane of one pod is upgraded"),
            Self::StartsDifferently { part } => {
                write!(
                    f,
                    "{part} is another there, and a running pod keeps its own"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::distro::{self, ControlPlaneContext, Replicas, Scheduling};

    const ONE: Replicas<'_> = Replicas {
        set: "web",
        namespace: "web",
        count: 1,
    };

    fn version(text: &str) -> KubernetesVersion {
        text.parse().unwrap()
    }

    #[rstest]
    #[case::one_minor("1.33.4", "1.34.2", Ok(Route::Up))]
    #[case::a_patch("1.34.2", "1.34.7", Ok(Route::Up))]
    #[case::the_same("1.34.2", "1.34.2", Ok(Route::Stay))]
    #[case::two_minors("1.33.4", "1.35.4", Err(Refusal::SkipsMinors))]
    #[case::another_major("1.36.3", "2.36.3", Err(Refusal::SkipsMinors))]
    #[case::down("1.34.2", "1.33.4", Err(Refusal::Older))]
    #[case::a_patch_down("1.34.7", "1.34.2", Err(Refusal::Older))]
    fn a_way_goes_up_by_one_minor_at_most(
        #[case] from: &str,
        #[case] to: &str,
        #[case] expected: Result<Route, Refusal>,
    ) {
        assert_eq!(between(version(from), version(to)), expected);
    }

    #[test]
    fn only_these_ways_need_programs_to_be_started_differently() {
        let cx = ControlPlaneContext {
            service_range: "10.96.17.0/24".parse().unwrap(),
            domain: "cluster.local",
            names: &[],
            scheduling: Scheduling::Host,
            store: None,
            replicas: ONE,
        };
        let mut refused = Vec::new();
        for distro in distro::all() {
            for minor in 31..36 {
                let at = |minor| distro.control_plane(version(&format!("1.{minor}.0")), &cx);
                if let Err(reason) = compare(&at(minor), &at(minor + 1)) {
                    refused.push(format!("{} from 1.{minor}: {reason}", distro.name()));
                }
            }
        }
        let kept = "is another there, and a running pod keeps its own";
        let expected = [
            format!("k8s from 1.32: container kube-controller-manager {kept}"),
            format!("k3s from 1.32: container k3s {kept}"),
            format!("k0s from 1.32: file k0s.yaml {kept}"),
            format!("k0s from 1.33: container k0s {kept}"),
        ];
        assert_eq!(refused, expected);
    }

    #[rstest]
    #[case::in_the_middle("1.33.4", Some("1.34.2"))]
    #[case::of_an_unlisted_patch("1.33.9", Some("1.34.2"))]
    #[case::of_the_newest("1.36.3", None)]
    fn the_next_version_is_of_the_lock_file(#[case] from: &str, #[case] expected: Option<&str>) {
        let next = next(version(from), &Catalogue::embedded());
        assert_eq!(next, expected.map(version));
    }
}
