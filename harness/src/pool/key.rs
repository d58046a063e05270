//! What a cluster is, as far as a test can tell: who asks for the same may have it.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use vcluster_syncer::config::Sync;

use crate::{asset::Component, distro::ControlPlane, version::KubernetesVersion};

/// The version of this library and a digest of its sources.
pub(super) const LIBRARY: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "-",
    env!("VCLUSTER_TEST_FINGERPRINT")
);

/// A digest of all that makes one cluster different from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey(String);

/// All that makes one cluster different from another. The host does so, too: each has a pool of its own.
#[derive(Debug)]
pub(crate) struct Ingredients<'a> {
    pub(crate) distro: &'a str,
    pub(crate) version: KubernetesVersion,
    pub(crate) sync: &'a Sync,
    pub(crate) domain: &'a str,
    pub(crate) slice_bits: u8,
    /// As it is for any addresses.
    pub(crate) control_plane: &'a ControlPlane,
    pub(crate) images: &'a BTreeMap<Component, String>,
    /// A digest of what was put into it.
    pub(crate) fixtures: &'a str,
}

impl PoolKey {
    /// Library and content: two makes of this library never share a cluster.
    pub(crate) fn of(ingredients: &Ingredients<'_>) -> Self {
        Self::made_by(LIBRARY, ingredients)
    }

    /// As a label's value.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn made_by(library: &str, ingredients: &Ingredients<'_>) -> Self {
        /// In the order of its fields.
        #[derive(Serialize)]
        struct Content<'a> {
            library: &'a str,
            distro: &'a str,
            version: String,
            sync: &'a Sync,
            domain: &'a str,
            slice_bits: u8,
            control_plane: &'a ControlPlane,
            images: BTreeMap<&'static str, &'a str>,
            fixtures: &'a str,
        }
        let images = ingredients.images.iter();
        let content = Content {
            library,
            distro: ingredients.distro,
            version: ingredients.version.to_string(),
            sync: ingredients.sync,
            domain: ingredients.domain,
            slice_bits: ingredients.slice_bits,
            control_plane: ingredients.control_plane,
            images: images
                .map(|(component, image)| (component.name(), image.as_str()))
                .collect(),
            fixtures: ingredients.fixtures,
        };
        let json = serde_json::to_vec(&content).expect("plain data with string keys");
        Self(hex::encode(&Sha256::digest(json)[..8]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::distro::{self, ControlPlaneContext, Replicas};

    fn control_plane() -> ControlPlane {
        let cx = ControlPlaneContext::of(Replicas {
            set: "web",
            namespace: "web",
            count: 1,
        });
        distro::DEFAULT.control_plane("1.34.2".parse().unwrap(), &cx)
    }

    fn key(library: &str, change: fn(&mut Ingredients<'_>)) -> PoolKey {
        keyed(library, &BTreeMap::new(), change)
    }

    fn with_images(library: &str, images: &BTreeMap<Component, String>) -> PoolKey {
        keyed(library, images, |_| ())
    }

    fn keyed(
        library: &str,
        images: &BTreeMap<Component, String>,
        change: fn(&mut Ingredients<'_>),
    ) -> PoolKey {
        let mut ingredients = Ingredients {
            distro: "k8s",
            version: "1.34.2".parse().unwrap(),
            sync: &Sync::default(),
            domain: "cluster.local",
            slice_bits: 8,
            control_plane: &control_plane(),
            images,
            fixtures: "",
        };
        change(&mut ingredients);
        PoolKey::made_by(library, &ingredients)
    }

    #[test]
    fn the_same_has_the_same_key() {
        assert_eq!(key("1", |_| ()), key("1", |_| ()));
    }

    #[test]
    fn whatever_differs_gives_another_key() {
        static SCHEDULING: LazyLock<Sync> = LazyLock::new(|| {
            let mut sync = Sync::default();
            sync.virtual_scheduler.enabled = true;
            sync
        });
        let changes: [fn(&mut Ingredients<'_>); 6] = [
            |i| i.distro = "k3s",
            |i| i.version = "1.33.5".parse().unwrap(),
            |i| i.sync = &SCHEDULING,
            |i| i.domain = "example.org",
            |i| i.slice_bits = 6,
            |i| i.fixtures = "digest",
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_ne!(key("1", |_| ()), key("1", change), "change {number}");
        }
    }

    #[test]
    fn another_image_gives_another_key() {
        let images = |tag: &str| [(Component::Syncer, format!("syncer:{tag}"))].into();
        assert_ne!(
            with_images("1", &images("1")),
            with_images("1", &images("2"))
        );
    }

    #[test]
    fn another_make_of_the_library_shares_nothing() {
        assert_ne!(key("1", |_| ()), key("2", |_| ()));
    }
}
