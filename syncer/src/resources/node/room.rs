//! How much of a node is left for the tenant's scheduler to give away: the host's other pods take some
//! of it, and the tenant does not see them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, NodeStatus, Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::quantity::{Amount, Notation};

/// Amounts by the name of the resource.
type Amounts = BTreeMap<String, Amount>;

/// What schedulers count, and how an API server writes it.
const COUNTED: &[(&str, Notation)] = &[
    ("cpu", Notation::Decimal),
    ("ephemeral-storage", Notation::Binary),
    ("memory", Notation::Binary),
    ("pods", Notation::Decimal),
];

/// Takes what `others` ask for from what the node offers.
pub(crate) fn take<'a>(status: &mut NodeStatus, others: impl IntoIterator<Item = &'a Pod>) {
    let mut taken = Amounts::new();
    let mut count = 0;
    for pod in others {
        count += 1;
        add(&mut taken, &requests(pod));
    }
    taken.insert("pods".to_owned(), Amount::whole(count));
    let Some(allocatable) = &mut status.allocatable else {
        return;
    };
    for (name, notation) in COUNTED {
        let taken = taken.get(*name).copied().unwrap_or_default();
        let Some(quantity) = allocatable.get_mut(*name) else {
            continue;
        };
        if let Some(offered) = Amount::parse(&quantity.0)
            && taken != Amount::default()
        {
            *quantity = Quantity(offered.less(taken).write(*notation));
        }
    }
}

/// What a pod asks for in all, as schedulers count: its containers with those that run beside them, or
/// one of those that run before, whichever is more; and what its runtime takes.
fn requests(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else {
        return Amounts::new();
    };
    let mut beside = Amounts::new();
    let mut most = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut beside, &of_container(container));
            raise(&mut most, &beside);
        } else {
            let mut now = beside.clone();
            add(&mut now, &of_container(container));
            raise(&mut most, &now);
        }
    }
    for container in &spec.containers {
        add(&mut beside, &of_container(container));
    }
    raise(&mut most, &beside);
    // What the pod says of itself as a whole counts instead.
    most.extend(amounts(spec.resources.as_ref()));
    let overhead = spec.overhead.iter().flatten();
    let overhead = overhead.filter_map(|(name, amount)| read(name, amount));
    add(&mut most, &overhead.collect());
    most
}

fn of_container(container: &Container) -> Amounts {
    amounts(container.resources.as_ref())
}

fn amounts(resources: Option<&ResourceRequirements>) -> Amounts {
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let requests = requests.into_iter().flatten();
    requests
        .filter_map(|(name, amount)| read(name, amount))
        .collect()
}

fn read(name: &str, quantity: &Quantity) -> Option<(String, Amount)> {
    Some((name.to_owned(), Amount::parse(&quantity.0)?))
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = sum.entry(name.clone()).or_default();
        *sum = sum.plus(*amount);
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let most = most.entry(name.clone()).or_default();
        *most = (*most).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}})
    }

    fn pod(spec: &Value) -> Pod {
        let mut whole = json!({"containers": []});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({ "spec": whole })).unwrap()
    }

    #[rstest]
    #[case::nothing(json!({}), None)]
    #[case::containers(json!({"containers": [container("100m"), container("2")]}), Some("2100m"))]
    #[case::a_large_one_before(
        json!({"initContainers": [container("3")], "containers": [container("1")]}),
        Some("3")
    )]
    #[case::one_beside(
        json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                container("2"),
            ],
            "containers": [container("500m")],
        }),
        Some("3")
    )]
    #[case::the_pod_as_a_whole(
        json!({"resources": {"requests": {"cpu": "4"}}, "containers": [container("1")]}),
        Some("4")
    )]
    #[case::a_runtime_of_its_own(
        json!({"overhead": {"cpu": "250m"}, "containers": [container("1")]}),
        Some("1250m")
    )]
    fn a_pod_takes_what_schedulers_count(#[case] spec: Value, #[case] expected: Option<&str>) {
        let taken = requests(&pod(&spec));
        let cpu = taken
            .get("cpu")
            .map(|amount| amount.write(Notation::Decimal));
        assert_eq!(cpu.as_deref(), expected);
    }

    #[test]
    fn what_others_take_is_not_offered() {
        let mut status: NodeStatus = serde_json::from_value(json!({
            "capacity": {"cpu": "2"},
            "allocatable": {"cpu": "2", "memory": "8136628Ki", "pods": "110", "example.com/gpu": "4"},
        }))
        .unwrap();
        let others = [
            pod(&json!({"containers": [container("500m")]})),
            pod(&json!({"containers": [container("700m")]})),
        ];
        take(&mut status, &others);
        let expected = json!({
            "capacity": {"cpu": "2"},
            "allocatable": {"cpu": "800m", "memory": "8134580Ki", "pods": "108", "example.com/gpu": "4"},
        });
        assert_eq!(serde_json::to_value(&status).unwrap(), expected);
        take(
            &mut status,
            &[pod(&json!({"containers": [container("9")]}))],
        );
        assert_eq!(status.allocatable.unwrap()["cpu"].0, "0");
    }
}
