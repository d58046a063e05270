//! A pod's own full name in its `/etc/hosts`. The host's kubelet would write the name that the pod has
//! on the host, or none, and `hostname -f` would say so; stateful applications find their peers by it.
//! So an init container copies the file with the virtual name in it, and every container sees the
//! copy.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, Pod, PodSpec, SeccompProfile, SecurityContext,
    Volume, VolumeMount,
};
use kube::ResourceExt;

use crate::{labels, resource::Translation};

/// The init container and its volume.
const NAME: &str = "vcluster-rewrite-hosts";
/// The file that all containers see.
const FILE: &str = "/etc/hosts";
/// Where the init container puts the copy.
const DIRECTORY: &str = "/hosts";
/// Nobody in particular, so that a host which forbids root takes it.
const USER: i64 = 65532;

/// The image to rewrite with, if the pod is one whose names are to be rewritten.
pub(super) fn image<'a>(pod: &Pod, spec: &PodSpec, cx: &'a Translation) -> Option<&'a str> {
    let has_full_name = spec.subdomain.as_ref().is_some_and(|name| !name.is_empty());
    // In the host's network the file is the node's.
    let has_own_file = spec.host_network != Some(true);
    let is_unwanted = pod
        .annotations()
        .get(labels::KEEP_HOSTS)
        .is_some_and(|value| value == "true");
    cx.facts
        .hosts_image
        .as_deref()
        .filter(|_| has_full_name && has_own_file && !is_unwanted)
}

/// Adds the init container to `host`, whose hostname is set already.
pub(super) fn rewrite(
    host: &mut PodSpec,
    namespace: &str,
    spec: &PodSpec,
    image: &str,
    domain: &str,
) {
    let hostname = host.hostname.clone().unwrap_or_default();
    let subdomain = spec.subdomain.as_deref().unwrap_or_default();
    let full_name = format!("{hostname}.{subdomain}.{namespace}.svc.{domain}");
    // The resources of another container leave the pod's class of service as it is.
    let resources = host
        .containers
        .first()
        .and_then(|container| container.resources.clone());
    for container in host
        .containers
        .iter_mut()
        .chain(host.init_containers.iter_mut().flatten())
    {
        let mounts = container.volume_mounts.get_or_insert_default();
        if !mounts.iter().any(|mount| mount.mount_path == FILE) {
            mounts.push(VolumeMount {
                name: NAME.to_owned(),
                mount_path: FILE.to_owned(),
                sub_path: Some("hosts".to_owned()),
                ..VolumeMount::default()
            });
        }
    }
    let rewriter = Container {
        name: NAME.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(vec![
            "hosts".to_owned(),
            format!("--hostname={hostname}"),
            format!("--full-name={full_name}"),
            format!("--from={FILE}"),
            format!("--to={DIRECTORY}/hosts"),
        ]),
        resources,
        security_context: Some(unprivileged()),
        volume_mounts: Some(vec![VolumeMount {
            name: NAME.to_owned(),
            mount_path: DIRECTORY.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    };
    host.init_containers
        .get_or_insert_default()
        .insert(0, rewriter);
    host.volumes.get_or_insert_default().push(Volume {
        name: NAME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
}

fn unprivileged() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(USER),
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..SecurityContext::default()
    }
}

/// What the init container does to the text of the file: in each line that names the host `hostname`,
/// the full name comes first, as `hostname -f` wants it.
#[must_use]
pub fn with_full_name(text: &str, hostname: &str, full_name: &str) -> String {
    let mut rewritten = String::with_capacity(text.len() + full_name.len());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let address = words.next().unwrap_or_default();
        let is_own = !address.starts_with('#') && words.any(|word| word == hostname);
        if is_own {
            rewritten.extend([address, "\t", full_name, "\t", hostname]);
        } else {
            rewritten.push_str(line);
        }
        rewritten.push('\n');
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        resource::tests::translation,
        resources::pod::translate::{self, tests::pod},
    };

    fn translated(pod: &Pod) -> PodSpec {
        let host = translate::to_host(pod, &translation()).unwrap();
        host.spec.unwrap()
    }

    fn in_subdomain() -> Pod {
        let mut pod = pod("db-0");
        pod.spec.as_mut().unwrap().subdomain = Some("db".to_owned());
        pod
    }

    #[test]
    fn a_pod_of_a_subdomain_finds_its_full_name() {
        let spec = translated(&in_subdomain());
        assert_eq!(spec.subdomain, None);
        let rewriter = &spec.init_containers.unwrap()[0];
        let args = rewriter.args.clone().unwrap();
        let full_name = "--full-name=db-0.db.default.svc.cluster.local".to_owned();
        assert!(args.contains(&full_name), "{args:?}");
        let mounts = spec.containers[0].volume_mounts.clone().unwrap();
        assert_eq!(mounts[0].mount_path, FILE);
        assert_eq!(mounts[0].sub_path.as_deref(), Some("hosts"));
        assert_eq!(spec.volumes.unwrap()[0].name, NAME);
    }

    #[rstest]
    #[case::without_a_subdomain(json!({"subdomain": ""}))]
    #[case::in_the_hosts_network(json!({"hostNetwork": true}))]
    fn others_stay_as_they_are(#[case] change: Value) {
        let mut value = serde_json::to_value(in_subdomain()).unwrap();
        let spec = value["spec"].as_object_mut().unwrap();
        spec.extend(change.as_object().unwrap().clone());
        let spec = translated(&serde_json::from_value(value).unwrap());
        assert_eq!(spec.init_containers, None);
    }

    #[test]
    fn a_tenant_may_say_no() {
        let mut pod = in_subdomain();
        pod.annotations_mut()
            .insert(labels::KEEP_HOSTS.to_owned(), "true".to_owned());
        assert_eq!(translated(&pod).init_containers, None);
    }

    #[test]
    fn a_file_of_the_tenants_own_is_left_alone() {
        let mut pod = in_subdomain();
        let mounts = json!([{"name": "mine", "mountPath": "/etc/hosts"}]);
        pod.spec.as_mut().unwrap().containers[0].volume_mounts =
            serde_json::from_value(mounts).unwrap();
        let mounts = translated(&pod).containers[0].volume_mounts.clone();
        assert_eq!(mounts.unwrap().len(), 1);
    }

    #[test]
    fn the_full_name_comes_first_in_the_own_lines_only() {
        let text = "# Kubernetes-managed hosts file (db-0).\n127.0.0.1\tlocalhost\n\
            10.244.0.9\tdb-0\nfd00::9\tdb-0\n10.96.17.1\tkubernetes\n";
        let expected = "# Kubernetes-managed hosts file (db-0).\n127.0.0.1\tlocalhost\n\
            10.244.0.9\tdb-0.db\tdb-0\nfd00::9\tdb-0.db\tdb-0\n10.96.17.1\tkubernetes\n";
        assert_eq!(with_full_name(text, "db-0", "db-0.db"), expected);
        assert_eq!(with_full_name(expected, "db-0", "db-0.db"), expected);
    }
}
