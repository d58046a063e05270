//! Objects of many kinds, made, changed and deleted by chance. A seed gives the same mess again.

use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    discovery::{ApiCapabilities, ApiResource, Discovery, Scope},
};
use serde_json::{Value, json};

use super::make;

/// Kinds of which there are some in every cluster, and that anybody with the rights may delete.
const PREY: &[&str] = &[
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Deployment",
    "EndpointSlice",
    "Endpoints",
    "FlowSchema",
    "Pod",
    "ReplicaSet",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// Numbers by chance, the same ones for the same seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Marsaglia's xorshift.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides.max(1)
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.roll(from.len());
        from.get(index)
    }
}

/// Does so many things, and says how many the API server has allowed.
pub(super) async fn make_a_mess(
    client: &Client,
    image: &str,
    dice: &mut Dice,
    things: usize,
) -> anyhow::Result<usize> {
    let discovered = Discovery::new(client.clone()).run().await?;
    let prey: Vec<_> = discovered
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
        .filter(|(resource, _)| PREY.contains(&resource.kind.as_str()))
        .collect();
    let mut allowed = 0;
    for number in 0..things {
        let done = if dice.roll(3) > 0 {
            make(client, any_object(number, image, dice)).await.is_ok()
        } else if let Some(kind) = dice.choose(&prey) {
            disturb(client, kind, dice).await?
        } else {
            false
        };
        allowed += usize::from(done);
    }
    Ok(allowed)
}

/// Deletes an object of the kind, or gives it a label and a finalizer.
async fn disturb(
    client: &Client,
    (resource, capabilities): &(ApiResource, ApiCapabilities),
    dice: &mut Dice,
) -> anyhow::Result<bool> {
    let all: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let list = all.list(&ListParams::default()).await?;
    let Some(object) = dice.choose(&list.items) else {
        return Ok(false);
    };
    let api = match capabilities.scope {
        Scope::Cluster => all,
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_default();
            Api::namespaced_with(client.clone(), &namespace, resource)
        }
    };
    let name = object.name_any();
    let mark = json!({"metadata": {
        "labels": {"mess": "true"},
        "finalizers": ["example.org/never"],
    }});
    let is_changed = dice.roll(2) > 0
        && api
            .patch(&name, &PatchParams::default(), &Patch::Merge(&mark))
            .await
            .is_ok();
    let is_deleted = dice.roll(2) > 0 && api.delete(&name, &DeleteParams::default()).await.is_ok();
    Ok(is_changed || is_deleted)
}

fn any_object(number: usize, image: &str, dice: &mut Dice) -> Value {
    let name = format!("mess-{}", number % 40);
    let mut metadata = metadata(&name, dice);
    let group = format!("{name}.example.org");
    let selector = json!({"matchLabels": {"app": name}});
    let pod = json!({
        "restartPolicy": "Always",
        "containers": [{"name": "main", "image": image, "command": ["sleep", "1000000"]}],
    });
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": pod});
    let rights = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let (version, kind, rest) = match dice.roll(22) {
        0 | 1 => ("v1", "ConfigMap", json!({"data": {"a": name}})),
        2 => ("v1", "Secret", json!({"stringData": {"a": name}})),
        3 => ("v1", "ServiceAccount", json!({})),
        4 => (
            "v1",
            "Service",
            json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
        ),
        5 => ("v1", "Pod", json!({"spec": pod})),
        6 => ("v1", "LimitRange", json!({"spec": {"limits": []}})),
        7 => (
            "v1",
            "ResourceQuota",
            json!({"spec": {"hard": {"secrets": "100"}}}),
        ),
        8 => (
            "v1",
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.1.2.3"}]}]}),
        ),
        9 => (
            "rbac.authorization.k8s.io/v1",
            "Role",
            json!({"rules": rights}),
        ),
        10 => (
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            json!({"rules": rights}),
        ),
        11 => (
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            all_rights(),
        ),
        12 | 13 => (
            "apps/v1",
            "Deployment",
            json!({"spec": {"replicas": 1, "selector": selector, "template": template}}),
        ),
        14 => (
            "apps/v1",
            "DaemonSet",
            json!({"spec": {"selector": selector, "template": template}}),
        ),
        15 => (
            "apps/v1",
            "StatefulSet",
            json!({"spec": {"serviceName": name, "selector": selector, "template": template}}),
        ),
        16 => (
            "coordination.k8s.io/v1",
            "Lease",
            json!({"spec": {"holderIdentity": name}}),
        ),
        17 => ("scheduling.k8s.io/v1", "PriorityClass", json!({"value": 5})),
        18 => (
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {"selector": selector}}),
        ),
        19 => (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"podSelector": selector}}),
        ),
        20 => {
            metadata["name"] = json!(format!("things.{group}"));
            (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                definition(&group),
            )
        }
        _ => {
            metadata["name"] = json!(format!("mess-{}", dice.roll(2)));
            ("v1", "Namespace", json!({}))
        }
    };
    let mut object = rest;
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    object["metadata"] = metadata;
    object
}

/// The rest of a definition of things in a group of their own.
fn definition(group: &str) -> Value {
    json!({"spec": {
        "group": group, "scope": "Cluster",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [{
            "name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}},
        }],
    }})
}

/// The rest of a binding that gives an account everything.
fn all_rights() -> Value {
    json!({
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    })
}

fn metadata(name: &str, dice: &mut Dice) -> Value {
    let namespaces = ["default", "kube-system", "kube-public", "mess-0", "mess-1"];
    let mut metadata = json!({
        "name": name,
        "namespace": dice.choose(&namespaces),
        "labels": {"app": name},
    });
    if dice.roll(4) == 0 {
        metadata["finalizers"] = json!(["example.org/never"]);
    }
    metadata
}
