//! What a reset must know of a stored object. Kubernetes' own are kept in its binary form, of which
//! this is the part that matters; objects of custom resources are JSON.

use std::collections::BTreeMap;

use prost::Message;
use serde::Deserialize;

/// Before everything in the binary form.
const MAGIC: &[u8] = b"k8s\0";
const LASTING_TOKEN: &[u8] = b"kubernetes.io/service-account-token";

/// An object of Kubernetes itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub(super) uid: String,
    pub(super) owner: Option<Owner>,
    pub(super) essence: Essence,
}

/// Who an object is, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: String,
    /// The uids of all its owners.
    pub(super) owners: Vec<String>,
}

/// The controller that made an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// What somebody asked for: no status, and nothing that the API server counts up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Essence {
    is_deleting: bool,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
    /// A spec, subsets or endpoints.
    content: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(bytes = "vec", tag = "2")]
    object: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    content: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredSecret {
    #[prost(bytes = "vec", tag = "3")]
    kind: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(bytes = "vec", optional, tag = "9")]
    deletion_timestamp: Option<Vec<u8>>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    owners: Vec<OwnerReference>,
    #[prost(string, repeated, tag = "14")]
    finalizers: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct OwnerReference {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    uid: String,
    #[prost(bool, tag = "6")]
    is_controller: bool,
}

#[derive(Deserialize)]
struct Json {
    metadata: JsonMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonMetadata {
    uid: String,
    #[serde(default)]
    owner_references: Vec<JsonOwner>,
}

#[derive(Deserialize)]
struct JsonOwner {
    uid: String,
}

impl Identity {
    /// Reads a stored value in either form.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        if value.starts_with(MAGIC) {
            let metadata = content::<Stored>(value)?.metadata?;
            return Some(Self {
                uid: metadata.uid,
                owners: metadata.owners.into_iter().map(|owner| owner.uid).collect(),
            });
        }
        let Json { metadata } = serde_json::from_slice(value).ok()?;
        let owners = metadata.owner_references.into_iter();
        Some(Self {
            uid: metadata.uid,
            owners: owners.map(|owner| owner.uid).collect(),
        })
    }
}

impl Object {
    /// Reads a stored value. None if it is in another form.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let stored: Stored = content(value)?;
        let metadata = stored.metadata?;
        let owner = metadata
            .owners
            .iter()
            .find(|owner| owner.is_controller)
            .map(|owner| Owner {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            });
        Some(Self {
            uid: metadata.uid,
            owner,
            essence: Essence {
                is_deleting: metadata.deletion_timestamp.is_some(),
                labels: metadata.labels,
                annotations: metadata.annotations,
                owners: metadata.owners,
                finalizers: metadata.finalizers,
                content: stored.content,
            },
        })
    }
}

/// Is the stored value a secret with a token that ends only with its service account?
pub(super) fn is_lasting_token(value: &[u8]) -> bool {
    content::<StoredSecret>(value).is_some_and(|secret| secret.kind == LASTING_TOKEN)
}

/// The same value with another uid in all places. API servers give uids of one length, so nothing else
/// changes; one of another length, which they do not give, stays.
pub(super) fn with_uid(value: &[u8], old: &str, new: &str) -> Vec<u8> {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let mut changed = value.to_vec();
    if old.len() != new.len() {
        return changed;
    }
    let mut at = 0;
    while let Some(found) = position(&changed[at..], old) {
        at += found;
        changed[at..at + old.len()].copy_from_slice(new);
        at += old.len();
    }
    changed
}

fn position(value: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    value.windows(part.len()).position(|window| window == part)
}

fn content<M: Message + Default>(value: &[u8]) -> Option<M> {
    let envelope = Envelope::decode(value.strip_prefix(MAGIC)?).ok()?;
    M::decode(envelope.object.as_slice()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An object to be, with a name and what else a test wants.
    #[derive(Debug, Clone, Default)]
    pub(in crate::reset) struct Draft {
        pub(in crate::reset) uid: String,
        pub(in crate::reset) owner: Option<Owner>,
        pub(in crate::reset) labels: BTreeMap<String, String>,
        pub(in crate::reset) is_deleting: bool,
        pub(in crate::reset) spec: String,
        pub(in crate::reset) status: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct StoredWithStatus {
        #[prost(message, optional, tag = "1")]
        metadata: Option<Metadata>,
        #[prost(string, tag = "2")]
        spec: String,
        #[prost(string, tag = "3")]
        status: String,
    }

    impl Essence {
        pub(in crate::reset) fn spec(&self) -> &[Vec<u8>] {
            &self.content
        }
    }

    impl Draft {
        pub(in crate::reset) fn value(&self) -> Vec<u8> {
            let object = StoredWithStatus {
                metadata: Some(Metadata {
                    uid: self.uid.clone(),
                    deletion_timestamp: self.is_deleting.then(Vec::new),
                    labels: self.labels.clone(),
                    owners: self
                        .owner
                        .iter()
                        .map(|owner| OwnerReference {
                            kind: owner.kind.clone(),
                            name: owner.name.clone(),
                            uid: owner.uid.clone(),
                            is_controller: true,
                        })
                        .collect(),
                    ..Metadata::default()
                }),
                spec: self.spec.clone(),
                status: self.status.clone(),
            };
            let envelope = Envelope {
                object: object.encode_to_vec(),
            };
            [MAGIC, envelope.encode_to_vec().as_slice()].concat()
        }
    }

    /// A uid that is as long as real ones.
    pub(in crate::reset) fn uid(number: u64) -> String {
        uuid::Uuid::from_u128(number.into()).to_string()
    }

    fn draft() -> Draft {
        Draft {
            uid: uid(1),
            spec: "replicas: 1".to_owned(),
            status: "ready".to_owned(),
            ..Draft::default()
        }
    }

    #[test]
    fn a_status_is_not_of_the_essence_but_a_spec_is() {
        let read = |draft: &Draft| Object::read(&draft.value()).unwrap().essence;
        let mut other = draft();
        other.status = "not ready".to_owned();
        assert_eq!(read(&draft()), read(&other));
        other.spec = "replicas: 2".to_owned();
        assert_ne!(read(&draft()), read(&other));
        let going = Draft {
            is_deleting: true,
            ..draft()
        };
        assert_ne!(read(&draft()), read(&going));
    }

    #[test]
    fn another_uid_changes_nothing_else() {
        let value = draft().value();
        let renewed = with_uid(&value, &uid(1), &uid(2));
        assert_eq!(Object::read(&renewed).unwrap().uid, uid(2));
        assert_eq!(with_uid(&renewed, &uid(2), &uid(1)), value);
    }

    #[test]
    fn an_object_says_who_and_whose_it_is_in_either_form() {
        let json = br#"{"metadata":{"uid":"1","ownerReferences":[{"uid":"2","kind":"A"}]},"a":1}"#;
        let identity = |uid: &str, owners: &[&str]| Identity {
            uid: uid.to_owned(),
            owners: owners.iter().map(|&owner| owner.to_owned()).collect(),
        };
        assert_eq!(Identity::read(json), Some(identity("1", &["2"])));
        let kubernetes = Identity::read(&draft().value());
        assert_eq!(kubernetes, Some(identity(&uid(1), &[])));
        assert_eq!(Identity::read(b"{}"), None);
    }

    #[test]
    fn what_is_not_kubernetes_own_is_left_whole() {
        assert_eq!(Object::read(br#"{"metadata":{"uid":"1"}}"#), None);
        assert_eq!(Object::read(b"k8s\0\xff\xff"), None);
    }

    #[test]
    fn a_token_without_end_is_known() {
        let secret = Draft {
            status: String::from_utf8_lossy(LASTING_TOKEN).into_owned(),
            ..draft()
        };
        assert!(is_lasting_token(&secret.value()));
        assert!(!is_lasting_token(&draft().value()));
    }

    #[test]
    fn only_the_controller_among_the_owners_made_it() {
        let owner = Owner {
            kind: "ReplicaSet".to_owned(),
            name: "web".to_owned(),
            uid: uid(9),
        };
        let replica = Draft {
            owner: Some(owner.clone()),
            ..draft()
        };
        assert_eq!(Object::read(&replica.value()).unwrap().owner, Some(owner));
        assert_eq!(Object::read(&draft().value()).unwrap().owner, None);
    }
}
