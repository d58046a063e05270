//! What is left in the engine: images that we made, what was to become one, nodes' volumes, and our network.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder,
};
use jiff::{SignedDuration, Timestamp};

use super::{
    UNUSED, YOUNG,
    files::days,
    item::{Error, Item, Kind, Removal},
};
use crate::{
    engine::{Engine, MAKES_IMAGE},
    host::kind,
};

/// Images with such names are ours.
const OURS: &str = "localhost/vcluster-test/";

pub(super) async fn survey(cache: &Path, engine: &Engine) -> Result<Vec<Item>, Error> {
    let mut items = containers(engine).await?;
    items.extend(images(cache, engine).await?);
    items.extend(volumes(engine).await?);
    items.extend(network(engine).await?);
    Ok(items)
}

/// Containers that make an image take minutes; one that is a day old was left by somebody who was killed.
async fn containers(engine: &Engine) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for container in list(engine, Some(MAKES_IMAGE)).await? {
        let created = container
            .created
            .and_then(|at| Timestamp::from_second(at).ok());
        let age = created.map(|at| Timestamp::now().duration_since(at));
        let young = SignedDuration::try_from(YOUNG).unwrap_or(SignedDuration::MAX);
        let Some(id) = container.id.filter(|_| age.is_some_and(|age| age > young)) else {
            continue;
        };
        let name = container.names.and_then(|names| names.into_iter().next());
        let name = name.map_or_else(
            || id.clone(),
            |name| name.trim_start_matches('/').to_owned(),
        );
        let because = "it was to become an image, and its maker is gone";
        let removal = Removal::Container(engine.clone(), id);
        items.push(Item::new(Kind::Container, name, because, removal));
    }
    Ok(items)
}

async fn list(
    engine: &Engine,
    label: Option<&str>,
) -> Result<Vec<bollard::models::ContainerSummary>, Error> {
    let mut options = ListContainersOptionsBuilder::new().all(true);
    if let Some(label) = label {
        let filters = HashMap::from([("label", vec![label])]);
        options = options.filters(&filters);
    }
    let listed = engine.docker().list_containers(Some(options.build()));
    listed.await.map_err(request("list", "containers"))
}

async fn images(cache: &Path, engine: &Engine) -> Result<Vec<Item>, Error> {
    let containers = list(engine, None).await?;
    let in_use: BTreeSet<String> = containers.into_iter().filter_map(|c| c.image_id).collect();
    let options = ListImagesOptionsBuilder::new().build();
    let listed = engine.docker().list_images(Some(options)).await;
    let cached = cached(cache);
    let mut items = Vec::new();
    for image in listed.map_err(request("list", "images"))? {
        let ours = image.repo_tags.iter().filter(|name| name.starts_with(OURS));
        if in_use.contains(&image.id) {
            continue;
        }
        for name in ours {
            let found = engine.docker().inspect_image(name).await;
            let tagged = found
                .map_err(request("look at", name))?
                .metadata
                .and_then(|metadata| metadata.last_tag_time)
                .and_then(|time| time.parse::<Timestamp>().ok());
            let Some(because) = stale(name, &cached, tagged, Timestamp::now()) else {
                continue;
            };
            let removal = Removal::Image(engine.clone(), name.clone());
            items.push(Item::new(Kind::Image, name.clone(), because, removal));
        }
    }
    Ok(items)
}

/// For how long each file of the cache was not used, by the digest at the end of its name.
fn cached(cache: &Path) -> HashMap<String, Duration> {
    let entries = fs::read_dir(cache.join("files")).into_iter().flatten();
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let digest = name.to_str()?.strip_suffix(".json")?.rsplit_once('-')?.1;
            let used = entry.metadata().ok()?.modified().ok()?;
            let idle = SystemTime::now().duration_since(used).unwrap_or_default();
            Some((digest.to_owned(), idle))
        })
        .collect()
}

/// Why an image that no container has may go. It may be another checkout's or another user's: then it was
/// named lately.
fn stale(
    name: &str,
    cached: &HashMap<String, Duration>,
    tagged: Option<Timestamp>,
    now: Timestamp,
) -> Option<String> {
    let young = SignedDuration::try_from(YOUNG).ok()?;
    let is_young = tagged.is_some_and(|at| now.duration_since(at) < young);
    let (_, digest) = name.rsplit_once(['-', ':'])?;
    match cached.get(digest) {
        Some(idle) if *idle > UNUSED => Some(format!("not used for {} days", days(*idle))),
        Some(_) => None,
        None if is_young => None,
        None => Some("no container has it, and it is not in the cache".to_owned()),
    }
}

/// Volumes of nodes that somebody removed without them.
async fn volumes(engine: &Engine) -> Result<Vec<Item>, Error> {
    let filters = HashMap::from([
        ("dangling", vec!["true".to_owned()]),
        ("label", vec![made_by_us()]),
    ]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let listed = engine.docker().list_volumes(Some(options)).await;
    let volumes = listed.map_err(request("list", "volumes"))?.volumes;
    let items = volumes.into_iter().flatten().map(|volume| {
        let because = "no container has it";
        let removal = Removal::Volume(engine.clone(), volume.name.clone());
        Item::new(Kind::Volume, volume.name, because, removal)
    });
    Ok(items.collect())
}

/// Our network, when there is nothing in it. One that the kind command line made is not ours.
async fn network(engine: &Engine) -> Result<Vec<Item>, Error> {
    if !kind::list(engine).await?.is_empty() {
        return Ok(Vec::new());
    }
    let filters = HashMap::from([("label", vec![made_by_us()])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let docker = engine.docker();
    let listed = docker.list_networks(Some(options)).await;
    let mut items = Vec::new();
    for network in listed.map_err(request("list", "networks"))? {
        let (Some(id), Some(name)) = (network.id, network.name) else {
            continue;
        };
        let inspected = docker.inspect_network(&id, None).await;
        let containers = inspected.map_err(request("look at", &name))?.containers;
        if containers.is_none_or(|containers| containers.is_empty()) {
            let removal = Removal::Network(engine.clone(), id);
            items.push(Item::new(
                Kind::Network,
                name,
                "there is no host in it",
                removal,
            ));
        }
    }
    Ok(items)
}

/// The label on what we made, as a filter.
fn made_by_us() -> String {
    let (key, value) = kind::MADE_BY_US;
    format!("{key}={value}")
}

fn request(
    step: &'static str,
    object: impl Into<String>,
) -> impl FnOnce(bollard::errors::Error) -> Error {
    move |source| Error::Request {
        step,
        object: object.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NODE: &str = "localhost/vcluster-test/node:v1.34.2-0123456789ab";
    const HELPER: &str = "localhost/vcluster-test/local-path-helper:v1.35.0";
    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-31T11:00:00Z";

    #[rstest]
    #[case::used_lately(NODE, Some(13), Some(EARLY), None)]
    #[case::unused_for_long(NODE, Some(15), Some(LATE), Some("not used for 15 days"))]
    #[case::not_in_the_cache(
        NODE,
        None,
        Some(EARLY),
        Some("no container has it, and it is not in the cache")
    )]
    #[case::just_made(NODE, None, Some(LATE), None)]
    #[case::never_named_here(
        NODE,
        None,
        None,
        Some("no container has it, and it is not in the cache")
    )]
    #[case::without_a_digest(HELPER, None, Some(LATE), None)]
    fn an_image_without_containers_is_stale(
        #[case] name: &str,
        #[case] days: Option<u64>,
        #[case] tagged: Option<&str>,
        #[case] expected: Option<&str>,
    ) {
        let idle = days.map(|days| Duration::from_hours(24 * days + 1));
        let cached = idle.map(|idle| ("0123456789ab".to_owned(), idle));
        let tagged = tagged.map(|at| at.parse().unwrap());
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        let because = stale(name, &cached.into_iter().collect(), tagged, now);
        assert_eq!(because.as_deref(), expected);
    }
}
