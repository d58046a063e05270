//! What a node tells about itself and its pods.

use super::{
    NODE,
    fake_host::{full, of_chunks},
    pod,
    rig::Rig,
};

const METRICS: &str = "\
# TYPE x counter
x{namespace=\"vc-test\",pod=\"web-x-default-x-test\"} 1
x{namespace=\"vc-test\",pod=\"web-0\"} 2
x{namespace=\"kube-system\",pod=\"etcd\"} 3
up 1";

#[tokio::test]
async fn a_node_is_well() {
    let rig = Rig::with_pod(|_| full(500, "")).await;
    assert_eq!(rig.get("/healthz").await, (200, "ok".to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn pods_are_told_by_the_virtual_api_server() {
    let rig = Rig::with_pod(|_| full(200, "a list")).await;
    assert_eq!(rig.get("/pods").await, (200, "a list".to_owned()));
    rig.get("/runningpods/").await;
    let asked: Vec<String> = rig
        .host
        .seen()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    let selector = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}");
    assert_eq!(
        asked,
        [
            selector.clone(),
            format!("{selector}%2Cstatus.phase%3DRunning")
        ]
    );
    rig.stop().await;
}

#[tokio::test]
async fn metrics_are_the_tenants_however_they_are_cut() {
    for size in [1, 7, 1000] {
        let rig = Rig::with_pod(move |_| of_chunks(METRICS, size)).await;
        let expected = "# TYPE x counter\nx{namespace=\"default\",pod=\"web\"} 1\nup 1\n";
        let answer = rig.get("/metrics/cadvisor").await;
        assert_eq!(answer, (200, expected.to_owned()), "in chunks of {size}");
        let asked = &rig.host.seen()[0].target;
        let proxied = format!("/api/v1/nodes/{NODE}/proxy/metrics/cadvisor");
        assert_eq!(asked, &proxied);
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_summary_is_the_tenants() {
    let summary = r#"{"pods":[{"podRef":{"name":"etcd","namespace":"kube-system"}}]}"#;
    let rig = Rig::with_pod(move |_| full(200, summary)).await;
    let answer = rig.get("/stats/summary").await;
    assert_eq!(answer, (200, r#"{"pods":[]}"#.to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn metrics_that_are_not_asked_for_are_refused_by_name() {
    let rig = Rig::start_with(|_| full(200, "x 1"), |options| options.metrics = false).await;
    rig.directory
        .update(|directory| directory.put_pod(&pod("web", "10.244.0.5")));
    for path in ["/metrics", "/metrics/cadvisor", "/stats/summary"] {
        let (status, words) = rig.get(path).await;
        assert_eq!(status, 403);
        assert!(words.contains("fromHost.nodes.metrics"), "{words}");
    }
    assert!(rig.host.seen().is_empty(), "{:?}", rig.host.seen());
    rig.stop().await;
}

#[tokio::test]
async fn a_host_that_gives_no_metrics_gives_no_reason_either() {
    let rig = Rig::with_pod(|_| full(403, "syncer of vc-test has no nodes/proxy")).await;
    for path in ["/metrics", "/stats/summary"] {
        let (status, words) = rig.get(path).await;
        assert_eq!(status, 502);
        assert!(!words.contains("vc-test"), "{words}");
    }
    rig.stop().await;
}
