//! Collecting from a host that only pretends, and a virtual cluster that never answers.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use http::{Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::{Artifacts, Failure, Subject, collect};
use crate::{owner::key, settings::Settings};

const HUSH: &str = "correct-horse-battery";

fn host() -> Client {
    let service = tower::service_fn(async |request: Request<Body>| {
        Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer(request.uri().path()))))
    });
    Client::new(service, "default")
}

fn never_answers() -> Client {
    let service = tower::service_fn(async |_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, std::convert::Infallible>>().await
    });
    Client::new(service, "default")
}

fn answer(path: &str) -> Vec<u8> {
    let resource = |plural: &str, kind: &str| {
        json!({"resource": plural, "responseKind": {"group": "", "version": "v1", "kind": kind},
            "scope": "Namespaced", "singularResource": "", "verbs": ["list"]})
    };
    let list = |kind: &str, items: Value| json!({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items});
    let value = match path {
        "/api" => list(
            "APIGroupDiscoveryList",
            json!([{"metadata": {"name": ""}, "versions": [{"version": "v1", "freshness": "Current",
                "resources": [resource("pods", "Pod"), resource("secrets", "Secret"), resource("events", "Event")]}]}]),
        ),
        "/apis" => list("APIGroupDiscoveryList", json!([])),
        "/version" => {
            json!({"major": "1", "minor": "34", "gitVersion": "v1.34.2", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})
        }
        "/api/v1/namespaces/vc-1/pods" => list("PodList", json!([control_plane()])),
        "/api/v1/namespaces/vc-1/secrets" => list(
            "SecretList",
            json!([{"metadata": {"name": "vc-1-pki"}, "stringData": {"ca.key": HUSH}}]),
        ),
        "/api/v1/namespaces/vc-1/events" => list(
            "EventList",
            json!([{"metadata": {"name": "e"}, "type": "Warning", "reason": "BackOff", "message": "back-off",
                "lastTimestamp": "2026-01-02T03:04:05Z", "involvedObject": {"kind": "Pod", "name": "vc-1-0"}}]),
        ),
        "/api/v1/namespaces/vc-1/pods/vc-1-0/log" => {
            return format!("starting\nfatal: token={HUSH} no space left on device\n").into();
        }
        _ => {
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "status": "Failure", "message": path})
        }
    };
    value.to_string().into()
}

fn control_plane() -> Value {
    json!({
        "metadata": {"name": "vc-1-0", "labels": {key::CONTROL_PLANE: "vc-1"}},
        "spec": {"containers": [{"name": "etcd", "image": "etcd:1"}]},
        "status": {"containerStatuses": [{"name": "etcd", "image": "etcd:1", "imageID": "", "ready": false,
            "containerID": "containerd://1", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]},
    })
}

fn artifacts(root: &Path) -> Artifacts {
    let root = root.to_str().unwrap();
    Artifacts::new(&Settings::from_environment(&[("VCLUSTER_TEST_ARTIFACTS", root)]).unwrap())
}

fn all_files(directory: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                files.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_bundle_is_made_in_time_although_one_side_never_answers() {
    let root = tempfile::tempdir().unwrap();
    let (host, virtual_cluster) = (host(), never_answers());
    let subject = Subject {
        name: "vc-1",
        namespace: "vc-1",
        host: &host,
        virtual_cluster: Some(&virtual_cluster),
        connect: None,
    };
    let failure = Failure {
        test: "web::answers".to_owned(),
        step: "control plane".to_owned(),
        error: "not ready".to_owned(),
        ..Failure::default()
    };
    let started = Instant::now();
    let bundle = collect(
        subject,
        failure,
        &artifacts(root.path()),
        Duration::from_secs(2),
    )
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );

    let report = bundle.report;
    assert_eq!(
        report.causes[0].line,
        "container etcd of the control plane ended with exit code 2"
    );
    assert!(report.causes[0].advice.as_ref().unwrap().contains("disk"));
    assert_eq!(
        report.missing,
        ["virtual cluster: its API: no answer in 1 s"]
    );
    assert_eq!(report.events.len(), 1);

    let files = all_files(&bundle.path.unwrap());
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "events-host.txt",
            "events-virtual.txt",
            "logs/vc-1-0/etcd.log",
            "logs/vc-1-0/etcd.previous.log",
            "objects/host/events.yaml",
            "objects/host/pods.yaml",
            "objects/host/secrets.yaml",
            "summary.txt",
            "versions.yaml",
        ]
    );
    for (name, content) in files {
        assert!(!content.contains(HUSH), "{name} holds a secret: {content}");
    }
}
