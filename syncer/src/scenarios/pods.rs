//! Pods: birth, binding, status, and death in both directions.

use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::ResourceExt;
use serde_json::json;

use super::world::{HOST, TEAM, World, host_name, pod, running};
use crate::{fake_api::FakeApi, labels};

/// Waits until the virtual pod is gone.
async fn gone(world: &World, name: &str) {
    let is_gone = |cluster: &FakeApi| match cluster.get::<Pod>(TEAM, name) {
        None => Ok(()),
        Some(pod) => Err(format!(
            "uid {:?}, deletion {:?}, grace {:?}",
            pod.uid(),
            pod.metadata.deletion_timestamp.is_some(),
            pod.metadata.deletion_grace_period_seconds
        )),
    };
    world
        .on_virtual
        .wait_for("the virtual pod to go", is_gone)
        .await;
}

#[tokio::test]
async fn a_pod_is_born_bound_and_shown() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    let shown = world.run_pod("web").await;
    assert_eq!(shown.spec.unwrap().node_name.as_deref(), Some("worker"));
    assert_eq!(shown.status.unwrap().pod_ip.as_deref(), Some("10.244.0.7"));
    let node = world.on_virtual.get::<Node>(None, "worker").unwrap();
    assert!(node.labels().contains_key(labels::MIRRORED));
}

#[tokio::test]
async fn a_quiet_cluster_is_left_alone() {
    let mut world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    world.settle().await;
    let writes = world.writes();
    world.sleep().await;
    world.wake().await;
    world.settle().await;
    assert_eq!(world.writes(), writes, "a new syncer has nothing to do");
}

#[tokio::test]
async fn a_deletion_waits_for_the_hosts_kubelet() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    world.on_virtual.delete::<Pod>(TEAM, "web", 7);
    let host = host_name("web");
    world
        .on_host
        .wait_for("the host pod to be asked to go", |cluster| {
            let grace = cluster
                .get::<Pod>(HOST, &host)
                .and_then(|pod| pod.metadata.deletion_grace_period_seconds);
            (grace == Some(7))
                .then_some(())
                .ok_or_else(|| format!("{grace:?}"))
        })
        .await;
    world.settle().await;
    assert!(
        world.on_virtual.get::<Pod>(TEAM, "web").is_some(),
        "the kubelet is not done yet"
    );
    world.on_host.remove::<Pod>(HOST, &host);
    gone(&world, "web").await;
}

#[tokio::test]
async fn a_deletion_on_the_host_is_shown_and_finished() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    let host = host_name("web");
    world.on_host.delete::<Pod>(HOST, &host, 5);
    world
        .on_virtual
        .wait_for("the virtual pod to be asked to go", |cluster| {
            let grace = cluster
                .get::<Pod>(TEAM, "web")
                .and_then(|pod| pod.metadata.deletion_grace_period_seconds);
            (grace == Some(5))
                .then_some(())
                .ok_or_else(|| format!("{grace:?}"))
        })
        .await;
    world.on_host.remove::<Pod>(HOST, &host);
    gone(&world, "web").await;
}

#[tokio::test]
async fn a_started_pod_whose_twin_vanished_is_not_made_anew() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    world.settle().await;
    world.on_host.remove::<Pod>(HOST, &host_name("web"));
    gone(&world, "web").await;
    world.settle().await;
    assert!(world.on_host.get::<Pod>(HOST, &host_name("web")).is_none());
}

#[tokio::test]
async fn a_pod_that_never_started_gets_another_twin() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    let host = host_name("web");
    let uid = |world: &World| {
        world
            .on_host
            .get::<Pod>(HOST, &host)
            .and_then(|pod| pod.uid())
    };
    let first = world
        .on_host
        .wait_for("a twin", |_| uid(&world).ok_or_else(String::new))
        .await;
    world.on_host.remove::<Pod>(HOST, &host);
    let second = world
        .on_host
        .wait_for("another twin", |_| {
            uid(&world)
                .filter(|uid| *uid != first)
                .ok_or_else(String::new)
        })
        .await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_pod_of_the_same_name_is_another_pod() {
    let mut world = World::awake().await;
    world.on_virtual.put(&pod("db-0"));
    world.run_pod("db-0").await;
    world.settle().await;
    // A stateful set replaces it while nobody looks.
    world.sleep().await;
    world.on_virtual.remove::<Pod>(TEAM, "db-0");
    let second = world.on_virtual.put(&pod("db-0"));
    world.wake().await;
    let host = host_name("db-0");
    let twin = world
        .on_host
        .wait_for("the twin of the second pod", |cluster| {
            let twin = cluster.get::<Pod>(HOST, &host).ok_or("none")?;
            let uid = twin.annotations().get(labels::OBJECT_UID).cloned();
            if uid == second.uid() {
                Ok(twin)
            } else {
                Err(format!("{uid:?}"))
            }
        })
        .await;
    assert_eq!(twin.status, None, "it has not lived yet");
}

#[tokio::test]
async fn a_change_of_both_sides_reaches_both() {
    let world = World::awake().await;
    world.on_virtual.put(&pod("web"));
    world.run_pod("web").await;
    world.on_virtual.edit::<Pod>(TEAM, "web", |pod| {
        pod.labels_mut()
            .insert("tier".to_owned(), "front".to_owned());
        pod.spec.as_mut().unwrap().containers[0].image = Some("image:2".to_owned());
    });
    let host = host_name("web");
    world.on_host.edit::<Pod>(HOST, &host, |pod| {
        let mut status = running();
        status.message = Some("news".to_owned());
        pod.status = Some(status);
    });
    world
        .on_host
        .wait_for("the new image", |cluster| {
            let pod = cluster.get::<Pod>(HOST, &host).unwrap();
            let image = pod.spec.as_ref().unwrap().containers[0].image.clone();
            let is_done = image.as_deref() == Some("image:2") && pod.labels().contains_key("tier");
            is_done
                .then_some(())
                .ok_or_else(|| format!("{image:?} {:?}", pod.labels()))
        })
        .await;
    world
        .on_virtual
        .wait_for("the news", |cluster| {
            let status = cluster.get::<Pod>(TEAM, "web").unwrap().status.unwrap();
            (status.message.as_deref() == Some("news"))
                .then_some(())
                .ok_or_else(|| format!("{status:?}"))
        })
        .await;
}

#[tokio::test]
async fn tokens_live_as_long_as_their_pod() {
    let world = World::awake().await;
    let mut pod = pod("web");
    let volumes = json!([{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    let uid = world.on_virtual.put(&pod).uid().unwrap();
    let secret = world
        .on_host
        .wait_for("the tokens", |cluster| {
            let secrets = cluster.list::<Secret>();
            secrets
                .into_iter()
                .next()
                .ok_or_else(|| "no secret".to_owned())
        })
        .await;
    let data = secret.data.unwrap();
    assert_eq!(data["token-0"].0, format!("token-of-{uid}").into_bytes());
    let host = world
        .on_host
        .wait_for("the pod", |cluster| {
            cluster
                .get::<Pod>(HOST, &host_name("web"))
                .ok_or_else(String::new)
        })
        .await;
    let volume = host.spec.unwrap().volumes.unwrap().remove(0);
    let source = volume
        .projected
        .unwrap()
        .sources
        .unwrap()
        .remove(0)
        .secret
        .unwrap();
    assert_eq!(Some(source.name), secret.metadata.name);

    world.on_virtual.remove::<Pod>(TEAM, "web");
    world
        .on_host
        .wait_for("the tokens to go", |cluster| {
            let left = cluster.list::<Secret>().len();
            (left == 0).then_some(()).ok_or_else(|| left.to_string())
        })
        .await;
}
