//! The lock file: which versions there are. It is part of the crate, so an installed harness has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use crate::version::{KubernetesVersion, VersionRequest};

/// The lock file as data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    format: u32,
    components: BTreeMap<String, Pinned>,
    kubernetes: Vec<Release>,
}

/// A component that control planes of every Kubernetes version share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Pinned {
    /// Without a leading `v`.
    pub(crate) version: String,
    /// The official image, when there is one.
    pub(crate) image: Option<String>,
    /// The checksum of the Go module it is built from.
    pub(crate) module_sum: Option<String>,
    /// The versions that only nodes run, as their kubeadm asks for them, each with its checksum.
    #[serde(default)]
    pub(crate) on_nodes: BTreeMap<String, String>,
}

/// A Kubernetes version and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {
    /// The version; one patch per minor.
    pub version: KubernetesVersion,
    /// The official kind node image.
    pub node_image: Option<String>,
    /// The image of the k3s release of this version.
    pub k3s: Option<String>,
    /// The image of the k0s release of this version.
    pub k0s: Option<String>,
    /// What kubeadm of this version asks for on a node.
    pub(crate) kubeadm: KubeadmVersions,
    /// The checksum of the Go module `k8s.io/kubernetes`.
    pub(crate) module_sum: Option<String>,
}

/// Versions of what kubeadm runs beside Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubeadmVersions {
    /// The store. The tag of the image has a `-0` behind it.
    pub(crate) etcd: String,
    /// The DNS server.
    pub(crate) coredns: String,
    /// The pause image.
    pub(crate) pause: String,
}

/// How many versions an error suggests.
const SUGGESTIONS: usize = 3;

impl Catalogue {
    /// The lock file this crate was built with.
    ///
    /// # Panics
    /// Never in a released crate: a test reads the same text.
    pub fn embedded() -> Self {
        Self::parse(include_str!("../../vcluster.lock"))
            .expect("a test reads the embedded lock file")
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// The text is not a lock file, or of a newer format.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut catalogue: Self = toml::from_str(text).map_err(|source| Error::ReadLockFile {
            source: Box::new(source),
        })?;
        if catalogue.format != 1 {
            return Err(Error::LockFileFormat {
                found: catalogue.format,
            });
        }
        catalogue
            .kubernetes
            .sort_by_key(|release| std::cmp::Reverse(release.version));
        Ok(catalogue)
    }

    /// The versions there are, newest first.
    pub fn releases(&self) -> &[Release] {
        &self.kubernetes
    }

    /// The release that a request means.
    ///
    /// # Errors
    /// There is no such version; the error names the near ones.
    pub fn resolve(&self, request: VersionRequest) -> Result<&Release, Error> {
        let found = match request {
            VersionRequest::Latest(back) => self.kubernetes.get(back as usize),
            VersionRequest::Oldest => self.kubernetes.last(),
            VersionRequest::Minor(major, minor) => self
                .kubernetes
                .iter()
                .find(|release| (release.version.major, release.version.minor) == (major, minor)),
            VersionRequest::Exact(version) => self.release(version),
        };
        found.ok_or_else(|| self.unknown(request, None))
    }

    /// The version that a request means. Any patch of a minor that is here will do: whether a source
    /// has it shows when its images are looked for.
    ///
    /// # Errors
    /// There is no such minor; the error names the near versions.
    pub(crate) fn accept(&self, request: VersionRequest) -> Result<KubernetesVersion, Error> {
        let is_known = |version: KubernetesVersion| {
            let minor = VersionRequest::Minor(version.major, version.minor);
            self.resolve(minor).is_ok()
        };
        match request {
            VersionRequest::Exact(version) if is_known(version) => Ok(version),
            _ => Ok(self.resolve(request)?.version),
        }
    }

    /// A version that is not here, and with which reason from elsewhere.
    pub(crate) fn unknown(&self, request: VersionRequest, source: Option<Error>) -> Error {
        Error::UnknownVersion {
            request: request.to_string(),
            near: self.near(request),
            source: source.map(Box::new),
        }
    }

    /// Exactly this version.
    pub(crate) fn release(&self, version: KubernetesVersion) -> Option<&Release> {
        self.kubernetes
            .iter()
            .find(|release| release.version == version)
    }

    /// A component that is not of a Kubernetes version.
    pub(crate) fn pinned(&self, name: &str) -> Option<&Pinned> {
        self.components.get(name)
    }

    /// The versions closest to what was asked for, newest first.
    fn near(&self, request: VersionRequest) -> Vec<KubernetesVersion> {
        let distance = |version: KubernetesVersion| match request {
            VersionRequest::Minor(major, minor) => (
                version.major.abs_diff(major),
                version.minor.abs_diff(minor),
                0,
            ),
            VersionRequest::Exact(wanted) => (
                version.major.abs_diff(wanted.major),
                version.minor.abs_diff(wanted.minor),
                version.patch.abs_diff(wanted.patch),
            ),
            // Too far back: the oldest ones are the closest.
            VersionRequest::Latest(_) | VersionRequest::Oldest => (version.major, version.minor, 0),
        };
        let mut near: Vec<_> = self.kubernetes.iter().map(|r| r.version).collect();
        near.sort_by_key(|version| distance(*version));
        near.truncate(SUGGESTIONS);
        near.sort_unstable_by(|a, b| b.cmp(a));
        near
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn resolved(request: &str) -> Result<String, Error> {
        let catalogue = Catalogue::embedded();
        let release = catalogue.resolve(request.parse().unwrap())?;
        Ok(release.version.to_string())
    }

    #[rstest]
    #[case::minor("1.34", "1.34.2")]
    #[case::exact("v1.34.2", "1.34.2")]
    #[case::latest("latest", "1.36.3")]
    #[case::one_back("latest-1", "1.35.4")]
    #[case::oldest("oldest", "1.31.4")]
    fn a_request_means_one_version(#[case] request: &str, #[case] expected: &str) {
        assert_eq!(resolved(request).unwrap(), expected);
    }

    #[rstest]
    #[case::listed("1.34.2", Some("1.34.2"))]
    #[case::minor("1.34", Some("1.34.2"))]
    #[case::a_patch_that_is_not_listed("1.34.9", Some("1.34.9"))]
    #[case::a_minor_that_is_not_listed("1.99.0", None)]
    #[case::another_major("2.34.2", None)]
    fn any_patch_of_a_known_minor_may_be_had(
        #[case] request: &str,
        #[case] expected: Option<&str>,
    ) {
        let accepted = Catalogue::embedded().accept(request.parse().unwrap());
        let expected = expected.map(|text| text.parse().unwrap());
        assert_eq!(accepted.ok(), expected);
    }

    #[rstest]
    #[case::other_patch("1.34.9", "1.34.2")]
    #[case::too_new("1.99", "1.36.3")]
    #[case::too_old("1.2", "1.31.4")]
    #[case::too_far_back("latest-20", "1.31.4")]
    #[case::other_major("2.34", "1.34.2")]
    fn an_unknown_version_names_the_near_ones(#[case] request: &str, #[case] near: &str) {
        let error = resolved(request).unwrap_err().to_string();
        assert!(error.contains(near), "{error}");
    }

    #[rstest]
    #[case::unknown_key("format = 1\nkubernetes = []\ncomponents = {}\nsurprise = 1")]
    #[case::no_version("format = 1\ncomponents = {}\n[[kubernetes]]\nk3s = \"x\"")]
    #[case::newer("format = 2\nkubernetes = []\ncomponents = {}")]
    #[case::no_toml("{")]
    fn another_file_is_refused(#[case] text: &str) {
        assert!(Catalogue::parse(text).is_err());
    }

    #[test]
    fn a_minor_has_one_patch() {
        let catalogue = Catalogue::embedded();
        let minors: std::collections::BTreeSet<_> = catalogue
            .releases()
            .iter()
            .map(|release| release.version.minor_name())
            .collect();
        assert_eq!(minors.len(), catalogue.releases().len());
    }
}
