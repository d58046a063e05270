//! Which version a running cluster can go to. Pure.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

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

/// Do both descriptions start the same programs in the same way? Then they differ in images, and in what
/// a container reads when it starts again.
pub(super) fn compare(from: &ControlPlane, to: &ControlPlane) -> Result<(), Refusal> {
    let containers = from.containers.iter().zip(&to.containers);
    let container = containers
        .filter(|(from, to)| from != to)
        .map(|(from, _)| format!("container {}", from.name))
        .next();
    let part = container.or_else(|| file_of_a_volume(from, to));
    let is_another = from.containers.len() != to.containers.len() || rest(from) != rest(to);
    let part = part.or_else(|| is_another.then(|| "the pod".to_owned()));
    part.map_or(Ok(()), |part| Err(Refusal::StartsDifferently { part }))
}

/// A file that differs and is more than the value of a variable: a volume brings it into a pod that runs,
/// but only after a while.
fn file_of_a_volume(from: &ControlPlane, to: &ControlPlane) -> Option<String> {
    let containers = to.containers.iter();
    let values: BTreeSet<_> = containers
        .flat_map(|container| container.file_environment.values())
        .collect();
    let mut names = from.files.keys().chain(to.files.keys());
    let differs = |name: &&&str| from.files.get(**name) != to.files.get(**name);
    let name = names.find(|name| differs(name) && !values.contains(name))?;
    Some(format!("file {name}"))
}

/// All but what was compared by itself, and secrets, which are values of variables.
fn rest(control_plane: &ControlPlane) -> ControlPlane {
    ControlPlane {
        containers: Vec::new(),
        files: BTreeMap::new(),
        secrets: BTreeMap::new(),
        ..control_plane.clone()
    }
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
    use crate::distro::{self, ControlPlaneContext, Distro, K8s, Replicas};

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

    fn described(distro: &dyn Distro, minor: u32) -> ControlPlane {
        let cx = ControlPlaneContext::of(ONE);
        distro.control_plane(version(&format!("1.{minor}.0")), &cx)
    }

    #[test]
    fn every_distro_goes_from_every_minor_to_the_next() {
        for distro in distro::all() {
            for minor in 31..36 {
                let (from, to) = (described(*distro, minor), described(*distro, minor + 1));
                assert_eq!(compare(&from, &to), Ok(()), "{distro:?} 1.{minor}");
            }
        }
    }

    #[track_caller]
    fn refuses(part: &str, change: impl FnOnce(&mut ControlPlane)) {
        let from = described(&K8s, 34);
        let mut to = from.clone();
        change(&mut to);
        let part = part.to_owned();
        let expected = Refusal::StartsDifferently { part };
        assert_eq!(compare(&from, &to), Err(expected));
    }

    #[test]
    fn what_a_running_pod_cannot_be_told_is_named() {
        refuses("container kube-apiserver", |to| {
            to.containers[1].command.push("--new".to_owned());
        });
        refuses("file egress.yaml", |to| {
            to.files.insert("egress.yaml", String::new());
        });
        refuses("file new.yaml", |to| {
            to.files.insert("new.yaml", String::new());
        });
        refuses("the pod", |to| drop(to.containers.pop()));
        refuses("the pod", |to| to.api_port = 443);
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
