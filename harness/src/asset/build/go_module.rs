//! The Go modules that are part of this crate: what is built, with checksums of all that goes into it.

use std::path::Path;

use super::Error;
use crate::version::KubernetesVersion;

/// A module that requires what is built and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoModule {
    /// Its folder below `build`.
    pub(crate) name: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! module {
    ($name:literal) => {
        module!($name, ["go.mod", "go.sum", "commands.go"])
    };
    ($name:literal, [$($file:literal),*]) => {
        GoModule {
            name: $name,
            files: &[$((
                $file,
                include_str!(concat!("../../../build/", $name, "/", $file)),
            )),*],
        }
    };
}

/// etcd of control planes.
pub(crate) const ETCD: GoModule = module!("etcd/3.6.5");
/// `CoreDNS` of control planes.
pub(crate) const COREDNS: GoModule = module!("coredns/1.12.1");
pub(crate) const KINE: GoModule = module!("kine");
pub(crate) const LOCAL_PATH_PROVISIONER: GoModule = module!("local-path-provisioner");
pub(crate) const AGNHOST: GoModule = module!("agnhost");
pub(crate) const NODE_TOOLS: GoModule = module!(
    "node-tools",
    ["go.mod", "pause/main.go", "iptables-wrapper/main.go"]
);

pub(crate) const STAND_IN: GoModule = module!(
    "distro-stand-in",
    [
        "go.mod",
        "go.sum",
        "main.go",
        "config.go",
        "flags.go",
        "k0s.go",
        "k3s.go",
        "log.go",
        "parts.go",
        "pki.go",
        "store.go"
    ]
);

pub(crate) const ETCD_PACKAGE: &str = "go.etcd.io/etcd/server/v3";
pub(crate) const COREDNS_PACKAGE: &str = "github.com/coredns/coredns";

/// One module for each minor.
const KUBERNETES: [GoModule; 6] = [
    module!("kubernetes/1.36"),
    module!("kubernetes/1.35"),
    module!("kubernetes/1.34"),
    module!("kubernetes/1.33"),
    module!("kubernetes/1.32"),
    module!("kubernetes/1.31"),
];

/// The module that builds exactly this Kubernetes version.
pub(crate) fn kubernetes(version: KubernetesVersion) -> Option<GoModule> {
    KUBERNETES
        .into_iter()
        .find(|module| module.requires("k8s.io/kubernetes", &version.to_string()))
}

/// The module that builds exactly this etcd.
pub(crate) fn etcd(version: &str) -> Option<GoModule> {
    [ETCD, module!("etcd/3.5.21")]
        .into_iter()
        .find(|module| module.requires(ETCD_PACKAGE, version))
}

/// The module that builds exactly this `CoreDNS`.
pub(crate) fn coredns(version: &str) -> Option<GoModule> {
    [COREDNS, module!("coredns/1.12.0")]
        .into_iter()
        .find(|module| module.requires(COREDNS_PACKAGE, version))
}

impl GoModule {
    /// Does it require this module in this version?
    pub(crate) fn requires(&self, module: &str, version: &str) -> bool {
        let line = format!("{module} v{version}");
        self.file("go.mod")
            .lines()
            .map(|text| text.trim().trim_start_matches("require "))
            .any(|text| text == line)
    }

    /// The checksum of a module in `go.sum`.
    #[cfg(test)]
    pub(crate) fn sum(&self, module: &str, version: &str) -> Option<&'static str> {
        self.file("go.sum")
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{module} v{version} ")))
    }

    /// All of it, for a key.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|(name, text)| [*name, *text])
    }

    /// Writes it to a directory.
    pub(crate) fn write_to(&self, directory: &Path) -> Result<(), Error> {
        for (name, text) in self.files {
            let path = directory.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            std::fs::write(&path, text).map_err(Error::io("write", &path))?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> &'static str {
        self.files
            .iter()
            .find(|(file, _)| *file == name)
            .map_or("", |(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::asset::Catalogue;

    #[test]
    fn every_release_has_a_module_with_the_checksum_of_the_lock_file() {
        for release in Catalogue::embedded().releases() {
            let version = release.version;
            let module = kubernetes(version).unwrap_or_else(|| panic!("no module for {version}"));
            let sum = module.sum("k8s.io/kubernetes", &version.to_string());
            assert_eq!(sum, release.module_sum.as_deref(), "{version}");
            assert!(sum.is_some(), "{version}");
        }
    }

    #[rstest]
    #[case::etcd(ETCD, "etcd", ETCD_PACKAGE)]
    #[case::coredns(COREDNS, "coredns", COREDNS_PACKAGE)]
    #[case::kine(KINE, "kine", "github.com/k3s-io/kine")]
    #[case::local_path(
        LOCAL_PATH_PROVISIONER,
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner"
    )]
    fn a_component_is_built_from_what_the_lock_file_says(
        #[case] module: GoModule,
        #[case] name: &str,
        #[case] path: &str,
    ) {
        let catalogue = Catalogue::embedded();
        let pinned = catalogue.pinned(name).unwrap();
        assert!(module.requires(path, &pinned.version), "{name}");
        let sum = module.sum(path, &pinned.version);
        assert_eq!(sum, pinned.module_sum.as_deref(), "{name}");
        assert!(sum.is_some(), "{name}");
    }

    #[rstest]
    #[case::etcd(etcd, "etcd", ETCD_PACKAGE)]
    #[case::coredns(coredns, "coredns", COREDNS_PACKAGE)]
    fn what_only_nodes_run_is_built_from_what_the_lock_file_says(
        #[case] module: fn(&str) -> Option<GoModule>,
        #[case] name: &str,
        #[case] path: &str,
    ) {
        let catalogue = Catalogue::embedded();
        let on_nodes = &catalogue.pinned(name).unwrap().on_nodes;
        assert!(!on_nodes.is_empty());
        for (version, expected) in on_nodes {
            let module = module(version).unwrap_or_else(|| panic!("no module for {version}"));
            assert_eq!(module.sum(path, version), Some(expected.as_str()));
        }
    }

    #[test]
    fn staging_modules_are_of_the_same_version() {
        for release in Catalogue::embedded().releases() {
            let module = kubernetes(release.version).unwrap();
            let expected = format!("v0.{}.{}", release.version.minor, release.version.patch);
            let replaced: Vec<_> = module
                .file("go.mod")
                .lines()
                .filter(|line| line.contains("=>"))
                .collect();
            assert!(!replaced.is_empty());
            for line in replaced {
                assert!(line.ends_with(&expected), "{line}");
            }
        }
    }
}
