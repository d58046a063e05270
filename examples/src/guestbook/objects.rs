//! What a guestbook asks for, as pure functions.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Service},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::Guestbook;

/// The port on which the pods serve.
const PORT: i32 = 8080;

/// Where a pod finds the page.
const DIRECTORY: &str = "/www";

/// The page itself.
pub fn config_map(guestbook: &Guestbook) -> ConfigMap {
    ConfigMap {
        metadata: metadata(guestbook),
        data: Some(
            [(
                "index.html".to_owned(),
                format!("{}\n", guestbook.spec.greeting),
            )]
            .into(),
        ),
        ..ConfigMap::default()
    }
}

/// The pods that serve the page.
///
/// # Panics
/// Never: the literal below is a deployment.
pub fn deployment(guestbook: &Guestbook) -> Deployment {
    let labels = json!({"app": guestbook.name_any()});
    let mut deployment: Deployment = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "replicas": guestbook.spec.replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "web",
                        "image": guestbook.spec.image,
                        "command": ["sh", "-c", format!(
                            "echo serving {name} on {PORT}; exec httpd -f -v -p {PORT} -h {DIRECTORY}",
                            name = guestbook.name_any(),
                        )],
                        "ports": [{"name": "http", "containerPort": PORT}],
                        "volumeMounts": [{"name": "page", "mountPath": DIRECTORY}],
                        "readinessProbe": {
                            "httpGet": {"path": "/", "port": "http"},
                            "periodSeconds": 1,
                        },
                    }],
                    "volumes": [{"name": "page", "configMap": {"name": guestbook.name_any()}}],
                },
            },
        },
    }))
    .expect("the literal is a deployment");
    deployment.metadata = metadata(guestbook);
    deployment
}

/// The name under which other pods reach it.
///
/// # Panics
/// Never: the literal below is a service.
pub fn service(guestbook: &Guestbook) -> Service {
    let mut service: Service = serde_json::from_value(json!({
        "spec": {
            "selector": {"app": guestbook.name_any()},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }))
    .expect("the literal is a service");
    service.metadata = metadata(guestbook);
    service
}

/// All three carry the guestbook's name and go when it goes.
fn metadata(guestbook: &Guestbook) -> ObjectMeta {
    ObjectMeta {
        name: Some(guestbook.name_any()),
        namespace: guestbook.namespace(),
        owner_references: guestbook.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::GuestbookSpec, *};

    fn guestbook() -> Guestbook {
        let mut guestbook = Guestbook::new(
            "hello",
            GuestbookSpec {
                greeting: "Welcome".to_owned(),
                replicas: 2,
                image: "busybox:1".to_owned(),
            },
        );
        guestbook.metadata.namespace = Some("shop".to_owned());
        guestbook.metadata.uid = Some("7".to_owned());
        guestbook
    }

    #[test]
    fn everything_goes_when_the_guestbook_goes() {
        let guestbook = guestbook();
        for metadata in [
            config_map(&guestbook).metadata,
            deployment(&guestbook).metadata,
            service(&guestbook).metadata,
        ] {
            let owners = metadata.owner_references.unwrap();
            assert_eq!(owners[0].uid, "7");
            assert_eq!(metadata.namespace.as_deref(), Some("shop"));
        }
    }

    #[test]
    fn the_service_selects_the_pods() {
        let guestbook = guestbook();
        let selector = service(&guestbook).spec.unwrap().selector.unwrap();
        let template = deployment(&guestbook).spec.unwrap().template;
        assert_eq!(template.metadata.unwrap().labels.unwrap(), selector);
    }
}
