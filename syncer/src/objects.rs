//! How a cache keeps its objects: as they are, or packed, of kinds of which there are thousands. A pod is
//! two kilobytes of JSON, and more than ten as a value, most of them for fields that it does not have.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{object_key::ObjectKey, resource::Synced};

/// How many objects stay unpacked. Who looks at an object mostly looks at it again at once, and at one
/// that has just come.
const AT_HAND: usize = 16;

/// How objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are: for what is looked through often.
    Whole,
    /// As JSON: for what is looked up by its key, and of which there may be much.
    Packed,
}

/// Objects of one kind, by their keys.
pub(crate) struct Objects<K> {
    form: Form,
    kept: HashMap<ObjectKey, Kept<K>>,
    at_hand: Mutex<VecDeque<(ObjectKey, Arc<K>)>>,
}

enum Kept<K> {
    Whole(Arc<K>),
    Packed(Box<[u8]>),
}

impl<K> Objects<K> {
    /// None yet.
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            kept: HashMap::new(),
            at_hand: Mutex::default(),
        }
    }

    /// How they are kept.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn contains(&self, key: &ObjectKey) -> bool {
        self.kept.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.kept.keys()
    }

    fn at_hand(&self) -> MutexGuard<'_, VecDeque<(ObjectKey, Arc<K>)>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Synced> Objects<K> {
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let packed = match self.kept.get(key)? {
            Kept::Whole(object) => return Some(Arc::clone(object)),
            Kept::Packed(packed) => packed,
        };
        let mut at_hand = self.at_hand();
        if let Some((_, object)) = at_hand.iter().find(|(other, _)| other == key) {
            return Some(Arc::clone(object));
        }
        let object = Arc::new(unpack(packed));
        put(&mut at_hand, key, &object);
        Some(object)
    }

    /// Puts an object in, and gives the one that was there.
    pub(crate) fn insert(&mut self, key: ObjectKey, object: &Arc<K>) -> Option<Arc<K>> {
        let kept = match self.form {
            Form::Whole => Kept::Whole(Arc::clone(object)),
            Form::Packed => pack(object),
        };
        let before = self.take_from_hand(&key);
        if matches!(kept, Kept::Packed(_)) {
            put(&mut self.at_hand(), &key, object);
        }
        let replaced = self.kept.insert(key, kept);
        replaced.map(|replaced| before.unwrap_or_else(|| whole(replaced)))
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<K>> {
        let before = self.take_from_hand(key);
        let removed = self.kept.remove(key);
        removed.map(|removed| before.unwrap_or_else(|| whole(removed)))
    }

    /// All of them, one after the other.
    pub(crate) fn values(&self) -> impl Iterator<Item = Arc<K>> {
        self.kept.values().map(|kept| match kept {
            Kept::Whole(object) => Arc::clone(object),
            Kept::Packed(packed) => Arc::new(unpack(packed)),
        })
    }

    fn take_from_hand(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let mut at_hand = self.at_hand();
        let at = at_hand.iter().position(|(other, _)| other == key)?;
        at_hand.remove(at).map(|(_, object)| object)
    }
}

fn put<K>(at_hand: &mut VecDeque<(ObjectKey, Arc<K>)>, key: &ObjectKey, object: &Arc<K>) {
    if at_hand.len() == AT_HAND {
        at_hand.pop_front();
    }
    at_hand.push_back((key.clone(), Arc::clone(object)));
}

/// What does not read back as it was is kept whole: a tenant may write a time before the first year, which
/// has no form that is read again.
fn pack<K: Synced>(object: &Arc<K>) -> Kept<K> {
    let reads_back = |json: &Vec<u8>| {
        serde_json::from_slice::<K>(json).is_ok_and(|back| back == *object.as_ref())
    };
    match serde_json::to_vec(object.as_ref()) {
        // A copy, since the vector has room for more.
        Ok(json) if reads_back(&json) => Kept::Packed(Box::from(json.as_slice())),
        _ => Kept::Whole(Arc::clone(object)),
    }
}

fn unpack<K: Synced>(packed: &[u8]) -> K {
    serde_json::from_slice(packed).expect("what is packed was read back before")
}

fn whole<K: Synced>(kept: Kept<K>) -> Arc<K> {
    match kept {
        Kept::Whole(object) => object,
        Kept::Packed(packed) => Arc::new(unpack(&packed)),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::namespaced("default", name)
    }

    fn pod(name: &str, version: &str) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"name": name, "namespace": "default", "resourceVersion": version},
            "spec": {
                "containers": [{"name": "main", "image": "image", "resources": {"limits": {"cpu": "1000m"}}}],
                "volumes": [{"name": "token", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token"}}]}}],
                "tolerations": [],
            },
            "status": {"startTime": "2026-11-21T21:19:28Z", "phase": "Running"},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    /// More of them than stay at hand.
    fn many(form: Form) -> Objects<Pod> {
        let mut objects = Objects::new(form);
        for number in 0..2 * AT_HAND {
            let name = format!("pod-{number}");
            assert_eq!(objects.insert(key(&name), &pod(&name, "1")), None);
        }
        objects
    }

    #[rstest]
    #[case::whole(Form::Whole)]
    #[case::packed(Form::Packed)]
    fn what_is_put_in_is_there(#[case] form: Form) {
        let mut objects = many(form);
        assert_eq!(objects.len(), 2 * AT_HAND);
        for name in ["pod-0", "pod-0", "pod-31"] {
            assert_eq!(objects.get(&key(name)), Some(pod(name, "1")));
        }
        assert_eq!(objects.get(&key("other")), None);
        for name in ["pod-0", "pod-1"] {
            let before = objects.insert(key(name), &pod(name, "2"));
            assert_eq!(before, Some(pod(name, "1")));
            assert_eq!(objects.get(&key(name)), Some(pod(name, "2")));
        }
        for name in ["pod-0", "pod-2"] {
            let version = if name == "pod-0" { "2" } else { "1" };
            assert_eq!(objects.remove(&key(name)), Some(pod(name, version)));
            assert_eq!(objects.get(&key(name)), None);
            assert!(!objects.contains(&key(name)));
        }
        assert_eq!(objects.values().count(), 2 * AT_HAND - 2);
    }

    #[test]
    fn what_does_not_read_back_is_kept_whole() {
        // The first moment of the first year, in a place where it came earlier.
        let odd = json!({"status": {"startTime": "0000-01-01T00:00:00+10:00"}});
        let odd: Arc<Pod> = Arc::new(serde_json::from_value(odd).unwrap());
        let mut objects = Objects::new(Form::Packed);
        objects.insert(key("odd"), &odd);
        for number in 0..AT_HAND {
            let name = format!("pod-{number}");
            objects.insert(key(&name), &pod(&name, "1"));
        }
        assert_eq!(objects.get(&key("odd")), Some(Arc::clone(&odd)));
        assert_eq!(objects.remove(&key("odd")), Some(odd));
    }

    #[test]
    fn a_packed_pod_is_its_json_and_few_are_unpacked() {
        let mut objects = many(Form::Packed);
        objects.get(&key("pod-3"));
        assert_eq!(objects.at_hand().len(), AT_HAND);
        objects.remove(&key("pod-3"));
        assert_eq!(objects.at_hand().len(), AT_HAND - 1);
        let json = serde_json::to_vec(pod("pod-1", "1").as_ref()).unwrap();
        match &objects.kept[&key("pod-1")] {
            Kept::Packed(packed) => assert_eq!(packed.len(), json.len()),
            Kept::Whole(_) => panic!("the pod is kept whole"),
        }
        assert!(
            json.len() < size_of::<Pod>(),
            "less than the empty value is worth it"
        );
    }
}
