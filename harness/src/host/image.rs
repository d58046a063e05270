//! The images that the nodes of a host have, and how they get more.

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures::{TryStreamExt as _, future::try_join_all};
use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::{Api, Client, api::ListParams};
use tokio::sync::Mutex;
use tokio_util::io::StreamReader;

use super::{
    Error,
    archive::{self, Digests},
    node::{Command, Node},
};
use crate::deadline::Deadline;

/// How long one image may take.
const IMPORT: Duration = Duration::from_mins(5);

/// Where a host keeps images.
#[derive(Debug)]
pub(super) enum ImageStore {
    /// In the containerd of each node.
    Nodes(Vec<NodeImages>),
    /// In a place of somebody else: it pulls what it needs.
    Elsewhere,
}

/// The images of one node, listed once.
#[derive(Debug)]
pub(super) struct NodeImages {
    node: Node,
    known: Mutex<Option<Listing>>,
}

/// An image that a host should have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a str,
    pub(super) content: Content<'a>,
}

/// What the name of an image is to stand for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// Anything: the name always means the same.
    Named,
    /// What this archive holds.
    Archive(&'a Path),
    /// What the container engine has under that name now.
    Engine,
}

impl ImageStore {
    pub(super) fn of_nodes(nodes: Vec<Node>) -> Self {
        Self::Nodes(
            nodes
                .into_iter()
                .map(|node| NodeImages {
                    node,
                    known: Mutex::default(),
                })
                .collect(),
        )
    }

    /// Makes sure that every node has every image.
    pub(super) async fn ensure(
        &self,
        client: &Client,
        host: &str,
        images: &[Wanted<'_>],
    ) -> Result<(), Error> {
        match self {
            Self::Nodes(nodes) => {
                try_join_all(nodes.iter().map(|node| node.ensure(images))).await?;
                Ok(())
            }
            Self::Elsewhere => pullable(client, host, images).await,
        }
    }

    /// Are the nodes' containers there and running?
    pub(super) async fn check(&self) -> Result<(), Error> {
        if let Self::Nodes(nodes) = self {
            for images in nodes {
                images.node.check().await?;
            }
        }
        Ok(())
    }
}

impl NodeImages {
    /// Only one task of this process loads into a node; the others wait and find the images there.
    async fn ensure(&self, images: &[Wanted<'_>]) -> Result<(), Error> {
        let mut known = self.known.lock().await;
        let listing = match known.take() {
            Some(listing) => listing,
            None => self.list().await?,
        };
        let mut loaded = Vec::new();
        for image in images {
            let expected = match image.content {
                Content::Named => None,
                Content::Archive(path) => Some(archive::digests(path)?),
                Content::Engine => Some(self.of_engine(image.reference).await?),
            };
            if listing.find(image.reference, expected.as_ref()) != Found::Same {
                if let Err(error) = self.load(image).await {
                    // Of two processes that import the same, containerd refuses one.
                    let now = self.list().await?;
                    if now.find(image.reference, expected.as_ref()) != Found::Same {
                        return Err(error);
                    }
                }
                loaded.push((image.reference, expected));
            }
        }
        *known = Some(if loaded.is_empty() {
            listing
        } else {
            self.verify(&loaded).await?
        });
        Ok(())
    }

    /// An import may succeed and yet give nothing: only the node's own list counts.
    async fn verify(&self, loaded: &[(&str, Option<Digests>)]) -> Result<Listing, Error> {
        let listing = self.list().await?;
        for (reference, expected) in loaded {
            let found = match listing.find(reference, expected.as_ref()) {
                Found::Same | Found::Unknown => continue,
                Found::Another(digest) => digest,
                Found::Nothing => "nothing",
            };
            return Err(Error::NotLoaded {
                node: self.node.name.clone(),
                image: (*reference).to_owned(),
                expected: expected
                    .as_ref()
                    .map_or_else(|| "any digest".to_owned(), Digests::to_string),
                found: found.to_owned(),
            });
        }
        Ok(listing)
    }

    async fn list(&self) -> Result<Listing, Error> {
        let output = self
            .node
            .run(Command::new(["ctr", "-n", "k8s.io", "images", "ls"]))
            .await?;
        Ok(Listing::parse(&String::from_utf8_lossy(&output)))
    }

    async fn load(&self, image: &Wanted<'_>) -> Result<(), Error> {
        let import = Command::new(["ctr", "-n", "k8s.io", "images", "import", "--digests", "-"])
            .deadline(Deadline::after("image import", IMPORT));
        let import = if let Content::Archive(path) = image.content {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|source| Error::Archive {
                    path: path.to_owned(),
                    source,
                })?;
            import.input(file)
        } else {
            import.input(self.exported(image.reference).await?)
        };
        tracing::debug!(image = image.reference, node = %self.node.name, "loading");
        let imported = self.node.run(import).await;
        imported.map(drop).map_err(not_imported(image.reference))
    }

    /// The digests of what the engine has under a name.
    async fn of_engine(&self, reference: &str) -> Result<Digests, Error> {
        let engine = &self.node.engine;
        let inspected = engine.docker().inspect_image(reference).await;
        let missing = |source| Error::NotInEngine {
            image: reference.to_owned(),
            endpoint: engine.endpoint().to_owned(),
            source,
        };
        let id = inspected.map_err(missing)?.id;
        Ok(id.map_or_else(Digests::default, Digests::of_image))
    }

    /// The archive of an image that only the engine has.
    async fn exported(
        &self,
        reference: &str,
    ) -> Result<impl tokio::io::AsyncRead + Send + 'static, Error> {
        let docker = self.node.engine.docker();
        if docker.inspect_image(reference).await.is_err() {
            return Err(Error::NoArchive {
                node: self.node.name.clone(),
                image: reference.to_owned(),
            });
        }
        let stream = docker.export_image(reference);
        Ok(StreamReader::new(stream.map_err(std::io::Error::other)))
    }
}

/// A full disk is a cause of its own: neither another try nor another node helps.
fn not_imported(image: &str) -> impl FnOnce(Error) -> Error {
    let image = image.to_owned();
    move |error| match error {
        Error::Command {
            ref node,
            ref output,
            ..
        } if output.contains("no space left on device") => Error::NodeFull {
            node: node.clone(),
            image,
            source: Box::new(error),
        },
        error => error,
    }
}

/// The images of a node: names and the digests that they stand for. containerd also lists every image
/// under the digest of its configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    digests: BTreeMap<String, String>,
}

/// What a node has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found<'a> {
    Nothing,
    Another(&'a str),
    /// The name is there; what it stands for cannot be compared.
    Unknown,
    Same,
}

impl Listing {
    /// Reads what `ctr images ls` prints: a heading, then name, type, digest and more in columns.
    fn parse(text: &str) -> Self {
        let mut digests = BTreeMap::new();
        for line in text.lines() {
            let mut columns = line.split_whitespace();
            let (Some(name), Some(_), Some(digest)) =
                (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            if digest.starts_with("sha256:") {
                digests.insert(name.to_owned(), digest.to_owned());
            }
        }
        Self { digests }
    }

    fn find(&self, reference: &str, expected: Option<&Digests>) -> Found<'_> {
        let Some(found) = self.digests.get(&full_name(reference)) else {
            return Found::Nothing;
        };
        let Some(expected) = expected else {
            return Found::Same;
        };
        if expected.manifests.contains(found) {
            return Found::Same;
        }
        let mut known = expected
            .configurations
            .iter()
            .filter_map(|configuration| self.digests.get(configuration));
        if known.any(|digest| digest == found) {
            Found::Same
        } else if expected.configurations.is_empty() {
            Found::Another(found)
        } else {
            // The node may be about to list the configuration.
            Found::Unknown
        }
    }
}

/// The name in full, as containerd lists it: registry, path and tag.
fn full_name(reference: &str) -> String {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let has_registry = first.contains(['.', ':']) || first == "localhost";
    let mut full = match (has_registry, first, rest) {
        (true, _, _) => name.to_owned(),
        (false, "", _) => format!("docker.io/library/{name}"),
        (false, _, _) => format!("docker.io/{name}"),
    };
    let last = full.rsplit('/').next().unwrap_or_default();
    if let Some(digest) = digest {
        full = format!("{full}@{digest}");
    } else if !last.contains(':') {
        full.push_str(":latest");
    }
    full
}

/// A host that pulls for itself can have any image but one that exists on this machine only.
async fn pullable(client: &Client, host: &str, images: &[Wanted<'_>]) -> Result<(), Error> {
    let local: Vec<&Wanted<'_>> = images
        .iter()
        .filter(|image| {
            let is_local = image.reference.starts_with("localhost/");
            is_local || matches!(image.content, Content::Engine)
        })
        .collect();
    if local.is_empty() {
        return Ok(());
    }
    let nodes = Api::<KubernetesNode>::all(client.clone())
        .list(&ListParams::default())
        .await
        .map_err(Error::api(host, "list nodes"))?;
    let there: Vec<String> = nodes
        .items
        .into_iter()
        .filter_map(|node| node.status?.images)
        .flatten()
        .filter_map(|image| image.names)
        .flatten()
        .collect();
    match local
        .iter()
        .find(|image| !there.contains(&full_name(image.reference)))
    {
        None => Ok(()),
        Some(image) => Err(Error::CannotLoad {
            host: host.to_owned(),
            image: image.reference.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LISTING: &str = "\
REF                                      TYPE                                       DIGEST      SIZE      PLATFORMS   LABELS
localhost/vcluster-test/syncer:1         application/vnd.oci.image.manifest.v1+json sha256:aaaa 3.2 MiB   linux/amd64 io.cri-containerd.image=managed
docker.io/library/busybox:latest         application/vnd.oci.image.index.v1+json    sha256:bbbb 731.0 KiB linux/amd64 -
sha256:cccc                              application/vnd.oci.image.index.v1+json    sha256:bbbb 731.0 KiB linux/amd64 -
";

    fn digests(manifests: &[&str], configurations: &[&str]) -> Digests {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Digests {
            manifests: set(manifests),
            configurations: set(configurations),
        }
    }

    #[rstest]
    #[case::no_digest_to_compare("busybox", None, Found::Same)]
    #[case::not_there("nginx", None, Found::Nothing)]
    #[case::same_manifest("busybox", Some(digests(&["sha256:bbbb"], &[])), Found::Same)]
    #[case::another_manifest(
        "localhost/vcluster-test/syncer:1",
        Some(digests(&["sha256:dddd"], &[])),
        Found::Another("sha256:aaaa")
    )]
    #[case::same_configuration("busybox", Some(digests(&[], &["sha256:cccc"])), Found::Same)]
    #[case::unknown_configuration("busybox", Some(digests(&[], &["sha256:eeee"])), Found::Unknown)]
    #[case::by_manifest_or_configuration(
        "busybox",
        Some(digests(&["sha256:cccc"], &["sha256:cccc"])),
        Found::Same
    )]
    fn an_image_is_looked_up(
        #[case] reference: &str,
        #[case] expected: Option<Digests>,
        #[case] found: Found<'_>,
    ) {
        assert_eq!(
            Listing::parse(LISTING).find(reference, expected.as_ref()),
            found
        );
    }

    #[rstest]
    #[case::bare("busybox", "docker.io/library/busybox:latest")]
    #[case::tagged("kindest/node:v1", "docker.io/kindest/node:v1")]
    #[case::registry("registry.k8s.io/etcd:3.6", "registry.k8s.io/etcd:3.6")]
    #[case::port("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest")]
    #[case::local("localhost/a/b:c", "localhost/a/b:c")]
    #[case::digest("a/b@sha256:12", "docker.io/a/b@sha256:12")]
    fn a_name_is_completed(#[case] reference: &str, #[case] expected: &str) {
        assert_eq!(full_name(reference), expected);
    }

    #[test]
    fn an_import_onto_a_full_disk_says_so() {
        let failed = |output: &str| Error::Command {
            node: "web-control-plane".to_owned(),
            command: "ctr images import".to_owned(),
            code: 1,
            output: output.to_owned(),
        };
        let full = failed("ctr: write /var/lib/containerd/x: no space left on device\n");
        let error = not_imported("busybox")(full);
        assert!(matches!(error, Error::NodeFull { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("busybox") && text.contains("prune"), "{text}");
        let error = not_imported("busybox")(failed("ctr: unrecognized image format"));
        assert!(matches!(error, Error::Command { .. }), "{error:?}");
    }
}
