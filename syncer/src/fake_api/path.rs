//! Paths of the Kubernetes API.

use crate::resource::Synced;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// Group, version and plural, as they stand in the path.
    pub(super) collection: String,
    pub(super) namespace: Option<String>,
    /// Empty for the collection.
    pub(super) name: String,
    pub(super) subresource: Option<String>,
}

impl Path {
    pub(super) fn of<K: Synced>(namespace: Option<&str>, name: &str) -> Self {
        let path = format!("{}/{name}", K::url_path(&(), namespace));
        let mut path = Self::parse(&path).unwrap();
        path.name = name.to_owned();
        path
    }

    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        let group = match parts.next()? {
            "api" => format!("api/{}", parts.next()?),
            "apis" => format!("apis/{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut rest: Vec<_> = parts.collect();
        // "namespaces/x" alone is a namespace, with something behind it a scope.
        let namespace = match rest.as_slice() {
            ["namespaces", namespace, _, ..] => Some((*namespace).to_owned()),
            _ => None,
        };
        if namespace.is_some() {
            rest.drain(..2);
        }
        let mut rest = rest.into_iter();
        Some(Self {
            collection: format!("{group}/{}", rest.next()?),
            namespace,
            name: rest.next().unwrap_or_default().to_owned(),
            subresource: rest.next().map(str::to_owned),
        })
    }

    /// Is this about the tenant's objects, not about what was said of them or who is to write?
    pub(super) fn is_synced(&self) -> bool {
        !self.collection.ends_with("/events") && !self.collection.ends_with("/leases")
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Namespace, Pod};

    use super::*;

    #[test]
    fn paths_come_apart() {
        let path = Path::parse("/api/v1/namespaces/default/pods/web/status").unwrap();
        assert_eq!(path.collection, "api/v1/pods");
        assert_eq!(path.subresource.as_deref(), Some("status"));
        assert_eq!(
            Path::of::<Pod>(Some("default"), "web").namespace.as_deref(),
            Some("default")
        );
        let namespace = Path::of::<Namespace>(None, "default");
        assert_eq!(
            (namespace.namespace, namespace.name.as_str()),
            (None, "default")
        );
    }
}
