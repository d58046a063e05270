//! What may change during a pod's life: labels, annotations, images, and the few fields that
//! Kubernetes lets change. A strategic merge patch touches those and nothing the host added.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::{ephemeral, resize, status, translate};
use crate::{
    labels,
    plan::Step,
    resource::{TranslateError, Translation},
};

/// The patches that bring the host pod up to date.
pub(super) fn steps(
    object: &Pod,
    host: &Pod,
    cx: &Translation,
) -> Result<Vec<Step<Pod>>, TranslateError> {
    let mut patch = Map::new();
    let mut wanted = translate::metadata_to_host(object, cx)?;
    // Last, since a host may refuse to resize: all else must not wait for that.
    let resize = resize::steps(object, host);
    if let Some(known) = host.annotations().get(labels::RESOURCES)
        && let Some(annotations) = &mut wanted.annotations
    {
        annotations.insert(labels::RESOURCES.to_owned(), known.clone());
    }
    if let Some(metadata) = metadata_patch(&wanted, host) {
        patch.insert("metadata".to_owned(), metadata);
    }
    if let Some(spec) = spec_patch(object, host) {
        patch.insert("spec".to_owned(), spec);
    }
    let guarded = |mut patch: Value| {
        patch["metadata"]["uid"] = json!(host.metadata.uid);
        patch
    };
    let main = (!patch.is_empty()).then(|| Step::PatchHost {
        patch: guarded(Value::Object(patch)),
        subresource: None,
    });
    let gates = gates(object, host);
    let gates = (!gates.is_empty()).then(|| Step::PatchHost {
        patch: guarded(json!({"status": {"conditions": gates}})),
        subresource: Some("status"),
    });
    let ephemeral = ephemeral::step(object, host, cx);
    Ok([main, gates, ephemeral]
        .into_iter()
        .flatten()
        .chain(resize)
        .collect())
}

/// Writes down which keys come from the virtual pod, so that one that goes there goes on the host.
pub(super) fn note_managed_keys(meta: &mut ObjectMeta) {
    let lines = |map: &Option<BTreeMap<String, String>>| {
        map.iter()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (of_labels, of_annotations) = (lines(&meta.labels), lines(&meta.annotations));
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(labels::MANAGED_LABELS.to_owned(), of_labels);
    annotations.insert(labels::MANAGED_ANNOTATIONS.to_owned(), of_annotations);
}

fn metadata_patch(wanted: &ObjectMeta, host: &Pod) -> Option<Value> {
    let empty = BTreeMap::new();
    let mut patch = Map::new();
    for (field, wanted, actual, managed) in [
        (
            "labels",
            &wanted.labels,
            host.labels(),
            labels::MANAGED_LABELS,
        ),
        (
            "annotations",
            &wanted.annotations,
            host.annotations(),
            labels::MANAGED_ANNOTATIONS,
        ),
    ] {
        let managed = host.annotations().get(managed).map_or("", String::as_str);
        let changes = map_patch(wanted.as_ref().unwrap_or(&empty), actual, managed);
        if !changes.is_empty() {
            patch.insert(field.to_owned(), Value::Object(changes));
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn map_patch(
    wanted: &BTreeMap<String, String>,
    actual: &BTreeMap<String, String>,
    managed: &str,
) -> Map<String, Value> {
    let set = wanted
        .iter()
        .filter(|(key, value)| actual.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), json!(value)));
    let dropped = managed
        .lines()
        .filter(|key| !wanted.contains_key(*key) && actual.contains_key(*key))
        .map(|key| (key.to_owned(), Value::Null));
    set.chain(dropped).collect()
}

fn spec_patch(object: &Pod, host: &Pod) -> Option<Value> {
    let (spec, host) = (object.spec.as_ref()?, host.spec.as_ref()?);
    let mut patch = Map::new();
    let images = |wanted: &[Container], actual: &[Container]| -> Vec<Value> {
        wanted
            .iter()
            .filter(|wanted| {
                let same_name = actual.iter().find(|actual| actual.name == wanted.name);
                same_name.is_some_and(|actual| actual.image != wanted.image)
            })
            .map(|wanted| json!({"name": wanted.name, "image": wanted.image}))
            .collect()
    };
    let init = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        spec.init_containers.clone().unwrap_or_default()
    };
    for (field, changes) in [
        ("containers", images(&spec.containers, &host.containers)),
        ("initContainers", images(&init(spec), &init(host))),
    ] {
        if !changes.is_empty() {
            patch.insert(field.to_owned(), json!(changes));
        }
    }
    if spec.active_deadline_seconds.is_some()
        && spec.active_deadline_seconds != host.active_deadline_seconds
    {
        patch.insert(
            "activeDeadlineSeconds".to_owned(),
            json!(spec.active_deadline_seconds),
        );
    }
    // Tolerations can only be added.
    let mut tolerations = host.tolerations.clone().unwrap_or_default();
    let known = tolerations.len();
    for toleration in spec.tolerations.iter().flatten() {
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    if tolerations.len() > known {
        patch.insert("tolerations".to_owned(), json!(tolerations));
    }
    // Gates can only be taken away.
    let gates: Vec<_> = spec
        .scheduling_gates
        .iter()
        .flatten()
        .map(|gate| &gate.name)
        .collect();
    let lifted: Vec<_> = host
        .scheduling_gates
        .iter()
        .flatten()
        .filter(|gate| !gates.contains(&&gate.name))
        .map(|gate| json!({"name": gate.name, "$patch": "delete"}))
        .collect();
    if !lifted.is_empty() {
        patch.insert("schedulingGates".to_owned(), json!(lifted));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The tenant's readiness gates that the host does not show yet.
fn gates<'a>(object: &'a Pod, host: &Pod) -> Vec<&'a PodCondition> {
    let conditions = |pod: &'a Pod| {
        pod.status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
    };
    let of_host: Vec<_> = host
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .collect();
    conditions(object)
        .filter(|condition| status::is_gate(object, &condition.type_))
        .filter(|condition| {
            let shown = of_host.iter().find(|other| other.type_ == condition.type_);
            shown.is_none_or(|shown| {
                shown.status != condition.status || shown.reason != condition.reason
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodStatus, Toleration};

    use super::*;
    use crate::{
        resource::tests::translation,
        resources::pod::{translate, translate::tests::pod},
        trim,
    };

    /// The twin as the host's cache has it.
    fn twin(object: &Pod) -> Pod {
        let mut host = translate::to_host(object, &translation()).unwrap();
        host.metadata.uid = Some("uid-on-host".to_owned());
        trim::host_pod(&mut host);
        host
    }

    fn patch(object: &Pod, host: &Pod) -> Value {
        match steps(object, host, &translation()).unwrap().as_slice() {
            [] => Value::Null,
            [Step::PatchHost { patch, .. }] => {
                assert_eq!(patch["metadata"]["uid"], "uid-on-host");
                patch.clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fresh_twin_needs_nothing() {
        assert_eq!(patch(&pod("web"), &twin(&pod("web"))), Value::Null);
    }

    #[test]
    fn labels_come_and_go() {
        let mut object = pod("web");
        object.labels_mut().insert("old".to_owned(), "1".to_owned());
        let mut host = twin(&object);
        host.labels_mut()
            .insert("hosts-own".to_owned(), "1".to_owned());
        object.metadata.labels = Some([("new".to_owned(), "2".to_owned())].into());
        let patch = patch(&object, &host);
        assert_eq!(
            patch["metadata"]["labels"],
            json!({"new": "2", "old": null})
        );
        assert_eq!(
            patch["metadata"]["annotations"][labels::POD_LABELS],
            "new=\"2\""
        );
    }

    #[test]
    fn images_change_by_name_and_other_containers_are_left_alone() {
        let mut object = pod("web");
        let mut host = twin(&object);
        let mesh = Container {
            name: "mesh".to_owned(),
            ..Container::default()
        };
        host.spec.as_mut().unwrap().containers.insert(0, mesh);
        assert_eq!(patch(&object, &host), Value::Null);
        object.spec.as_mut().unwrap().containers[0].image = Some("image:2".to_owned());
        let expected = json!([{"name": "main", "image": "image:2"}]);
        assert_eq!(
            patch(&object, &host)["spec"],
            json!({ "containers": expected })
        );
    }

    #[test]
    fn tolerations_are_added_to_the_hosts() {
        let toleration = |key: &str| Toleration {
            key: Some(key.to_owned()),
            ..Toleration::default()
        };
        let mut object = pod("web");
        let mut host = twin(&object);
        host.spec.as_mut().unwrap().tolerations = Some(vec![toleration("hosts")]);
        object.spec.as_mut().unwrap().tolerations = Some(vec![toleration("mine")]);
        let keys = json!([{"key": "hosts"}, {"key": "mine"}]);
        assert_eq!(patch(&object, &host)["spec"]["tolerations"], keys);
    }

    #[test]
    fn gates_are_lifted() {
        let mut object = pod("web");
        let gates = json!([{"name": "a"}, {"name": "b"}]);
        object.spec.as_mut().unwrap().scheduling_gates = serde_json::from_value(gates).unwrap();
        let host = twin(&object);
        object.spec.as_mut().unwrap().scheduling_gates =
            serde_json::from_value(json!([{"name": "b"}])).unwrap();
        let lifted = json!([{"name": "a", "$patch": "delete"}]);
        assert_eq!(patch(&object, &host)["spec"]["schedulingGates"], lifted);
    }

    #[test]
    fn readiness_gates_go_to_the_host() {
        let mut object = pod("web");
        let gates = json!([{"conditionType": "gate"}]);
        object.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(gates).unwrap();
        let conditions =
            json!([{"type": "gate", "status": "True"}, {"type": "other", "status": "True"}]);
        let host = twin(&object);
        object.status = Some(PodStatus {
            conditions: serde_json::from_value(conditions).unwrap(),
            ..PodStatus::default()
        });
        let steps = steps(&object, &host, &translation()).unwrap();
        let [
            Step::PatchHost {
                patch,
                subresource: Some("status"),
            },
        ] = steps.as_slice()
        else {
            panic!("{steps:?}")
        };
        assert_eq!(
            patch["status"]["conditions"],
            json!([{"type": "gate", "status": "True"}])
        );
    }
}
