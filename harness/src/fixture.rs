//! What can be put into a cluster before a test begins. Fixtures are data; applying them is the cluster's work.

use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::gvk::ParseGroupVersionError,
    discovery::{self, Scope},
};
use serde::Deserialize as _;

/// The field manager of everything that fixtures put into a cluster.
const FIELD_MANAGER: &str = "vcluster-test-fixture";

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

/// A fixture that could not be read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
        serde_yaml_ng::Deserializer::from_str(self.yaml)
            .enumerate()
            .filter_map(|(index, document)| {
                // A document of comments alone is no object and no mistake.
                match Option::<DynamicObject>::deserialize(document) {
                    Ok(object) => object.map(Ok),
                    Err(source) => Some(Err(Error::Parse {
                        fixture: self.name.to_owned(),
                        index: index + 1,
                        source,
                    })),
                }
            })
            .collect()
    }
}

/// Applies the objects in their order, by server-side apply, so that twice is the same as once.
///
/// Objects without a namespace go to `default` when their kind has namespaces.
///
/// # Errors
/// The first object that cannot be applied, with its name.
pub async fn apply(client: &Client, fixture: &impl Fixture) -> Result<(), Error> {
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
