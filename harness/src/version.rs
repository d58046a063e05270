//! Kubernetes versions: what a user may write, and what it means.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An exact Kubernetes version such as `1.34.2`. Displayed without the leading `v`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion {
    /// Always 1 so far.
    pub major: u32,
    /// The minor version, such as 34.
    pub minor: u32,
    /// The patch, such as 2.
    pub patch: u32,
}

/// What a user asked for: `1.34`, `1.34.2`, `latest`, `oldest`, `latest-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionRequest {
    /// The newest patch of this minor in the lock file.
    Minor(u32, u32),
    /// Exactly this one.
    Exact(KubernetesVersion),
    /// The newest minor in the lock file, less this many minors.
    Latest(u32),
    /// The oldest minor in the lock file.
    Oldest,
}

/// A text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a Kubernetes version; write `1.34`, `1.34.2`, `latest`, `latest-1` or `oldest`"
)]
pub struct ParseVersionError {
    /// What was given.
    pub text: String,
}

impl KubernetesVersion {
    /// The version that a server says it is, such as `v1.34.2` or, of a distro, `v1.34.2+k3s1`.
    pub fn of_build(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v')?;
        let end = text.find(['+', '-']).unwrap_or(text.len());
        text[..end].parse().ok()
    }

    /// The minor that comes next, where an upgrade can go.
    #[must_use]
    pub fn next_minor(&self) -> VersionRequest {
        VersionRequest::Minor(self.major, self.minor + 1)
    }

    /// `major.minor`, such as `1.34`.
    pub fn minor_name(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for KubernetesVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match VersionRequest::from_str(text)? {
            VersionRequest::Exact(version) => Ok(version),
            _ => Err(ParseVersionError {
                text: text.to_owned(),
            }),
        }
    }
}

impl FromStr for VersionRequest {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseVersionError {
            text: text.to_owned(),
        };
        match text {
            "latest" => return Ok(Self::Latest(0)),
            "oldest" => return Ok(Self::Oldest),
            _ => {}
        }
        if let Some(back) = text.strip_prefix("latest-") {
            return Ok(Self::Latest(number(back).ok_or_else(error)?));
        }
        let numbers = text
            .strip_prefix('v')
            .unwrap_or(text)
            .split('.')
            .map(number)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(error)?;
        match numbers[..] {
            [major, minor] => Ok(Self::Minor(major, minor)),
            [major, minor, patch] => Ok(Self::Exact(KubernetesVersion {
                major,
                minor,
                patch,
            })),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(major, minor) => write!(f, "{major}.{minor}"),
            Self::Exact(version) => version.fmt(f),
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest-{back}"),
            Self::Oldest => f.write_str("oldest"),
        }
    }
}

impl TryFrom<&str> for VersionRequest {
    type Error = ParseVersionError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KubernetesVersion> for VersionRequest {
    fn from(version: KubernetesVersion) -> Self {
        Self::Exact(version)
    }
}

impl TryFrom<String> for KubernetesVersion {
    type Error = ParseVersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> Self {
        version.to_string()
    }
}

/// Digits only: `u32::from_str` would also take a plus sign.
fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::minor("1.34", VersionRequest::Minor(1, 34))]
    #[case::exact("1.34.2", VersionRequest::Exact(KubernetesVersion { major: 1, minor: 34, patch: 2 }))]
    #[case::with_a_v("v1.34.2", VersionRequest::Exact(KubernetesVersion { major: 1, minor: 34, patch: 2 }))]
    #[case::latest("latest", VersionRequest::Latest(0))]
    #[case::one_back("latest-1", VersionRequest::Latest(1))]
    #[case::oldest("oldest", VersionRequest::Oldest)]
    fn a_request_is_read(#[case] text: &str, #[case] expected: VersionRequest) {
        assert_eq!(text.parse(), Ok(expected));
    }

    #[rstest]
    #[case::upstream("v1.34.2", Some("1.34.2"))]
    #[case::a_distro("v1.34.2+k3s1", Some("1.34.2"))]
    #[case::before_a_release("v1.36.0-rc.1+k0s.0", Some("1.36.0"))]
    #[case::another_program("3.6.5", None)]
    #[case::nothing("", None)]
    fn a_server_says_its_version(#[case] text: &str, #[case] expected: Option<&str>) {
        let expected = expected.map(|text| text.parse().unwrap());
        assert_eq!(KubernetesVersion::of_build(text), expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::a_word("newest")]
    #[case::one_number("1")]
    #[case::four_numbers("1.2.3.4")]
    #[case::a_sign("1.+34")]
    #[case::a_gap("1..2")]
    fn nonsense_is_refused(#[case] text: &str) {
        assert!(text.parse::<VersionRequest>().is_err());
    }
}
