//! Registries: which one to ask, and which ones have proved unreachable, so that nobody asks twice.

use std::{
    collections::BTreeSet,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    engine::{Engine, Error},
    progress::Progress,
};

/// How long the engine may be silent during a pull. It speaks as soon as a registry answers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Registries that did not answer this process.
static UNREACHABLE: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// What became of asking a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The engine has the image now, under its official name.
    Pulled,
    /// The registry was asked, or not, and here is why there is no image.
    Not(String),
}

/// Pulls an official image, from the mirror if there is one.
///
/// # Errors
/// The engine's disk is full: no other source will help.
pub(crate) async fn pull(
    engine: &Engine,
    official: &str,
    mirror: Option<&str>,
    patience: Duration,
    progress: &Progress,
) -> Result<Answer, Error> {
    let reference = mirror.map_or_else(|| official.to_owned(), |mirror| mirrored(official, mirror));
    let registry = registry(&reference);
    if unreachable().contains(&registry) {
        return Ok(Answer::Not(format!("{registry} did not answer before")));
    }
    match engine.pull(&reference, patience, progress).await {
        Ok(()) => {
            // What is pulled by digest, or from elsewhere, has no name that pods could use.
            let name = without_digest(official);
            if reference != name {
                engine.tag(&reference, name).await?;
            }
            Ok(Answer::Pulled)
        }
        Err(error @ Error::DiskFull { .. }) => Err(error),
        Err(error) => {
            let reason = causes(&error);
            if !is_an_answer(&reason) {
                unreachable().insert(registry);
            }
            Ok(Answer::Not(reason))
        }
    }
}

/// The name under which the engine knows an image that was named with tag and digest.
pub(crate) fn without_digest(reference: &str) -> &str {
    reference
        .split_once('@')
        .map_or(reference, |(name, _)| name)
}

/// The registry of an image, as the engine understands names.
fn registry(reference: &str) -> String {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first.to_owned(),
        _ => "docker.io".to_owned(),
    }
}

/// The same image at a mirror: the mirror stands in for the registry, the path stays.
fn mirrored(official: &str, mirror: &str) -> String {
    let path = match official.split_once('/') {
        Some((first, path)) if first == registry(official) => path.to_owned(),
        Some(_) => official.to_owned(),
        None => format!("library/{official}"),
    };
    format!("{}/{path}", mirror.trim_end_matches('/'))
}

/// Did a registry say no? Then it is there, and may have other images.
fn is_an_answer(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    [
        "not found",
        "manifest unknown",
        "denied",
        "unauthorized",
        "toomanyrequests",
        "does not exist",
    ]
    .iter()
    .any(|sign| reason.contains(sign))
        && !reason.contains("no such host")
}

fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map_or_else(String::new, ToString::to_string)
}

fn unreachable() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    UNREACHABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::named("registry.k8s.io/etcd:3.6.5-0", "registry.k8s.io")]
    #[case::port("127.0.0.1:5000/etcd:1", "127.0.0.1:5000")]
    #[case::local("localhost/x:1", "localhost")]
    #[case::hub("kindest/node:v1.34.2", "docker.io")]
    #[case::hub_library("busybox:1.35.0", "docker.io")]
    fn a_name_says_its_registry(#[case] reference: &str, #[case] expected: &str) {
        assert_eq!(registry(reference), expected);
    }

    #[rstest]
    #[case::named(
        "registry.k8s.io/coredns/coredns:v1.12.1",
        "mirror.example/hub/coredns/coredns:v1.12.1"
    )]
    #[case::hub(
        "kindest/node:v1.34.2@sha256:00",
        "mirror.example/hub/kindest/node:v1.34.2@sha256:00"
    )]
    #[case::hub_library("busybox:1.35.0", "mirror.example/hub/library/busybox:1.35.0")]
    fn a_mirror_stands_in_for_the_registry(#[case] official: &str, #[case] expected: &str) {
        assert_eq!(mirrored(official, "mirror.example/hub/"), expected);
    }

    #[rstest]
    #[case::missing(
        "manifest for registry.k8s.io/etcd:9 not found: manifest unknown",
        true
    )]
    #[case::login("pull access denied for x, repository does not exist", true)]
    #[case::dns(
        "Get \"https://registry.k8s.io/v2/\": dial tcp: lookup registry.k8s.io: no such host",
        false
    )]
    #[case::silence("Timeout error", false)]
    #[case::refused("dial tcp 10.0.0.1:443: connect: connection refused", false)]
    fn a_no_is_told_from_silence(#[case] reason: &str, #[case] expected: bool) {
        assert_eq!(is_an_answer(reason), expected);
    }
}
