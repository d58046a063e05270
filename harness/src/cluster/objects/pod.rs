//! The control-plane pod: what the distro describes, the syncer, and the volumes between them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{
            Capabilities, ConfigMapKeySelector, ConfigMapProjection, ConfigMapVolumeSource,
            Container, ContainerPort, DownwardAPIProjection, DownwardAPIVolumeFile,
            EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector,
            PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource,
            ResourceRequirements, SeccompProfile, SecretKeySelector, SecretVolumeSource,
            SecurityContext, ServiceAccountTokenProjection, Volume as PodVolume, VolumeMount,
            VolumeProjection,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use vcluster_syncer::reset;

use super::{
    config::SYNC_FILE,
    several::{affinity, claim, probe},
};
use crate::{
    asset::Component,
    cluster::names::{CONTROL_PLANE, Names},
    distro::{self, ControlPlane, Mount, Privileges, Requests, StoreAccess, Volume},
};

/// The references under which the host has the images.
pub(in crate::cluster) type Images = BTreeMap<Component, String>;

/// Where client libraries look for the host's API server.
const HOST_ACCESS_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const HOST_ACCESS: &str = "host-access";
/// The least that the host allows, renewed by its kubelets.
const TOKEN_SECONDS: i64 = 3607;
/// Nothing of a control plane is worth waiting for: its data ends with it.
const GRACE_SECONDS: i64 = 1;
const SYNCER_HEALTH_PORT: i32 = 8080;
/// Where the processors are fully used, this is its share of the pod's. It needs little and at once; with a
/// tenth of it, whole bursts of pods waited while the API server took the rest.
const SYNCER_REQUESTS: Requests = Requests {
    cpu_millis: 30,
    memory_mib: 16,
};

/// A set, also of one, so that the host replaces a pod that is lost.
pub(in crate::cluster) fn stateful_set(
    names: &Names,
    control_plane: &ControlPlane,
    images: &Images,
) -> StatefulSet {
    let selector = [(CONTROL_PLANE.to_owned(), names.cluster().to_owned())];
    let mut labels = names.labels();
    labels.extend(selector.clone());
    StatefulSet {
        metadata: names.metadata(names.control_plane()),
        spec: Some(StatefulSetSpec {
            replicas: Some(control_plane.replicas.into()),
            // Members of one store wait for one another.
            pod_management_policy: control_plane.is_several().then(|| "Parallel".to_owned()),
            volume_claim_templates: control_plane.is_several().then(|| vec![claim(names)]),
            service_name: Some(names.control_plane().to_owned()),
            selector: LabelSelector {
                match_labels: Some(selector.into()),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(names, control_plane, images)),
            },
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn pod(names: &Names, control_plane: &ControlPlane, images: &Images) -> PodSpec {
    let mut containers: Vec<_> = control_plane
        .containers
        .iter()
        .map(|container| described(names, control_plane, container, images))
        .collect();
    containers.push(syncer(control_plane, images));
    PodSpec {
        containers,
        service_account_name: Some(names.syncer()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        node_selector: Some([("kubernetes.io/os".to_owned(), "linux".to_owned())].into()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(control_plane.user),
            run_as_group: Some(control_plane.user),
            // A volume may belong to root.
            fs_group: control_plane.is_several().then_some(control_plane.user),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        affinity: control_plane.is_several().then(|| affinity(names)),
        volumes: Some(volumes(names, control_plane)),
        ..PodSpec::default()
    }
}

fn described(
    names: &Names,
    control_plane: &ControlPlane,
    container: &distro::Container,
    images: &Images,
) -> Container {
    let plain = container.environment.iter().map(|(name, value)| EnvVar {
        name: (*name).to_owned(),
        value: Some(value.clone()),
        ..EnvVar::default()
    });
    let file = container.file_environment.iter().map(|(name, key)| EnvVar {
        name: (*name).to_owned(),
        value_from: Some(EnvVarSource {
            config_map_key_ref: Some(ConfigMapKeySelector {
                name: names.config_map(),
                key: (*key).to_owned(),
                ..ConfigMapKeySelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    });
    let secret = container
        .secret_environment
        .iter()
        .map(|(name, key)| EnvVar {
            name: (*name).to_owned(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: names.secrets(),
                    key: (*key).to_owned(),
                    ..SecretKeySelector::default()
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        });
    let pod_name = container.pod_name.map(|variable| EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    });
    let environment: Vec<_> = plain.chain(file).chain(secret).chain(pod_name).collect();
    Container {
        command: Some(container.command.clone()),
        env: (!environment.is_empty()).then_some(environment),
        volume_mounts: Some(container.mounts.iter().map(mount).collect()),
        security_context: Some(security(container.privileges)),
        readiness_probe: container.is_asked.then(|| probe(control_plane)),
        ..started(container.name, container.image, container.requests, images)
    }
}

fn syncer(control_plane: &ControlPlane, images: &Images) -> Container {
    let config = format!("{}/{SYNC_FILE}", Volume::Config.path());
    let volumes = [Volume::Pki, Volume::Config, Volume::Run];
    let mut mounts: Vec<_> = volumes
        .iter()
        .map(|volume| mount(&volume.mount()))
        .collect();
    let of_store = control_plane.store.and_then(StoreAccess::volume);
    if let Some(volume) = of_store.filter(|volume| !volumes.contains(volume)) {
        mounts.push(VolumeMount {
            read_only: Some(true),
            ..mount(&volume.mount())
        });
    }
    mounts.push(VolumeMount {
        name: HOST_ACCESS.to_owned(),
        mount_path: HOST_ACCESS_PATH.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    Container {
        // The image's entry point is the program.
        args: Some(vec!["run".to_owned(), "--config".to_owned(), config]),
        env: control_plane.store.map(|store| {
            vec![EnvVar {
                name: reset::ENDPOINT.to_owned(),
                value: Some(store.endpoint()),
                ..EnvVar::default()
            }]
        }),
        ports: Some(vec![ContainerPort {
            name: Some("health".to_owned()),
            container_port: SYNCER_HEALTH_PORT,
            ..ContainerPort::default()
        }]),
        volume_mounts: Some(mounts),
        security_context: Some(security(Privileges::NONE)),
        ..started("syncer", Component::Syncer, SYNCER_REQUESTS, images)
    }
}

fn started(name: &str, component: Component, requests: Requests, images: &Images) -> Container {
    let requests = [
        ("cpu", format!("{}m", requests.cpu_millis)),
        ("memory", format!("{}Mi", requests.memory_mib)),
    ];
    Container {
        name: name.to_owned(),
        image: images.get(&component).cloned(),
        // The host has it already; a host of somebody else may have to pull.
        image_pull_policy: Some("IfNotPresent".to_owned()),
        resources: Some(ResourceRequirements {
            requests: Some(
                requests
                    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
                    .into(),
            ),
            ..ResourceRequirements::default()
        }),
        // A crash leaves its last words where the harness reads them.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn security(privileges: Privileges) -> SecurityContext {
    let Privileges {
        root,
        capabilities,
        writable_files,
    } = privileges;
    let kept = capabilities.iter().map(|&name| name.to_owned()).collect();
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(!writable_files),
        run_as_user: root.then_some(0),
        run_as_group: root.then_some(0),
        run_as_non_root: root.then_some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: (!capabilities.is_empty()).then_some(kept),
        }),
        ..SecurityContext::default()
    }
}

fn mount(mount: &Mount) -> VolumeMount {
    VolumeMount {
        name: mount.volume.name().to_owned(),
        mount_path: mount.path.to_owned(),
        sub_path: mount.file.map(str::to_owned),
        ..VolumeMount::default()
    }
}

fn volumes(names: &Names, control_plane: &ControlPlane) -> Vec<PodVolume> {
    let memory = |volume: Volume| PodVolume {
        name: volume.name().to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            ..EmptyDirVolumeSource::default()
        }),
        ..PodVolume::default()
    };
    let secret = |volume: Volume, name: String| PodVolume {
        name: volume.name().to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name),
            ..SecretVolumeSource::default()
        }),
        ..PodVolume::default()
    };
    let mut volumes = vec![
        secret(Volume::Pki, names.pki_secret()),
        PodVolume {
            name: Volume::Config.name().to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names.config_map(),
                ..ConfigMapVolumeSource::default()
            }),
            ..PodVolume::default()
        },
        memory(Volume::Run),
        host_access(),
    ];
    if !control_plane.is_several() {
        volumes.insert(3, memory(Volume::Data));
    }
    volumes
}

/// The syncer's token for the host: the usual one, but in one container only.
fn host_access() -> PodVolume {
    let sources = vec![
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                path: "token".to_owned(),
                expiration_seconds: Some(TOKEN_SECONDS),
                ..ServiceAccountTokenProjection::default()
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: "kube-root-ca.crt".to_owned(),
                items: Some(vec![KeyToPath {
                    key: "ca.crt".to_owned(),
                    path: "ca.crt".to_owned(),
                    ..KeyToPath::default()
                }]),
                ..ConfigMapProjection::default()
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: "namespace".to_owned(),
                    field_ref: Some(ObjectFieldSelector {
                        field_path: "metadata.namespace".to_owned(),
                        ..ObjectFieldSelector::default()
                    }),
                    ..DownwardAPIVolumeFile::default()
                }]),
            }),
            ..VolumeProjection::default()
        },
    ];
    PodVolume {
        name: HOST_ACCESS.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..PodVolume::default()
    }
}
