//! What can be put into a cluster before a test begins. Fixtures are data; applying them is the cluster's work.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::{GroupVersionKind, gvk::ParseGroupVersionError},
    discovery::{self, Scope},
};
use serde::Deserialize as _;
use sha2::{Digest as _, Sha256};

use crate::deadline::Deadline;

/// The field manager of everything that fixtures put into a cluster.
const FIELD_MANAGER: &str = "vcluster-test-fixture";

/// How long between two looks at whether a new kind is served.
const SERVED_PAUSE: Duration = Duration::from_millis(20);

/// Objects that belong together, by a name.
pub trait Fixture: Send + Sync {
    /// What people call it.
    fn name(&self) -> &str;

    /// The objects, in the order in which they are to be applied.
    ///
    /// # Errors
    /// The fixture is not what it should be, such as YAML that does not parse.
    fn objects(&self) -> Result<Vec<DynamicObject>, Error>;
}

/// The usual fixture: YAML with any number of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// What people call it.
    pub name: &'static str,
    /// The YAML, usually from `include_str!`.
    pub yaml: &'static str,
}

/// All YAML and JSON files of a directory, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folder {
    /// Its path from the directory of the manifest.
    pub name: &'static str,
    /// The directory of the manifest, as the compiler saw it; where the runner says another, that counts.
    pub root: &'static str,
}

/// A fixture that could not be read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory or a file in it.
    #[error("could not read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory without objects.
    #[error("{} has no YAML or JSON file", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A document is not YAML, or not an object.
    #[error("document {index} of fixture `{fixture}` is not a Kubernetes object")]
    Parse {
        /// The fixture.
        fixture: String,
        /// Which document, counted from 1.
        index: usize,
        /// What the parser says.
        #[source]
        source: serde_yaml_ng::Error,
    },
    /// An object does not say what it is.
    #[error("object `{object}` of fixture `{fixture}` has no apiVersion and kind")]
    NoKind {
        /// The fixture.
        fixture: String,
        /// The object.
        object: String,
    },
    /// An `apiVersion` that is none.
    #[error("object `{object}` of fixture `{fixture}` has an apiVersion that is none")]
    BadKind {
        /// The fixture.
        fixture: String,
        /// The object.
        object: String,
        /// What is wrong with it.
        #[source]
        source: ParseGroupVersionError,
    },
    /// The cluster does not know the kind.
    #[error("the cluster does not serve {kind} of object `{object}` of fixture `{fixture}`")]
    UnknownKind {
        /// The fixture.
        fixture: String,
        /// The object.
        object: String,
        /// The kind with its group and version.
        kind: String,
        /// What discovery says.
        #[source]
        source: kube::Error,
    },
    /// The API server refused the object.
    #[error("could not apply object `{object}` of fixture `{fixture}`")]
    Apply {
        /// The fixture.
        fixture: String,
        /// The object.
        object: String,
        /// What the API server says.
        #[source]
        source: kube::Error,
    },
}

impl Fixture for Manifest {
    fn name(&self) -> &str {
        self.name
    }

    fn objects(&self) -> Result<Vec<DynamicObject>, Error> {
        parse(self.name, self.yaml)
    }
}

impl Fixture for Folder {
    fn name(&self) -> &str {
        self.name
    }

    fn objects(&self) -> Result<Vec<DynamicObject>, Error> {
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let path = root.unwrap_or_else(|| self.root.into()).join(self.name);
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Read { path, source }
        };
        let entries = fs::read_dir(&path).map_err(read(&path))?;
        let mut files = Vec::new();
        for entry in entries {
            let file = entry.map_err(read(&path))?.path();
            let extension = file.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("yaml" | "yml" | "json")) {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(Error::Empty { path });
        }
        files.sort();
        let mut objects = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).map_err(read(&file))?;
            objects.extend(parse(&file.to_string_lossy(), &text)?);
        }
        Ok(objects)
    }
}

/// JSON is YAML, too.
fn parse(fixture: &str, yaml: &str) -> Result<Vec<DynamicObject>, Error> {
    serde_yaml_ng::Deserializer::from_str(yaml)
        .enumerate()
        .filter_map(|(index, document)| {
            // A document of comments alone is no object and no mistake.
            match Option::<DynamicObject>::deserialize(document) {
                Ok(object) => object.map(Ok),
                Err(source) => Some(Err(Error::Parse {
                    fixture: fixture.to_owned(),
                    index: index + 1,
                    source,
                })),
            }
        })
        .collect()
}

/// Fixtures, in the order in which they are applied.
#[derive(Clone, Copy, Default)]
pub struct Fixtures(pub &'static [&'static dyn Fixture]);

/// All objects of several fixtures, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    objects: Vec<(String, DynamicObject)>,
}

impl Fixtures {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|fixture| fixture.name())
    }

    /// Reads all of them.
    pub(crate) fn read(&self) -> Result<Contents, Error> {
        let mut objects = Vec::new();
        for fixture in self.0 {
            let name = || fixture.name().to_owned();
            objects.extend(
                fixture
                    .objects()?
                    .into_iter()
                    .map(|object| (name(), object)),
            );
        }
        Ok(Contents { objects })
    }
}

impl fmt::Debug for Fixtures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Of one program, so those of the same name are the same.
impl PartialEq for Fixtures {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}

impl Eq for Fixtures {}

impl Contents {
    /// Is there nothing to apply?
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// A digest of all objects in their order; empty when there are none.
    pub(crate) fn digest(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let objects: Vec<_> = self.objects.iter().map(|(_, object)| object).collect();
        let json = serde_json::to_vec(&objects).expect("they were read from YAML");
        hex::encode(Sha256::digest(json))
    }

    /// Applies all objects. Kinds that some of them define are served when it returns.
    pub(crate) async fn apply(&self, client: &Client, deadline: Deadline) -> Result<(), Error> {
        let defined: Vec<_> = self
            .objects
            .iter()
            .filter_map(|(fixture, object)| Some((fixture, object.name_any(), defines(object)?)))
            .collect();
        for (fixture, object) in &self.objects {
            let is_ours =
                |kind: &GroupVersionKind| defined.iter().any(|(.., kinds)| kinds.contains(kind));
            if let Some(types) = &object.types
                && let Ok(kind) = GroupVersionKind::try_from(types)
                && is_ours(&kind)
            {
                is_served(client, fixture, &object.name_any(), &kind, deadline).await?;
            }
            apply_object(client, fixture, object).await?;
        }
        for (fixture, object, kinds) in &defined {
            for kind in kinds {
                is_served(client, fixture, object, kind, deadline).await?;
            }
        }
        Ok(())
    }
}

/// The kinds that a definition of a custom resource brings.
fn defines(object: &DynamicObject) -> Option<Vec<GroupVersionKind>> {
    let types = object.types.as_ref()?;
    if types.kind != "CustomResourceDefinition" {
        return None;
    }
    let spec = &object.data["spec"];
    let (group, kind) = (spec["group"].as_str()?, spec["names"]["kind"].as_str()?);
    let versions = spec["versions"].as_array()?;
    let served = versions.iter().filter(|version| version["served"] == true);
    let names = served.filter_map(|version| version["name"].as_str());
    Some(
        names
            .map(|version| GroupVersionKind::gvk(group, version, kind))
            .collect(),
    )
}

/// Waits for a kind whose definition was applied: an API server serves it a moment later.
async fn is_served(
    client: &Client,
    fixture: &str,
    object: &str,
    kind: &GroupVersionKind,
    deadline: Deadline,
) -> Result<(), Error> {
    while let Err(source) = discovery::pinned_kind(client, kind).await {
        if deadline.is_over() {
            return Err(Error::UnknownKind {
                fixture: fixture.to_owned(),
                object: object.to_owned(),
                kind: format!("{}/{}", kind.api_version(), kind.kind),
                source,
            });
        }
        tokio::time::sleep(SERVED_PAUSE).await;
    }
    Ok(())
}

/// Applies the objects in their order, by server-side apply, so that twice is the same as once.
///
/// Objects without a namespace go to `default` when their kind has namespaces.
///
/// # Errors
/// The first object that cannot be applied, with its name.
pub async fn apply(client: &Client, fixture: &(impl Fixture + ?Sized)) -> Result<(), Error> {
    for object in fixture.objects()? {
        apply_object(client, fixture.name(), &object).await?;
    }
    Ok(())
}

async fn apply_object(client: &Client, fixture: &str, object: &DynamicObject) -> Result<(), Error> {
    let (fixture, name) = (fixture.to_owned(), object.name_any());
    let Some(types) = &object.types else {
        return Err(Error::NoKind {
            fixture,
            object: name,
        });
    };
    let gvk = match types.try_into() {
        Ok(gvk) => gvk,
        Err(source) => {
            return Err(Error::BadKind {
                fixture,
                object: name,
                source,
            });
        }
    };
    let (resource, capabilities) = match discovery::pinned_kind(client, &gvk).await {
        Ok(found) => found,
        Err(source) => {
            return Err(Error::UnknownKind {
                fixture,
                object: name,
                kind: format!("{}/{}", types.api_version, types.kind),
                source,
            });
        }
    };
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    api.patch(
        &name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(object),
    )
    .await
    .map(drop)
    .map_err(|source| Error::Apply {
        fixture,
        object: name.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Manifest = Manifest {
        name: "two",
        yaml: "
# a comment alone
---
apiVersion: v1
kind: ConfigMap
metadata: {name: first}
---
apiVersion: v1
kind: Secret
metadata: {name: second, namespace: other}
",
    };

    #[test]
    fn documents_come_in_their_order() {
        let names = TWO
            .objects()
            .unwrap()
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>();
        assert_eq!(names, ["first", "second"]);
    }

    #[test]
    fn the_files_of_a_folder_come_in_the_order_of_their_names() {
        let folder = Folder {
            name: "src/testing",
            root: "/nowhere",
        };
        assert!(matches!(folder.objects(), Err(Error::Empty { .. })));
        let missing = Folder {
            name: "crds",
            root: "/nowhere",
        };
        assert!(matches!(missing.objects(), Err(Error::Read { .. })));
    }

    #[test]
    fn other_content_has_another_digest() {
        static ONE: &[&dyn Fixture] = &[&TWO];
        static TWICE: &[&dyn Fixture] = &[&TWO, &TWO];
        let digest = |fixtures| Fixtures(fixtures).read().unwrap().digest();
        assert_eq!(digest(&[]), "");
        assert_eq!(digest(ONE), digest(ONE));
        assert_ne!(digest(ONE), digest(TWICE));
    }

    #[test]
    fn a_definition_brings_the_kinds_that_it_serves() {
        let definition = Manifest {
            name: "crd",
            yaml: "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  names: {kind: Thing, plural: things}
  versions: [{name: v1, served: true}, {name: v0, served: false}]
",
        };
        let objects = definition.objects().unwrap();
        let kinds = defines(&objects[0]).unwrap();
        assert_eq!(kinds, [GroupVersionKind::gvk("example.org", "v1", "Thing")]);
        assert_eq!(defines(&TWO.objects().unwrap()[0]), None);
    }

    #[test]
    fn a_bad_document_is_named_by_its_number() {
        let broken = Manifest {
            name: "broken",
            yaml: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n- a\n- list\n",
        };
        assert!(matches!(
            broken.objects(),
            Err(Error::Parse { index: 2, .. })
        ));
    }
}
