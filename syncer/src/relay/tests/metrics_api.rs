//! The API group `metrics.k8s.io`.

use serde_json::{Value, json};

use super::{NODE, fake_host::full, pki::Authority, pod, rig::Rig};

/// A host of two tenants' pods, and a virtual cluster with one of them.
async fn rig() -> Rig {
    let usage = |memory: u32| {
        json!([{
            "name": "main",
            "cpu": {"time": "2026-01-01T00:00:00Z", "usageNanoCores": 5},
            "memory": {"workingSetBytes": memory},
        }])
    };
    let summary = json!({
        "node": {},
        "pods": [
            {"podRef": {"name": "web-x-default-x-test", "namespace": "vc-test"}, "containers": usage(1024)},
            {"podRef": {"name": "web-x-default-x-other", "namespace": "vc-other"}, "containers": usage(4096)},
        ],
    });
    let pods = json!({
        "kind": "PodList", "apiVersion": "v1", "metadata": {},
        "items": [{
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"nodeName": NODE, "containers": []},
        }],
    });
    let rig = Rig::start(move |request| {
        match request.uri().path() {
        path if path.ends_with("/stats/summary") => full(200, summary.to_string()),
        "/api/v1/pods" => full(200, pods.to_string()),
        path => full(404, json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": path}).to_string()),
    }
    });
    let rig = rig.await;
    rig.directory
        .update(|directory| directory.put_pod(&pod("web", "10.244.0.5")));
    rig
}

#[tokio::test]
async fn pods_are_the_tenants_in_its_own_words() {
    let rig = rig().await;
    let answer = rig.get_metrics(&rig.front_proxy, "/pods?labelSelector=app%3Dweb");
    let (status, body) = answer.await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["items"].as_array().unwrap().len(), 1, "{body}");
    let item = &body["items"][0];
    assert_eq!(item["metadata"]["name"], "web");
    assert_eq!(
        item["containers"],
        json!([{"name": "main", "usage": {"cpu": "5n", "memory": "1Ki"}}])
    );
    let asked = rig.host.seen().into_iter().map(|seen| seen.target);
    let asked: Vec<_> = asked.collect();
    assert!(asked[0].contains("labelSelector=app%3Dweb"), "{asked:?}");
    rig.stop().await;
}

#[tokio::test]
async fn kubectl_gets_a_table_and_no_watch() {
    let rig = rig().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let front = &rig.front_proxy;
    let answer = rig.get_metrics_as(front, "/pods?labelSelector=app%3Dweb", table);
    let (status, body) = answer.await.unwrap();
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["kind"], "Table");
    assert_eq!(body["rows"][0]["cells"], json!(["web", "5n", "1Ki", "10s"]));
    let (status, body) = rig.get_metrics_as(front, "", table).await.unwrap();
    assert!(status == 200 && body.contains("APIResourceList"), "{body}");
    let (status, body) = rig.get_metrics(front, "/pods?watch=true").await.unwrap();
    assert_eq!(status, 405, "{body}");
    assert!(body.contains("\"reason\":\"MethodNotAllowed\""), "{body}");
    rig.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let rig = rig().await;
    for path in ["/namespaces/default/pods/db", "/nodes/other", "/secrets"] {
        let (status, body) = rig.get_metrics(&rig.front_proxy, path).await.unwrap();
        assert_eq!(status, 404, "{path}: {body}");
        assert!(body.contains("\"kind\":\"Status\""), "{body}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn only_the_api_server_is_answered() {
    let rig = rig().await;
    // As a client of kubelets, it speaks for nobody.
    for stranger in [&Authority::new(), &rig.authority] {
        let answer = rig.get_metrics(stranger, "/pods").await;
        assert_eq!(answer, None);
    }
    assert!(rig.host.seen().is_empty());
    rig.stop().await;
}
