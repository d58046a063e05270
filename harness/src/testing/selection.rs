//! Whether a test runs, or passes without being run because the environment says so.

use super::spec::{Cell, TestSpec};
use crate::{distro, settings::Settings, version::VersionRequest};

/// What the environment says of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// It runs.
    Runs,
    /// It passes without being run, and the user is told why.
    Skipped(String),
    /// Neither it nor any other test of its matrix would run, or nobody can tell which should. That must
    /// not look like success.
    Nothing(String),
}

pub(super) fn of(spec: &TestSpec, settings: &Settings) -> Selection {
    if settings.skip {
        return Selection::Skipped("VCLUSTER_TEST_SKIP is set".to_owned());
    }
    if let Some(nonsense) = nonsense(settings).filter(|_| !spec.matrix.is_empty()) {
        return Selection::Nothing(nonsense);
    }
    let rejected = |cell: &Cell| {
        let (distro, version) = *cell;
        rejection("VCLUSTER_TEST_DISTROS", distro, settings.distros.as_deref()).or_else(|| {
            rejection(
                "VCLUSTER_TEST_VERSIONS",
                version,
                settings.versions.as_deref(),
            )
        })
    };
    let own = spec
        .matrix
        .iter()
        .find(|(distro, version)| is_of(*distro, spec.distro) && is_of(*version, spec.version));
    match own.and_then(rejected) {
        None => Selection::Runs,
        Some(reason) if spec.matrix.iter().all(|cell| rejected(cell).is_some()) => {
            Selection::Nothing(format!("nothing is left of the matrix: {reason}"))
        }
        Some(reason) => Selection::Skipped(reason),
    }
}

/// What the matrix does not vary is the same in all its tests.
fn is_of(cell: Option<&str>, test: Option<&str>) -> bool {
    cell.is_none() || cell == test
}

/// What is wrong with the lists: a slip of the pen would leave tests out in silence.
fn nonsense(settings: &Settings) -> Option<String> {
    let distros = settings.distros.iter().flatten();
    let distros = distros.filter_map(|name| {
        let error = distro::find(name).err()?;
        Some(format!("VCLUSTER_TEST_DISTROS: {error}"))
    });
    let versions = settings.versions.iter().flatten();
    let versions = versions.filter_map(|text| {
        let error = text.parse::<VersionRequest>().err()?;
        Some(format!("VCLUSTER_TEST_VERSIONS: {error}"))
    });
    distros.chain(versions).next()
}

/// What the matrix does not vary, nobody narrows.
fn rejection(variable: &str, value: Option<&str>, wanted: Option<&[String]>) -> Option<String> {
    let (value, wanted) = (value?, wanted?);
    let is_wanted = wanted.iter().any(|wanted| is_same(wanted, value));
    (!is_wanted).then(|| format!("`{value}` is not in {variable}={}", wanted.join(",")))
}

/// `v1.34` and `1.34` are one version.
fn is_same(one: &str, other: &str) -> bool {
    let version = |text: &str| text.parse::<VersionRequest>().ok();
    one == other || version(one).is_some_and(|one| version(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MATRIX: &[Cell] = &[
        (Some("k8s"), Some("1.33")),
        (Some("k8s"), Some("1.34")),
        (Some("k3s"), Some("1.34")),
    ];

    #[rstest]
    #[case::nothing_said("", "", Selection::Runs)]
    #[case::wanted("k3s, k8s", "1.34", Selection::Runs)]
    #[case::another_version("", "1.33", skipped("`1.34` is not in VCLUSTER_TEST_VERSIONS=1.33"))]
    #[case::another_distro("k3s", "", skipped("`k8s` is not in VCLUSTER_TEST_DISTROS=k3s"))]
    #[case::nothing_left(
        "k0s", "",
        Selection::Nothing("nothing is left of the matrix: `k8s` is not in VCLUSTER_TEST_DISTROS=k0s".to_owned())
    )]
    fn the_environment_narrows_a_matrix(
        #[case] distros: &str,
        #[case] versions: &str,
        #[case] expected: Selection,
    ) {
        let settings = settings(distros, versions);
        let spec = TestSpec::new("e2e", "k8s_1_34")
            .distro("k8s")
            .version("1.34");
        assert_eq!(of(&spec.clone().matrix(MATRIX), &settings), expected);
        assert_eq!(of(&spec, &settings), Selection::Runs, "without a matrix");
    }

    #[rstest]
    #[case::distro("k3s, k9s", "", "VCLUSTER_TEST_DISTROS: there is no distro `k9s`")]
    #[case::version(
        "",
        "newest",
        "VCLUSTER_TEST_VERSIONS: `newest` is not a Kubernetes version"
    )]
    fn a_list_with_nonsense_is_no_choice(
        #[case] distros: &str,
        #[case] versions: &str,
        #[case] expected: &str,
    ) {
        let spec = TestSpec::new("e2e", "k3s").distro("k3s").matrix(MATRIX);
        let Selection::Nothing(reason) = of(&spec, &settings(distros, versions)) else {
            panic!("the test runs or is skipped");
        };
        assert!(reason.starts_with(expected), "{reason}");
    }

    #[test]
    fn a_version_has_two_spellings() {
        let spec = TestSpec::new("e2e", "v1_34").version("v1.34");
        let spec = spec.matrix(&[(None, Some("v1.34"))]);
        assert_eq!(of(&spec, &settings("", "1.34")), Selection::Runs);
    }

    #[test]
    fn what_the_matrix_does_not_vary_is_not_narrowed() {
        let spec = TestSpec::new("e2e", "k8s").distro("k8s").version("1.34");
        let spec = spec.matrix(&[(Some("k8s"), None)]);
        assert_eq!(of(&spec, &settings("k8s", "1.33")), Selection::Runs);
    }

    fn settings(distros: &str, versions: &str) -> Settings {
        let mut settings = Settings::from_environment(&[]).unwrap();
        let list = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
        settings.distros = (!distros.is_empty()).then(|| list(distros));
        settings.versions = (!versions.is_empty()).then(|| list(versions));
        settings
    }

    fn skipped(reason: &str) -> Selection {
        Selection::Skipped(reason.to_owned())
    }
}
