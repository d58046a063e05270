//! Which source is asked when.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rstest::rstest;

use super::{
    super::{
        Assets, Component, Error, Origin, build::Error as BuildError, store::Error as StoreError,
    },
    engine::{FakeEngine, Registries},
};
use crate::{progress::Progress, settings::Settings, version::KubernetesVersion};

const ETCD: &str = "registry.k8s.io/etcd:3.6.5-0";
const K3S: &str = "rancher/k3s:v1.34.2-k3s1";

fn version() -> KubernetesVersion {
    "1.34.2".parse().unwrap()
}

/// A place for the cache, the user's directory and the engine's socket.
struct Place {
    directory: tempfile::TempDir,
    settings: Settings,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::from_environment(&[]).unwrap();
        settings.cache = directory.path().join("cache");
        Self {
            directory,
            settings,
        }
    }

    fn engine(&self, registries: Registries, images: &[&str]) -> FakeEngine {
        FakeEngine::start(self.directory.path(), registries, images)
    }

    fn assets(&self, engine: &FakeEngine) -> Assets {
        Assets::new(&self.settings, Progress::silent())
            .with_engine(engine.address.clone(), Duration::from_millis(300))
    }

    fn without_engine(&self) -> Assets {
        let nowhere = self.directory.path().join("nobody.sock");
        Assets::new(&self.settings, Progress::silent()).with_engine(
            format!("unix://{}", nowhere.display()),
            Duration::from_millis(300),
        )
    }

    /// The user's directory, with this image in it.
    fn give(&mut self, file: &str, manifest: &str) {
        let images = self.directory.path().join("assets/images");
        fs::create_dir_all(&images).unwrap();
        archive(&images.join(file), manifest);
        self.settings.assets = Some(self.directory.path().join("assets"));
    }
}

fn archive(path: &Path, manifest: &str) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "manifest.json", manifest.as_bytes())
        .unwrap();
    tar.finish().unwrap();
}

/// Puts an archive into the cache, as a build would.
async fn cache(assets: &Assets, key: &super::super::store::Key, reference: &str) {
    let manifest = format!(r#"[{{"RepoTags":["{reference}"]}}]"#);
    let made: Result<_, StoreError> = assets
        .store
        .get_or_make(key, |output| async move {
            archive(&output, &manifest);
            Ok(())
        })
        .await;
    made.unwrap();
}

#[tokio::test]
async fn the_users_directory_comes_first() {
    let mut place = Place::new();
    place.give("etcd-v3.6.5.tar", r#"[{"RepoTags":["mine/etcd:x"]}]"#);
    let engine = place.engine(Registries::Generous, &[ETCD]);
    let image = place
        .assets(&engine)
        .image(Component::Etcd, version())
        .await
        .unwrap();
    assert_eq!(image.reference, "mine/etcd:x");
    assert_eq!(image.origin, Origin::Directory);
    assert!(image.archive.is_some());
}

#[tokio::test]
async fn a_nameless_archive_of_the_user_is_an_error() {
    let mut place = Place::new();
    place.give("etcd-v3.6.5.tar", r#"[{"RepoTags":null}]"#);
    let error = place
        .without_engine()
        .image(Component::Etcd, version())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NamelessArchive { .. }), "{error:?}");
}

#[tokio::test]
async fn the_cache_comes_before_the_engine() {
    let place = Place::new();
    let engine = place.engine(Registries::Generous, &[ETCD]);
    let assets = place.assets(&engine);
    let plan = assets.builder.plan(Component::Etcd, version());
    let plan = plan.unwrap().unwrap();
    cache(&assets, &plan.key, &plan.reference).await;
    let image = assets.image(Component::Etcd, version()).await.unwrap();
    assert_eq!(
        (image.origin, image.reference),
        (Origin::Cache, plan.reference)
    );
}

#[tokio::test]
async fn the_engines_own_image_comes_before_the_registry() {
    let place = Place::new();
    let engine = place.engine(Registries::Generous, &[ETCD]);
    let image = place
        .assets(&engine)
        .image(Component::Etcd, version())
        .await
        .unwrap();
    assert_eq!(
        (image.origin, image.reference.as_str()),
        (Origin::Engine, ETCD)
    );
    assert_eq!(image.archive, None);
    assert!(engine.pulls().is_empty());
}

#[tokio::test]
async fn a_mirror_is_asked_instead_of_the_registry() {
    let mut place = Place::new();
    place.settings.mirror = Some("generous.example/hub".to_owned());
    let engine = place.engine(Registries::Generous, &[]);
    let image = place
        .assets(&engine)
        .image(Component::Etcd, version())
        .await
        .unwrap();
    assert_eq!(
        (image.origin, image.reference.as_str()),
        (Origin::Registry, ETCD)
    );
    assert_eq!(engine.pulls(), ["generous.example/hub/etcd:3.6.5-0"]);
    assert!(engine.has(ETCD));
}

#[tokio::test]
async fn an_image_with_a_digest_is_pulled_by_it_and_named_without() {
    let mut place = Place::new();
    place.settings.mirror = Some("digest.example".to_owned());
    let engine = place.engine(Registries::Generous, &[]);
    let node = place
        .assets(&engine)
        .node_image("1.33.4".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(node.reference, "kindest/node:v1.33.4");
    assert_eq!(node.origin, Origin::Registry);
    assert!(engine.has(&node.reference));
    let [pulled] = &engine.pulls()[..] else {
        panic!("{:?}", engine.pulls())
    };
    assert!(
        pulled.starts_with("digest.example/kindest/node:v1.33.4@sha256:"),
        "{pulled}"
    );
}

#[rstest]
#[case::unknown("unknown.example", Registries::Unknown, "no such host")]
#[case::silent("silent.example", Registries::Silent, "Timeout")]
#[tokio::test]
async fn a_registry_that_cannot_be_reached_is_asked_once(
    #[case] mirror: &str,
    #[case] registries: Registries,
    #[case] reason: &str,
) {
    let mut place = Place::new();
    place.settings.mirror = Some(mirror.to_owned());
    let engine = place.engine(registries, &[]);
    let assets = place.assets(&engine);
    let started = Instant::now();
    let first = assets.image(Component::K3s, version()).await.unwrap_err();
    let second = assets.image(Component::K0s, version()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(first.to_string().contains(reason), "{first}");
    assert!(
        second.to_string().contains("did not answer before"),
        "{second}"
    );
    assert_eq!(engine.pulls(), [format!("{mirror}/{K3S}")]);
}

#[tokio::test]
async fn a_registry_that_says_no_is_asked_again() {
    let mut place = Place::new();
    place.settings.mirror = Some("empty.example".to_owned());
    let engine = place.engine(Registries::Empty, &[]);
    let assets = place.assets(&engine);
    assets.image(Component::K3s, version()).await.unwrap_err();
    assets.image(Component::K0s, version()).await.unwrap_err();
    assert_eq!(engine.pulls().len(), 2);
}

#[tokio::test]
async fn offline_neither_pulls_nor_builds() {
    let mut place = Place::new();
    place.settings.offline = true;
    let engine = place.engine(Registries::Generous, &[]);
    let assets = place.assets(&engine);
    let image = assets.image(Component::Etcd, version()).await.unwrap_err();
    let node = assets.node_image(version()).await.unwrap_err();
    let binary = assets
        .binary(super::super::Binary::Etcd, version())
        .await
        .unwrap_err();
    for error in [image, node, binary] {
        assert!(
            error.to_string().contains("VCLUSTER_TEST_OFFLINE is set"),
            "{error}"
        );
    }
    assert!(engine.pulls().is_empty());
    assert!(!place.settings.cache.join("work").exists());
}

#[tokio::test]
async fn an_error_names_every_source_that_was_asked() {
    let place = Place::new();
    let error = place
        .without_engine()
        .image(Component::K3s, version())
        .await
        .unwrap_err()
        .to_string();
    for source in [
        "the image k3s",
        "directory: ",
        "cache: ",
        "container engine: ",
        "build from source: ",
    ] {
        assert!(error.contains(source), "{source} in {error}");
    }
}

#[tokio::test]
async fn a_node_image_of_the_cache_is_loaded_into_the_engine() {
    let place = Place::new();
    let engine = place.engine(Registries::Unknown, &[]);
    let assets = place.assets(&engine);
    let release = assets.catalogue().release(version()).unwrap();
    let key = assets.builder.node_key(release).unwrap();
    let reference = crate::asset::build::Builder::node_reference(version(), &key);
    cache(&assets, &key, &reference).await;
    let first = assets.node_image(version()).await.unwrap();
    assert_eq!(
        (first.origin, &first.reference),
        (Origin::Cache, &reference)
    );
    assert_eq!(first.id, format!("sha256:of-{reference}"));
    let second = assets.node_image(version()).await.unwrap();
    assert_eq!(second.origin, Origin::Engine);
}

#[tokio::test]
async fn a_node_image_needs_an_engine() {
    let error = Place::new()
        .without_engine()
        .node_image(version())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Engine(_)), "{error:?}");
}

#[tokio::test]
async fn a_node_with_other_companions_is_not_built() {
    let place = Place::new();
    let assets = place.without_engine();
    let catalogue = assets.catalogue();
    let release = catalogue.resolve("1.31".parse().unwrap()).unwrap();
    let error = assets.builder.node_key(release).unwrap_err();
    let words = error.to_string();
    let BuildError::NodeCompanion { buildable, .. } = error else {
        panic!("{error:?}");
    };
    let buildable: Vec<_> = buildable.iter().map(ToString::to_string).collect();
    assert_eq!(buildable, ["1.34.2", "1.33.4"]);
    assert!(words.contains("needs etcd 3.5.15"), "{words}");
    for version in buildable {
        let release = catalogue.resolve(version.parse().unwrap()).unwrap();
        assets.builder.node_key(release).unwrap();
    }
}

#[tokio::test]
async fn a_named_syncer_image_is_taken_as_it_is() {
    let mut place = Place::new();
    place.settings.syncer_image = Some("ghcr.io/me/syncer:dev".to_owned());
    let engine = place.engine(Registries::Unknown, &["ghcr.io/me/syncer:dev"]);
    let image = place
        .assets(&engine)
        .image(Component::Syncer, version())
        .await
        .unwrap();
    assert_eq!(image.reference, "ghcr.io/me/syncer:dev");
}

#[rstest]
#[case::upstream(Component::KubeApiserver, "registry.k8s.io/kube-apiserver:v1.34.7")]
#[case::k3s(Component::K3s, "rancher/k3s:v1.34.7-k3s1")]
#[case::k0s(Component::K0s, "k0sproject/k0s:v1.34.7-k0s.0")]
#[tokio::test]
async fn a_version_that_is_not_listed_is_pulled_and_checked_from_then_on(
    #[case] component: Component,
    #[case] expected: &str,
) {
    let mut place = Place::new();
    place.settings.mirror = Some("unlisted.example".to_owned());
    let engine = place.engine(Registries::Generous, &[]);
    let other = "1.34.7".parse().unwrap();
    let image = async || place.assets(&engine).image(component, other).await;
    assert_eq!(image().await.unwrap().reference, expected);
    // It is the same when it is pulled again.
    engine.remove(expected);
    assert_eq!(image().await.unwrap().origin, Origin::Registry);

    engine.change("sha256:other");
    engine.remove(expected);
    let after_a_pull = image().await.unwrap_err();
    let found_in_the_engine = image().await.unwrap_err();
    for error in [after_a_pull, found_in_the_engine] {
        let Error::NotAsFirstSeen {
            image,
            first,
            found,
            file,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(image, expected);
        assert_eq!((&*first, &*found), ("sha256:first", "sha256:other"));
        assert_eq!(file, place.settings.cache.join("digests.toml"));
    }
}

#[tokio::test]
async fn an_image_that_the_user_names_may_change() {
    let mut place = Place::new();
    place.settings.syncer_image = Some("ghcr.io/me/syncer:dev".to_owned());
    let engine = place.engine(Registries::Generous, &[]);
    let image = async || {
        place
            .assets(&engine)
            .image(Component::Syncer, version())
            .await
    };
    image().await.unwrap();
    engine.change("sha256:other");
    engine.remove("ghcr.io/me/syncer:dev");
    image().await.unwrap();
}

#[tokio::test]
async fn a_version_that_no_source_has_names_the_near_ones() {
    let assets = Place::new().without_engine();
    let other = "1.34.7".parse().unwrap();
    let error = assets
        .image(Component::KubeApiserver, other)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("1.34.2"), "{error}");
    let Error::UnknownVersion {
        source: Some(source),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(matches!(*source, Error::Unavailable { .. }), "{source:?}");
}

#[tokio::test]
async fn a_description_has_every_asset() {
    let place = Place::new();
    let engine = place.engine(Registries::Silent, &[ETCD]);
    let all = place.assets(&engine).describe(version()).await.unwrap();
    assert_eq!(all.len(), Component::ALL.len() + 1);
    let etcd = all
        .iter()
        .find(|asset| asset.name == "image etcd 3.6.5")
        .unwrap();
    assert_eq!(etcd.origin, Some(Origin::Engine));
    let apiserver = all
        .iter()
        .find(|asset| asset.name.contains("apiserver"))
        .unwrap();
    assert_eq!(apiserver.origin, None);
    assert!(engine.pulls().is_empty());
}
